"""What a job left as the bytes of a ``.tar.bz2``, and a release as those of a ``.tar.zst``, made while they are sent.

Packing needs no free disk.

Owns what becomes of a folder or a file that changes, shrinks or vanishes while it is packed: an archive is always
whole, and what is missing in it is said. Holes are not packed, and a file of several names is packed once. Links stay
links. Everything here blocks, and is for threads; a block at a time is in memory.
"""

import bz2
import errno
import os
import stat
import sys
import tarfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from awsac_async.agent.walking import Entry, open_file, reason, walk
from awsac_async.session.errors import InputError

_BLOCK = 1 << 20  # bytes; a tenth of a second of bzip2
_MOST_REMARK = 200  # characters: a reason has a thousand in SimpleDB
_MOST_NAMES = 20  # of what is not whole: more are only counted
_END_OF_ARCHIVE = bytes(2 * tarfile.BLOCKSIZE)
_LEAST_HOLE = 1 << 16  # bytes: the map of a smaller one is not worth it
_MOST_EXTENTS = 1 << 15  # of one file
_UNIT = 512  # bytes of st_blocks, stat(2)


@dataclass(kw_only=True)
class Remarks:
    """What could not be packed as it was: how many, and the first of them."""

    of: str
    names: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, name: str, why: str) -> None:
        """Note what is missing; the first is told by name, of the others how many they are."""
        self.count += 1
        if len(self.names) < _MOST_NAMES:
            self.names.append(f"{shown_name(name)} ({why})")

    def clear(self) -> None:
        """Forget all."""
        self.names.clear()
        self.count = 0

    def __str__(self) -> str:
        if not self.count:
            return ""
        more = f" and {self.count - 1} more" if self.count > 1 else ""
        return f"not whole in {self.of}: {self.names[0]}{more}"


def shown_name(name: str) -> str:
    """Return a name as it can be printed anywhere: shortened, controls and bytes that are no UTF-8 escaped."""
    if len(name) > _MOST_REMARK:
        name = f"{name[: _MOST_REMARK // 2]}…{name[-_MOST_REMARK // 2 :]}"
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


def packed_files(members: Iterable[tuple[str, Sequence[Path]]], remarks: Remarks) -> Iterator[bytes]:
    """Yield an archive of files: the name of each, and the files whose contents, one after the other, it holds."""
    return _compressed(block for name, files in members for block in _joined(name, files, remarks))


def packed_directory(directory: Path, name: str, remarks: Remarks) -> Iterator[bytes]:
    """Yield an archive of a folder, its members under ``name/``; links stay links, special files are left out."""
    try:
        top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        remarks.add(name, reason(error))
        yield from _compressed(iter(()))
        return
    try:
        yield from packed([(name, top)], remarks)
    finally:
        os.close(top)


def packed(parts: Iterable[tuple[str, int]], remarks: Remarks) -> Iterator[bytes]:
    """Yield an archive of open files and folders, each under a name; these stay open."""
    packer = _Packer(remarks)
    return _compressed(block for name, descriptor in parts for block in packer.part(name, descriptor))


def packed_tree(directory: Path, remarks: Remarks) -> Iterator[bytes]:
    """Yield an archive of all that is in a folder, by ``zstd`` and with a checksum.

    Raises:
        InputError: something could not be packed as it was, after all the rest: a release is whole, or none.
    """
    top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # a release may be shown by a link
    try:
        yield from _compressed(_Packer(remarks).part(".", top), _zstd())
    finally:
        os.close(top)
    if remarks.count:
        raise InputError(str(remarks))


def size_of_tree(path: Path) -> int:
    """Return about how many bytes a file or a folder has to be packed, links not followed; 0 for what is not there."""
    try:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            return held(status)
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return sum(held(entry.status) for entry in walk(top, "", lambda *_: None))
    finally:
        os.close(top)


def held(status: os.stat_result) -> int:
    """Return about how many bytes of a file are no holes."""
    return min(status.st_size, status.st_blocks * _UNIT) if stat.S_ISREG(status.st_mode) else 0


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def _zstd() -> _Compressor:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdCompressor(options={zstd.CompressionParameter.checksum_flag: 1})


def _compressed(blocks: Iterator[bytes], compressor: _Compressor | None = None) -> Iterator[bytes]:
    compressor = compressor or bz2.BZ2Compressor()
    for block in blocks:
        yield compressor.compress(block)  # often nothing: who reads this may then stop
    yield compressor.compress(_END_OF_ARCHIVE) + compressor.flush()


class _Packer:
    """Makes the members of one archive."""

    def __init__(self, remarks: Remarks) -> None:
        self._remarks = remarks
        self._names: dict[tuple[int, int], str] = {}  # by inode, of files with several names: the one it is packed by

    def part(self, name: str, descriptor: int) -> Iterator[bytes]:
        """Yield the members of an open file or folder."""
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            yield from _content(name, [descriptor], self._remarks)
            return
        yield _header(_member(name, tarfile.DIRTYPE), status)
        for entry in walk(descriptor, name, self._remarks.add):
            yield from self._entry(entry)

    def _entry(self, entry: Entry) -> Iterator[bytes]:
        status, mode = entry.status, entry.status.st_mode
        inode = status.st_dev, status.st_ino
        try:
            if stat.S_ISREG(mode) and inode in self._names:
                yield _header(_member(entry.name, tarfile.LNKTYPE, self._names[inode]), status)
            elif stat.S_ISREG(mode):
                yield from self._file(entry)
            elif stat.S_ISDIR(mode):
                yield _header(_member(entry.name, tarfile.DIRTYPE), status)
            elif stat.S_ISLNK(mode):
                target = os.readlink(entry.base, dir_fd=entry.parent)
                yield _header(_member(entry.name, tarfile.SYMTYPE, target), status)
            else:
                self._remarks.add(entry.name, "a special file")
        except OSError as error:
            self._remarks.add(entry.name, reason(error))

    def _file(self, entry: Entry) -> Iterator[bytes]:
        source = open_file(entry.base, parent=entry.parent)
        try:
            yield from _content(entry.name, [source], self._remarks, mode=entry.status.st_mode)
            if entry.status.st_nlink > 1:
                self._names[entry.status.st_dev, entry.status.st_ino] = entry.name
        finally:
            os.close(source)


def _joined(name: str, files: Sequence[Path], remarks: Remarks) -> Iterator[bytes]:
    """Yield a member that holds the contents of some files, each as long as it is now."""
    with ExitStack() as opened:
        sources = []
        for file in files:
            try:
                sources.append(open_file(str(file), parent=None))
            except OSError as error:
                remarks.add(name, reason(error))
            else:
                opened.callback(os.close, sources[-1])
        if sources:
            yield from _content(name, sources, remarks)


def _content(name: str, sources: Sequence[int], remarks: Remarks, *, mode: int | None = None) -> Iterator[bytes]:
    """Yield a member that holds the contents of open files one after the other, as much as the header promises."""
    first, size, extents = os.fstat(sources[0]), 0, []
    for source in sources:
        status = os.fstat(source)
        extents += [(source, begin, end, size + begin) for begin, end in _extents(source, status)]
        size += status.st_size
    length = sum(end - begin for _, begin, end, _ in extents)
    info = _member(name, tarfile.REGTYPE)
    info.size = size
    if length == size:
        yield _header(info, first, mode=mode)
    else:
        spots = [(at, end - begin) for _, begin, end, at in extents]
        yield _sparse_header(info, spots, length, first, mode=mode)
    why = ""
    for source, begin, end, _ in extents:
        why = (yield from _exactly(source, begin, end)) or why
    yield bytes(-length % tarfile.BLOCKSIZE)
    if why:
        remarks.add(name, why)


def _extents(source: int, status: os.stat_result) -> list[tuple[int, int]]:
    """Return where the data of a file begin and end; small holes count as data, of many holes the smaller ones too."""
    size, found, position, least = status.st_size, [(0, 0)], 0, _LEAST_HOLE
    if status.st_blocks * _UNIT >= size:
        return [(0, size)]
    try:
        while position < size:
            begin = min(size, os.lseek(source, position, os.SEEK_DATA))
            position = min(size, os.lseek(source, begin, os.SEEK_HOLE))
            found.append((begin, position))
            while len(found) > _MOST_EXTENTS:
                found, least = _closer(found, least), 2 * least
    except OSError as error:
        if error.errno != errno.ENXIO:  # which says: no more data
            return [(0, size)]
    return [each for each in _closer([*found, (size, size)], least) if each[0] < each[1]]


def _closer(extents: Sequence[tuple[int, int]], least: int) -> list[tuple[int, int]]:
    """Return extents without the holes between them that are smaller than so many bytes."""
    found = [extents[0]]
    for begin, end in extents[1:]:
        if begin - found[-1][1] < least:
            found[-1] = found[-1][0], end
        else:
            found.append((begin, end))
    return found


def _exactly(source: int, begin: int, end: int) -> Generator[bytes, None, str]:
    """Yield as many bytes as the header has promised; what cannot be read is zero, and why is returned."""
    why = ""
    while begin < end:
        wanted = min(_BLOCK, end - begin)
        block = b""
        if not why:
            try:
                block = os.pread(source, wanted, begin)
                why = "" if block else "it became shorter meanwhile"
            except OSError as error:
                why = reason(error)
        block = block or bytes(wanted)
        begin += len(block)
        yield block
    return why


def _member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    info.uname = info.gname = "root"
    return info


def _header(info: tarfile.TarInfo, status: os.stat_result, *, mode: int | None = None) -> bytes:
    info.mode, info.mtime = stat.S_IMODE(status.st_mode if mode is None else mode), int(status.st_mtime)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _sparse_header(
    info: tarfile.TarInfo, spots: Sequence[tuple[int, int]], length: int, status: os.stat_result, *, mode: int | None
) -> bytes:
    """Return the header of a file with holes, and the map of what is none: the sparse format 1.0 of GNU tar.

    https://www.gnu.org/software/tar/manual/html_section/Sparse-Formats.html
    """
    size, ends = info.size, spots[-1][0] + spots[-1][1] if spots else 0
    spots = [*spots, (size, 0)] if ends < size else spots
    chart = "".join(f"{number}\n" for number in (len(spots), *(each for spot in spots for each in spot))).encode()
    chart += bytes(-len(chart) % tarfile.BLOCKSIZE)
    records = b"".join(
        _record(f"GNU.sparse.{key}".encode(), value)
        for key, value in (
            ("major", b"1"),
            ("minor", b"0"),
            ("name", info.name.encode("utf-8", "surrogateescape")),
            ("realsize", str(size).encode()),
        )
    )
    extended = _member("././@PaxHeader", tarfile.XHDTYPE)
    extended.size = len(records)
    info.name, info.size = "GNUSparseFile.0/file", len(chart) + length
    return (
        _as_posix(extended.tobuf(tarfile.GNU_FORMAT))
        + records
        + bytes(-len(records) % tarfile.BLOCKSIZE)
        + _as_posix(_header(info, status, mode=mode))
        + chart
    )


def _as_posix(header: bytes) -> bytes:
    """Return a header with the mark of POSIX: by that GNU tar knows which sparse format it is.

    It is not made as one, since a size of more than 8 GiB has no room there; all readers take it as GNU writes it.
    """
    header = header[:148] + b" " * 8 + header[156:257] + b"ustar\x0000" + header[265:]
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _record(key: bytes, value: bytes) -> bytes:
    """Return a record of an extended header, which begins with its own length."""
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest) + len(str(len(rest)))
    size = len(rest) + len(str(size))
    return str(size).encode() + rest
