"""One object's bytes in their order, for whoever can use them at once, while the ranges behind are being fetched.

Owns the ranges on their way: each thread holds one, and hands it over when all before it are gone, so memory is bounded
by the number of threads. Every request carries ``If-Match``: what is handed over is one version of the object, or the
call fails. Nothing of it ever touches a disk here.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.downloads import check_length, check_version
from awsac_async.cloud.objects import ObjectInfo, address
from awsac_async.cloud.threads import Lane, Tally, Task, Threads
from awsac_async.session.errors import DeniedError, NotFoundError

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import S3Store

# 24 MiB in all, since an agent is to stay small. One connection to S3 brings some 90 MB/s: so many bring more than a
# disk of EBS takes, or any decompression yields.
RANGE = 4 << 20  # bytes
AT_ONCE = 6
_CHUNK = 1 << 20  # bytes handed over at once

Write = Callable[[bytes], None]


async def head(aws: Aws, store: "S3Store", bucket: str, key: str) -> ObjectInfo:
    """Return what S3 says of an object; by the way that its bytes will come, so what stands in that way is found.

    Raises:
        NotFoundError: it is not there.
        DeniedError: it may not be read, or, where objects may not be listed, is not there.
    """
    import obstore

    place, threads = address(bucket, key), Threads(attempts=aws.attempts)
    try:
        async with aws.renewing():
            ask = partial(obstore.head, store, key)
            meta = await asyncio.to_thread(threads.persist, "HeadObject", place, ask)
    except (NotFoundError, DeniedError) as error:  # such an answer has no body, which would say more
        cause = "there is no such object" if isinstance(error, NotFoundError) else "S3 does not show it to you"
        raise type(error)("HeadObject", place, cause, code=error.code) from error
    finally:
        threads.stop()
    return ObjectInfo(key=key, size=meta["size"], etag=meta["e_tag"] or "", modified=meta["last_modified"])


async def read_in_order(
    aws: Aws, store: "S3Store", bucket: str, info: ObjectInfo, write: Write, *, start: int = 0
) -> None:
    """Hand the bytes of an object to ``write``, in order, one call at a time, each in some thread.

    What fails for now is asked for again from where it stopped. When the task is cancelled, no thread is left when it
    ends; a call of ``write`` is waited for.

    Args:
        aws: the run's connection.
        store: the way to the bucket, for keys that obstore can name.
        bucket: its name.
        info: the object, in the version that is wanted.
        write: takes bytes, and may take its time; what it raises ends the call, and is raised.
        start: the first byte that is wanted: who counts what was written can go on there after an error.

    Raises:
        NotFoundError, ConflictError: the object is gone, or another one by now.
    """
    threads = Threads(attempts=aws.attempts)
    reading = _OrderedRead(store, threads, bucket, info, write)
    async with aws.renewing():
        await threads.run([reading.lane(start)], on_tick=lambda _: None)


@dataclass(kw_only=True)
class _Range:
    """A range from ``at``, the next byte to come, to ``end``, and what has come of it and is not handed over."""

    number: int
    at: int
    end: int
    chunks: list[bytes] = field(default_factory=list)


class _OrderedRead:
    """The ranges of one object, which are handed over by turns."""

    def __init__(self, store: "S3Store", threads: Threads, bucket: str, info: ObjectInfo, write: Write) -> None:
        self._store, self._threads, self._info, self._write = store, threads, info, write
        self._place = address(bucket, info.key)
        self._turn, self._changed = 0, threading.Condition()
        self._stopped = False
        threads.at_stop(self._stop)

    def lane(self, first: int) -> Lane:
        """Return what the threads have to do: they take the ranges in their order, so the next one is under way."""
        size = self._info.size
        tasks: deque[Task] = deque(
            partial(self._fetch, _Range(number=number, at=start, end=min(start + RANGE, size)))
            for number, start in enumerate(range(first, size, RANGE))
        )
        return Lane(tasks=tasks, threads=AT_ONCE)

    def _fetch(self, part: _Range, _: Tally) -> None:
        self._threads.persist("GetObject", self._place, partial(self._receive, part))
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._turn == part.number)
        self._hand_over(part)
        with self._changed:
            self._turn += 1
            self._changed.notify_all()

    def _receive(self, part: _Range) -> None:
        """Receive what is missing of a range; after an error, the next call goes on from there."""
        import obstore

        if part.at == part.end:
            return
        options: GetOptions = {"range": (part.at, part.end)}
        if self._info.etag:
            options["if_match"] = self._info.etag
        result = obstore.get(self._store, self._info.key, options=options)
        check_version(result, size=self._info.size, etag=self._info.etag, place=self._place)
        for chunk in result.stream(min_chunk_size=_CHUNK):
            if part.at + len(chunk) > part.end:
                check_length(part.at + len(chunk), part.end, place=self._place)
            part.chunks.append(bytes(chunk))
            part.at += len(chunk)
            self._threads.check()
            if self._turn == part.number:
                self._hand_over(part)
        check_length(part.at, part.end, place=self._place)

    def _hand_over(self, part: _Range) -> None:
        for chunk in part.chunks:
            self._threads.check()
            self._write(chunk)
        part.chunks.clear()

    def _stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
