"""The writing half of a session archive: a folder becomes the same bytes wherever and whenever it is packed."""

import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path

from awsac_async.session.errors import FormatError
from awsac_async.session.members import MAX_UNPACKED, too_large


def write_archive(directory: Path, archive: Path, *, leave_out: Collection[Path]) -> None:
    """Write the files and folders of ``directory``, sorted, without owner and time.

    Links to files become the files. ``leave_out`` are absolute paths, for an archive that is packed into its own
    folder. Raises FormatError for what is neither file nor folder or too large in all, and OSError.
    """
    size = 0
    # The format of GNU tar, which the tools of 2008 read too; following links, so that none is packed.
    with tarfile.open(archive, mode="w:bz2", format=tarfile.GNU_FORMAT, dereference=True) as tar:
        for path in _files(directory, leave_out):
            info = _plain(tar.gettarinfo(path, arcname=str(path.relative_to(directory))))
            if info.isdir():
                tar.addfile(info)
            else:
                if (size := size + info.size) > MAX_UNPACKED:
                    raise too_large(str(directory))
                with path.open("rb") as file:
                    tar.addfile(info, file)


def _files(directory: Path, leave_out: Collection[Path]) -> Iterator[Path]:
    for path in sorted(directory.rglob("*")):
        if path.absolute() in leave_out:
            continue
        if path.is_symlink() and not path.is_file():
            raise FormatError(file=str(path), found="a link to no file", expected="files, folders, links to files")
        if not path.is_dir() and not path.is_file():
            raise FormatError(file=str(path), found="a special file", expected="files, folders, links to files")
        yield path


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Take from a member what depends on who packs it, and when."""
    info.mtime = info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info
