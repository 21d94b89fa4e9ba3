"""Control groups that hold what a job starts: whoever is born in one stays in it, whatever it becomes.

Owns the groups below one folder of each hierarchy: where systemd keeps the agent in the slice of its unit, beside the
agent, since a group with processes of its own can bound none below it; else below the agent's own group. It never
touches the root of a hierarchy: an agent that finds itself there has no group of its own to make others in.
"""

import functools
import logging
import os
import select
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger(__name__)
SLICE = "awsac.slice"  # as in boot/awsac-agent.service
JOBS = "awsac-jobs"  # the group that holds those of all jobs
_EMPTY_MILLISECONDS = 5000  # a process that was killed leaves its group a moment after its end
_AGAIN_SECONDS = 0.05
_VERSION_2 = ""  # in place of a controller: all controllers are in one hierarchy


@functools.cache
def own_cgroup(controller: str = _VERSION_2) -> Path | None:
    """Return the folder of the cgroup this process is in: of version 2, or, for a controller's name, of version 1.

    None when there is none, or only the root.
    """
    try:
        path = _own_path(Path("/proc/self/cgroup").read_text(), controller)
        found = _mounted(path, Path("/proc/self/mountinfo").read_text(), controller) if path else None
    except OSError:
        return None
    if found is None:
        return None
    # The root of a hierarchy alone has no cgroup.events (version 2), and has a release_agent (version 1).
    is_root = (found / "release_agent").exists() if controller else not (found / "cgroup.events").exists()
    return None if is_root else found


def jobs_cgroup(controller: str = _VERSION_2) -> Path | None:
    """Return the folder of the group that holds those of all jobs, which need not exist; None: there can be none."""
    own = own_cgroup(controller)
    if own is None:
        return None
    return (own.parent if own.parent.name == SLICE else own) / JOBS


def _own_path(text: str, controller: str) -> str | None:
    """Return the path in the hierarchy; lines as in cgroups(7)."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return None


def _mounted(path: str, mounts: str, controller: str) -> Path | None:
    """Return where a path of the hierarchy is in the file system; lines of mountinfo as in proc_pid_mountinfo(5)."""
    for line in mounts.splitlines():
        mount, _, rest = line.partition(" - ")
        kind, _, options = rest.split(maxsplit=2)
        if kind != ("cgroup" if controller else "cgroup2") or (controller and controller not in options.split(",")):
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
            self.folder.mkdir(exist_ok=True, parents=True)
        except OSError as error:
            _log.info("no cgroup %s: %s", self.folder, error.strerror)
            return False
        return True

    def write(self, name: str, value: str) -> bool:
        """Write one of its files; returns whether the kernel took it."""
        try:
            descriptor = os.open(self.folder / name, os.O_WRONLY)
        except OSError:
            return False
        try:
            os.write(descriptor, value.encode())
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def counts(self, name: str) -> dict[str, int]:
        """Return what one of its files counts, as lines of a word and a number; nothing if it cannot be read."""
        try:
            lines = [line.split() for line in (self.folder / name).read_text().splitlines()]
        except OSError:
            return {}
        return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}

    def pids(self) -> set[int]:
        """Return the numbers of the processes in it and in the groups that they made below it."""
        found: set[int] = set()
        for folder in self._folders():
            with suppress(OSError):  # gone, or of a kind that lists threads only
                found.update(int(pid) for pid in (folder / "cgroup.procs").read_text().split())
        return found

    def kill(self) -> None:
        """Kill all of it at once, where the kernel can (5.14)."""
        self.write("cgroup.kill", "1")

    def remove(self) -> None:
        """Remove the group when its last process has left it. Blocks until then, for some seconds at most."""
        deadline = time.monotonic() + _EMPTY_MILLISECONDS / 1000
        self._wait_until_empty()
        for folder in self._folders():
            while (trouble := _removed(folder)) and time.monotonic() < deadline:
                time.sleep(_AGAIN_SECONDS)  # of version 1 nothing tells when it is empty
            if trouble:
                _log.warning("cgroup %s is not removed: %s", folder, trouble)

    def _folders(self) -> Iterator[Path]:
        """All folders of it, the lowest first; a job of root may have made them as deep as it liked."""
        found = [self.folder]
        for folder in found:
            with suppress(OSError):
                found += [Path(each.path) for each in os.scandir(folder) if each.is_dir(follow_symlinks=False)]
        return reversed(found)

    def _wait_until_empty(self) -> None:
        with suppress(OSError), (self.folder / "cgroup.events").open() as events:
            poller = select.poll()
            poller.register(events, select.POLLPRI)
            while "populated 1" in events.read() and poller.poll(_EMPTY_MILLISECONDS):
                events.seek(0)


def _removed(folder: Path) -> str:
    """Remove a folder; returns why it cannot be, or ""."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        return error.strerror or str(error)
    return ""
