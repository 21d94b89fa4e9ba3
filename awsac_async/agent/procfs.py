"""Processes as ``/proc`` shows them, and handles to them that never come to mean another process.

A number alone means nothing: the kernel gives it to somebody else once its process is gone. So a process is known here
by its number and its start time, and a pidfd is opened before the two are compared.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# Fields of /proc/<pid>/stat counted after the command's name, proc(5).
_STATE, _PARENT, _SESSION, _START = 0, 1, 3, 19


class ProcessId(NamedTuple):
    """A process: its number, and its start in clock ticks since boot."""

    pid: int
    start: int


@dataclass(frozen=True, kw_only=True)
class Stat:
    """What is needed of ``/proc/<pid>/stat``."""

    id: ProcessId
    state: str
    parent: int
    session: int

    @property
    def ended(self) -> bool:
        """Whether it has ended, and only waits for its parent to collect it."""
        return self.state in "ZX"


def boot_id() -> str:
    """Return what names this boot of the machine: numbers and start times mean something within one only."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def stat(pid: int) -> Stat | None:
    """Return what ``/proc`` says of a process; None when it is gone, or hidden from us."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return Stat(
        id=ProcessId(pid, int(fields[_START])),
        state=fields[_STATE],
        parent=int(fields[_PARENT]),
        session=int(fields[_SESSION]),
    )


def processes() -> dict[int, Stat]:
    """Return all processes that can be seen, by number."""
    return {pid: found for pid in _pids() if (found := stat(pid)) is not None}


def environment(pid: int) -> frozenset[bytes]:
    """Return the environment a process was started with, as ``name=value``; empty when it cannot be read."""
    try:
        return frozenset(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return frozenset()


def open_pidfd(process: ProcessId) -> int | None:
    """Return a pidfd of this very process, for the caller to close; None when it is gone."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    found = stat(process.pid)
    if found is not None and found.id == process:
        return descriptor
    os.close(descriptor)
    return None


async def ended(pidfd: int) -> None:
    """Wait until the process of a pidfd has ended; whether it is our child does not matter."""
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    watched = os.dup(pidfd)  # a descriptor can be watched once, and its owner may close it meanwhile
    loop.add_reader(watched, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 (names only, and quickly)
