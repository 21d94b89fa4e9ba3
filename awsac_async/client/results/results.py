"""The verb ``getresults``: everything a session saved, in one folder.

Owns the order: what there is and what of it is there already, then what the manifests say of the rest, the questions,
the downloads, what is missing and why, and unpacking. A file is noted in the folder's record as soon as it is there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path

from awsac_async.client.results.comparison import Compared, Standing, compare, settled
from awsac_async.client.results.files import Kind, Only, Selection, Target, find_targets
from awsac_async.client.results.manifests import Manifests, Statement, list_manifests
from awsac_async.client.results.missing import Missing, find_missing, find_parts
from awsac_async.client.results.record import Entry, ResultsRecord, opened
from awsac_async.client.results.unpacking import MemberLeftOut, Unpacked, unpack_all
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.objects import Download, Downloaded, ObjectInfo, Progress
from awsac_async.session.errors import DamagedError, InputError
from awsac_async.session.jobs import no_such_job
from awsac_async.session.model import SessionRecord
from awsac_async.session.names import results_directory, session_prefix
from awsac_async.session.record import read_record


class Overwrite(Enum):
    """What to do with a file that is there and differs from the object."""

    YES = "y"
    NO = "n"
    ALL = "a"


OnExisting = Callable[[Path], Awaitable[Overwrite]]


class FileState(StrEnum):
    """What came of a file: it was there already (``complete``), or differs and was not to be overwritten (``kept``)."""

    DOWNLOADED = "downloaded"
    COMPLETE = "complete"
    KEPT = "kept"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class ResultFile:
    """A file of the results; ``job`` is None if it is no job's, and ``reason`` says why it failed.

    ``spelled``: what its ``key`` has behind the session's prefix is no good name of a file, which has another one.
    ``verified``: its content has the SHA-256 that the job's manifest names. If not, its size and ETag are the object's.
    """

    path: Path
    job: int | None
    kind: Kind
    size: int
    state: FileState
    verified: bool = False
    reason: str = ""
    key: str = ""
    spelled: bool = False


@dataclass(frozen=True, kw_only=True)
class Results:
    """What came of it.

    ``refused`` are keys that cannot be files of their own in the folder, ``damaged`` says what is wrong with which
    manifests, ``not_unpacked`` why which archives were not unpacked to their end, and ``left_out`` what was left out of
    those that were, of each no more than the first thousand members: ``left_out_count`` has how many there are.
    """

    directory: Path
    files: tuple[ResultFile, ...]
    missing: tuple[Missing, ...]
    refused: tuple[str, ...]
    damaged: Mapping[str, str]
    unpacked: tuple[Path, ...]
    not_unpacked: Mapping[Path, str]
    left_out: Mapping[Path, Sequence[MemberLeftOut]] = field(default_factory=dict)
    left_out_count: Mapping[Path, int] = field(default_factory=dict)

    def of(self, state: FileState) -> tuple[ResultFile, ...]:
        """Return the files of which this came."""
        return tuple(file for file in self.files if file.state is state)

    @property
    def all_well(self) -> bool:
        """Whether everything that the session has saved is there."""
        return not (self.refused or self.damaged or self.not_unpacked or self.left_out or self.of(FileState.FAILED))


async def get_results(
    session: Path,
    output: Path,
    *,
    on_existing: OnExisting,
    on_progress: Callable[[Progress], None] = lambda _: None,
    jobs: Collection[int] | None = None,
    only: Only | None = None,
    extract: bool = False,
) -> Results:
    """Download what is below ``<session_id>/`` into ``<output>/session-<session_id>``; a second run fetches the rest.

    Args:
        session: the session file.
        output: folder of the results' folder; made if missing.
        on_existing: asked before a file that differs from its object is overwritten.
        on_progress: told how far the download is.
        jobs: numbers of the jobs whose files are wanted; None: all there is.
        only: the part of it that is wanted; None: all.
        extract: unpack the archives, each into a folder beside it.

    Raises:
        InputError: the session file is not one, has no such job, or the folder cannot be written.
        CloudError: the cloud refused or failed; what was downloaded stays.
    """
    record = await asyncio.to_thread(read_record, session)
    numbers = range(1, record.n_jobs + 1)
    if unknown := set(jobs or ()) - set(numbers):
        raise InputError(no_such_job(unknown, session_id=record.session_id, known=numbers))
    folder = output / results_directory(record.session_id)
    selection = Selection(jobs=jobs, only=only)
    with opened(folder) as known:
        async with connect(region=record.region, access=record) as aws:
            return await _Run(aws, record, folder, known, selection).get(on_existing, on_progress, extract)


class _Run:
    """One call of the verb."""

    def __init__(
        self, aws: Aws, record: SessionRecord, folder: Path, known: ResultsRecord, selection: Selection
    ) -> None:
        self._aws, self._record, self._folder, self._known = aws, record, folder, known
        self._selection = selection
        self._bucket = Bucket(aws, record.bucket)
        self._files: dict[Path, ResultFile] = {}

    async def get(self, on_existing: OnExisting, on_progress: Callable[[Progress], None], extract: bool) -> Results:
        objects, manifests = await self._list()
        targets, refused = find_targets(objects, self._record, self._folder, self._selection)
        done = await asyncio.to_thread(settled, targets, self._known)
        rest = _without(targets, done)
        await manifests.read(self._bucket, self._record.session_id, {each.job for each in rest if each.job})
        compared = [*done, *await asyncio.to_thread(compare, rest, self._known, manifests.statements)]
        self._take_complete(compared)
        wanted = await self._choose(compared, on_existing)
        await self._download(self._check_sizes(wanted, manifests.statements), manifests.statements, on_progress)
        if self._selection == Selection(jobs=None, only=None):
            self._known.drop_old()
        missing = await find_missing(
            self._aws, self._record, targets, selection=self._selection, with_manifest=manifests.listed
        )
        unpacked = await self._unpack(targets) if extract else Unpacked()
        return Results(
            directory=self._folder,
            files=tuple(self._files[target.path] for target in targets),
            missing=(*missing, *find_parts(targets, manifests.statements)),
            refused=refused,
            damaged=manifests.faults,
            unpacked=unpacked.folders,
            not_unpacked=unpacked.faults,
            left_out=unpacked.left_out,
            left_out_count=unpacked.left_out_count,
        )

    async def _list(self) -> tuple[Sequence[ObjectInfo], Manifests]:
        below = session_prefix(self._record.session_id)
        try:
            async with asyncio.TaskGroup() as group:
                objects = group.create_task(self._bucket.list_below(below), name="list results")
                manifests = group.create_task(list_manifests(self._bucket, self._record), name="list manifests")
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return objects.result(), manifests.result()

    def _take_complete(self, compared: Sequence[Compared]) -> None:
        """Note the files that are there; those that the record knows already cost nothing."""
        new: dict[str, Entry] = {}
        for target, entry in [(each.target, each.entry) for each in compared if each.entry is not None]:
            self._settle(target, FileState.COMPLETE, verified=entry.verified)
            if self._known.entries.get(target.path.name) != entry:
                new[target.path.name] = entry
        self._known.note(new)

    async def _choose(self, compared: Sequence[Compared], on_existing: OnExisting) -> list[Target]:
        """Return what is to be downloaded."""
        wanted = [each.target for each in compared if each.standing is Standing.MISSING]
        overwrite_all = False
        for target in [each.target for each in compared if each.standing is Standing.DIFFERING]:
            answer = Overwrite.ALL if overwrite_all else await on_existing(target.path)
            overwrite_all = answer is Overwrite.ALL
            if answer is Overwrite.NO:
                self._settle(target, FileState.KEPT)
            else:
                wanted.append(target)
        return wanted

    def _check_sizes(self, wanted: Sequence[Target], statements: Mapping[str, Statement]) -> list[Target]:
        """Return what may be right; what has not the size that was saved need not be fetched to be known as damaged."""
        right = []
        for target in wanted:
            statement = statements.get(target.info.key)
            if statement is None or statement.saved.size == target.info.size:
                right.append(target)
            else:
                found = f"it has {target.info.size} bytes, what was saved has {statement.saved.size}"
                self._settle(target, FileState.FAILED, reason=_as_damaged(found, target, statement))
        return right

    async def _download(
        self,
        wanted: Sequence[Target],
        statements: Mapping[str, Statement],
        on_progress: Callable[[Progress], None],
    ) -> None:
        by_path = {target.path: target for target in wanted}
        arrived: dict[str, Entry] = {}

        def take(done: Downloaded) -> None:
            target = by_path[done.item.target]
            if done.error is not None:
                damaged = isinstance(done.error, DamagedError)
                reason = _as_damaged(str(done.error), target, statements.get(done.item.key) if damaged else None)
                self._settle(target, FileState.FAILED, reason=reason)
                return
            arrived[target.path.name] = _entry(done)
            self._settle(target, FileState.DOWNLOADED, verified=done.item.sha256 is not None)

        def note(progress: Progress) -> None:
            self._known.note(arrived)
            arrived.clear()
            on_progress(progress)

        items = [_item(target, statements.get(target.info.key)) for target in wanted]
        try:
            await self._bucket.download(items, on_progress=note, on_done=take)
        finally:
            self._known.note(arrived)

    async def _unpack(self, targets: Sequence[Target]) -> Unpacked:
        there = {FileState.DOWNLOADED, FileState.COMPLETE}
        return await unpack_all([target for target in targets if self._files[target.path].state in there], self._known)

    def _settle(self, target: Target, state: FileState, *, verified: bool = False, reason: str = "") -> None:
        self._files[target.path] = ResultFile(
            path=target.path,
            job=target.job,
            kind=target.kind,
            size=target.info.size,
            state=state,
            verified=verified,
            reason=reason,
            key=target.info.key,
            spelled=target.spelled,
        )


def _without(targets: Sequence[Target], done: Sequence[Compared]) -> list[Target]:
    there = {each.target.path for each in done}
    return [target for target in targets if target.path not in there]


def _item(target: Target, statement: Statement | None) -> Download:
    info = target.info
    sha256 = None if statement is None else statement.saved.sha256
    return Download(key=info.key, target=target.path, size=info.size, etag=info.etag, sha256=sha256)


def _entry(done: Downloaded) -> Entry:
    return Entry(
        etag=done.item.etag,
        size=done.item.size,
        mtime_ns=done.mtime_ns,
        sha256=done.sha256,
        verified=done.item.sha256 is not None,
    )


def _as_damaged(reason: str, target: Target, statement: Statement | None) -> str:
    """Explain what a manifest does not fit: a job that is repeated saves its results first, then the manifest."""
    if statement is not None and target.info.modified > statement.written:
        return f"{reason}; it was saved again after its manifest: if the job is being repeated, try again later"
    return reason
