"""The verb ``logs``: what jobs and agents have written, while they run and afterwards.

Owns which logs a session has, when there is nothing more to wait for, and the wish by which the agents are told that
somebody follows. Reads what agents have sent; it never reaches an instance.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from awsac_async.client.check import read_status
from awsac_async.client.control import amend_control
from awsac_async.client.launches import count_instances
from awsac_async.client.logchunks import LogBytes, LogReader, LogSource, opened
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.status import StatusStore, store_of
from awsac_async.cloud.waiting import attempts, jittered
from awsac_async.session.control import Control
from awsac_async.session.errors import CloudError, InputError, NotFoundError
from awsac_async.session.jobs import no_such_job
from awsac_async.session.model import JobRecord, SessionRecord
from awsac_async.session.names import LOG_PACKED, X_LOG, X_LOG_BEGIN
from awsac_async.session.record import read_record

_log = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 4.0  # seconds between two looks; the agents send every two
_LIST_SECONDS = 0.25  # between two looks for each listing that one takes, which is paid for: 14400 an hour
_PATIENCE = 90.0  # seconds for which looks in a row may fail for a passing reason
_WISH_SECONDS = 20.0  # an agent counts as followed for a minute
_STATUS_SECONDS = 5.0


async def logs(
    session: Path,
    *,
    jobs: Collection[int] | None = None,
    agents: bool = False,
    tail: int | None = None,
    follow: bool = False,
    on_failure: Callable[[CloudError], None] = lambda _: None,
    on_missing: Callable[[LogSource], None] = lambda _: None,
) -> AsyncGenerator[LogBytes]:
    """Yield what has been written, each log in its order and every byte once.

    What an agent has not sent yet cannot be seen; it sends every minute, and every two seconds while somebody follows.

    Args:
        session: the session file.
        jobs: the jobs' numbers; None: all jobs, or none if ``agents``.
        agents: the logs of the agents as well.
        tail: begin with so many last lines of each log.
        follow: go on until these jobs have ended and all they wrote is here, or the session is over.
        on_failure: told of a passing failure of the cloud while following, once until it answers again.
        on_missing: told at the end of each log of which there is nothing.

    Raises:
        InputError: the session file is not one, or the session has no such job.
        CloudError: the cloud could not be asked; also after all chunks, if it cannot say whether there is more, or if
            a packed log is damaged.
    """
    record = await asyncio.to_thread(read_record, session)
    numbers = _numbers(record, jobs, agents)
    async with connect(region=record.region, access=record) as aws:
        bucket = Bucket(aws, record.bucket)
        sources = await _sources(bucket, record, numbers, agents)
        store = store_of(aws, record)
        async with opened(bucket, record.session_id, sources) as reader:
            if follow:
                following = _Following(aws=aws, bucket=bucket, record=record, store=store, sources=sources, tail=tail)
                async with aclosing(following.read(reader, on_failure)) as live:
                    async for piece in live:
                        yield piece
                tail = following.tail
            cut, unknown = await _cut_logs(store, sources)
            await reader.look()
            await reader.look_for_packed(cut)
            if tail is not None:
                await reader.skip_to_last(tail)
            async with aclosing(reader.new()) as rest:
                async for piece in rest:
                    yield piece
            if unknown:
                raise unknown
            for source in reader.empty():
                on_missing(source)
            for damage in reader.damage[1:]:
                _log.warning("%s", damage)
            if reader.damage:
                raise reader.damage[0]


async def log_sources(session: Path, *, jobs: Collection[int] | None = None, agents: bool = False) -> list[LogSource]:
    """Return whose logs :func:`logs` yields; the arguments are the same, and so is what it raises."""
    record = await asyncio.to_thread(read_record, session)
    numbers = _numbers(record, jobs, agents)
    async with connect(region=record.region, access=record) as aws:
        return await _sources(Bucket(aws, record.bucket), record, numbers, agents)


async def _sources(bucket: Bucket, record: SessionRecord, jobs: Collection[int], agents: bool) -> list[LogSource]:
    launch_indexes = range(await count_instances(bucket, record)) if agents else ()
    return [LogSource(job=number) for number in jobs] + [LogSource(agent=each) for each in launch_indexes]


def _numbers(record: SessionRecord, jobs: Collection[int] | None, agents: bool) -> list[int]:
    """Return the numbers of the jobs that are meant, checked, in order."""
    known = range(1, record.n_jobs + 1)
    if jobs is None:
        jobs = [] if agents else known
    if unknown := set(jobs) - set(known):
        raise InputError(no_such_job(unknown, session_id=record.session_id, known=known))
    return sorted(set(jobs))


async def _cut_logs(store: StatusStore, sources: Sequence[LogSource]) -> tuple[dict[int, int], CloudError | None]:
    """Return the jobs that have ended before all of their log was sent, or why that is not known.

    Of each, by its number, at which byte of its log the packed output begins that has the rest.
    """
    if all(source.job is None for source in sources):
        return {}, None
    try:
        jobs = await store.read()
    except NotFoundError:  # cleanup deletes it
        return {}, None
    except CloudError as error:
        return {}, error
    return {job.number: _log_begin(job) for job in jobs if job.extra.get(X_LOG) == LOG_PACKED}, None


def _log_begin(job: JobRecord) -> int:
    begin = job.extra.get(X_LOG_BEGIN, "")
    return int(begin) if begin.isdecimal() and len(begin) < 19 else 0  # another one is no agent's


@dataclass(kw_only=True)
class _Following:
    """Looks again and again, until nothing more will come. Times are monotonic seconds.

    ``tail`` is None once the logs that were there at the first look have been cut. ``ended`` are the jobs that had
    ended when the status was last read, ``complete`` those of them that had at the time before: looked at since.
    """

    aws: Aws
    bucket: Bucket
    record: SessionRecord
    store: StatusStore
    sources: list[LogSource]
    tail: int | None
    wish_at: float = field(default_factory=time.monotonic)
    status_at: float = field(default_factory=time.monotonic)
    ended: frozenset[int] = frozenset()
    complete: frozenset[int] = frozenset()
    over: bool = False

    async def read(self, reader: LogReader, on_failure: Callable[[CloudError], None]) -> AsyncGenerator[LogBytes]:
        """Yield what comes; a passing failure of the cloud is waited out."""
        pause = _FIRST_PAUSE
        while True:
            async with aclosing(self._patiently(reader, on_failure)) as news:
                async for piece in news:
                    yield piece
                    pause = _FIRST_PAUSE / 1.5
            if self.over:
                return
            pause = min(1.5 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(jittered(max(pause, _LIST_SECONDS * reader.calls)))

    async def _patiently(self, reader: LogReader, on_failure: Callable[[CloudError], None]) -> AsyncGenerator[LogBytes]:
        told = False
        async for last in attempts(within=_PATIENCE, longest=_LONGEST_PAUSE):
            try:
                async with aclosing(self._look(reader)) as news:
                    async for piece in news:
                        yield piece
                return
            except CloudError as error:
                if last or not error.temporary:
                    raise
                if not told:
                    on_failure(error)
                told = True

    async def _look(self, reader: LogReader) -> AsyncGenerator[LogBytes]:
        self.over = await self._ended()
        if self.over:
            return
        await self._wish()
        await reader.look(complete=self.complete)
        if self.tail is not None:
            await reader.skip_to_last(self.tail)
            self.tail = None
        async with aclosing(reader.new()) as news:
            async for piece in news:
                yield piece

    async def _ended(self) -> bool:
        """Whether these logs are complete, asked not too often; an agent sends a job's before it says that it ended."""
        if time.monotonic() < self.status_at:
            return False
        status = await read_status(self.aws, self.record, store=self.store)
        self.status_at = time.monotonic() + _STATUS_SECONDS
        self.complete, self.ended = self.ended, frozenset(job.number for job in status.jobs if status.ended(job))
        return status.over or all(source.job in self.ended for source in self.sources)

    async def _wish(self) -> None:
        """Tell the agents that somebody follows, now and as long as it is so."""
        if time.monotonic() >= self.wish_at:
            await amend_control(self.bucket, self.record.session_id, Control.following)
            self.wish_at = time.monotonic() + _WISH_SECONDS
