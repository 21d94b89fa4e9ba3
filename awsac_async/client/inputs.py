"""What the user gives to ``start``: the ini, the archive and the data folder, read and checked on the workstation.

Owns the checks that need no cloud, the list of input data, and the digest by which a start that died finds its own
session file again.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from awsac_async.session.archive import ArchiveContents, check_archive
from awsac_async.session.errors import InputError
from awsac_async.session.model import StartInfo
from awsac_async.session.startinfo import read_startinfo


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file of the data folder, and its path relative to it, with ``/``."""

    path: Path
    name: str


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The checked input of a start. ``digest`` is the same for the same ini, archive and data files."""

    ini: Path
    archive: Path
    startinfo: StartInfo
    contents: ArchiveContents
    data: tuple[DataFile, ...]
    digest: str


def read_inputs(*, ini: Path, archive: Path, data: Path | None = None) -> Inputs:
    """Read and check everything; blocks, since it reads the whole archive.

    Raises:
        InputError: something is missing or malformed, with its place.
    """
    startinfo = read_startinfo(ini)
    contents = check_archive(archive, startinfo)
    files = tuple(_data_files(data)) if data else ()
    digest = _digest(ini, archive, files)
    return Inputs(ini=ini, archive=archive, startinfo=startinfo, contents=contents, data=files, digest=digest)


def _data_files(folder: Path) -> Iterator[DataFile]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such data folder")
    found = [
        Path(where, name)
        for where, _, names in os.walk(folder, onerror=_unreadable)
        for name in names
        if Path(where, name).is_file()
    ]
    if not found:
        raise InputError(f"{folder}: no file in the data folder")
    for path in sorted(found):
        if not os.access(path, os.R_OK):
            raise InputError(f"{path}: cannot be read")
        yield DataFile(path=path, name=path.relative_to(folder).as_posix())


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: {error.strerror}") from error


def _digest(ini: Path, archive: Path, data: tuple[DataFile, ...]) -> str:
    """Hash the content of ini and archive; data, which may be large, counts by name, size and time of change."""
    digest = hashlib.sha256()
    for path in (ini, archive):
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    for each in data:
        stat = each.path.stat()
        digest.update(f"{each.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()
