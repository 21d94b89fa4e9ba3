"""Keeps what jobs print from filling the disk, which holds the work of all jobs.

Owns the decision that a job prints too much: when an eighth of the disk is left, and its output takes more than that,
or, of less that is left, a thirty-second part of the disk.
Such a job is stopped, and what it has printed is saved. What jobs write elsewhere they bound by failing themselves.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from awsac_async.agent.stopping import Stop
from awsac_async.session.model import JobState
from awsac_async.session.wording import shown_size

_LOW, _MUCH = 1 / 8, 1 / 32
_SECONDS, _SOON_SECONDS = 2.0, 0.25  # between two looks; the latter while the disk is more than half full


class FloodGuard:
    """Watches the outputs of the jobs that run now."""

    def __init__(self) -> None:
        self._watched: dict[Path, Stop] = {}

    @contextmanager
    def watching(self, output: Path, stop: Stop) -> Iterator[None]:
        """Watch the output of a job, which ``stop`` stops."""
        self._watched[output] = stop
        try:
            yield
        finally:
            del self._watched[output]

    async def run(self) -> None:
        """Look again and again; ends by cancellation only."""
        while True:
            outputs = dict(self._watched)
            found, left = await asyncio.to_thread(floods, list(outputs))
            for output, size in found.items():
                outputs[output].request(
                    JobState.FAILED, f"it has printed {shown_size(size)}, which nearly filled the disk of its instance"
                )
            await asyncio.sleep(_SOON_SECONDS if left < 0.5 else _SECONDS)


def floods(outputs: list[Path]) -> tuple[dict[Path, int], float]:
    """Return the outputs that take too much, with their sizes, and which part of the fullest disk is left. Blocks."""
    found, least = {}, 1.0
    for output in outputs:
        try:
            disk, size = os.statvfs(output), output.stat().st_size
        except OSError:
            continue  # gone: a job of root can do that
        part = disk.f_bavail / max(1, disk.f_blocks)
        least = min(least, part)
        if part < _LOW and size > disk.f_frsize * max(disk.f_bavail, disk.f_blocks * _MUCH):
            found[output] = size
    return found, least
