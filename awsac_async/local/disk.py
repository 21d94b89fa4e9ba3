"""The disk that an instance of some images has: what it writes outside of ``/mnt``, and what an image of it keeps.

Without one, an instance shares the file system of the machine that it runs on. With one, the places named here are the
instance's own, and all others cannot be written: what it installs stays in it, and what it removes is not the
machine's. Runs inside the instance's mount namespace, but for ``copy_of``.
"""

import contextlib
import ctypes
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from awsac_async.local import trees

# Beside what is the instance's own there, what the machine has is seen, too, but cannot be written.
_SHARED = ("opt", "usr/local/bin")
# What the machine has there is its own business: its units, its users' folders, its logs, its keys, its user data.
_OWN = ("etc/systemd/system", "root", "home", "var/log", "var/lib/cloud", "var/lib/dbus", "etc/ssh", "etc/machine-id")
_WRITABLE = ("/tmp", "/var/tmp", "/sys")  # noqa: S108 (mount points)
FILES = "files"  # the folder of the disk that holds what the instance sees
_PLACEHOLDERS = "placeholders"  # the file beside the disk that lists what only stands for something of the machine

# <sys/syscall.h>, <linux/mount.h>, <fcntl.h>
_MOUNT_SETATTR, _RDONLY, _RECURSIVE, _CWD = 442, 1, 0x8000, -100
_libc = ctypes.CDLL(None, use_errno=True)

Bind = Callable[[Path, Path], None]


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace")]


def _set_read_only(place: str | Path, *, wanted: bool) -> None:
    """Let what is mounted at a place, and below it, be read-only or not."""
    attributes = _Attributes(set=_RDONLY if wanted else 0, clear=0 if wanted else _RDONLY)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    if _libc.syscall(_MOUNT_SETATTR, _CWD, str(place).encode(), _RECURSIVE, ctypes.byref(attributes), size):
        code = ctypes.get_errno()
        raise OSError(code, f"cannot protect {place}: {os.strerror(code)}")


def protect(writable: Iterable[Path], bind: Bind) -> None:
    """Make all that is mounted read-only, but for some folders. Comes before anything else is mounted.

    Raises OSError where Linux cannot (before 5.12): then no such instance may run.
    """
    places = [path for path in (*map(Path, _WRITABLE), *writable) if path.is_dir()]
    for place in places:
        bind(place, place)
    _set_read_only("/", wanted=True)
    for place in places:
        with contextlib.suppress(PermissionError):  # what was read-only before stays so
            _set_read_only(place, wanted=False)


def furnish(disk: Path, keep: Sequence[str], bind: Bind) -> None:
    """Put the instance's own places over those of the machine. What is to be kept stays visible."""
    placeholders = _placeholders(disk)
    handles = {Path(name).resolve(): os.open(name, os.O_PATH) for name in keep if Path(name).exists()}
    for place in (*_SHARED, *_OWN):
        target = Path("/", place)
        if not target.exists() or target.is_symlink():
            continue
        own = disk / place
        _make_like(target, own)
        if place in _SHARED:
            placeholders |= {f"{place}/{name}" for name in _show_entries(target, own, placeholders, bind)}
        bind(own, target)
        if place in _OWN:  # at once: the disk itself may be among what is kept
            for path, handle in handles.items():
                if path.is_relative_to(target):
                    placeholders |= _topmost_missing(path)
                    _make_like(Path(f"/proc/self/fd/{handle}"), path)
                    bind(Path(f"/proc/self/fd/{handle}"), path)
    for handle in handles.values():
        os.close(handle)
    disk.with_name(_PLACEHOLDERS).write_text(json.dumps(sorted(placeholders)))


def _show_entries(folder: Path, own: Path, placeholders: set[str], bind: Bind) -> Iterator[str]:
    """Let the entries of a folder be seen in the instance's own; yield the names of those that are not its own."""
    for entry in folder.iterdir():
        place = own / entry.name
        if (place.exists() or place.is_symlink()) and str(entry.relative_to("/")) not in placeholders:
            continue
        if entry.is_symlink():
            place.unlink(missing_ok=True)
            place.symlink_to(entry.readlink())
        else:
            _make_like(entry, place)
            bind(entry, place)
        yield entry.name


def _make_like(model: Path, place: Path) -> None:
    """Make an empty folder or file, as the model is one."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if model.is_dir():
        place.mkdir(exist_ok=True)
    else:
        place.touch()


def _topmost_missing(path: Path) -> set[str]:
    """Return the path on the disk of the topmost folder that has to be made for one of the machine's to be seen."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    return {str(missing[-1].relative_to("/"))} if missing else set()


def _placeholders(disk: Path) -> set[str]:
    with contextlib.suppress(FileNotFoundError):
        return set(json.loads(disk.with_name(_PLACEHOLDERS).read_text()))
    return set()


def copy_of(disk: Path, target: Path) -> None:
    """Copy what an instance has written and a boot keeps, without what only stands for something of the machine."""
    trees.copy(disk, target, without={"run", "tmp", *_placeholders(disk)})
