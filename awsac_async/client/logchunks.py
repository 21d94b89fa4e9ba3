"""The logs of a session as they are in its bucket: chunks while it runs, packed files where chunks are missing.

Owns how far each log has been read, in what order its bytes come, and where its last lines begin. Holds a few
megabytes at a time, whatever the size of a log.
"""

import asyncio
import bz2
import math
import re
import shutil
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from awsac_async.client.scratch import temporary_folder
from awsac_async.client.tarreader import MemberKind, TarError, TarReader
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.objects import Download, ObjectInfo, address
from awsac_async.session import names
from awsac_async.session.errors import DamagedError
from awsac_async.session.wording import shown_size

_PART = 4 << 20  # bytes fetched at once
_TAIL_PART = 256 << 10  # bytes fetched at once to find the last lines
_AT_ONCE = 6
_MOST_ATTEMPTS = 1000  # of a job; a packed log has a file for each
_PAGE = 1000  # keys of a listing, for which one call is paid


@dataclass(frozen=True, kw_only=True)
class LogSource:
    """Whose log it is: a job's, by its number, or an agent's, by its launch index."""

    job: int | None = None
    agent: int | None = None

    def __str__(self) -> str:
        return f"agent {self.agent}" if self.job is None else f"job {self.job}"

    def prefix(self, session_id: str) -> str:
        """Return the prefix of its chunks."""
        if self.job is not None:
            return names.job_log_prefix(session_id, self.job)
        return names.agent_log_prefix(session_id, self.agent or 0)

    def packed_key(self, session_id: str) -> str:
        """Return the key of the packed file."""
        if self.job is not None:
            return names.output_key(session_id, self.job)
        return names.agent_log_key(session_id, self.agent or 0)


@dataclass(frozen=True, kw_only=True)
class LogBytes:
    """Bytes of one log, and where in it they begin."""

    source: LogSource
    offset: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class _Extent:
    """A part of a log: where it begins, how long it is, and how bytes of it (start, end) are read."""

    offset: int
    size: int
    read: Callable[[int, int], Awaitable[bytes]]


@dataclass(kw_only=True)
class _Log:
    """What is known of one log. ``position`` is behind the last byte that was given out."""

    source: LogSource
    prefix: str
    extents: list[_Extent] = field(default_factory=list)
    last_key: str = ""
    position: int = 0

    @property
    def end(self) -> int:
        """Where what is known of it ends."""
        return self.extents[-1].offset + self.extents[-1].size if self.extents else 0


class LogReader:
    """Some logs of one session. Made by :func:`opened`."""

    def __init__(self, bucket: Bucket, session_id: str, sources: Sequence[LogSource], folder: Path) -> None:
        self._bucket, self._session_id, self._folder = bucket, session_id, folder
        self._logs = [_Log(source=source, prefix=source.prefix(session_id)) for source in sources]
        self._known = 0  # keys below the prefix of all logs
        self.calls = 0  # that the last look was charged for
        self.damage: list[DamagedError] = []  # of packed files; what can be read of them is read

    def empty(self) -> list[LogSource]:
        """Return the logs of which there is nothing."""
        return [log.source for log in self._logs if not log.extents]

    async def look(self, *, complete: Collection[int] = ()) -> None:
        """Find out which chunks there are; of the jobs that are ``complete`` perhaps not."""
        logs = [log for log in self._logs if log.source.job not in complete]
        # All logs at once, as long as that takes no more pages than one call for each.
        if len(logs) > 1 and self._known <= _PAGE * len(logs):
            lists = [await self._bucket.list(names.logs_prefix(self._session_id))]
            self._known = len(lists[0])
        else:
            lists = await asyncio.gather(*(self._bucket.list(log.prefix, after=log.last_key) for log in logs))
        self.calls = sum(1 + len(found) // _PAGE for found in lists)
        objects = [each for found in lists for each in found]
        by_prefix = {log.prefix: log for log in self._logs}
        for each in objects:
            log = by_prefix.get(f"{each.key.rpartition('/')[0]}/")
            offset = names.log_chunk_offset(log.prefix, each.key) if log else None
            # What does not follow on what is there is no agent's: each sends its chunks one after the other.
            if log and offset is not None and offset <= log.end and each.key > log.last_key:
                read = partial(self._read, each.key)
                log.extents.append(_Extent(offset=offset, size=each.size, read=read))
                log.last_key = each.key

    async def look_for_packed(self, cut: Mapping[int, int]) -> None:
        """Go on from the packed file, if there is one, in each log that has no chunks, or is of a job in ``cut``.

        ``cut`` says at which byte of the log the packed file begins, by the job's number.
        """
        missing = [log for log in self._logs if not log.extents or log.source.job in cut]
        prefix = names.session_prefix(self._session_id)
        found = {each.key: each for each in await self._bucket.list(prefix)} if missing else {}
        for log in missing:
            if packed := found.get(log.source.packed_key(self._session_id)):
                begin = cut.get(log.source.job, 0) if log.source.job else 0
                log.extents.append(await self._unpacked(packed, begin=begin, behind=log.end))

    async def skip_to_last(self, lines: int) -> None:
        """Begin each log of which nothing was given out with its last ``lines`` lines."""
        for log in self._logs:
            if not log.position:
                log.position = await _start_of_last(log.extents, lines)

    async def new(self) -> AsyncGenerator[LogBytes]:
        """Yield what has not been given out, each log in its order; several parts are fetched ahead."""
        async with aclosing(_in_order(part for log in self._logs for part in _parts(log))) as parts:
            async for log, piece in parts:
                log.position = piece.offset + len(piece.data)
                yield piece

    async def _read(self, key: str, start: int, end: int) -> bytes:
        return await self._bucket.read_part(key, start=start, end=end)

    async def _unpacked(self, packed: ObjectInfo, *, begin: int, behind: int) -> _Extent:
        """Return what a packed log, which begins at ``begin``, holds behind an offset: the same bytes as the chunks."""
        name = packed.key.rpartition("/")[2]
        archive, log = self._folder / name, self._folder / f"{name}.log"
        await self._bucket.download([Download(key=packed.key, target=archive, size=packed.size, etag=packed.etag)])
        size, damage = await asyncio.to_thread(_unpack, archive, log)
        if damage:
            self.damage.append(DamagedError("GetObject", address(self._bucket.name, packed.key), damage))
        skipped = max(0, behind - begin)
        read = partial(_read_file, log, skipped)
        return _Extent(offset=behind, size=max(0, size - skipped), read=partial(asyncio.to_thread, read))


@asynccontextmanager
async def opened(bucket: Bucket, session_id: str, sources: Sequence[LogSource]) -> AsyncIterator[LogReader]:
    """Give a reader of these logs; what it has to keep on disk goes with it."""
    with temporary_folder() as folder:
        yield LogReader(bucket, session_id, sources, folder)


_Part = tuple[_Log, LogBytes]


def _parts(log: _Log) -> Iterator[Callable[[], Awaitable[_Part]]]:
    """Return the calls that fetch what has not been given out of a log."""

    async def fetch(extent: _Extent, start: int, end: int) -> _Part:
        data = await extent.read(start, end)
        return log, LogBytes(source=log.source, offset=extent.offset + start, data=data)

    for extent in log.extents:
        for start in range(max(0, log.position - extent.offset), extent.size, _PART):
            yield partial(fetch, extent, start, min(extent.size, start + _PART))


async def _in_order(calls: Iterable[Callable[[], Awaitable[_Part]]]) -> AsyncGenerator[_Part]:
    """Yield what the calls return, in their order; some are under way ahead."""
    under_way: deque[asyncio.Future[_Part]] = deque()
    try:
        for call in calls:
            under_way.append(asyncio.ensure_future(call()))
            if len(under_way) == _AT_ONCE:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _start_of_last(extents: Sequence[_Extent], lines: int) -> int:
    """Return where the last lines begin, read from the end: the fewer lines, the fewer bytes are fetched."""
    end = extents[-1].offset + extents[-1].size if extents else 0
    missing = lines
    for extent in reversed(extents):
        for stop in range(extent.size, 0, -_TAIL_PART):
            start = max(0, stop - _TAIL_PART)
            block = await extent.read(start, stop)
            # The newline at the very end ends the last line, it does not begin one.
            limit = len(block) - (extent.offset + stop == end and block.endswith(b"\n"))
            breaks = block.count(b"\n", 0, limit)
            if breaks >= missing:
                for _ in range(missing):
                    limit = block.rindex(b"\n", 0, limit)
                return extent.offset + start + limit + 1 if missing else end
            missing -= breaks
    return 0


def _unpack(archive: Path, target: Path) -> tuple[int, str]:
    """Write the files of an archive, in the order of attempts, into ``target``; return its size, and what is damaged.

    Of a damaged archive that is what comes before the damage.
    """
    room = shutil.disk_usage(target.parent).free // 2
    parts, damage = list[tuple[float, Path]](), ""
    try:
        with archive.open("rb") as compressed, bz2.open(compressed) as stream:
            reader = TarReader(stream)
            while (member := reader.next()) and not damage:
                room -= member.stored
                if member.kind is MemberKind.FILE:
                    if room < 0 or len(parts) == _MOST_ATTEMPTS or member.stored != member.size:
                        damage = f"it holds more than a log, {shown_size(member.size)} in file {len(parts) + 1}"
                        continue
                    part = target.with_suffix(f".{len(parts)}")
                    parts.append((_attempt(member.name), part))
                    with part.open("wb") as file:
                        file.writelines(piece for _, piece in reader.pieces())
    except TarError as error:
        damage = f"the archive {error}"
    with target.open("wb") as log:
        for _, part in sorted(parts):
            with part.open("rb") as file:
                shutil.copyfileobj(file, log, 1 << 20)
            part.unlink()
        return log.tell(), damage


def _attempt(name: bytes) -> float:
    """Return the number of the attempt whose output a member is; the last one's name has none."""
    numbered = re.search(rb"\.attempt_([0-9]{1,9})\.log$", name)
    return int(numbered[1]) if numbered else math.inf


def _read_file(path: Path, behind: int, start: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(behind + start)
        return file.read(end - start)
