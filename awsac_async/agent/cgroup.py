"""A control group (cgroup v2) that holds what a job starts: whoever is born in it stays in it, whatever it becomes.

Owns the groups below the agent's own, and none elsewhere. It never touches the root of the hierarchy: an agent that
finds itself there has no group of its own to make others in.
"""

import functools
import logging
import os
import select
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger(__name__)
_EMPTY_MILLISECONDS = 5000  # a process that was killed leaves its group a moment after its end


@functools.cache
def own_cgroup() -> Path | None:
    """Return the folder of the cgroup v2 this process is in; None when there is none, or only the root."""
    try:
        path = _own_path(Path("/proc/self/cgroup").read_text())
        found = _mounted(path, Path("/proc/self/mountinfo").read_text()) if path else None
    except OSError:
        return None
    # The root of the hierarchy alone has no cgroup.events.
    return found if found is not None and (found / "cgroup.events").exists() else None


def _own_path(text: str) -> str | None:
    return next((line[3:] for line in text.splitlines() if line.startswith("0::/")), None)


def _mounted(path: str, mounts: str) -> Path | None:
    """Return where a path of the hierarchy is in the file system; lines of mountinfo as in proc_pid_mountinfo(5)."""
    for line in mounts.splitlines():
        mount, _, rest = line.partition(" - ")
        if rest.split()[0] != "cgroup2":
            continue
        root, folder = mount.split()[3:5]
        relative = os.path.relpath(path, root)
        if not relative.startswith(".."):
            return Path(folder, relative)
    return None


class Cgroup:
    """One group; it need not exist, and whatever is asked of one that does not is nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> bool:
        """Make the group, if need be; returns whether it is there."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            _log.info("no cgroup %s: %s", self.folder, error.strerror)
            return False
        return True

    def pids(self) -> set[int]:
        """Return the numbers of the processes in it and in the groups that they made below it."""
        found: set[int] = set()
        for folder in self._folders():
            with suppress(OSError):  # gone, or of a kind that lists threads only
                found.update(int(pid) for pid in (folder / "cgroup.procs").read_text().split())
        return found

    def kill(self) -> None:
        """Kill all of it at once, where the kernel can (5.14)."""
        with suppress(OSError):  # an older kernel has no such file
            descriptor = os.open(self.folder / "cgroup.kill", os.O_WRONLY)
            try:
                os.write(descriptor, b"1")
            finally:
                os.close(descriptor)

    def remove(self) -> None:
        """Remove the group when its last process has left it. Blocks until then, for some seconds at most."""
        self._wait_until_empty()
        for folder in self._folders():
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                _log.warning("cgroup %s is not removed: %s", folder, error.strerror)

    def _folders(self) -> Iterator[Path]:
        """All folders of it, the lowest first."""
        return (Path(folder) for folder, _, _ in os.walk(self.folder, topdown=False))

    def _wait_until_empty(self) -> None:
        with suppress(OSError), (self.folder / "cgroup.events").open() as events:
            poller = select.poll()
            poller.register(events, select.POLLPRI)
            while "populated 1" in events.read() and poller.poll(_EMPTY_MILLISECONDS):
                events.seek(0)
