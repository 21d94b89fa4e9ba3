"""The status of this instance's jobs: one writer, and of each job only its latest state is written.

Jobs say how they stand and go on at once; a store that is slow or fails holds up nobody. What happened meanwhile to a
job is not queued: readers want to know how it stands, not how it stood.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from awsac_async.agent.log import describe
from awsac_async.agent.retry import foreseen, pauses
from awsac_async.cloud.status import StatusStore
from awsac_async.session.errors import CloudError, NotFoundError
from awsac_async.session.model import TRANSITIONS, JobRecord
from awsac_async.session.redaction import secrets
from awsac_async.session.statusdocs import StatusWriter

_log = logging.getLogger(__name__)
_LAST_PAUSE_SECONDS = 2.0


class StatusReporter:
    """Writes job records to the status store, from the first report until :meth:`close`.

    Args:
        store: the status store.
        by: says whose word it is, asked when something is written.
        on_end_written: told of each job whose end is written there.
    """

    def __init__(
        self,
        store: StatusStore,
        *,
        by: Callable[[], StatusWriter],
        on_end_written: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store, self._by, self._on_end_written = store, by, on_end_written
        self._records: dict[int, JobRecord] = {}
        self._unwritten: set[int] = set()
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._progress = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def report(self, record: JobRecord) -> None:
        """Say how a job stands; returns at once.

        The first report of a job may be any state: that in which an agent's predecessor left it.

        Raises:
            ValueError: the job cannot come into this state from the one it was last reported in.
        """
        before = self._records.get(record.number)
        if before is not None and before.state is not record.state and record.state not in TRANSITIONS[before.state]:
            raise ValueError(f"job {record.number} cannot go from {before.state} to {record.state}")
        self._records[record.number] = _readable(record)
        self._unwritten.add(record.number)
        self._news.set()
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name="status reporter")

    def know(self, record: JobRecord) -> None:
        """Take over a job whose end a predecessor has written: it may have begun anew elsewhere since."""
        self._records[record.number] = _readable(record)

    def forget(self, number: int) -> None:
        """Say nothing more of a job: it is somebody else's."""
        self._records.pop(number, None)
        self._unwritten.discard(number)

    def records(self) -> list[JobRecord]:
        """Return how each job stands, by number."""
        return [self._records[number] for number in sorted(self._records)]

    async def written(self, *, within: float) -> None:
        """Wait until all that was reported is written, for at most ``within`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._unwritten:
                    self._progress.clear()
                    await self._progress.wait()

    async def close(self, *, within: float) -> bool:
        """Write what is not written yet, for at most ``within`` seconds; returns whether all of it was written."""
        self._closing.set()
        self._news.set()
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=within)
            self._writer.cancel()
            await asyncio.wait({self._writer})
        return not self._unwritten

    async def _write_all(self) -> None:
        while not (self._closing.is_set() and not self._unwritten):
            await self._news.wait()
            self._news.clear()
            for pause in pauses(longest=30.0):
                if await self._write(sorted(self._unwritten)):
                    break
                await self._pause(pause)
            await self._rest()

    async def _write(self, numbers: Iterable[int]) -> bool:
        """Write the latest records of these jobs; whether the store took them."""
        records = [self._records[number] for number in numbers]
        try:
            await foreseen("write", "status", self._put(records))
        except CloudError as error:
            _log.warning("status of jobs %s not written yet: %s", [r.number for r in records], describe(error))
            return False
        for record in records:
            if self._records.get(record.number) is record:  # else there is newer news to write
                self._unwritten.discard(record.number)
                if record.state.final:
                    self._on_end_written(record.number)
        self._progress.set()
        return True

    async def _put(self, records: list[JobRecord]) -> None:
        """Write; the domain is created by whoever comes first, so a missing one is created here."""
        if not records:
            return
        try:
            await self._store.write(records, by=self._by(), known=self.records())
        except NotFoundError:
            await self._store.create()
            await self._store.write(records, by=self._by(), known=self.records())

    async def _pause(self, seconds: float) -> None:
        """Wait before another try: as long as it takes, but shortly when the agent is about to leave."""
        if self._closing.is_set():
            await asyncio.sleep(min(seconds, _LAST_PAUSE_SECONDS))
            return
        await self._unless_closing(seconds)

    async def _rest(self) -> None:
        """Wait as long as the store wants between two writes, in which only the latest news are kept."""
        if self._store.pause:
            await self._unless_closing(self._store.pause)

    async def _unless_closing(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()


def _readable(record: JobRecord) -> JobRecord:
    # Who reports quotes what AWS, tools and jobs said; the status is for all who may read the session.
    return replace(record, reason=secrets.redact(record.reason))
