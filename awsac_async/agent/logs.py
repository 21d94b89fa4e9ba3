"""Logs on their way to S3: what jobs and the agent itself write, as chunks that anybody may read while they go on.

Owns when a chunk is sent (``docs/logs.md`` has the rule and its cost) and how much is in memory. A chunk that cannot be
sent stays on disk; nothing here ever stops a job, and results do not wait for it.
"""

import asyncio
import logging
import mmap
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from awsac_async.agent.logfiles import LogFile, LogStream
from awsac_async.agent.retry import foreseen, passing, pauses
from awsac_async.cloud.objects import ObjectInfo
from awsac_async.session.errors import CloudError, ConflictError
from awsac_async.session.names import log_chunk_key

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

CHUNK_BYTES = 20 << 20  # a job that writes 1 MB/s fills 172 an hour
LOOK_SECONDS = 2.0
QUIET_SECONDS = 60.0  # between two chunks while nobody follows, 60 an hour
FULL_SECONDS = 20.0  # between two full ones, 180 an hour; 200 PUTs cost 0.1 US cents
FOLLOWED_SECONDS = 60.0  # after a client has said that it follows
_REST_SECONDS = 1.0  # after a chunk that somebody follows; a slow one ends shortly before the next look
_DISK_THREADS = 2


class ChunkStore(Protocol):
    """Where chunks go; ``Bucket`` is one."""

    async def create(self, key: str, body: bytes | memoryview) -> None:
        """Write an object that is not there yet. Raises ConflictError."""

    async def list(self, prefix: str) -> Sequence[ObjectInfo]:
        """Return the objects whose keys begin with ``prefix``."""


def due(*, waiting: int, rested: float, followed: bool) -> bool:
    """Whether a chunk of a log is to be sent now.

    Args:
        waiting: bytes that have not been sent.
        rested: seconds since its last chunk, or since it was added.
        followed: whether somebody wants to see it.
    """
    full = waiting >= CHUNK_BYTES
    if followed:
        return full or (waiting > 0 and rested >= _REST_SECONDS)
    return rested >= FULL_SECONDS if full else waiting > 0 and rested >= QUIET_SECONDS


@dataclass(kw_only=True)
class _Log:
    """One log on its way. ``lock`` is held by whoever sends a chunk of it."""

    prefix: str
    stream: LogStream
    shipped: float = field(default_factory=time.monotonic)
    failing: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class LogShipper:
    """Ships the logs of one instance while :meth:`run` runs.

    Args:
        bucket: where to.
        directory: holds the notes by which a successor goes on; made if missing.
    """

    def __init__(self, bucket: ChunkStore, directory: Path) -> None:
        self._bucket, self._directory = bucket, directory
        self._logs: dict[str, _Log] = {}
        self._room = _Room(CHUNK_BYTES)
        self._followed_until = time.monotonic()
        self._wake = asyncio.Event()
        # Of its own: the disk of a log must not wait until results are packed, nor they for it.
        self._threads = ThreadPoolExecutor(_DISK_THREADS, thread_name_prefix="logs")

    async def add(self, prefix: str, file: LogFile, *, begin: int = 0) -> None:
        """Ship a file as chunks below ``prefix``; the bytes of one more file there come after those before.

        ``begin`` is where in the log the first of them begins: behind what earlier launches have sent.

        To be called by a successor as well, with the same files in the same order; and before the directory of an
        attempt at a job is moved away, since that is the last look at ``shown`` of the attempt.
        """
        if prefix not in self._logs:
            self._logs[prefix] = await self._on_disk(lambda: self._open(prefix, begin))
        await self._on_disk(lambda: self._logs[prefix].stream.add(file))

    def follow(self) -> None:
        """Somebody follows, for a minute from now on."""
        self._followed_until = time.monotonic() + FOLLOWED_SECONDS
        self._wake.set()

    async def run(self) -> None:
        """Look at all files again and again, and send what is due; ends by cancellation only."""
        async with asyncio.TaskGroup() as group:
            while True:
                for log, waiting in await self._on_disk(self._look):
                    if not log.lock.locked() and self._due(log, waiting):
                        group.create_task(self._ship_due(log), name=f"ship {log.prefix}")
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._wake.wait()
                self._wake.clear()

    async def finish(self, prefix: str, *, within: float) -> bool:
        """Send all that is there of a log that is written no more; returns whether all of it has arrived.

        What has not arrived ``within`` seconds stays, and :meth:`run` goes on trying.
        """
        if prefix not in self._logs:
            return True
        log = self._logs[prefix]
        with suppress(TimeoutError, CloudError):
            async with asyncio.timeout(within), log.lock:
                await self._ship_all(log)
                del self._logs[prefix]
                return True
        _log.warning("log %s: not all of it was sent, the packed one will have it", prefix)
        return False

    async def forget(self, prefix: str) -> None:
        """Send nothing more of a log, and know nothing of it any more: it is somebody else's to go on with."""
        log = self._logs.pop(prefix, None)
        if log is None:
            log = await self._on_disk(lambda: self._open(prefix, 0))
        async with log.lock:  # a chunk that is on its way
            await self._on_disk(log.stream.forget)

    async def finish_all(self, *, within: float) -> bool:
        """Send all that is left of all logs; returns whether all of it has arrived."""
        finished = await asyncio.gather(*(self.finish(prefix, within=within) for prefix in list(self._logs)))
        return all(finished)

    def _open(self, prefix: str, begin: int) -> _Log:
        self._directory.mkdir(parents=True, exist_ok=True)
        name = prefix.rstrip("/").rpartition("/")[2]
        return _Log(prefix=prefix, stream=LogStream(self._directory / f"{name}.json", begin=begin))

    def _look(self) -> list[tuple[_Log, int]]:
        return [(log, log.stream.look()) for log in list(self._logs.values())]

    def _due(self, log: _Log, waiting: int) -> bool:
        now = time.monotonic()
        return due(waiting=waiting, rested=now - log.shipped, followed=now < self._followed_until)

    async def _ship_due(self, log: _Log) -> None:
        async with log.lock:
            with suppress(CloudError):  # told; the next look tries again
                while self._due(log, await self._on_disk(log.stream.look)):
                    await self._ship(log)

    async def _ship_all(self, log: _Log) -> None:
        """Send all that is there, trying again what may pass; raises CloudError for what will not."""
        for pause in pauses(longest=30.0):
            try:
                while await self._ship(log):
                    pass
            except CloudError as error:  # told
                if not passing(error):
                    raise
            else:
                return
            await asyncio.sleep(pause)

    async def _ship(self, log: _Log) -> bool:
        """Send one chunk; returns False if there is nothing to send. Raises CloudError."""
        try:
            sent = await foreseen("ship", log.prefix, self._send_next(log))
        except CloudError as error:
            if not log.failing:
                _log.warning("log %s: %s; trying again", log.prefix, error)
            log.failing = True
            raise
        finally:
            log.shipped = time.monotonic()
        log.failing = False
        return sent

    async def _send_next(self, log: _Log) -> bool:
        stream = log.stream
        if stream.unsettled:
            await self._ask_what_arrived(log)
        size = min(CHUNK_BYTES, await self._on_disk(stream.look))
        async with self._room.taken(size):
            chunk = await self._on_disk(lambda: stream.read(size))
            if chunk is None:
                return False
            try:
                await self._bucket.create(log_chunk_key(log.prefix, chunk.offset), chunk.body)
            except ConflictError:
                await self._ask_what_arrived(log)
            else:
                await self._on_disk(lambda: stream.settle(len(chunk.body)))
            _give_back(chunk.body)  # not after a failure: a thread may still be sending it
        return True

    async def _ask_what_arrived(self, log: _Log) -> None:
        """Settle a chunk of which no answer has come: to this agent, or to the one before it."""
        key = log_chunk_key(log.prefix, log.stream.offset)
        sizes = {each.key: each.size for each in await self._bucket.list(key)}
        await self._on_disk(lambda: log.stream.settle(sizes.get(key)))

    async def _on_disk(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _give_back(body: bytes | memoryview) -> None:
    """Return a chunk's memory to the system: who has sent it may hold it until the next one is sent."""
    if isinstance(body, memoryview) and isinstance(body.obj, mmap.mmap):
        body.obj.madvise(mmap.MADV_DONTNEED)


class _Room:
    """Room for so many bytes in memory; one chunk always fits if there is nothing else."""

    def __init__(self, size: int) -> None:
        self._size, self._taken = size, 0
        self._left = asyncio.Condition()

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        """Wait until there is room for this many bytes, and hold it."""
        async with self._left:
            await self._left.wait_for(lambda: not self._taken or self._taken + size <= self._size)
            self._taken += size
        try:
            yield
        finally:
            self._taken -= size
            async with self._left:
                self._left.notify_all()
