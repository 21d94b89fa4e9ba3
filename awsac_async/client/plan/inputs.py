"""What the user gives to ``start``: the ini, the archive and the data folder, read and checked on the workstation.

Owns the checks that need no cloud, the archive that a folder becomes, the list of input data, and the digest by which a
start that died finds its own session file again.
"""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from awsac_async.client.plan.scripts import check_scripts
from awsac_async.client.wheel import AgentPackage, agent_package
from awsac_async.session.archive import ArchiveContents, check_number_of_jobs, read_archive, read_scripts
from awsac_async.session.errors import AwsacError, FormatError, InputError, ProblemsError
from awsac_async.session.model import StartInfo
from awsac_async.session.names import BOOTSTRAP_CLOUD_INIT, JOBS_FILE, archive_name, session_file
from awsac_async.session.packing import write_archive
from awsac_async.session.purpose import Purpose, fit_for, purpose_fields
from awsac_async.session.startinfo import read_startinfo

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file of the data folder, and its path relative to it, with ``/``."""

    path: Path
    name: str


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The checked input of a start. ``digest`` is the same for the same ini, archive and data files.

    ``archive`` is the file to be uploaded. ``agent`` is what instances of a stock image install; None on an image of
    awsac. ``purpose`` is what the session is for, if not its results; ``startinfo`` is fit for that.
    """

    ini: Path
    archive: Path
    startinfo: StartInfo
    contents: ArchiveContents
    data: tuple[DataFile, ...]
    agent: AgentPackage | None
    digest: str
    purpose: Purpose | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was read of a user's files: as much as can be, with all that is wrong.

    ``archive`` is the archive or folder as the user named it, ``purpose`` as in ``Inputs``. ``inputs`` is None if there
    is a problem; ``problems`` are those of files, then those of scripts.
    """

    ini: str
    archive: str
    startinfo: StartInfo | None
    contents: ArchiveContents | None
    agent: AgentPackage | None
    purpose: Purpose | None
    inputs: Inputs | None
    problems: tuple[AwsacError, ...]
    remarks: tuple[str, ...]


@asynccontextmanager
async def reading(
    *, ini: Path, archive: Path, data: Path | None = None, purpose: Purpose | None = None
) -> AsyncIterator[Reading]:
    """Read and check everything; an archive made of a folder, and a wheel that is made, are there until the end."""
    with ExitStack() as stack:

        def place() -> Path:
            """Make a temporary folder: an archive and an image of awsac need none."""
            made = tempfile.TemporaryDirectory(prefix="awsac-", ignore_cleanup_errors=True)
            return Path(stack.enter_context(made))

        yield await asyncio.to_thread(_read, ini=ini, archive=archive, data=data, purpose=purpose, place=place)


def _read(
    *, ini: Path, archive: Path, data: Path | None, purpose: Purpose | None, place: Callable[[], Path]
) -> Reading:
    problems = _Problems()
    startinfo = problems.of(lambda: read_startinfo(ini))
    if startinfo and purpose:
        startinfo = fit_for(purpose, startinfo)
    agent = problems.of(lambda: _agent(startinfo, ini, place)) if startinfo else None
    packed = problems.of(lambda: _archive_file(archive, place))
    contents = problems.of(lambda: read_archive(packed, file=str(archive))) if packed else None
    if startinfo and contents:
        problems.of(lambda: check_number_of_jobs(contents, startinfo, file=str(archive)))
    files = problems.of(lambda: tuple(_data_files(data))) if data else ()
    remarks: list[str] = []
    if packed and contents:
        wrong, remarks = check_scripts(read_scripts(packed, contents, file=str(archive)), archive=str(archive))
        problems.found += wrong
    inputs = None
    if not problems.found and startinfo and packed and contents and files is not None:
        inputs = Inputs(
            ini=ini,
            archive=packed,
            startinfo=startinfo,
            contents=contents,
            data=files,
            agent=agent,
            digest=_digest(ini, packed, files, purpose),
            purpose=purpose,
        )
    return Reading(
        ini=str(ini),
        archive=str(archive),
        startinfo=startinfo,
        contents=contents,
        agent=agent,
        purpose=purpose,
        inputs=inputs,
        problems=tuple(problems.found),
        remarks=tuple(remarks),
    )


class _Problems:
    """Collects what is wrong while the rest is looked at."""

    def __init__(self) -> None:
        self.found: list[AwsacError] = []

    def of(self, read: Callable[[], T]) -> T | None:
        """Return what is read, or None."""
        try:
            return read()
        except ProblemsError as error:
            self.found += error.problems
        except AwsacError as error:
            self.found.append(error)
        return None


def _agent(startinfo: StartInfo, ini: Path, place: Callable[[], Path]) -> AgentPackage | None:
    """Return what instances of a stock image install; None if the image has the agent. Raises InputError."""
    wheel = startinfo.agent_wheel
    if startinfo.bootstrap == BOOTSTRAP_CLOUD_INIT:
        return agent_package(ini.parent / wheel if wheel else None, place)
    if wheel:
        expected = f"bootstrap = {BOOTSTRAP_CLOUD_INIT} with it: an image of awsac has its agent"
        raise FormatError(file=str(ini), field="agent_wheel", found=wheel, expected=expected)
    return None


def _archive_file(archive: Path, place: Callable[[], Path]) -> Path:
    """Return the archive, or the one that is made of a folder, in a folder of its own; raises InputError."""
    if not archive.exists():
        expected = "a session archive, or a folder to be packed into one"
        raise FormatError(file=str(archive), found="no such file or folder", expected=expected)
    return _packed(archive, place()) if archive.is_dir() else archive


def _packed(folder: Path, made: Path) -> Path:
    """Pack a folder into an archive in ``made``, named as the folder is; session files in it are left out.

    They are the client's own, and a start writes one: with it, the same start would not find its session again.
    """
    if not (folder / JOBS_FILE).is_file():
        raise FormatError(file=str(folder), found=f"no {JOBS_FILE}", expected="one, beside the job scripts")
    packed = made / archive_name(folder.resolve().name)
    try:
        write_archive(folder, packed, leave_out={path.absolute() for path in folder.glob(session_file("*"))})
    except OSError as error:
        raise InputError(f"cannot pack {folder}: {error}") from error
    return packed


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


def _digest(ini: Path, archive: Path, data: tuple[DataFile, ...], purpose: Purpose | None) -> str:
    """Hash ini, archive and purpose; data, which may be large, counts by name, size and time of change."""
    digest = hashlib.sha256("".join(f"{key}={value}\0" for key, value in purpose_fields(purpose).items()).encode())
    for path in (ini, archive):
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    for each in data:
        stat = each.path.stat()
        digest.update(f"{each.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()
