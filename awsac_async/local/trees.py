"""Folder trees that a job may have made: removed, copied and measured, however deep, and whatever their names are.

Goes from folder to folder by descriptors, follows no link, and holds neither a path nor a frame for each level: a tree
of 50,000 levels is no longer than one of five. What may not be read or written by its mode is opened all the same, if
it is this user's. It must never touch anything outside of the tree that it was told.
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 30  # bytes for one call of sendfile
_FICLONE, _GET_FLAGS, _SET_FLAGS = 0x40049409, 0x80086601, 0x40086602  # <linux/fs.h>
_KEPT_FROM_CHANGE = 0x10 | 0x20  # FS_IMMUTABLE_FL, FS_APPEND_FL


class Climber:
    """An open folder, and the way back up from it, on which no folder is held open."""

    def __init__(self, folder: Path, *, forced: bool = False) -> None:
        """Begin in a folder, which is no link. ``forced``: modes that keep the owner out are changed while inside."""
        self._forced = forced
        self._above: list[tuple[tuple[int, int], int | None]] = []  # what is above, and the mode to give back
        self.folder = os.open(folder.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.enter(folder.name)
        except OSError:
            os.close(self.folder)
            raise

    def __enter__(self) -> "Climber":
        return self

    def __exit__(self, *_: object) -> None:
        if self._above and (mode := self._above[-1][1]) is not None:
            os.fchmod(self.folder, mode)
        os.close(self.folder)

    def names(self) -> list[str]:
        """Return what is in the folder."""
        return os.listdir(self.folder)  # noqa: PTH208  by descriptor

    def enter(self, name: str) -> None:
        """Go down into a folder."""
        below, mode = _opened(name, _FOLDER, self.folder, forced=self._forced)
        self._above.append((_identity(self.folder), mode))
        os.close(self.folder)
        self.folder = below

    def leave(self) -> int:
        """Go back up; return a descriptor of the folder that was left. Raises OSError if it was moved meanwhile."""
        identity, mode = self._above.pop()
        above, left = os.open("..", _FOLDER, dir_fd=self.folder), self.folder
        self.folder = above
        if mode is not None:
            os.fchmod(left, mode)
        if _identity(above) != identity:
            os.close(left)
            raise OSError(errno.ESTALE, "a folder was moved while its tree was read")
        return left


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _opened(name: str, flags: int, folder: int, *, forced: bool) -> tuple[int, int | None]:
    """Open a file or a folder; return a descriptor, and the mode that it had if it was changed so that it opens."""
    mode = _allow_owner(name, folder) if forced and os.geteuid() != 0 else None
    return os.open(name, flags, dir_fd=folder), mode


def _allow_owner(name: str, folder: int) -> int | None:
    """Let its owner read, change and search a file or a folder; return the mode that it had if that changed it."""
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        found = os.fstat(handle).st_mode
        mode = stat.S_IMODE(found)
        wanted = mode | (stat.S_IRWXU if stat.S_ISDIR(found) else stat.S_IRUSR | stat.S_IWUSR)
        if stat.S_ISLNK(found) or wanted == mode:
            return None
        with contextlib.suppress(PermissionError):  # it is another's: whether it opens is up to its mode
            os.chmod(f"/proc/self/fd/{handle}", wanted)  # noqa: PTH101  by descriptor
            return mode
        return None
    finally:
        os.close(handle)


# --- removing ---


def remove(path: Path, *, folders_only: bool = False) -> None:
    """Remove a file or a folder with all that it holds; nothing happens if there is none.

    Args:
        path: what is removed; a link is removed itself.
        folders_only: what is no folder goes with its folder, as in a control group.
    """
    if not os.path.lexists(path):
        return
    with Climber(path.parent, forced=True) as place:
        entered: list[str] = []
        pending = [[path.name]]  # for each folder on the way down, what is left to remove
        while pending:
            if pending[-1]:
                name = pending[-1].pop()
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    if stat.S_ISDIR(os.stat(name, dir_fd=place.folder, follow_symlinks=False).st_mode):
                        place.enter(name)
                        entered.append(name)
                        pending.append(place.names())
                    elif not folders_only:
                        _remove_entry(os.unlink, name, place.folder)
            else:
                pending.pop()
                if entered:
                    os.close(place.leave())
                    _remove_entry(os.rmdir, entered.pop(), place.folder)


def _remove_entry(remove_it: Callable[..., None], name: str, folder: int) -> None:
    try:
        remove_it(name, dir_fd=folder)
    except PermissionError:
        _allow_change(folder)
        with contextlib.suppress(OSError):  # what is neither a file nor a folder can have no such flag
            handle = os.open(name, _FILE, dir_fd=folder)
            try:
                _allow_change(handle)
            finally:
                os.close(handle)
        remove_it(name, dir_fd=folder)


def _allow_change(descriptor: int) -> None:
    """Take away what ``chattr`` may have set so that not even root changes a file or a folder."""
    with contextlib.suppress(OSError):  # not every file system has these flags
        (flags,) = struct.unpack("l", fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("l", 0)))
        if flags & _KEPT_FROM_CHANGE:
            fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("l", flags & ~_KEPT_FROM_CHANGE))


# --- looking ---


def walk(path: Path) -> Iterator[tuple[int, str, os.stat_result]]:
    """Yield all that is below a folder: a descriptor of the folder that it is in, its name, and what it is."""
    with Climber(path) as place:
        pending = [place.names()]
        while pending:
            if not pending[-1]:
                pending.pop()
                if pending:
                    os.close(place.leave())
                continue
            name = pending[-1].pop()
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                found = os.stat(name, dir_fd=place.folder, follow_symlinks=False)
                yield place.folder, name, found
                if stat.S_ISDIR(found.st_mode):
                    place.enter(name)
                    pending.append(place.names())


# --- copying ---


class _Node:
    """Where something is in the copy: a name and what it is in, so that a deep place is no long text."""

    def __init__(self, above: "_Node | None", name: str) -> None:
        self.above, self.name = above, name

    def names(self) -> list[str]:
        """Return the names from the top of the copy down to here."""
        names, node = [self.name], self.above
        while node is not None:
            names.append(node.name)
            node = node.above
        return names[::-1]


def copy(source: Path, target: Path, *, without: Collection[str] = (), forced: bool = True) -> None:
    """Copy a folder with all that it holds: modes, times, owners if this user may, links as links, holes as holes.

    Args:
        source: the folder.
        target: the copy, which is not there yet.
        without: what is left out, as paths from the source.
        forced: whether to read also what its mode keeps its owner from reading.
    """
    target.mkdir(mode=0o700)
    top, left_out = source.lstat(), {Path(path).parts for path in without}
    with Climber(source, forced=forced) as read, Climber(target) as written:
        _Copy(read, written, top, target, without=left_out, forced=forced).run()


class _Copy:
    """One copy that is being made, two climbers side by side."""

    def __init__(
        self,
        read: Climber,
        written: Climber,
        top: os.stat_result,
        target: Path,
        *,
        without: set[tuple[str, ...]],
        forced: bool,
    ) -> None:
        self._read, self._written, self._top, self._target = read, written, top, target
        self._without, self._forced = without, forced
        self._deepest = max(map(len, without), default=0)
        self._linked: dict[tuple[int, int], _Node] = {}  # files with further names, and where their copy is

    def run(self) -> None:
        """Copy all."""
        nodes: list[tuple[_Node, os.stat_result]] = []
        pending = [self._read.names()]
        while pending:
            if not pending[-1]:
                pending.pop()
                if nodes:
                    self._leave(nodes.pop()[1])
                continue
            node = _Node(nodes[-1][0] if nodes else None, pending[-1].pop())
            if len(pending) <= self._deepest and tuple(node.names()) in self._without:
                continue
            status = os.stat(node.name, dir_fd=self._read.folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                os.mkdir(node.name, 0o700, dir_fd=self._written.folder)
                self._read.enter(node.name)
                self._written.enter(node.name)
                nodes.append((node, status))
                pending.append(self._read.names())
            else:
                self._copy_entry(node, status)
        _take_over(self._top, self._read.folder, self._written.folder)

    def _leave(self, status: os.stat_result) -> None:
        read, written = self._read.leave(), self._written.leave()
        try:
            _take_over(status, read, written)
        finally:
            os.close(read)
            os.close(written)

    def _copy_entry(self, node: _Node, status: os.stat_result) -> None:
        """Copy what is no folder."""
        name, folder = node.name, self._written.folder
        if status.st_nlink > 1:
            first = self._linked.setdefault((status.st_dev, status.st_ino), node)
            if first is not node:
                self._link(first, name)
                return
        if stat.S_ISREG(status.st_mode):
            self._copy_file(name, status)
            return
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=self._read.folder), name, dir_fd=folder)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=folder)
        with contextlib.suppress(PermissionError):
            os.chown(name, status.st_uid, status.st_gid, dir_fd=folder, follow_symlinks=False)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=folder, follow_symlinks=False)

    def _link(self, first: _Node, name: str) -> None:
        """Give a file of the copy a further name."""
        with Climber(self._target, forced=True) as place:
            *folders, file = first.names()
            for folder in folders:
                place.enter(folder)
            os.link(file, name, src_dir_fd=place.folder, dst_dir_fd=self._written.folder, follow_symlinks=False)
            for _ in folders:
                os.close(place.leave())

    def _copy_file(self, name: str, status: os.stat_result) -> None:
        source, mode = _opened(name, _FILE, self._read.folder, forced=self._forced)
        try:
            if mode is not None:
                os.fchmod(source, mode)
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise OSError(errno.ESTALE, "a file was replaced while its tree was read")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            target = os.open(name, flags, 0o600, dir_fd=self._written.folder)
            try:
                _copy_content(source, target)
                _take_over(status, source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)


def _copy_content(source: int, target: int) -> None:
    """Share the blocks of a file where the file system can, else copy what is no hole."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(target, _FICLONE, source)
        return
    size = os.fstat(source).st_size
    end = 0
    while end < size:
        try:
            begin = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                break
            raise
        end = os.lseek(source, begin, os.SEEK_HOLE)
        os.lseek(target, begin, os.SEEK_SET)
        while begin < end:
            sent = os.sendfile(target, source, begin, min(end - begin, _CHUNK))
            if not sent:  # cut off meanwhile
                return
            begin += sent
    os.ftruncate(target, size)


def _take_over(status: os.stat_result, source: int, target: int) -> None:
    """Give a copy the owner, the attributes, the mode and the times that its model had."""
    with contextlib.suppress(PermissionError):
        os.fchown(target, status.st_uid, status.st_gid)
    with contextlib.suppress(OSError):
        for name in os.listxattr(source):
            with contextlib.suppress(OSError):  # not everybody may set all of them
                os.setxattr(target, name, os.getxattr(source, name))
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
