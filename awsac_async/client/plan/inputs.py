"""What the user gives to ``start``: the ini, the archive and the data folder, read and checked on the workstation.

Owns the checks that need no cloud, the archive that a folder becomes, the list of input data, and the digest by which a
start that died finds its own session file again.
"""

import asyncio
import hashlib
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from awsac_async.client.plan.scripts import check_scripts
from awsac_async.client.scratch import temporary_folder
from awsac_async.client.wheel import AgentPackage, agent_package
from awsac_async.session.archive import ArchiveContents, check_folder, check_number_of_jobs, read_archive, read_scripts
from awsac_async.session.datadocument import DataDocument, format_data_document
from awsac_async.session.errors import AwsacError, FormatError, InputError, ProblemsError
from awsac_async.session.fields import shown
from awsac_async.session.folders import Entry, walk
from awsac_async.session.model import StartInfo
from awsac_async.session.names import BOOTSTRAP_CLOUD_INIT, NO_SESSION, archive_name, data_prefix, session_file
from awsac_async.session.packing import write_archive
from awsac_async.session.purpose import Purpose, fit_for, purpose_fields
from awsac_async.session.startinfo import read_startinfo
from awsac_async.session.wording import clipped_path

T = TypeVar("T")
_MOST_KEY_BYTES = 1024  # of S3
_SPARE_KEY_BYTES = 4  # by which the ID of a session may be longer than NO_SESSION
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # as which S3 lists, and is told what to delete


@dataclass(frozen=True, kw_only=True)
class Data:
    """The input data: files with their keys below the session's data prefix, and what objects cannot say of them."""

    files: Mapping[str, Entry] = field(default_factory=dict)
    about: DataDocument = field(default_factory=DataDocument)


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
    data: Data
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
            return stack.enter_context(temporary_folder())

        abandoned = threading.Event()

        def check() -> None:
            if abandoned.is_set():
                raise InputError("nobody waits for the archive any more")

        read = partial(_read, ini=ini, archive=archive, data=data, purpose=purpose, place=place, check=check)
        work = asyncio.create_task(asyncio.to_thread(read), name="read the input")
        try:
            found = await asyncio.shield(work)
        except asyncio.CancelledError:
            abandoned.set()
            await asyncio.gather(work, return_exceptions=True)  # nothing writes there any more when the folder goes
            raise
        yield found


def _read(
    *,
    ini: Path,
    archive: Path,
    data: Path | None,
    purpose: Purpose | None,
    place: Callable[[], Path],
    check: Callable[[], None],
) -> Reading:
    problems = _Problems()
    startinfo = problems.of(lambda: read_startinfo(ini))
    if startinfo and purpose:
        startinfo = fit_for(purpose, startinfo)
    agent = problems.of(lambda: _agent(startinfo, ini, place)) if startinfo else None
    packed = problems.of(lambda: _archive_file(archive, place, check))
    contents = problems.of(lambda: read_archive(packed, file=str(archive))) if packed else None
    if startinfo and contents:
        problems.of(lambda: check_number_of_jobs(contents, startinfo, file=str(archive)))
    remarks: list[str] = []
    files = problems.of(lambda: _data(data, remarks)) if data else Data()
    if packed and contents:
        wrong, doubtful = check_scripts(read_scripts(packed, contents, file=str(archive)), archive=str(archive))
        problems.found += wrong
        remarks += doubtful
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


def _archive_file(archive: Path, place: Callable[[], Path], check: Callable[[], None]) -> Path:
    """Return the archive, or the one that is made of a folder, in a folder of its own; raises InputError."""
    if not archive.exists():
        expected = "a session archive, or a folder to be packed into one"
        raise FormatError(file=str(archive), found="no such file or folder", expected=expected)
    return _packed(archive, place(), check) if archive.is_dir() else archive


def _packed(folder: Path, made: Path, check: Callable[[], None]) -> Path:
    """Pack a folder into an archive in ``made``, named as the folder is; session files in it are left out.

    They are the client's own, and a start writes one: with it, the same start would not find its session again.
    """
    check_folder(folder)
    packed = made / archive_name(folder.resolve().name)
    try:
        files = {path.absolute() for path in folder.glob(session_file("*"))}
        write_archive(folder, packed, leave_out=files, check=check)
    except OSError as error:
        raise InputError(f"cannot pack {folder}: {error}") from error
    return packed


def _data(folder: Path, remarks: list[str]) -> Data:
    """List a data folder; what is no file is left out with a remark. Raises InputError and ProblemsError."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such data folder")
    found = walk(folder)
    remarks += [
        f"{clipped_path(path)} is left out of the input data: it is a pipe, a socket or a device"
        for path in found.special
    ]
    files, problems = {}, []
    for each in found.files():
        try:
            files[_key(each.name)] = each
        except ValueError as error:
            problems.append(
                FormatError(file=str(folder), found=shown(each.name), expected=f"a name that S3 takes: {error}")
            )
    if problems:
        raise ProblemsError(problems)
    if not files:
        raise InputError(f"{folder}: no file in the data folder")
    about = DataDocument(
        executable=tuple(key for key, each in files.items() if each.executable),
        folders=tuple(os.fsencode(name).decode(errors="surrogateescape") for name in found.empty_folders()),
    )
    return Data(files=files, about=about)


def _key(name: str) -> str:
    """Return the key of a file below the data prefix: its name as UTF-8, whatever this machine takes names for.

    Raises:
        ValueError: there can be no object with this key, or none that can be listed and deleted; says why.
    """
    encoded = os.fsencode(name)
    try:
        key = encoded.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte 0x{encoded[error.start]:02x})") from None
    if len(data_prefix(NO_SESSION).encode()) + len(encoded) > _MOST_KEY_BYTES - _SPARE_KEY_BYTES:
        raise ValueError(f"keys have at most {_MOST_KEY_BYTES} bytes, and this path alone {len(encoded)}")
    if _NOT_IN_XML.search(key):
        raise ValueError("it holds a character that no list of objects can hold")
    return key


def _digest(ini: Path, archive: Path, data: Data, purpose: Purpose | None) -> str:
    """Hash ini, archive and purpose; data, which may be large, counts by name, size and time of change."""
    digest = hashlib.sha256("".join(f"{key}={value}\0" for key, value in purpose_fields(purpose).items()).encode())
    for path in (ini, archive):
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    for key, each in data.files.items():
        digest.update(f"{key}\0{each.size}\0{each.mtime_ns}\0".encode())
    digest.update(format_data_document(data.about).encode() if data.about else b"")
    return digest.hexdigest()
