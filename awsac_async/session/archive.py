"""The session archive, ``.tar.bz2``: packed, checked on the workstation, unpacked on the instance.

Owns the rules of what an archive may hold; ``read_archive`` and ``unpack`` walk it by the same code, so that what an
instance would refuse is refused before money is spent. Nothing here trusts a name, a link or a size in an archive,
and nothing holds more of it in memory than one block.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from awsac_async.session import fields, names
from awsac_async.session.atomic import replacing
from awsac_async.session.errors import FormatError, InputError
from awsac_async.session.jobs import check_jobs, check_names, parse_jobs
from awsac_async.session.members import SESSION_ARCHIVE, Bounds, Member, read_members
from awsac_async.session.model import JobDefinition, StartInfo
from awsac_async.session.packing import write_archive

UNFINISHED = ".unpacking-????????"  # the folders in which archives are unpacked, as a pattern


@dataclass(frozen=True, kw_only=True)
class ArchiveContents:
    """What a checked archive holds: its job definitions, and the names of all its files and links."""

    definitions: tuple[JobDefinition, ...]
    members: tuple[str, ...]


def pack(directory: Path, archive: Path) -> None:
    """Pack a folder into a session archive; the same files give the same bytes.

    Nothing is left at ``archive`` if it fails. Links are followed.

    Raises:
        FormatError: the folder has no ``jobs.cfg``, or would give an archive that an instance refuses.
        InputError: the archive cannot be written.
    """
    _check_name(archive)
    if not directory.is_dir():
        raise FormatError(file=str(directory), found="no such folder", expected=f"a folder with {names.JOBS_FILE}")
    check_folder(directory)
    try:
        with replacing(archive, mode=0o644) as part:
            write_archive(directory, part, leave_out={archive.absolute(), part.absolute()})
            _read_contents(part, file=str(archive))
    except OSError as error:
        raise InputError(f"cannot pack {directory} into {archive}: {error}") from error


def check_folder(directory: Path) -> None:
    """Raise FormatError if a folder of jobs has no ``jobs.cfg``."""
    if not (directory / names.JOBS_FILE).is_file():
        raise no_jobs(
            str(directory), [f"{path.parent.name}/{path.name}" for path in directory.glob(f"*/{names.JOBS_FILE}")]
        )


def no_jobs(file: str, members: Iterable[str]) -> FormatError:
    """Return the error for an archive or a folder without ``jobs.cfg`` at its top; it may be one level down."""
    below = sorted(name.partition("/")[0] for name in members if name.partition("/")[2] == names.JOBS_FILE)
    found, expected = f"no {names.JOBS_FILE}", "one, beside the job scripts"
    if below:
        found += f" at its top, but one in its folder {fields.shown(below[0])}"
        expected = "what is in that folder, without the folder itself"
    return FormatError(file=file, found=found, expected=expected)


def read_archive(path: Path, *, file: str) -> ArchiveContents:
    """Check what can be wrong with an archive whatever its ``session.ini`` says; ``file`` is its name in errors.

    Raises:
        FormatError: its name, compression, members, ``jobs.cfg`` or scripts are not right.
    """
    _check_name(path)
    return _read_contents(path, file=file)


def check_number_of_jobs(contents: ArchiveContents, startinfo: StartInfo, *, file: str) -> None:
    """Raise FormatError if an archive's jobs are not as many as the ``session.ini`` says."""
    scripts = {name for name in contents.members if "/" not in name}
    check_jobs(contents.definitions, n_jobs=startinfo.n_jobs, scripts=scripts, file=inner_name(file, names.JOBS_FILE))


def read_scripts(path: Path, contents: ArchiveContents, *, file: str) -> dict[str, bytes]:
    """Return the shell scripts of a checked archive by name: those of its jobs, and what takes over at boot.

    One that is a link is passed over. Of one that is larger than any text file of a session (``fields.MAX_TEXT``),
    only the beginning is read, one byte more than that.
    """
    wanted = {each.script for each in contents.definitions} | {names.AUTOSTART_FILE}
    found: dict[str, bytes] = {}

    def visit(member: Member) -> None:
        if member.name in wanted and member.content is not None:
            found[member.name] = member.content.read(fields.MAX_TEXT + 1)

    read_members(path, file=file, visit=visit)
    return dict(sorted(found.items()))


def unpack(path: Path, directory: Path, *, bounds: Bounds = SESSION_ARCHIVE) -> None:
    """Unpack an archive into ``directory``, made if missing; what stands there under the same name is replaced.

    An archive that is refused leaves nothing behind: all is unpacked into a new folder first. Files get mode 0755 or
    0644, and belong to whoever unpacks them.

    Raises:
        FormatError: the archive is damaged, or holds what no archive may hold.
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # The new folder is ours alone (mode 0700): no link can have been planted in it.
    with tempfile.TemporaryDirectory(dir=directory, prefix=UNFINISHED.rstrip("?")) as name:
        staging = Path(name)
        links: list[Member] = []
        read_members(path, file=str(path), visit=lambda member: _write(member, staging, links), bounds=bounds)
        # Links last, when nothing is written any more: no file can be written through one.
        for link in links:
            (staging / link.name).parent.mkdir(parents=True, exist_ok=True)
            (staging / link.name).symlink_to(link.link_text)
        for entry in sorted(staging.iterdir()):
            _move(entry, directory / entry.name)


def _write(member: Member, staging: Path, links: list[Member]) -> None:
    target = staging / member.name
    if member.link_text:
        links.append(member)
        return
    (target if member.content is None else target.parent).mkdir(mode=0o755, parents=True, exist_ok=True)
    if member.content is not None:
        with target.open("xb") as file:
            shutil.copyfileobj(member.content, file)
        target.chmod(0o755 if member.executable else 0o644)


def _move(source: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif os.path.lexists(target):
        target.unlink()
    source.rename(target)


def _read_contents(path: Path, *, file: str) -> ArchiveContents:
    """Walk the whole archive; its ``jobs.cfg`` must be there and name what can be."""
    text: list[bytes] = []

    def visit(member: Member) -> None:
        if member.name == names.JOBS_FILE and member.content is not None:
            text.append(member.content.read(fields.MAX_TEXT + 1))

    members = read_members(path, file=file, visit=visit)
    if not text:
        raise no_jobs(file, members)
    inner = inner_name(file, names.JOBS_FILE)
    definitions = parse_jobs(fields.decode(text[0], file=inner), file=inner)
    check_names(definitions, scripts={name for name in members if "/" not in name}, file=inner)
    return ArchiveContents(definitions=tuple(definitions), members=members)


def inner_name(archive: str, member: str) -> str:
    """Name a member of an archive in errors."""
    return f"{archive}: {member}"


def _check_name(path: Path) -> None:
    fields.read_field(fields.archive_name, path.name, file=str(path), field="file name")
