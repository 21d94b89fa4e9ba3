"""The writing half of a session archive: a folder becomes the same bytes wherever and whenever it is packed."""

import tarfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO

from awsac_async.session.errors import FormatError
from awsac_async.session.folders import walk
from awsac_async.session.members import MAX_UNPACKED, too_large
from awsac_async.session.wording import clipped_path


def write_archive(
    directory: Path, archive: Path, *, leave_out: Collection[Path], check: Callable[[], None] = lambda: None
) -> None:
    """Write the files and folders of ``directory``, sorted, without owner and time.

    Links become what they lead to. ``leave_out`` are absolute paths, for an archive that is packed into its own
    folder. ``check`` is called again and again, to raise what is to end it early. Raises FormatError and ProblemsError
    for what is neither file nor folder, or too large in all, and OSError.
    """
    found = walk(directory, leave_out=leave_out)
    for path in found.special:
        raise FormatError(file=clipped_path(path), found="a special file", expected="files, folders, and links to them")
    if sum(each.size for each in found.files()) > MAX_UNPACKED:
        raise too_large(str(directory))
    # The format of GNU tar, which the tools of 2008 read too; following links, so that none is packed.
    with tarfile.open(archive, mode="w:bz2", format=tarfile.GNU_FORMAT, dereference=True) as tar:
        for each in found.entries:
            check()
            info = _plain(tar.gettarinfo(each.path, arcname=each.name))
            if each.is_folder:
                tar.addfile(info)
                continue
            each.check_unchanged()
            with each.path.open("rb") as file:
                tar.addfile(info, _Checked(file, check))


class _Checked:
    """A file that is read with a look, at each piece, whether that is to end."""

    def __init__(self, file: IO[bytes], check: Callable[[], None]) -> None:
        self._file, self._check = file, check

    def read(self, size: int = -1, /) -> bytes:
        self._check()
        return self._file.read(size)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Take from a member what depends on who packs it, and when."""
    info.mtime = info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info
