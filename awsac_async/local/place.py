"""The folder of an embedded cloud: where one may be, and which is ours to empty.

A cloud's folder holds a marker with the cloud's ID, which its processes and its control group carry too, and only what
a cloud makes. It is its user's own, closed to others, and so are the ways to it, as ssh asks of its keys. Everything
that ``up`` and ``down`` believe of a folder is checked here, before they change anything.
"""

import contextlib
import fcntl
import grp
import os
import pwd
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

MARKER = "embedded-cloud.lock"  # holds the cloud's ID; up and down lock it
STATE_FILE = "cloud.json"
LOG_FILE = "log"
_ID = re.compile(r"[0-9a-f]{32}")
_FILES = re.compile(r"embedded-cloud\.lock|cloud\.(json|part)|log(\.\d+)?|cgroup|network")
# Its folders, and what is in them; None: what programs make there.
_FOLDERS = {
    "tmp": None,
    "packages": None,
    "instances": re.compile(r"i-[0-9a-f]+"),
    "volumes": re.compile(r"vol-[0-9a-f]+"),
    "snapshots": re.compile(r"snap-[0-9a-f]+"),
    "images": re.compile(r"ami-[0-9a-f]+(\.part)?"),
}


class LocalCloudError(Exception):
    """The embedded cloud cannot be started, is not running, or cannot be removed."""


def located(directory: Path) -> Path:
    """Return the folder without links in its path. Raises LocalCloudError if it is a link itself."""
    directory = Path(os.path.abspath(directory))  # noqa: PTH100  resolve() would follow it
    if directory.is_symlink():
        raise LocalCloudError(f"{directory} is a link; an embedded cloud needs a folder of its own")
    return directory.parent.resolve() / directory.name


def identity(directory: Path) -> str:
    """Return the ID of the cloud in a folder; "" if there is none."""
    try:
        descriptor = os.open(directory / MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return _read(descriptor, directory)
    finally:
        os.close(descriptor)


def _read(descriptor: int, directory: Path) -> str:
    found = os.fstat(descriptor)
    text = os.pread(descriptor, 64, 0).decode(errors="replace") if stat.S_ISREG(found.st_mode) else "?"
    if text and not _ID.fullmatch(text):
        raise LocalCloudError(f"{directory / MARKER} is no marker of an embedded cloud; nothing was changed")
    return text


@contextlib.contextmanager
def held(directory: Path, *, make: bool) -> Iterator[str]:
    """Hold a folder, checked, against every other ``up`` and ``down``; gives the ID of its cloud.

    Args:
        directory: as ``located`` returns it.
        make: whether a cloud may begin here, in a folder that is made if it is missing; else "" is that there is none.

    Raises LocalCloudError if the folder is no place for a cloud, or holds anything else.
    """
    while True:
        try:
            if make:
                _make(directory)
            elif not os.path.lexists(directory):
                yield ""
                return
            check_way(directory)
            if not make and not list(directory.iterdir()):
                yield ""
                return
            descriptor = _open_marker(directory, make=make)
        except FileNotFoundError:  # removed by a down, just now
            continue
        except OSError as error:
            raise LocalCloudError(f"{directory}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_still(directory / MARKER, descriptor):
                _check_content(directory)
                yield _read(descriptor, directory) or _begin(descriptor, directory)
                return
        finally:
            os.close(descriptor)


def _make(directory: Path) -> None:
    """Make a folder that only its owner may enter, and what is missing on the way to it, closed to other writers."""
    for place in reversed(directory.parents):
        place.mkdir(mode=0o755, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


def _open_marker(directory: Path, *, make: bool) -> int:
    """Open the marker, which is made in an empty folder only."""
    names = {entry.name for entry in directory.iterdir()}
    if names and MARKER not in names:
        raise LocalCloudError(f"{directory} is not empty, and does not belong to an embedded cloud")
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if make else 0)
    return os.open(directory / MARKER, flags, 0o600)


def _begin(descriptor: int, directory: Path) -> str:
    """Write a new cloud's ID into the marker of a folder that holds nothing else, and close the folder to others."""
    if [entry.name for entry in directory.iterdir()] != [MARKER]:
        raise LocalCloudError(f"{directory / MARKER} is no marker of an embedded cloud; nothing was changed")
    directory.chmod(0o700)
    cloud_id = secrets.token_hex(16)
    os.pwrite(descriptor, cloud_id.encode(), 0)
    return cloud_id


def _is_still(file: Path, descriptor: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(file.lstat(), os.fstat(descriptor))
    return False


# --- whose it is ---


def check_way(directory: Path) -> None:
    """Refuse a folder that is not this user's own, or that others could change or replace."""
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise LocalCloudError(f"{directory} is no folder")
    if found.st_uid != os.geteuid():
        raise LocalCloudError(f"{directory} belongs to another user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LocalCloudError(f"{directory} can be written by others; chmod 700 closes it")
    for place in directory.parents:
        above = place.lstat()
        if above.st_uid not in _trusted():
            raise LocalCloudError(f"{directory}: {place} belongs to another user, who could replace what is in it")
        if not above.st_mode & stat.S_ISVTX and _others_write(above):
            raise LocalCloudError(f"{directory}: others can write {place}, and so replace what is in it")


def _trusted() -> set[int]:
    """Return whose folders may be on the way: root's, who may have no number of its own here, and this user's."""
    trusted = {0, os.geteuid()}
    if Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]:
        trusted.add(int(Path("/proc/sys/fs/overflowuid").read_text()))
    return trusted


def _others_write(found: os.stat_result) -> bool:
    """Say whether anybody else may write there; the group that a user is alone in is nobody else."""
    alone = found.st_gid == os.getegid() and _alone_in(found.st_gid)
    return bool(found.st_mode & stat.S_IWOTH) or (bool(found.st_mode & stat.S_IWGRP) and not alone)


def _alone_in(group: int) -> bool:
    try:
        own = pwd.getpwuid(os.geteuid())
        return own.pw_gid == group and set(grp.getgrgid(group).gr_mem) <= {own.pw_name}
    except KeyError:
        return False


def _check_content(directory: Path) -> None:
    """Refuse a folder that holds what no cloud makes: it would be removed."""
    for entry in sorted(directory.iterdir()):
        found = entry.lstat()
        below = _FOLDERS.get(entry.name)
        if entry.name in _FOLDERS:
            ours = stat.S_ISDIR(found.st_mode)
        else:
            ours = stat.S_ISREG(found.st_mode) and _FILES.fullmatch(entry.name) is not None
        foreign = [] if ours and found.st_uid == os.geteuid() else [entry]
        if below and not foreign:
            foreign = [each for each in sorted(entry.iterdir()) if not below.fullmatch(each.name)]
        if foreign:
            name = os.fsencode(foreign[0].relative_to(directory)).decode(errors="backslashreplace")[:80]
            raise LocalCloudError(f"{directory} holds {name!r}, which is not an embedded cloud's; nothing was removed")
