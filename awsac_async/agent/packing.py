"""What a job left as the bytes of a ``.tar.bz2``, and a release as those of a ``.tar.zst``, made while they are sent.

Packing needs no free disk.

Owns what becomes of a folder or a file that changes, shrinks or vanishes while it is packed: an archive is always
whole, and what is missing in it is said. Everything here blocks, and is for threads; a block at a time is in memory.
"""

import bz2
import os
import stat
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from awsac_async.cloud.uploads import reading
from awsac_async.session.errors import InputError

_BLOCK = 1 << 20  # bytes; a tenth of a second of bzip2
_MOST_REMARK = 200  # characters: a reason has a thousand in SimpleDB
_END_OF_ARCHIVE = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(kw_only=True)
class Remarks:
    """What could not be packed as it was."""

    of: str
    names: list[str] = field(default_factory=list)

    def add(self, name: str, why: str) -> None:
        """Note what is missing; the first is told by name, of the others how many they are."""
        self.names.append(f"{name} ({why})")

    def __str__(self) -> str:
        if not self.names:
            return ""
        first = self.names[0].encode(errors="backslashreplace").decode()[:_MOST_REMARK]
        more = f" and {len(self.names) - 1} more" if len(self.names) > 1 else ""
        return f"not whole in {self.of}: {first}{more}"


def file_blocks(file: Path) -> Iterator[bytes]:
    """Yield a file as it is, up to the size it has now. Raises InputError."""
    with reading(file), file.open("rb") as source:
        left = os.fstat(source.fileno()).st_size
        while block := source.read(min(_BLOCK, left)):
            left -= len(block)
            yield block


def packed_files(members: Iterable[tuple[str, Sequence[Path]]], remarks: Remarks) -> Iterator[bytes]:
    """Yield an archive of files: the name of each, and the files whose contents, one after the other, it holds."""
    return _compressed(block for name, files in members for block in _joined(name, files, remarks))


def packed_directory(directory: Path, name: str, remarks: Remarks) -> Iterator[bytes]:
    """Yield an archive of a folder, its members under ``name/``; links stay links, special files are left out."""
    return _compressed(block for path, inner in _walk(directory, name, remarks) for block in _one(path, inner, remarks))


def packed_tree(directory: Path, remarks: Remarks) -> Iterator[bytes]:
    """Yield an archive of all that is in a folder, by ``zstd`` and with a checksum; hard links stay links as well.

    Raises:
        InputError: something could not be packed as it was, after all the rest: a release is whole, or none.
    """
    yield from _compressed(_tree(directory.resolve(), remarks), _zstd())  # a release may be shown by a link
    if remarks.names:
        raise InputError(str(remarks))


def _tree(directory: Path, remarks: Remarks) -> Iterator[bytes]:
    names: dict[tuple[int, int], str] = {}  # by inode: under which name it is packed already
    for path, inner in _walk(directory, ".", remarks):
        status = os.lstat(path)
        inode = status.st_dev, status.st_ino
        if status.st_nlink > 1 and inode in names:
            info = tarfile.TarInfo(inner)
            info.type, info.linkname = tarfile.LNKTYPE, names[inode]
            yield _header(info, status)
            continue
        if stat.S_ISREG(status.st_mode):
            names[inode] = inner
        yield from _one(path, inner, remarks)


def size_of_tree(path: Path) -> int:
    """Return about how many bytes a file or a folder has, links not followed; 0 for what is not there."""
    inside = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)  # noqa: PTH118  many
    return sum(_size(name) for name in (str(path), *inside))


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


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


def _walk(directory: Path, name: str, remarks: Remarks) -> Iterator[tuple[str, str]]:
    """Yield the path and the name of a folder and all in it, each folder before what is in it, sorted."""
    waiting = [iter([(str(directory), name)])]
    while waiting:
        path, inner = next(waiting[-1], ("", ""))
        if not path:
            waiting.pop()
            continue
        yield path, inner
        if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114  a million of them
            waiting.append(_children(path, inner, remarks))


def _children(path: str, inner: str, remarks: Remarks) -> Iterator[tuple[str, str]]:
    try:
        names = sorted(os.listdir(path))  # noqa: PTH208  as above
    except OSError as error:
        remarks.add(inner, error.strerror or str(error))
        return iter(())
    return ((f"{path}/{each}", f"{inner}/{each}") for each in names)


def _one(path: str, name: str, remarks: Remarks) -> Iterator[bytes]:
    """Yield a member of any kind: its header, and what a file holds."""
    try:
        info, status = tarfile.TarInfo(name), os.lstat(path)
        if stat.S_ISREG(status.st_mode):
            yield from _joined(name, [Path(path)], remarks)
        elif stat.S_ISDIR(status.st_mode):
            info.type = tarfile.DIRTYPE
            yield _header(info, status)
        elif stat.S_ISLNK(status.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)  # noqa: PTH115  as above
            yield _header(info, status)
        else:
            remarks.add(name, "a special file")
    except OSError as error:
        remarks.add(name, error.strerror or str(error))


def _joined(name: str, files: Sequence[Path], remarks: Remarks) -> Iterator[bytes]:
    """Yield a member that holds the contents of some files, each as long as it is now."""
    sources = [source for file in files if (source := _opened(name, file, remarks))]
    try:
        if not sources:
            return
        sizes = [os.fstat(source.fileno()).st_size for source in sources]
        info = tarfile.TarInfo(name)
        info.size = sum(sizes)
        yield _header(info, os.fstat(sources[0].fileno()))
        for source, size in zip(sources, sizes, strict=True):
            yield from _exactly(source, size, name, remarks)
        yield bytes(-info.size % tarfile.BLOCKSIZE)
    finally:
        for source in sources:
            source.close()


def _opened(name: str, file: Path, remarks: Remarks) -> BinaryIO | None:
    """Open a file that may have become anything meanwhile: a pipe must not be waited for."""
    try:
        source = os.fdopen(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb", buffering=0)
    except OSError as error:
        remarks.add(name, error.strerror or str(error))
        return None
    if stat.S_ISREG(os.fstat(source.fileno()).st_mode):
        return source
    source.close()
    remarks.add(name, "not a file")
    return None


def _exactly(source: BinaryIO, size: int, name: str, remarks: Remarks) -> Iterator[bytes]:
    """Yield as many bytes as the header has promised; what cannot be read is zero."""
    while size:
        try:
            block = source.read(min(_BLOCK, size))
            why = "it became shorter meanwhile"
        except OSError as error:
            block, why = b"", error.strerror or str(error)
        if not block:
            break
        size -= len(block)
        yield block
    if size:
        remarks.add(name, why)
    while size:
        block = bytes(min(_BLOCK, size))
        size -= len(block)
        yield block


def _header(info: tarfile.TarInfo, status: os.stat_result) -> bytes:
    info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    info.uname = info.gname = "root"
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
