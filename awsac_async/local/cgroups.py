"""Control groups (version 2) of an embedded cloud: one for it all, and one below for each instance.

With its group an instance ends as a whole, whatever its processes did to leave their session, and an agent inside finds
a group of its own below which it may make others. Where this process may make none (it is not root, or the machine has
no version 2) there is none. Never touches a group that it did not make.
"""

import contextlib
import os
import select
import signal
import time
from pathlib import Path

from awsac_async.local import trees


def own() -> Path | None:
    """Return the folder of the group that this process is in, or None where groups of version 2 are not mounted."""
    paths = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::/")]
    for root, point in _mounts():
        for path in paths:
            if Path(path).is_relative_to(root):
                return Path(point, Path(path).relative_to(root))
    return None


def _mounts() -> list[tuple[str, str]]:
    """Return where groups of version 2 are mounted: the group that is at the top there, and the place."""
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    fields = [line.split() for line in lines if " - cgroup2 " in line]
    return [(root, point) for *_, root, point in (each[:5] for each in fields)]


def make_for_cloud(record: Path, cloud_id: str) -> Path | None:
    """Make the group of a cloud, and write where it is to ``record`` first; None if that cannot be done here."""
    parent = own()
    if parent is None:
        return None
    group = parent / _name(cloud_id)
    record.write_text(str(group))
    return make(group)


def _name(cloud_id: str) -> str:
    return f"awsac-local-{cloud_id}"


def recorded(record: Path, cloud_id: str) -> Path | None:
    """Return the group of a cloud that a record names; None if there is no record, or the group is gone.

    Raises ValueError if it names what no cloud of this ID can have made.
    """
    try:
        text = record.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return None
    group = Path(text)
    below = any(group.is_relative_to(point) for _, point in _mounts())
    if not below or ".." in group.parts or group.name != _name(cloud_id) or group.resolve() != group:
        raise ValueError("it names no control group of this cloud")
    return group if group.exists() else None


def members(group: Path) -> set[int]:
    """Return the processes in a group and in those below it."""
    found: set[int] = set()
    for folder, name, _ in trees.walk(group):
        if name == "cgroup.procs":
            with contextlib.suppress(OSError):  # the group is gone
                found.update(_numbers(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)))
    return found


def _numbers(descriptor: int) -> list[int]:
    with open(descriptor) as file:
        return [int(line) for line in file]


def make(group: Path) -> Path | None:
    """Make a group; None if that cannot be done here."""
    try:
        group.mkdir(exist_ok=True)
    except OSError:
        return None
    return group


def kill(group: Path) -> None:
    """Kill all processes of a group and of those below it."""
    if (group / "cgroup.kill").exists():
        with contextlib.suppress(OSError):  # it is gone already
            (group / "cgroup.kill").write_text("1")
    elif group.exists():  # a kernel before 5.14
        for pid in members(group):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def remove(group: Path, *, patience: float = 5.0) -> bool:
    """Kill all that is left in a group and remove it with those below it; return whether it is gone."""
    kill(group)
    with contextlib.suppress(FileNotFoundError):
        _wait_until_empty(group, time.monotonic() + patience)
    with contextlib.suppress(OSError):  # a process is left in it, which the caller is told
        trees.remove(group, folders_only=True)
    return not group.exists()


def _wait_until_empty(group: Path, deadline: float) -> None:
    with (group / "cgroup.events").open() as events:
        poller = select.poll()
        poller.register(events, select.POLLPRI)
        while "populated 1" in events.read() and (left := deadline - time.monotonic()) > 0:
            poller.poll(left * 1000)
            events.seek(0)
