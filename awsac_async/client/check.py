"""The verb ``check``: how a session stands, once or until it is over.

Owns the rule of when a session is over and which of its jobs went wrong. Reads only.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.instances import InstanceInfo, Instances
from awsac_async.cloud.status import status_store
from awsac_async.cloud.waiting import attempts, jittered
from awsac_async.session.errors import CloudError, NotFoundError
from awsac_async.session.model import JobRecord, SessionRecord
from awsac_async.session.record import read_record
from awsac_async.session.times import now, parse_time

# Who watches wants to see the end of a job within two seconds; but looking at a large session takes seconds itself.
_FIRST_PAUSE = 0.5  # seconds
_CALM_PAUSE, _REST = 0.7, 4  # seconds between two looks, or so many times as long as the last one took
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
    jobs: tuple[JobRecord, ...]
    instances: tuple[InstanceInfo, ...]
    over: bool

    @property
    def failed(self) -> tuple[JobRecord, ...]:
        """The jobs that went wrong, or that the end of their instance left unfinished."""
        return tuple(job for job in self.jobs if _went_wrong(job) or job.number in self.lost_numbers)

    @cached_property
    def lost(self) -> tuple[JobRecord, ...]:
        """The jobs that the end of their instance left unfinished; their ``reason`` says why."""
        return tuple(job for job in self.jobs if _left_behind(job, self.instances, self.over))

    @cached_property
    def lost_numbers(self) -> frozenset[int]:
        """The numbers of the jobs that are lost."""
        return frozenset(job.number for job in self.lost)

    @property
    def running_instances(self) -> tuple[InstanceInfo, ...]:
        """The instances that are not on their way out."""
        return tuple(each for each in self.instances if each.state in _RUNNING)


def _went_wrong(job: JobRecord) -> bool:
    return job.return_code not in {None, 0} or (job.state.final and not job.succeeded)


async def check(session: Path) -> SessionStatus:
    """Return how the session stands now.

    Args:
        session: the session file.

    Raises:
        InputError: the session file is not one.
        CloudError: the cloud could not be asked.
    """
    record = await asyncio.to_thread(read_record, session)
    async with connect(region=record.region) as aws:
        return await read_status(aws, record)


async def watch(
    session: Path, *, on_failure: Callable[[CloudError], None] = lambda _: None
) -> AsyncGenerator[SessionStatus]:
    """Yield how the session stands: now, whenever that has changed, and at last when it is over.

    Looks more than once a second, less often at a session that is large, and at most a fifth of the time. A passing
    failure of the cloud is waited out; ``on_failure`` is told of it, once until the cloud answers again.
    """
    clock = asyncio.get_running_loop().time
    record = await asyncio.to_thread(read_record, session)
    async with connect(region=record.region) as aws:
        status = await read_status(aws, record)
        yield status
        pause = _FIRST_PAUSE
        while not status.over:
            await asyncio.sleep(jittered(pause))
            began = clock()
            latest = await _patiently(aws, record, on_failure)
            pause = max(_CALM_PAUSE, _REST * (clock() - began))
            if latest != status:
                yield latest
            status = latest


async def _patiently(aws: Aws, record: SessionRecord, on_failure: Callable[[CloudError], None]) -> SessionStatus:
    told = False
    async for last in attempts(within=_PATIENCE, longest=10.0):
        try:
            return await read_status(aws, record)
        except CloudError as error:
            if last or not error.temporary:
                raise
            if not told:
                on_failure(error)
            told = True
    raise AssertionError("attempts() ends with a last one")


async def read_status(aws: Aws, record: SessionRecord) -> SessionStatus:
    """Read the status over a connection that is there; every job of the session is in it."""
    # In this order: once an instance is seen to be gone, its last status has been written.
    instances = tuple(await Instances(aws).of_session(record.session_id))
    kept = {job.number: job for job in await _read_jobs(aws, record)}
    jobs = [kept.get(number) or JobRecord(number=number) for number in sorted({*range(1, record.n_jobs + 1), *kept})]
    over = _over(record, instances, jobs)
    jobs = [job if job.number in kept else replace(job, reason=_NOT_KEPT if over else _NOT_YET) for job in jobs]
    jobs = [_with_reason(job, instances) if _left_behind(job, instances, over) else job for job in jobs]
    return SessionStatus(record=record, jobs=tuple(jobs), instances=instances, over=over)


async def _read_jobs(aws: Aws, record: SessionRecord) -> tuple[JobRecord, ...]:
    try:
        return tuple(await status_store(aws, record.session_id).read())
    except NotFoundError:  # In 2008 the first agent made the domain; and cleanup deletes it.
        return ()


def _over(record: SessionRecord, instances: tuple[InstanceInfo, ...], jobs: Sequence[JobRecord]) -> bool:
    if any(each.state in _RUNNING for each in instances):
        return False
    return bool(instances) or all(job.state.final for job in jobs) or not _may_still_appear(record)


def _may_still_appear(record: SessionRecord) -> bool:
    # An uncompleted session may have been launched as well: its start died before it could note that.
    started = parse_time(record.started)
    return started is not None and now() - started < _APPEARS_WITHIN


def _left_behind(job: JobRecord, instances: tuple[InstanceInfo, ...], over: bool) -> bool:
    """Say whether a job will never get to a final state: its own instance is gone, or all are."""
    ended = over or any(each.state == "terminated" for each in _instances_of(job, instances))
    return ended and not job.state.final


def _instances_of(job: JobRecord, instances: tuple[InstanceInfo, ...]) -> list[InstanceInfo]:
    return [each for each in instances if each.launch_index == job.launch_index]


def _with_reason(job: JobRecord, instances: tuple[InstanceInfo, ...]) -> JobRecord:
    """Say why a job will never get to a final state."""
    if job.reason:
        return job
    fates = [f"{each.state}: {each.reason}" for each in _instances_of(job, instances)]
    return replace(job, reason=f"its instance is {fates[0]}" if fates else "its instance is gone")
