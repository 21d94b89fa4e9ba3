"""The members of a session archive, one after another, each checked before anybody sees it.

Owns what a member may be: a file, a folder, or a link to one of them in the same archive. Reads the archive as a
stream, once, within bounds on members, on bytes, and on any one read: a small archive that unpacks to a full disk, or
to full memory, is refused on the way.
"""

import bz2
import itertools
import os
import posixpath
import tarfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from awsac_async.session import names
from awsac_async.session.errors import FormatError
from awsac_async.session.fields import shown

# An archive holds scripts and small files; what is larger travels as input data (start -d). Every instance of a
# session fetches and unpacks it all, and the smallest root volumes have 8 GB.
MAX_MEMBERS = 10_000
MAX_UNPACKED = 1 << 30
# Names are read whole by tarfile, as long as the archive says they are. File contents are read in smaller pieces.
MAX_READ = 1 << 20
_DAMAGED = "a damaged archive"
_PIECE = 1 << 16
_MAX_NAME = 255  # bytes of one name, on every Linux file system
_MAX_PATH = 3072  # bytes of a path: Linux takes 4096, of which the working directory is part


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What an archive may hold: so many members, so many bytes unpacked, and no ``reserved`` name at its top level.

    ``remedy`` follows in errors what was expected instead.
    """

    members: int = MAX_MEMBERS
    unpacked: int = MAX_UNPACKED
    reserved: Collection[str] = names.RESERVED_MEMBERS
    remedy: str = "(input data go with start -d)"


SESSION_ARCHIVE = Bounds()


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member: a file has ``content``, to be read before the next member; a link has ``link_text``.

    ``name`` is relative and plain: no ``.``, ``..``, double or trailing slash.
    """

    name: str
    executable: bool
    content: IO[bytes] | None = None
    link_text: str = ""


def read_members(
    path: Path, *, file: str, visit: Callable[[Member], None], bounds: Bounds = SESSION_ARCHIVE
) -> tuple[str, ...]:
    """Call ``visit`` with every member, in order, and return the names of the files and of the links to files.

    Raises:
        FormatError: it is no whole bzip2 tarball, a member is not allowed, or a bound is passed.
    """
    if not path.is_file():
        found = "a directory" if path.is_dir() else "no such file"
        raise FormatError(file=file, found=found, expected="a session archive")
    rules = _Rules(file, bounds)
    try:
        compressed = path.open("rb")
    except OSError as error:
        raise FormatError(file=file, found=str(error.strerror), expected="a session archive") from None
    with compressed, bz2.open(compressed) as stream:
        try:
            _walk(_BoundedReader(stream, file=file, bounds=bounds), rules, visit)
        except (tarfile.TarError, ValueError):  # tarfile lets some ValueErrors of bad headers pass
            # What it says, and whether it says anything, differs from one Python to the next.
            raise FormatError(file=file, found=_DAMAGED, expected="a whole tar archive") from None
    return rules.files()


def _walk(reader: "_BoundedReader", rules: "_Rules", visit: Callable[[Member], None]) -> None:
    # tarfile asks for no more of a file than _BoundedReader has.
    with tarfile.open(fileobj=cast("IO[bytes]", reader), mode="r:") as tar:
        while info := tar.next():
            if name := rules.check(info):
                content = tar.extractfile(info) if info.isreg() else None
                executable = bool(info.mode & 0o100)
                visit(Member(name=name, executable=executable, content=content, link_text=rules.link_text(name)))
    reader.finish()


class _Rules:
    """What the members so far allow the next one to be."""

    def __init__(self, file: str, bounds: Bounds) -> None:
        self._file, self._bounds = file, bounds
        self._regular: set[str] = set()
        self._folders: set[str] = set()
        self._links: dict[str, str] = {}
        self._members = 0
        self._bytes = 0

    def check(self, info: tarfile.TarInfo) -> str:
        """Return the member's plain name, "" for the archive's top itself; raises FormatError."""
        self._members += 1
        self._bytes += info.size
        name = self._name(info.name)
        if name:
            self._admit(name, info)
        if max(self._members, len(self._folders)) > self._bounds.members:
            found = f"more than {self._bounds.members} members"
            raise self._error(found, f"a smaller archive {self._bounds.remedy}")
        if self._bytes > self._bounds.unpacked:
            raise too_large(self._file, self._bounds)
        return name

    def link_text(self, name: str) -> str:
        """Return what a member links to, relative to its own folder; "" if it is no link."""
        return self._links.get(name, "")

    def files(self) -> tuple[str, ...]:
        """Return the names of files and of links to files; raises FormatError if a link leads to no member."""
        files = set(self._regular)
        for name, text in self._links.items():
            target = _target(name, text)
            if target in self._regular:
                files.add(name)
            elif target not in self._folders:
                raise self._bad_link(name, text)
        return tuple(sorted(files))

    def _name(self, raw: str) -> str:
        parts = [part for part in raw.split("/") if part not in {"", "."}]
        if raw.startswith("/") or ".." in parts:
            raise self._error(f"member {shown(raw)}", "relative names without '..'")
        if not _can_be(raw) or any(len(os.fsencode(part)) > _MAX_NAME for part in parts):
            expected = f"names of at most {_MAX_NAME} bytes, in paths of at most {_MAX_PATH}"
            raise self._error(f"member {shown(raw)}", expected)
        if parts and parts[0] in self._bounds.reserved:
            raise self._error(f"member {shown(raw)}", "other names: this is one of the instance's own files")
        return "/".join(parts)

    def _admit(self, name: str, info: tarfile.TarInfo) -> None:
        parents = [str(parent) for parent in PurePosixPath(name).parents][:-1]
        taken = any(each in self._regular or each in self._links for each in (name, *parents))
        if taken or (name in self._folders and not info.isdir()):
            raise self._error(f"member {shown(name)} a second time", "each name once")
        self._folders.update(parents)
        if info.isdir():
            self._folders.add(name)
        elif info.isreg():
            self._regular.add(name)
        elif info.issym():
            self._links[name] = self._symbolic(name, info.linkname)
        elif info.islnk():
            self._links[name] = self._hard(name, info.linkname)
        else:
            raise self._error(f"member {shown(name)}, a device or special file", "files, folders and links")

    def _symbolic(self, name: str, text: str) -> str:
        """Accept ``..`` only in front: after a name it could climb out of the folder that name links to."""
        below = itertools.dropwhile(lambda part: part == "..", text.split("/"))
        if text.startswith("/") or not _can_be(text) or ".." in below:
            raise self._bad_link(name, text)
        return text

    def _hard(self, name: str, text: str) -> str:
        """Return the same as a symbolic link; a hard link names its target from the archive's top."""
        target = posixpath.normpath(text)
        if target not in self._regular:
            raise self._bad_link(name, text)
        return posixpath.relpath(target, posixpath.dirname(name) or ".")

    def _bad_link(self, name: str, text: str) -> FormatError:
        expected = "links to files and folders of the archive, by their plain names"
        return self._error(f"member {shown(name)}, a link to {shown(text)}", expected)

    def _error(self, found: str, expected: str) -> FormatError:
        return FormatError(file=self._file, found=found, expected=expected)


def _can_be(path: str) -> bool:
    """Whether the file system can hold a path: whatever bytes it is made of, and whether or not they print."""
    try:
        return len(os.fsencode(path)) <= _MAX_PATH and "\0" not in path
    except UnicodeEncodeError:  # characters that this machine's file names cannot have
        return False


def _target(name: str, text: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), text))


def too_large(file: str, bounds: Bounds = SESSION_ARCHIVE) -> FormatError:
    """Return the error for an archive that is, or would become, larger than it may be unpacked."""
    expected = f"at most {bounds.unpacked >> 20} MiB when unpacked {bounds.remedy}"
    return FormatError(file=file, found="a larger archive", expected=expected)


class _BoundedReader:
    """What tarfile reads from: forward only, counting, and never much at once."""

    def __init__(self, stream: IO[bytes], *, file: str, bounds: Bounds) -> None:
        self._stream = stream
        self._file, self._bounds = file, bounds
        self._position = 0
        self._last = b""

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True  # forward, which is all that reading members in order needs

    def read(self, size: int) -> bytes:
        if size > MAX_READ:
            raise FormatError(file=self._file, found=f"a header of {size} bytes", expected="a session archive")
        try:
            self._last = self._stream.read(size)
        except EOFError:
            raise FormatError(file=self._file, found="an incomplete file", expected="a whole bzip2 tarball") from None
        except OSError as error:
            found = f"what cannot be read ({str(error).lower()})"
            raise FormatError(file=self._file, found=found, expected="a bzip2 tarball") from None
        self._position += len(self._last)
        # Headers and padding are not in the sum of the members' sizes: leave as much again for them.
        if self._position > 2 * self._bounds.unpacked:
            raise too_large(self._file, self._bounds)
        return self._last

    def seek(self, position: int) -> int:
        if position < self._position:
            raise FormatError(file=self._file, found="members out of order", expected="a tar archive")
        while self._position < position and self.read(min(_PIECE, position - self._position)):
            pass
        return self._position

    def finish(self) -> None:
        """Check that tarfile stopped at the mark of the end, not at a header that it could not read."""
        if self._last != bytes(tarfile.BLOCKSIZE):
            raise FormatError(file=self._file, found=_DAMAGED, expected="a whole tar archive")
        while self.read(_PIECE):  # bzip2's own checksum stands at the very end
            pass
