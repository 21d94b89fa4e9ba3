"""A program that kills this instance's jobs when its lease was not renewed in time, whatever became of the agent.

Others run the jobs then, and a job must not run twice at the same time. The agent gives its jobs up by itself before
that; this program is there for one that is dead, or stopped, or hangs. It ends when the agent has removed the file.
Owns that file. One at a time runs on an instance, found by a lock that goes with it.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from awsac_async.agent import procfs
from awsac_async.agent.onlyone import taken
from awsac_async.agent.timings import uptime
from awsac_async.agent.tree import ProcessTree

_LOOK_SECONDS = 1.0
_LINE = 160  # bytes: the file is written over, which needs no room on the disk


@dataclass(frozen=True, kw_only=True)
class Until:
    """Until which uptime, in seconds of CLOCK_BOOTTIME of a boot, jobs may run that are held on a lease."""

    lease: str
    uptime: float
    boot: str

    @classmethod
    def now(cls, *, lease: str, uptime: float) -> "Until":
        """Return one of this boot."""
        return cls(lease=lease, uptime=uptime, boot=procfs.boot_id())

    @property
    def of_this_boot(self) -> bool:
        """Whether the machine has not been booted since: uptimes mean something within one boot only."""
        return self.boot == procfs.boot_id()


class FenceFile:
    """The file, ``lease`` in the state directory, by which the agent tells until when jobs may run. Blocks."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "lease"

    def write(self, until: Until) -> None:
        """Write it, over what is there. Raises OSError."""
        line = f"{until.lease} {until.uptime:.2f} {until.boot}"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, f"{line:<{_LINE - 1}}\n".encode(), 0)
        finally:
            os.close(descriptor)

    def read(self) -> Until | None:
        """Return what it says, or None if it is not there or cannot be read."""
        try:
            lease, until, boot = self._file.read_text().split()
            return Until(lease=lease, uptime=float(until), boot=boot)
        except (OSError, ValueError):
            return None

    def remove(self) -> None:
        """Remove it."""
        self._file.unlink(missing_ok=True)


def start(directory: Path, session_id: str) -> "subprocess.Popen[bytes]":
    """Start the program for the state directory of an instance; it survives the agent. Raises OSError."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, str(directory), session_id],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def runs(directory: Path) -> bool:
    """Whether the program runs for this state directory, whichever agent has started it. Raises OSError. Blocks."""
    with _lock_file(directory).open("w") as lock:
        return not taken(lock)


def main(arguments: Sequence[str]) -> int:
    """Watch the file until it is gone; arguments: the state directory, and the session's ID."""
    directory, session_id = Path(arguments[0]), arguments[1]
    with _lock_file(directory).open("w") as lock:
        return _watch(FenceFile(directory), session_id) if taken(lock) else 0


def _lock_file(directory: Path) -> Path:
    return directory / "fence.lock"


def _watch(file: FenceFile, session_id: str) -> int:
    told = None
    while (until := file.read()) is not None:
        if _is_over(until):
            if until != told:
                _tell(f"lease {until.lease} was not renewed in time: killing its jobs")
                told = until
            asyncio.run(_kill_all(file, session_id))
        time.sleep(_LOOK_SECONDS)
    return 0


def _is_over(until: Until | None) -> bool:
    return until is not None and uptime() >= until.uptime


async def _kill_all(file: FenceFile, session_id: str) -> None:
    for tree in ProcessTree.of_all(session_id):
        # The agent may come back meanwhile, and run a job on its next lease.
        await tree.kill(as_long_as=lambda: _is_over(file.read()))


def _tell(sentence: str) -> None:
    print(f"fence: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
