"""A session of one job that makes a release into something: from a script to a snapshot, from a snapshot to an archive.

Owns the folder that such a session is started with, and the order start, follow, wait, clean up. The session does its
work without anybody who waits for it: who is told to stop asks its agent to do so, and tells what is left.
"""

import asyncio
import shlex
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from awsac_async.client.cleanup import cleanup
from awsac_async.client.kill import stop
from awsac_async.client.logs import logs
from awsac_async.client.outcome import Outcome
from awsac_async.client.plan import Plan
from awsac_async.client.plan.scripts import check_scripts
from awsac_async.client.scratch import temporary_folder
from awsac_async.client.start import StartEvent, start
from awsac_async.client.wait import Ended, wait
from awsac_async.cloud.aws import connect
from awsac_async.cloud.snapshots import ReleaseSnapshot, Snapshots
from awsac_async.session.errors import AwsacError, CloudError, InputError, ProblemsError
from awsac_async.session.fields import MAX_TEXT
from awsac_async.session.folders import walk
from awsac_async.session.model import SessionRecord
from awsac_async.session.names import JOBS_FILE, X_SNAPSHOT, session_file
from awsac_async.session.purpose import Build, PackTo, Purpose, file_system, packed_address, release_name, volume_size
from awsac_async.session.shebang import FIRST_BYTES, interpreter
from awsac_async.session.wording import clipped_path

T = TypeVar("T")
_JOB_SCRIPT = "awsac-release.sh"
_FOLDER = "release"  # which the archive is named by
_COMPLETED_WITHIN = 12 * 3600.0  # seconds; EC2 writes a snapshot of some hundred GiB in hours


@dataclass(frozen=True, kw_only=True)
class Output:
    """Something that the script has printed."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class Begun:
    """The snapshot was begun: it comes to its end by itself, whatever becomes of the session."""

    snapshot_id: str
    session_file: Path


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Who waited was told to stop, and the session was asked to, or why it could not be asked (``trouble``)."""

    session_file: Path
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Troubled:
    """A failure of the cloud that is waited out."""

    failure: CloudError


MakingEvent = StartEvent | Output | Begun | Stopped | Troubled
OnEvent = Callable[[MakingEvent], None]
Proceed = Callable[[Plan], Awaitable[bool]]


@dataclass(frozen=True, kw_only=True)
class Made:
    """What came of it: a ``snapshot``, or the address of an ``archive``; neither if ``ended`` says that it went wrong.

    ``kept`` is the session file, if the session was to be kept; else nothing of it is left.
    """

    ended: Ended
    snapshot: ReleaseSnapshot | None = None
    archive: str = ""
    kept: Path | None = None

    @property
    def succeeded(self) -> bool:
        """Whether there is what was to be made."""
        return bool(self.snapshot or self.archive)


async def build_release(
    *,
    ini: Path,
    script: Path,
    name: str,
    gib: int,
    proceed: Proceed,
    system: str = Build.file_system,
    validate: Path | None = None,
    files: Path | None = None,
    directory: Path = Path(),
    region: str | None = None,
    max_cost: float | None = None,
    completed: bool = True,
    keep: bool = False,
    on_event: OnEvent = lambda _: None,
) -> Made | None:
    """Build a release: run a script with an empty volume at ``ATLASDir`` on an instance, and make a snapshot of that.

    Args:
        ini: the ``session.ini`` of the instance; its ``n_jobs`` does not count.
        script: fills ``$ATLASDir``, run by what its first line names, or ``/bin/sh``; if it exits non-zero there is no
            snapshot.
        name: of the release.
        gib: the size of the volume in GiB.
        proceed: as in ``start``.
        system: the volume's file system, ``ext4`` or ``xfs``.
        validate: a script that is run after the other one, and decides likewise.
        files: a folder whose files both find in ``$AWSACworkingDir``.
        directory: where the session file is, as long as the session is.
        region: as in ``start``.
        max_cost: as in ``start``.
        completed: wait until the snapshot can be used.
        keep: keep the session: its log, status and file.
        on_event: told of each step, and of all that the scripts print.

    Returns:
        What came of it; None if ``proceed`` said no.

    Raises:
        InputError, CloudError, ProblemsError: as ``start``; the cloud also if all went well but for the snapshot.
    """
    purpose = Build(
        name=_read("--name", release_name, name),
        gib=_read("--size", volume_size, str(gib)),
        file_system=_read("--fs", file_system, system),
    )
    with _folder(_definition("-"), [each for each in (script, validate) if each], files) as folder:
        making = _Making(directory, on_event, keep=keep)
        ended = await making.run(
            ini=ini, archive=folder, purpose=purpose, region=region, max_cost=max_cost, proceed=proceed
        )
    return None if ended is None else await making.result_of_build(ended, completed=completed)


async def pack_release(
    *,
    snapshot_id: str,
    address: str,
    ini: Path,
    proceed: Proceed,
    directory: Path = Path(),
    region: str | None = None,
    max_cost: float | None = None,
    keep: bool = False,
    on_event: OnEvent = lambda _: None,
) -> Made | None:
    """Pack the release that a snapshot is into an archive in S3, ``s3://bucket/key.tar.zst``; what is there goes.

    The arguments, what is returned and raised are as of ``build_release``.
    """
    archive = _read("the address", packed_address, address)
    with _folder(_definition(snapshot_id), [], None) as folder:
        making = _Making(directory, on_event, keep=keep)
        ended = await making.run(
            ini=ini,
            archive=folder,
            purpose=PackTo(archive=archive),
            region=region,
            max_cost=max_cost,
            proceed=proceed,
        )
    if ended is None:
        return None
    made = archive.address if ended.outcome is Outcome.SUCCEEDED else ""
    return Made(ended=ended, archive=made, kept=await making.end())


class _Making:
    """One such session, from its start to its cleanup."""

    def __init__(self, directory: Path, on_event: OnEvent, *, keep: bool) -> None:
        self._directory, self._tell, self._keep = directory, on_event, keep
        self._record: SessionRecord

    @property
    def _file(self) -> Path:
        return self._directory / session_file(self._record.session_id)

    async def run(
        self,
        *,
        ini: Path,
        archive: Path,
        purpose: Purpose,
        region: str | None,
        max_cost: float | None,
        proceed: Proceed,
    ) -> Ended | None:
        """Start the session and follow it to its end; None if it was not to be started."""
        record = await start(
            ini=ini,
            archive=archive,
            purpose=purpose,
            directory=self._directory,
            region=region,
            max_cost=max_cost,
            proceed=proceed,
            on_event=self._tell,
        )
        if record is None:
            return None
        self._record = record
        try:
            await self._follow()
            return await wait(self._file, on_failure=self._trouble)
        except asyncio.CancelledError:
            await self._stop()
            raise

    async def _follow(self) -> None:
        async with aclosing(logs(self._file, follow=True, on_failure=self._trouble)) as pieces:
            async for piece in pieces:
                self._tell(Output(data=piece.data))

    def _trouble(self, failure: CloudError) -> None:
        self._tell(Troubled(failure=failure))

    async def _stop(self) -> None:
        try:
            await stop(self._file, confirm=_yes)
        except AwsacError as error:
            self._tell(Stopped(session_file=self._file, trouble=str(error)))
        else:
            self._tell(Stopped(session_file=self._file))

    async def result_of_build(self, ended: Ended, *, completed: bool) -> Made:
        """Find the snapshot, clean up, and wait for it if that is wanted."""
        snapshot_id = await self._snapshot_id(ended)
        if snapshot_id:
            self._tell(Begun(snapshot_id=snapshot_id, session_file=self._file))
        elif ended.outcome is Outcome.SUCCEEDED:
            there = f"its job has ended well, and there is no snapshot; the session is kept: {self._file}"
            raise CloudError("build", self._record.session_id, there)
        kept = await self.end()
        if not snapshot_id:
            return Made(ended=ended, kept=kept)
        async with self._snapshots() as snapshots:
            if completed:
                snapshot = await snapshots.wait_completed(snapshot_id, within=_COMPLETED_WITHIN)
            else:
                snapshot = await snapshots.just_begun(snapshot_id)
        return Made(ended=ended, snapshot=snapshot, kept=kept)

    async def _snapshot_id(self, ended: Ended) -> str:
        """Return the ID by the job's status, or by the tag, if the instance was lost before it could say so."""
        for job in ended.status.jobs:
            if X_SNAPSHOT in job.extra:
                return job.extra[X_SNAPSHOT]
        async with self._snapshots() as snapshots:
            found = await snapshots.releases()
        return next((each.snapshot_id for each in found if each.session_id == self._record.session_id), "")

    @asynccontextmanager
    async def _snapshots(self) -> AsyncIterator[Snapshots]:
        async with connect(region=self._record.region, access=self._record) as aws:
            yield Snapshots(aws)

    async def end(self) -> Path | None:
        """Remove what is left of the session, unless it is to be kept; returns its file if it is."""
        if self._keep:
            return self._file
        await cleanup(self._file, confirm=_yes)
        return None


async def _yes(_: object) -> bool:
    return True


def _read(what: str, reader: Callable[[str], T], text: str) -> T:
    try:
        return reader(text)
    except ValueError as error:
        raise InputError(f"{what}: found {text}, expected {error}") from None


def _definition(release: str) -> str:
    return f"{release};{_JOB_SCRIPT};1\n"


@contextmanager
def _folder(definition: str, scripts: Sequence[Path], files: Path | None) -> Iterator[Path]:
    """Give a folder with all that the session is started with, for as long as it is being started.

    Raises:
        InputError, ProblemsError: something of it cannot be read, or no shell can read a script.
    """
    _check(scripts)
    with temporary_folder() as place:
        folder = place / _FOLDER
        try:
            _fill(folder, scripts, files)
        except OSError as error:
            raise InputError(f"the files of the release cannot be read: {error}") from error
        (folder / JOBS_FILE).write_text(definition)
        (folder / _JOB_SCRIPT).write_text(_job_script(scripts))
        yield folder


def _check(scripts: Sequence[Path]) -> None:
    if len({each.name for each in scripts}) < len(scripts):
        raise InputError(f"both scripts have the name {scripts[0].name}: they are to be in one folder")
    problems: list[AwsacError] = []
    for each in scripts:
        try:
            with each.open("rb") as file:
                found, _ = check_scripts({each.name: file.read(MAX_TEXT + 1)}, archive=str(each.parent))
        except OSError as error:
            raise InputError(f"{each}: {error.strerror}") from error
        problems += found
    if problems:
        raise ProblemsError(problems)


def _fill(folder: Path, scripts: Sequence[Path], files: Path | None) -> None:
    if files is None:
        folder.mkdir()
    elif not files.is_dir():
        raise InputError(f"{files}: no such folder")
    else:
        _copy(files, folder)
    for each in scripts:
        there = folder / each.name
        if there.exists() and there.read_bytes() != each.read_bytes():
            raise InputError(f"{each} and {files}/{each.name} differ, and are to be in one folder")
        shutil.copyfile(each, there)
    for name in (JOBS_FILE, _JOB_SCRIPT):
        if (folder / name).exists():
            raise InputError(f"{files}/{name}: this name is awsac's own here")


def _copy(files: Path, folder: Path) -> None:
    """Copy a folder, links followed. Raises InputError, ProblemsError and OSError for what cannot be copied."""
    found = walk(files)
    for path in found.special:
        raise InputError(f"{clipped_path(path)}: a pipe, a socket or a device cannot be copied to an instance")
    folder.mkdir()
    for each in found.entries:
        if each.is_folder:
            (folder / each.name).mkdir()
        else:
            shutil.copy(each.path, folder / each.name)


def _job_script(scripts: Sequence[Path]) -> str:
    """Return the script of the job: all scripts, one after the other, up to the first that fails."""
    if not scripts:
        return 'ls "$ATLASDir"\n'
    return "".join(map(_lines, scripts))


def _lines(script: Path) -> str:
    with script.open("rb") as file:
        words = shlex.join(interpreter(file.read(FIRST_BYTES)))
    name = shlex.quote(script.name)
    return f'echo "awsac: {name} begins"\n{words} "$AWSACworkingDir"/{name} || exit\n'
