"""The verb ``ls``: all sessions of a bucket, or of all buckets of the account in a region, newest first.

Owns what a session is called that may have left little behind. Reads only: a list a bucket, a small object a session
and its status, and one description of all instances.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from awsac_async.client.buckets import Buckets, Remark, find_buckets, holds_session, read_copy, sessions_of
from awsac_async.client.check import SessionStatus, status_with
from awsac_async.client.costs import cost_so_far
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.domains import domain_names
from awsac_async.cloud.instances import InstanceInfo, Instances
from awsac_async.cloud.status import status_store
from awsac_async.cloud.waiting import for_each
from awsac_async.session.errors import CloudError, FormatError
from awsac_async.session.model import LOST, JobRecord, JobState, StatusKind
from awsac_async.session.record import session_id_time
from awsac_async.session.times import now

_AT_ONCE = 8


class SessionState(StrEnum):
    """How a session stands as a whole.

    ``starting``: it was started some minutes ago at most, and EC2 shows no instance yet. ``not started``: its start
    was given up, or died. ``orphaned``: instances run, and nothing else is left of it. ``unknown``: what is left does
    not say.
    """

    STARTING = "starting"
    NOT_STARTED = "not started"
    UNDER_WAY = "under way"
    OVER = "over"
    ORPHANED = "orphaned"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class SessionSummary:
    """One session in a line. ``bucket`` is "" where it is not known, ``started`` (UTC) then None.

    ``jobs``: how many jobs are in each status, those that are ``lost`` apart; ``failed``: how many went wrong.
    ``instances``: how many there are now. ``cost``: USD so far, or None.
    """

    session_id: str
    bucket: str
    started: datetime | None
    state: SessionState
    jobs: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    instances: int = 0
    cost: float | None = None

    @property
    def n_jobs(self) -> int:
        """How many jobs are known of."""
        return sum(self.jobs.values())


async def list_sessions(
    *, region: str | None = None, buckets: Sequence[str] = (), on_remark: Remark = lambda _: None
) -> list[SessionSummary]:
    """Return all sessions, newest first.

    Args:
        region: where; None: as for every AWS tool.
        buckets: only the sessions of these; none named: those of all buckets of the account in this region, and
            whatever else says that there is a session, or was one.
        on_remark: told a sentence on each bucket or session that cannot be read; it is passed over.

    Raises:
        CloudError: EC2 cannot be asked.
        InputError: no bucket is named, and those of the account cannot be listed.
    """
    async with connect(region=region) as aws:
        listing = _Listing(aws=aws, buckets=await find_buckets(aws, buckets), all_of_them=not buckets, remark=on_remark)
        found = await listing.read()
    return sorted(found, key=_newest_first)


class _Listing:
    """One look at the account: which sessions there are, then each of them, some at a time."""

    def __init__(self, *, aws: Aws, buckets: Buckets, all_of_them: bool, remark: Remark) -> None:
        self._aws, self._buckets, self._all, self._remark = aws, buckets, all_of_them, remark
        self._bucket_of: dict[str, str] = {}  # by session ID; "" if nothing of it is in a bucket
        self._instances: dict[str, list[InstanceInfo]] = defaultdict(list)
        self._found: list[SessionSummary] = []

    async def read(self) -> list[SessionSummary]:
        for instance in await Instances(self._aws).of_all_sessions():
            self._instances[instance.session_id].append(instance)
        await for_each(self._buckets.searched, self._find_copies, at_once=_AT_ONCE, name="list a bucket")
        await for_each(await self._other_names(), self._find_others, at_once=_AT_ONCE, name="look for a session")
        await for_each(sorted(self._bucket_of), self._summarize, at_once=_AT_ONCE, name="read a session")
        return self._found

    async def _find_copies(self, bucket: str) -> None:
        try:
            self._bucket_of.update(dict.fromkeys(await sessions_of(self._aws, bucket), bucket))
        except CloudError as error:
            self._remark(f"the bucket {bucket} is passed over: {error}")

    async def _other_names(self) -> list[str]:
        """Return what names a session without a folder of its own: a domain, or the tag of an instance that lives."""
        try:
            domains = await domain_names(self._aws)
        except CloudError as error:
            self._remark(f"sessions of older clients may be missing: {error}")
            domains = []
        names = {name for name in domains if session_id_time(name)}
        names |= {name for name, instances in self._instances.items() if any(each.live for each in instances)}
        return sorted(names - self._bucket_of.keys())

    async def _find_others(self, session_id: str) -> None:
        for bucket in self._buckets.searched:
            try:
                if await holds_session(self._aws, bucket, session_id):
                    self._bucket_of[session_id] = bucket
                    return
            except CloudError:
                continue  # it was told of when the bucket was to be listed
        if self._all:
            self._bucket_of[session_id] = ""

    async def _summarize(self, session_id: str) -> None:
        bucket, instances = self._bucket_of[session_id], tuple(self._instances.get(session_id, ()))
        try:
            record = await read_copy(self._aws, bucket, session_id) if bucket else None
            if record:
                summary = _of_status(await status_with(self._aws, record, instances))
            else:
                summary = _of_remains(session_id, bucket, instances, await self._jobs(session_id, bucket))
        except (CloudError, FormatError) as error:
            self._remark(f"of session {session_id} little is known: {error}")
            summary = _of_remains(session_id, bucket, instances, None)
        self._found.append(summary)

    async def _jobs(self, session_id: str, bucket: str) -> Sequence[JobRecord] | None:
        """Return the status of a session whose file is not known: from its bucket if it is there, or its domain."""
        if bucket and (jobs := await status_store(self._aws, session_id, kind=StatusKind.S3, bucket=bucket).read()):
            return jobs
        store = status_store(self._aws, session_id)
        return await store.read() if await store.exists() else None


def _of_status(status: SessionStatus) -> SessionSummary:
    return SessionSummary(
        session_id=status.record.session_id,
        bucket=status.record.bucket,
        started=status.started,
        state=_state(status),
        jobs=_counts(map(status.shown_state, status.jobs)),
        failed=len(status.failed),
        instances=sum(each.live for each in status.instances),
        cost=cost_so_far(status, at=now()),
    )


def _state(status: SessionStatus) -> SessionState:
    if status.running_instances:
        return SessionState.UNDER_WAY
    if not status.over:
        return SessionState.STARTING
    untouched = all(job.state is JobState.PENDING for job in status.jobs)
    launched = status.record.ec2_reservation_id or status.instances
    return SessionState.NOT_STARTED if untouched and not launched else SessionState.OVER


def _of_remains(
    session_id: str, bucket: str, instances: Sequence[InstanceInfo], jobs: Sequence[JobRecord] | None
) -> SessionSummary:
    """Summarize a session of which there is no file: of a client of 2008, not yet started, or half deleted."""
    live = [each for each in instances if each.live]
    if live:
        state = SessionState.UNDER_WAY if bucket or jobs is not None else SessionState.ORPHANED
    else:  # instances of 2008 carry no tag: only their jobs can say that they are done
        state = SessionState.OVER if jobs and all(job.state.final for job in jobs) else SessionState.UNKNOWN
    return SessionSummary(
        session_id=session_id,
        bucket=bucket,
        started=min((each.launched for each in instances), default=None),
        state=state,
        jobs=_counts(job.state.value for job in jobs or ()),
        failed=sum(job.state.final and not job.succeeded for job in jobs or ()),
        instances=len(live),
    )


def _counts(words: Iterable[str]) -> Mapping[str, int]:
    """Count the jobs in each status, in the order in which a job comes to them."""
    found = Counter(words)
    order = [*(state.value for state in JobState), LOST]
    return {word: found[word] for word in order if found[word]}


def _newest_first(summary: SessionSummary) -> tuple[float, str]:
    local = session_id_time(summary.session_id)  # of some place: near enough for an order
    began = summary.started or (local.replace(tzinfo=UTC) if local else datetime.min.replace(tzinfo=UTC))
    return -began.timestamp(), summary.session_id
