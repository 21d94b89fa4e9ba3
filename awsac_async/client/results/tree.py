"""A folder into which members of a stranger's archive are written: by descriptors, and never through a link.

Owns what of an archive may become files: plain names below the folder, files, folders, hard links, and links that lead
to something in it. What may not, and what the file system does not take, raises `LeftOut` with the reason and leaves
everything else as it is. Files get mode 0755 or 0644. Blocks; the folder is the caller's alone.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from awsac_async.session.wording import printable

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# What is wrong with the file system, not with a name in it.
FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE})
_MOST_STEPS = 20_000_000  # from folder to folder: minutes, which no honest archive takes
_MOST_REPLACED = 10_000  # files by later members of their names
_MOST_LINKS = 64 << 20  # bytes of the names of links, which are remembered until all members are there
_SHOWN = 120  # characters of a name in a reason
_ZEROS = bytes(1 << 16)  # as large as any piece of a file is

Parts = tuple[bytes, ...]


class LeftOut(Exception):  # noqa: N818  no error of ours: one member is not made
    """A member was not made; the text says why, without a subject."""


class Tree:
    """A new folder, open as ``descriptor``, which stays the caller's.

    Args:
        descriptor: the folder.
        most_folders: how many may be made.
    """

    def __init__(self, descriptor: int, *, most_folders: int) -> None:
        self._top = descriptor
        self._open: tuple[Parts, int] = ((), os.dup(descriptor))
        self._folders_left, self._steps_left = most_folders, _MOST_STEPS
        self._replaced_left = _MOST_REPLACED
        self._links: list[bytes] = []
        self._links_size = 0

    def close(self) -> None:
        """Close what is open."""
        os.close(self._open[1])

    def folder(self, name: bytes) -> None:
        """Make a folder, and those above it."""
        with _reasons():
            self._enter(_parts(name))

    def file(self, name: bytes, size: int, pieces: Iterable[tuple[int, bytes]], *, executable: bool) -> None:
        """Make a file of so many bytes out of pieces, each with its place; what is not in one is a hole."""
        with self._at(name) as (folder, base):
            descriptor = self._new(base, folder)
            end = 0
            try:
                for offset, piece in pieces:
                    if piece != _ZEROS[: len(piece)]:
                        _write(descriptor, piece, offset)
                        end = offset + len(piece)
                if end < size:
                    os.ftruncate(descriptor, size)
                os.fchmod(descriptor, 0o755 if executable else 0o644)
            except BaseException:
                os.unlink(base, dir_fd=folder)
                raise
            finally:
                os.close(descriptor)

    def hard_link(self, name: bytes, target: bytes) -> None:
        """Give a file of this tree a further name."""
        try:
            *above, target_base = _parts(target) or (b"",)
        except LeftOut:
            raise LeftOut(f"it is a hard link to {_shown(target)}, which leads out of the folder") from None
        if (*above, target_base) == _parts(name):
            return
        with _reasons():
            source = self._enter(tuple(above), make=False)
            found = os.stat(target_base, dir_fd=source, follow_symlinks=False)
            source = os.dup(source)
        try:
            if not stat.S_ISREG(found.st_mode):
                raise LeftOut(f"it is a hard link to {_shown(target)}, which is no file")
            with self._at(name) as (folder, base):
                _make_room(base, folder)
                os.link(target_base, base, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(source)

    def symbolic_link(self, name: bytes, text: bytes) -> None:
        """Make a link that leads to a place in this tree, whether something is there or not yet."""
        above = _parts(name)[:-1]
        ups = _leading_ups(text.split(b"/"))
        if not text or text.startswith(b"/") or ups > len(above) or b".." in text.split(b"/")[ups:]:
            raise LeftOut(f"it is a link to {_shown(text)}, which leads out of the folder")
        self._links_size += len(name)
        if self._links_size > _MOST_LINKS:
            raise LeftOut("there are too many links before it")
        with self._at(name) as (folder, base):
            _make_room(base, folder)
            os.symlink(text, base, dir_fd=folder)
        self._links.append(name)

    def remove_dangling(self) -> Iterator[tuple[bytes, str]]:
        """Remove the links that lead nowhere, now that all members are there; yields their names and why."""
        for name in self._links:
            *above, base = _parts(name)
            with suppress(LeftOut, OSError):  # what has taken its place since
                folder = self._enter(tuple(above), make=False)
                text = os.readlink(base, dir_fd=folder)
                try:
                    os.stat(base, dir_fd=folder)
                except OSError:
                    os.unlink(base, dir_fd=folder)
                    yield name, f"it is a link to {_shown(text)}, and nothing is there"

    @contextmanager
    def _at(self, name: bytes) -> Iterator[tuple[int, bytes]]:
        """Give the folder of a member, open, and the last part of its name."""
        *above, base = _parts(name) or (b"",)
        if not base:
            raise LeftOut("it has no name")
        with _reasons():
            yield self._enter(tuple(above)), base

    def _new(self, base: bytes, folder: int) -> int:
        try:
            return os.open(base, _NEW_FILE, 0o600, dir_fd=folder)
        except FileExistsError:
            self._replaced_left -= 1
            if self._replaced_left < 0:
                raise LeftOut("there are too many members of one name before it") from None
            _make_room(base, folder)
            return os.open(base, _NEW_FILE, 0o600, dir_fd=folder)

    def _enter(self, parts: Parts, *, make: bool = True) -> int:
        """Return the descriptor of a folder, which is valid until the next call."""
        there, descriptor = self._open
        if parts == there:
            return descriptor
        deeper = parts[: len(there)] == there
        current = os.dup(descriptor if deeper else self._top)
        try:
            for part in parts[len(there) :] if deeper else parts:
                self._steps_left -= 1
                if self._steps_left < 0:
                    raise LeftOut("there are too many folders in folders before it")
                below = self._step(current, part, make=make)
                os.close(current)
                current = below
        except BaseException:
            os.close(current)
            raise
        os.close(descriptor)
        self._open = (parts, current)
        return current

    def _step(self, folder: int, part: bytes, *, make: bool) -> int:
        try:
            return os.open(part, _FOLDER, dir_fd=folder)
        except FileNotFoundError:
            if not make:
                raise
        except OSError as error:
            if not _is_no_folder(folder, part):
                raise
            raise LeftOut(f"{_shown(part)} is no folder in this archive") from error
        if not self._folders_left:
            raise LeftOut("there are too many folders before it")
        self._folders_left -= 1
        os.mkdir(part, 0o755, dir_fd=folder)
        return os.open(part, _FOLDER, dir_fd=folder)


def remove(name: bytes | str, *, folder: int) -> None:
    """Remove whatever stands under a name, however deep it is; nothing if nothing does. Never follows a link."""
    try:
        os.unlink(name, dir_fd=folder)
        return
    except FileNotFoundError:
        return
    except OSError:  # IsADirectoryError, or PermissionError elsewhere than on Linux
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise
    # Folders that are met are moved up to the top and emptied there: no depth is too large, and no stack grows.
    top = os.open(name, _FOLDER, dir_fd=folder)
    try:
        waiting = [b""]
        while waiting:
            base = waiting.pop()
            current = os.open(base, _FOLDER, dir_fd=top) if base else os.dup(top)
            try:
                for entry in map(os.fsencode, os.listdir(current)):  # noqa: PTH208  of a descriptor
                    try:
                        os.unlink(entry, dir_fd=current)
                    except OSError:
                        if not stat.S_ISDIR(os.stat(entry, dir_fd=current, follow_symlinks=False).st_mode):
                            raise
                        target = b".awsac-removed-" + os.urandom(16).hex().encode() if base else entry
                        if base:
                            os.rename(entry, target, src_dir_fd=current, dst_dir_fd=top)
                        waiting.append(target)
            finally:
                os.close(current)
            if base:
                os.rmdir(base, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=folder)


def _make_room(base: bytes, folder: int) -> None:
    """Remove what stands under a member's name: the later one of two members counts, as for tar."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(base, dir_fd=folder, follow_symlinks=False).st_mode):
            raise LeftOut("there is a folder of that name in the archive, too")
        os.unlink(base, dir_fd=folder)


def _parts(name: bytes) -> Parts:
    """Return the parts of a member's name; raises LeftOut unless it is a plain one below the folder."""
    parts = tuple(part for part in name.split(b"/") if part not in {b"", b"."})
    if name.startswith(b"/") or b".." in parts:
        raise LeftOut("its name leads out of the folder")
    if b"\0" in name:
        raise LeftOut("no file can have its name")
    return parts


def _leading_ups(parts: Sequence[bytes]) -> int:
    """Return how often a link goes up before it goes down: up in between, it could leave by another link."""
    return next((place for place, part in enumerate(parts) if part != b".."), len(parts))


def _is_no_folder(folder: int, part: bytes) -> bool:
    with suppress(OSError):
        return not stat.S_ISDIR(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode)
    return False


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn what the system says of one member into why it is left out; a full disk concerns all of them."""
    try:
        yield
    except OSError as error:
        if error.errno in FATAL:
            raise
        raise LeftOut((error.strerror or str(error)).lower()) from error


def _shown(name: bytes) -> str:
    text = printable(os.fsdecode(name))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _write(descriptor: int, piece: bytes, offset: int) -> None:
    view = memoryview(piece)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
