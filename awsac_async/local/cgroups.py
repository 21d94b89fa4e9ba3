"""Control groups (version 2) of an embedded cloud: one for it all, and one below for each instance.

With its group an instance ends as a whole, whatever its processes did to leave their session, and an agent inside finds
a group of its own below which it may make others. Where this process may make none (it is not root, or the machine has
no version 2) there is none. Never touches a group that it did not make.
"""

import contextlib
import os
import secrets
import select
import time
from pathlib import Path


def own() -> Path | None:
    """Return the folder of the group that this process is in, or None where groups of version 2 are not mounted."""
    paths = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::/")]
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup2 " in line]
    for *_, root, point in (fields[:5] for fields in mounts):
        for path in paths:
            if Path(path).is_relative_to(root):
                return Path(point, Path(path).relative_to(root))
    return None


def make_for_cloud(record: Path) -> Path | None:
    """Make the group of a cloud, and write where it is to ``record`` first; None if that cannot be done here."""
    parent = own()
    if parent is None:
        return None
    group = parent / f"awsac-local-{secrets.token_hex(4)}"
    record.write_text(str(group))
    return make(group)


def make(group: Path) -> Path | None:
    """Make a group; None if that cannot be done here."""
    try:
        group.mkdir(exist_ok=True)
    except OSError:
        return None
    return group


def kill(group: Path) -> None:
    """Kill all processes of a group and of those below it."""
    with contextlib.suppress(OSError):  # it is gone already, or a kernel before 5.14 does not know how
        (group / "cgroup.kill").write_text("1")


def remove(group: Path, *, patience: float = 5.0) -> bool:
    """Kill all that is left in a group and remove it with those below it; return whether it is gone."""
    kill(group)
    with contextlib.suppress(FileNotFoundError):
        _wait_until_empty(group, time.monotonic() + patience)
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):  # a process is left in it, which the caller is told
            Path(folder).rmdir()
    return not group.exists()


def _wait_until_empty(group: Path, deadline: float) -> None:
    with (group / "cgroup.events").open() as events:
        poller = select.poll()
        poller.register(events, select.POLLPRI)
        while "populated 1" in events.read() and (left := deadline - time.monotonic()) > 0:
            poller.poll(left * 1000)
            events.seek(0)
