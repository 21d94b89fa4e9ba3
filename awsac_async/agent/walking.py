"""A folder and all in it, entry by entry, by descriptors: nobody who moves, links or removes things leads it out.

Owns what becomes of a tree that changes while it is walked, however deep it is. It holds two descriptors, never one a
level, and hands no path to the kernel: each name is looked up in the folder that it was listed in, links not followed.
Everything here blocks.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MOST_PATH = 16 << 10  # bytes; Linux takes 4,096 at once, and a hundred thousand levels would be gigabytes of names
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A file in place of a pipe must not be waited for.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
# What they show has no size, no end, or is no data of anybody's.
_OF_KERNEL = {"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs"}
_OF_KERNEL |= {
    "efivarfs",
    "fusectl",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "sysfs",
    "tracefs",
}
OnTrouble = Callable[[str, str], None]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry: ``base`` in the open folder ``parent``, which is good until the next entry is asked for."""

    name: str
    parent: int
    base: str
    status: os.stat_result


@dataclass(kw_only=True)
class _Level:
    """A folder that the walk is in: its name, which folder that is, and what of it is left, last first."""

    base: str
    inode: tuple[int, int]
    left: list[str] = field(default_factory=list)


def walk(top: int, name: str, on_trouble: OnTrouble) -> Iterator[Entry]:
    """Yield what is in an open folder, sorted, each folder before what is in it; not the folder itself.

    Args:
        top: the folder.
        name: what the names of all entries begin with, before a ``/``.
        on_trouble: told the name of what cannot be looked at, and why.
    """
    yield from _Walk(top, name, on_trouble).entries()


class _Walk:
    def __init__(self, top: int, name: str, on_trouble: OnTrouble) -> None:
        self._top, self._on_trouble = top, on_trouble
        self._levels = [_Level(base=name, inode=_inode(os.fstat(top)))]
        self._length = len(os.fsencode(name))
        self._folder = os.dup(top)

    def entries(self) -> Iterator[Entry]:
        try:
            self._list()
            while True:
                level = self._levels[-1]
                if level.left:
                    yield from self._entry(level.left.pop())
                elif len(self._levels) > 1:
                    self._leave()
                else:
                    return
        finally:
            os.close(self._folder)

    def _entry(self, base: str) -> Iterator[Entry]:
        """Yield an entry; of a folder, be in it afterwards."""
        name, length = self._name(base), self._length + 1 + len(os.fsencode(base))
        if length > MOST_PATH:
            self._on_trouble(name, f"its path has more than {MOST_PATH} bytes")
            return
        try:
            status = os.stat(base, dir_fd=self._folder, follow_symlinks=False)
            if status.st_dev != self._levels[-1].inode[0] and of_kernel(status):
                self._on_trouble(name, "a file system of the kernel")
                return
            yield Entry(name=name, parent=self._folder, base=base, status=status)
            if stat.S_ISDIR(status.st_mode):
                self._enter(base)
                self._length = length
        except OSError as error:
            self._on_trouble(name, reason(error))

    def _enter(self, base: str) -> None:
        below = open_folder(base, parent=self._folder)
        self._levels.append(_Level(base=base, inode=_inode(os.fstat(below))))
        os.close(self._folder)
        self._folder = below
        self._list()

    def _list(self) -> None:
        try:
            self._levels[-1].left = sorted(os.listdir(self._folder), reverse=True)  # noqa: PTH208  by descriptor
        except OSError as error:
            self._on_trouble(self._name(), reason(error))

    def _leave(self) -> None:
        """Go up; if the folder has been moved meanwhile, by the names from the top to where the walk was."""
        self._length -= 1 + len(os.fsencode(self._levels.pop().base))
        above = None
        with suppress(OSError):
            above = os.open("..", _FOLDER, dir_fd=self._folder)
        if above is None or _inode(os.fstat(above)) != self._levels[-1].inode:
            if above is not None:
                os.close(above)
            above = self._again()
        os.close(self._folder)
        self._folder = above

    def _again(self) -> int:
        """Return the folder of the last level, found anew; levels that are not there any more are left out."""
        while True:
            folder, found = os.dup(self._top), 1
            for level in self._levels[1:]:
                with suppress(OSError):
                    below = open_folder(level.base, parent=folder)
                    os.close(folder)
                    folder = below
                if _inode(os.fstat(folder)) != level.inode:
                    break
                found += 1
            if found == len(self._levels):
                return folder
            os.close(folder)
            self._on_trouble(self._name(), "it was moved meanwhile")
            self._length -= sum(1 + len(os.fsencode(level.base)) for level in self._levels[found:])
            del self._levels[found:]

    def _name(self, *base: str) -> str:
        return "/".join((*(level.base for level in self._levels), *base))


def open_folder(base: str, *, parent: int | None) -> int:
    """Open a folder, no link to one; of the user's own also one that nobody may read. Raises OSError."""
    return _opened(base, parent, _FOLDER, stat.S_IRUSR | stat.S_IXUSR)


def open_file(base: str, *, parent: int | None) -> int:
    """Open a regular file, no link to one; of the user's own also one that nobody may read. Raises OSError.

    ``parent`` None: ``base`` is a path, of which the last name is no link.
    """
    descriptor = _opened(base, parent, _FILE, stat.S_IRUSR)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(0, "not a file")


def _opened(base: str, parent: int | None, flags: int, needed: int) -> int:
    try:
        descriptor = os.open(base, flags, dir_fd=parent)
    except PermissionError:
        _let_read(base, parent, needed)
        return os.open(base, flags, dir_fd=parent)
    if flags == _FOLDER and os.geteuid() and not os.fstat(descriptor).st_mode & stat.S_IXUSR:
        with suppress(OSError):
            _let_read(base, parent, needed)
    return descriptor


def _let_read(base: str, parent: int | None, needed: int) -> None:
    """Take away what keeps this process's user from what is that user's own. Raises OSError."""
    there = os.open(base, _LOOK, dir_fd=parent)
    try:
        status = os.fstat(there)
        if status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode):
            Path(f"/proc/self/fd/{there}").chmod(stat.S_IMODE(status.st_mode) | needed)
    finally:
        os.close(there)


def of_kernel(status: os.stat_result) -> bool:
    """Whether something is in a file system that shows the kernel's own state."""
    return _file_systems().get(f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}") in _OF_KERNEL


def _file_systems() -> Mapping[str, str]:
    """Return the types of all file systems that are mounted, by device, as in proc_pid_mountinfo(5)."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    halves = [line.partition(" - ") for line in lines]
    return {mount.split()[2]: rest.split()[0] for mount, _, rest in halves}


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def reason(error: OSError) -> str:
    """Return why something could not be done, in a few words."""
    return error.strerror or str(error)
