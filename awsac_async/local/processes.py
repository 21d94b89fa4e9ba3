"""Finds and ends processes that belong to an embedded cloud, and no others.

A process belongs to an instance when its environment carries ``MARK`` with the instance's folder and its cloud's ID, or
when it descends from such a process; the daemon carries the mark of a folder of its own. Signals go through a pidfd,
opened before the process is checked, so that a number that the kernel has given to somebody else is never hit.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

MARK = "AWSAC_LOCAL_INSTANCE"
_PARENT, _START = 1, 19  # fields of /proc/<pid>/stat, counted after the command's name


def mark(folder: Path, cloud_id: str) -> dict[str, str]:
    """Return the variable that marks a process as one of a cloud, there for a folder of an instance or the daemon's."""
    return {MARK: f"{folder}:{cloud_id}"}


def _stat(pid: int) -> list[bytes]:
    """Return the fields after the command's name, which its process chooses and may be any bytes."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == b"Z" else int(fields[_START])


def _parents() -> dict[int, int]:
    parents = {}
    for pid in _pids():
        try:
            parents[pid] = int(_stat(pid)[_PARENT])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return parents


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 (names only, and quickly)


def descendants(ancestors: Iterable[int]) -> set[int]:
    """Return the processes that descend from any of these, without these."""
    parents, family = _parents(), set(ancestors)
    eldest = frozenset(family)
    while newcomers := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= newcomers
    return family - eldest


def marked(folder: Path, cloud_id: str = "") -> list[int]:
    """Return the processes that carry the mark of this folder or of one below it, and of a cloud: "" is any."""
    return [pid for pid in _pids() if carries(pid, folder, cloud_id)]


def belonging_to(folder: Path, cloud_id: str = "") -> list[int]:
    """Return all processes of the instances below this folder, of a cloud: "" is any."""
    marks = marked(folder, cloud_id)
    return sorted(descendants(marks).union(marks))


def carries(pid: int, folder: Path, cloud_id: str = "") -> bool:
    """Say whether a process carries the mark of this folder or of one below it, and of a cloud: "" is any.

    Where a process does not let its environment be read, one of its arguments may be the mark.
    """
    marks = _marks(pid)
    wanted = os.fsencode(folder)
    for place, _, found in (each.rpartition(b":") for each in marks):
        if (place == wanted or place.startswith(wanted + b"/")) and found:
            return cloud_id in {"", found.decode(errors="replace")}
    return False


def _marks(pid: int) -> list[bytes]:
    name = MARK.encode() + b"="
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return [entry.removeprefix(name) for entry in environment if entry.startswith(name)]
    except PermissionError:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return []
    except OSError:  # it has ended
        return []


def pid_of(descriptor: int) -> int | None:
    """Return the PID of a pidfd's process, or None if it has ended."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    pid = next(int(line.split()[1]) for line in lines if line.startswith("Pid:"))
    return pid if pid > 0 else None


def signal_if(pid: int, signum: int, condition: Callable[[int], bool]) -> int | None:
    """Signal a process for which the condition holds; return a pidfd to wait on, or None if it was not signalled."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if condition(pid):
        try:
            signal.pidfd_send_signal(descriptor, signum)
        except (ProcessLookupError, PermissionError):
            pass
        else:
            return descriptor
    os.close(descriptor)
    return None


def wait_for(descriptors: Iterable[int], timeout: float) -> None:
    """Wait until the processes of these pidfds have ended, at most so many seconds in all. Closes the pidfds."""
    deadline = time.monotonic() + timeout
    for descriptor in descriptors:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
        os.close(descriptor)


def end_marked(folder: Path, cloud_id: str, *, patience: float = 5.0) -> bool:
    """End all processes that carry the mark of this cloud and folder or of one below it; return whether none is left.

    First they are asked (an instance's init takes its descendants with it), then each survivor is killed.
    """
    deadline = time.monotonic() + patience
    signum: int = signal.SIGINT
    while pids := marked(folder, cloud_id):
        if time.monotonic() > deadline:
            return False
        signalled = [signal_if(pid, signum, lambda pid: carries(pid, folder, cloud_id)) for pid in pids]
        wait_for([descriptor for descriptor in signalled if descriptor is not None], 1.0)
        signum = signal.SIGKILL
    return True
