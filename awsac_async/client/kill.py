"""The verbs ``kill`` and ``stop``: ask the agents of a running session to end some of its jobs, or all of it.

Owns which jobs can still be asked for. Asks and returns: the agents act when they next look, and save what the jobs
left; ``check`` shows what came of it. Never terminates an instance itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from awsac_async.client.check import SessionStatus, read_status
from awsac_async.client.control import amend_control
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.session.control import Control
from awsac_async.session.errors import InputError
from awsac_async.session.model import JobRecord, JobState, SessionRecord
from awsac_async.session.record import read_record

_CAN_BE_STOPPED = frozenset({JobState.PENDING, JobState.RUNNING})  # what has run is saved, whoever asks for its end


@dataclass(frozen=True, kw_only=True)
class Killed:
    """What became of a kill: the numbers of the jobs whose end was ``asked`` for, and of those that are ``unknown``.

    ``ended`` are the jobs that had run already; what they left is saved, or being saved. ``lost`` are those whose
    instance has ended before them.
    """

    session_id: str
    n_jobs: int
    asked: tuple[int, ...]
    ended: tuple[JobRecord, ...]
    lost: tuple[JobRecord, ...]
    unknown: tuple[int, ...]


async def kill(session: Path, jobs: Collection[int]) -> Killed:
    """Ask the agents of a session to stop jobs: TERM, and KILL to what is left of each after a grace of 15 s.

    Args:
        session: the session file.
        jobs: the jobs' numbers; those that have ended, or that there are not, keep nobody from asking for the rest.

    Raises:
        InputError: the session is over, or the session file is not one.
        CloudError: the cloud could not be asked.
    """
    record = await asyncio.to_thread(read_record, session)
    async with connect(region=record.region, access=record) as aws:
        status = await _under_way(aws, record)
        wanted = [job for job in status.jobs if job.number in jobs]
        lost = tuple(job for job in status.lost if job.number in jobs)
        gone = {job.number for job in lost}
        left = [job for job in wanted if job.number not in gone]
        can = {job.number for job in left if job.state in _CAN_BE_STOPPED} | status.taken_over
        asked = tuple(job.number for job in left if job.number in can)
        if asked:
            await amend_control(Bucket(aws, record.bucket), record.session_id, lambda control: control.killing(asked))
    return Killed(
        session_id=record.session_id,
        n_jobs=record.n_jobs,
        asked=asked,
        ended=tuple(job for job in left if job.number not in can),
        lost=lost,
        unknown=tuple(sorted(set(jobs) - {job.number for job in wanted})),
    )


async def stop(session: Path, *, confirm: Callable[[SessionStatus], Awaitable[bool]]) -> SessionStatus | None:
    """Ask the agents of a session to stop all of its jobs, save what they left, and terminate their instances.

    Args:
        session: the session file.
        confirm: asked once, with how the session stands.

    Returns:
        How the session stood; None if ``confirm`` said no, and nothing was asked.

    Raises:
        InputError: the session is over, or the session file is not one.
        CloudError: the cloud could not be asked.
    """
    record = await asyncio.to_thread(read_record, session)
    async with connect(region=record.region, access=record) as aws:
        status = await _under_way(aws, record)
        if not await confirm(status):
            return None
        await amend_control(Bucket(aws, record.bucket), record.session_id, Control.stopping)
        return status


async def _under_way(aws: Aws, record: SessionRecord) -> SessionStatus:
    status = await read_status(aws, record)
    if status.over:
        raise InputError(f"session {record.session_id} is over: there is nothing to stop any more")
    return status
