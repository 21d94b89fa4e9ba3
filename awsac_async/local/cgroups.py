"""Control groups of an embedded cloud: one for it all in each hierarchy that matters, and one below for each instance.

With its group of version 2 an instance ends as a whole, whatever its processes did to leave their session, and an agent
inside finds a group of its own below which it may make others. The controllers ``memory`` and ``pids``, in version 2 or
in hierarchies of their own (version 1), keep what instances do from taking the machine. Where this process may make no
groups there are none. Never touches a group that it did not make.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from awsac_async.local import trees

_CONTROLLERS = ("memory", "pids")
INIT = "init.scope"  # the group of an instance's init: one that holds processes can bound none below it
_GIBI = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How many bytes of memory, and how many processes and threads, a group may have."""

    memory: int
    processes: int

    @classmethod
    def of_machine(cls) -> "Bounds":
        """Return what this machine has, but for what its owner needs to go on working."""
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        processes = min(int(Path("/proc/sys/kernel", name).read_text()) for name in ("pid_max", "threads-max"))
        return cls(memory=memory - min(max(_GIBI, memory // 10), memory // 2), processes=processes * 3 // 4)


def own(controller: str = "") -> Path | None:
    """Return the folder of the group that this process is in: of version 2, or, for a controller, of version 1.

    None where such groups are not mounted.
    """
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    paths = [path for _, controllers, path in lines if controller in controllers.split(",")]
    for root, point in _mounts(controller):
        for path in paths:
            if Path(path).is_relative_to(root):
                return Path(point, Path(path).relative_to(root))
    return None


def _mounts(controller: str) -> list[tuple[str, str]]:
    """Return where groups are mounted: the group that is at the top there, and the place."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        mount, _, rest = line.partition(" - ")
        kind, _, options = rest.split(maxsplit=2)
        if kind == "cgroup2" if not controller else kind == "cgroup" and controller in options.split(","):
            root, point = mount.split()[3:5]
            found.append((root, point))
    return found


def _parents() -> Iterator[Path]:
    """Yield the groups below which those of a cloud go, one for each hierarchy, that of version 2 first."""
    version_2 = own()
    if version_2 is not None:
        top = [Path(point) for _, point in _mounts("")]
        # A group with processes of its own, as ours is, can have no controllers for those below it.
        able = [each for each in (*top, version_2.parent) if _has_controllers(each)]
        version_2 = next(iter(able), version_2)
        yield version_2
    for controller in _CONTROLLERS:
        if (version_1 := own(controller)) is not None:
            yield version_1


def _has_controllers(folder: Path) -> bool:
    try:
        enabled = (folder / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False
    return set(_CONTROLLERS) <= set(enabled) and os.access(folder / "cgroup.procs", os.W_OK)


def make_for_cloud(record: Path, cloud_id: str) -> list[Path]:
    """Make the groups of a cloud, and write where they are to ``record`` first; those that cannot be made are left out.

    That of version 2, if there is one, is the first.
    """
    groups = [parent / _name(cloud_id) for parent in _parents()]
    if groups:
        record.write_text("\n".join(map(str, groups)))
    return make_all(groups, Bounds.of_machine())


def _name(cloud_id: str) -> str:
    return f"awsac-local-{cloud_id}"


def make_all(groups: Sequence[Path], bounds: Bounds) -> list[Path]:
    """Make groups with these bounds, as far as they can be had; returns those that are there."""
    made = [group for group in groups if make(group)]
    for group in made:
        _write(group / "cgroup.subtree_control", " ".join(f"+{each}" for each in _CONTROLLERS))
        for name, value in {
            "memory.max": bounds.memory,
            "memory.limit_in_bytes": bounds.memory,
            "pids.max": bounds.processes,
        }.items():
            _write(group / name, str(value))
    return made


def _write(file: Path, text: str) -> None:
    """Write a file of a group, if it has that file and the kernel takes it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(file, os.O_WRONLY)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def enter(groups: Sequence[Path]) -> None:
    """Put this process, the init of an instance, into its groups, so that those below can have controllers too."""
    for group in groups:
        if (group / "cgroup.subtree_control").exists():
            (group / INIT).mkdir(exist_ok=True)
            _write(group / INIT / "cgroup.procs", "0")
            _write(group / "cgroup.subtree_control", " ".join(f"+{each}" for each in _CONTROLLERS))
        else:
            _write(group / "cgroup.procs", "0")


def recorded(record: Path, cloud_id: str) -> list[Path]:
    """Return the groups of a cloud that a record names and that are there still; none if there is no record.

    Raises ValueError if it names what no cloud of this ID can have made.
    """
    try:
        text = record.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return []
    tops = [point for each in ("", *_CONTROLLERS) for _, point in _mounts(each)]
    groups = [Path(line) for line in text.split("\n")]
    for group in groups:
        below = any(group.is_relative_to(point) for point in tops)
        if not below or ".." in group.parts or group.name != _name(cloud_id) or group.resolve() != group:
            raise ValueError("it names no control group of this cloud")
    return [group for group in groups if group.exists()]


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
    deadline = time.monotonic() + patience
    kill(group)
    with contextlib.suppress(FileNotFoundError):
        _wait_until_empty(group, deadline)
    while True:
        with contextlib.suppress(OSError):  # a process is left in it, which the caller is told
            trees.remove(group, folders_only=True)
        if not group.exists() or time.monotonic() > deadline:
            return not group.exists()
        time.sleep(0.02)  # of version 1 nothing tells when a process has left it


def _wait_until_empty(group: Path, deadline: float) -> None:
    with (group / "cgroup.events").open() as events:
        poller = select.poll()
        poller.register(events, select.POLLPRI)
        while "populated 1" in events.read() and (left := deadline - time.monotonic()) > 0:
            poller.poll(left * 1000)
            events.seek(0)
