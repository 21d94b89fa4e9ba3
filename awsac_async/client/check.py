"""The verb ``check``: how a session stands, once or until it is over.

Owns the rule of when a session is over and which of its jobs went wrong. Reads only.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from awsac_async.client.launches import read_launches
from awsac_async.client.pace import Pace
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.instances import InstanceInfo, Instances
from awsac_async.cloud.status import StatusStore, store_of
from awsac_async.cloud.waiting import attempts
from awsac_async.session.errors import CloudError, NotFoundError, ThrottledError
from awsac_async.session.model import LOST, JobRecord, JobState, SessionRecord
from awsac_async.session.record import read_record
from awsac_async.session.times import now, parse_time
from awsac_async.session.userdata import shares_jobs

_PATIENCE = 180.0  # seconds for which looks in a row may fail for a passing reason
_NOT_YET, _NOT_KEPT = "no status yet", "no status was kept"  # of a job that has no item
_RUNNING = frozenset({"pending", "running", "stopping", "stopped"})
# EC2 may not show an instance for some seconds after its launch, and forgets it an hour after its end.
_APPEARS_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class SessionStatus:
    """How a session stands: all its jobs by number, and its instances by launch index.

    ``over``: no instance of it runs, so nothing will change any more.
    """

    record: SessionRecord
    jobs: tuple[JobRecord, ...] = field(repr=False)  # thousands; asyncio asks a finished task for its result's repr
    instances: tuple[InstanceInfo, ...] = field(repr=False)
    over: bool

    @property
    def failed(self) -> tuple[JobRecord, ...]:
        """The jobs that went wrong, or that the end of their instance left unfinished."""
        wrong = (job for job in self.jobs if _went_wrong(job) or job.number in self.lost_numbers)
        return tuple(job for job in wrong if job.number not in self.taken_over)

    @cached_property
    def shared(self) -> bool:
        """Whether its instances share its jobs: nobody knows beforehand who runs which."""
        return shares_jobs(self.record.user_data)

    @cached_property
    def taken_over(self) -> frozenset[int]:
        """The numbers of the jobs that others take over from their instance, which is gone or is being taken away."""
        if not self.shared or self.over:
            return frozenset()
        shown = _by_launch_index(self.instances)
        return frozenset(job.number for job in self.jobs if _falls_to_others(job, shown))

    def ended(self, job: JobRecord) -> bool:
        """Whether nothing more will be written of a job, unless it is retried."""
        return job.state.final and job.number not in self.taken_over

    @cached_property
    def lost(self) -> tuple[JobRecord, ...]:
        """The jobs that the end of their instance left unfinished; their ``reason`` says why."""
        shown = _by_launch_index(self.instances)
        return tuple(job for job in self.jobs if _left_behind(job, shown, self.over, self.shared))

    @cached_property
    def lost_numbers(self) -> frozenset[int]:
        """The numbers of the jobs that are lost."""
        return frozenset(job.number for job in self.lost)

    def shown_state(self, job: JobRecord) -> str:
        """Return the state of a job of the session, or "lost"."""
        return LOST if job.number in self.lost_numbers else job.state.value

    @property
    def started(self) -> datetime | None:
        """When the session was started, in UTC; None if a client of 2008 did."""
        return parse_time(self.record.started)

    @property
    def running_instances(self) -> tuple[InstanceInfo, ...]:
        """The instances that are not on their way out."""
        return tuple(each for each in self.instances if each.state in _RUNNING)


def _went_wrong(job: JobRecord) -> bool:
    return job.return_code not in {None, 0} or (job.state.final and not job.succeeded)


async def check(session: Path, *, timings: bool = True) -> SessionStatus:
    """Return how the session stands now.

    Args:
        session: the session file.
        timings: read also how long each part of each job took, a third of what there is to read.

    Raises:
        InputError: the session file is not one.
        CloudError: the cloud could not be asked.
    """
    record = await asyncio.to_thread(read_record, session)
    async with connect(region=record.region, access=record) as aws:
        return await read_status(aws, record, timings=timings)


async def watch(
    session: Path, *, on_failure: Callable[[CloudError], None] = lambda _: None
) -> AsyncGenerator[SessionStatus]:
    """Yield how the session stands: now, whenever that has changed, and at last when it is over.

    How often it looks is said in ``pace``. A passing failure of the cloud is waited out; ``on_failure`` is told of it,
    once until the cloud answers again, and then how the session stands is yielded even if that has not changed.
    """
    record = await asyncio.to_thread(read_record, session)
    async with connect(region=record.region, access=record) as aws:
        store = store_of(aws, record)
        status = await read_status(aws, record, store=store)
        yield status
        pace, failures = Pace(), list[CloudError]()
        pause = pace.after(status.jobs, changed=True, took=0.0)
        while not status.over:
            await asyncio.sleep(pause)
            failures.clear()
            latest, took = await _patiently(aws, record, store, on_failure, failures)
            changed = latest != status
            throttled = any(isinstance(each, ThrottledError) for each in failures)
            pause = pace.after(latest.jobs, changed=changed, took=took, throttled=throttled)
            if changed or failures:
                yield latest
            status = latest


async def _patiently(
    aws: Aws,
    record: SessionRecord,
    store: StatusStore,
    on_failure: Callable[[CloudError], None],
    failures: list[CloudError],
) -> tuple[SessionStatus, float]:
    """Return the status, and how many seconds it took to get; what failed before is added to ``failures``."""
    clock = asyncio.get_running_loop().time
    async for last in attempts(within=_PATIENCE, longest=10.0):
        began = clock()
        try:
            return await read_status(aws, record, store=store), clock() - began
        except CloudError as error:
            if last or not error.temporary:
                raise
            failures.append(error)
            if len(failures) == 1:
                on_failure(error)
    raise AssertionError("attempts() ends with a last one")


async def read_status(
    aws: Aws, record: SessionRecord, *, store: StatusStore | None = None, timings: bool = True
) -> SessionStatus:
    """Read the status over a connection that is there; every job of the session is in it.

    ``store`` is that of an earlier look, which knows what has not changed since.
    """
    # In this order: once an instance is seen to be gone, its last status has been written.
    instances = await _instances(aws, record)
    return await status_with(aws, record, instances, store=store, timings=timings)


async def _instances(aws: Aws, record: SessionRecord) -> tuple[InstanceInfo, ...]:
    return tuple(await Instances(aws).of_session(record.session_id))


async def status_with(
    aws: Aws,
    record: SessionRecord,
    instances: tuple[InstanceInfo, ...],
    *,
    store: StatusStore | None = None,
    timings: bool = True,
) -> SessionStatus:
    """Read the status of a session whose instances have been asked for, as ``read_status``."""
    store = store or store_of(aws, record)
    kept = {job.number: job for job in await _read_jobs(store, timings=timings)}
    if any(_is_of_nobody(job, _by_launch_index(instances)) for job in kept.values()):
        # It may have been started since its session's instances were asked for: both are asked once more.
        instances = await _instances(aws, record)
        kept = {job.number: job for job in await _read_jobs(store, timings=timings)}
    jobs = [kept.get(number) or JobRecord(number=number) for number in range(1, record.n_jobs + 1)]
    over = await _over(aws, record, instances, jobs)
    unknown = "; ".join(store.damage) or (_NOT_KEPT if over else _NOT_YET)
    jobs = [job if job.number in kept else replace(job, reason=unknown) for job in jobs]
    shown, shared = _by_launch_index(instances), shares_jobs(record.user_data)
    if shared:
        jobs = [_shown_shared(job, shown, over) for job in jobs]
    jobs = [_with_reason(job, shown) if _left_behind(job, shown, over, shared) else job for job in jobs]
    return SessionStatus(record=record, jobs=tuple(jobs), instances=instances, over=over)


async def _read_jobs(store: StatusStore, *, timings: bool) -> list[JobRecord]:
    try:
        return await store.read(timings=timings)
    except NotFoundError:  # In 2008 the first agent made the domain; and cleanup deletes it.
        return []


async def _over(
    aws: Aws, record: SessionRecord, instances: tuple[InstanceInfo, ...], jobs: Sequence[JobRecord]
) -> bool:
    if any(each.state in _RUNNING for each in instances):
        return False
    if any(_may_be_told_of(job, instances, shared=shares_jobs(record.user_data)) for job in jobs):
        return False
    awaited = {job.launch_index or 0 for job in jobs if not job.state.final}.difference(_by_launch_index(instances))
    if any(index >= record.n_instances for index in awaited):
        last = (await read_launches(Bucket(aws, record.bucket), record)).last
        return last is None or not _may_still_appear(last.started)
    return bool(instances) or not awaited or not _may_still_appear(record.started)


def _is_of_nobody(job: JobRecord, instances: Mapping[int | None, InstanceInfo]) -> bool:
    """Say whether a job has not ended, and EC2 did not show its instance."""
    return not job.state.final and bool(job.instance_id) and job.launch_index not in instances


def _may_be_told_of(job: JobRecord, instances: Iterable[InstanceInfo], *, shared: bool) -> bool:
    """Say whether an instance that is shutting down may still write how a job ended: its agent then does that."""
    going = {each.launch_index for each in instances if each.state == "shutting-down"}
    return not job.state.final and bool(going if shared else going & {job.launch_index})


def _may_still_appear(start: str) -> bool:
    # An uncompleted launch may have been made as well: its client died before it could note that.
    started = parse_time(start)
    return started is not None and now() - started < _APPEARS_WITHIN


def _by_launch_index(instances: Iterable[InstanceInfo]) -> Mapping[int | None, InstanceInfo]:
    return {each.launch_index: each for each in instances}


def _left_behind(job: JobRecord, instances: Mapping[int | None, InstanceInfo], over: bool, shared: bool) -> bool:
    """Say whether a job will never get to a final state: its own instance is gone, or all are."""
    if job.state.final or over:
        return not job.state.final
    return not shared and _is_gone(job, instances)


def _is_gone(job: JobRecord, instances: Mapping[int | None, InstanceInfo]) -> bool:
    """Say whether the instance of a job has ended."""
    own = instances.get(job.launch_index)
    # What an agent has written, and EC2 shows no more, has been terminated for an hour.
    return own.state == "terminated" if own else bool(job.instance_id)


def _falls_to_others(job: JobRecord, instances: Mapping[int | None, InstanceInfo]) -> bool:
    """Say whether another instance runs a shared job, of a session that is not over."""
    left_by_own = job.state is JobState.INTERRUPTED if job.state.final else _is_gone(job, instances)
    running = [each.launch_index for each in instances.values() if each.state in _RUNNING]
    return left_by_own and running != [job.launch_index]  # EC2 may not show the others yet


def _shown_shared(job: JobRecord, instances: Mapping[int | None, InstanceInfo], over: bool) -> JobRecord:
    """Return a shared job as it is shown: without the launch index of an instance that has not claimed it."""
    if job.state is JobState.PENDING and not job.instance_id:
        return replace(job, launch_index=None)
    if over or not _falls_to_others(job, instances):
        return job
    return replace(job, reason=f"{_with_reason(job, instances).reason}; another one takes it over")


def _with_reason(job: JobRecord, instances: Mapping[int | None, InstanceInfo]) -> JobRecord:
    """Say why a job will never get to a final state."""
    if job.reason:
        return job
    own = instances.get(job.launch_index)
    gone = (
        "its instance is gone" if job.instance_id or job.launch_index is not None else "no instance is left to run it"
    )
    return replace(job, reason=f"its instance is {own.state}: {own.reason}" if own else gone)
