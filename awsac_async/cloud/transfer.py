"""Bulk bytes between files and a bucket: many objects at once, streamed, verified, with bounded memory.

Owns the way of a transfer: which keys obstore can name and which the SDK has to fetch, the threads, the progress. How
one object is moved is said by ``downloads`` and ``uploads``. Must never hold a whole large object in memory.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from awsac_async.cloud import sdktransfer
from awsac_async.cloud.aws import Aws
from awsac_async.cloud.downloads import Downloads, Reads
from awsac_async.cloud.objects import Download, Downloaded, ObjectInfo, Progress, Upload
from awsac_async.cloud.store import make_store
from awsac_async.cloud.threads import Tally, Threads
from awsac_async.cloud.unfinished import abort_if_possible
from awsac_async.cloud.uploads import Uploads, size_of

if TYPE_CHECKING:
    from obstore.store import S3Store

Item = TypeVar("Item", Download, Upload)
# obstore drops a slash at either end of a key, and refuses an empty segment, "." and "..", and control characters.
_ODD = re.compile(r"(^|/)\.{0,2}(/|$)|[\x00-\x1f\x7f]")

# How long a connection may stand still. An answer to an upload comes when all of the request's bytes are sent, which
# share the line with those of the other threads; a download has something to show much earlier.
PATIENCE_UP = timedelta(minutes=5)
PATIENCE_DOWN = timedelta(seconds=30)

OnProgress = Callable[[Progress], None] | None
OnDone = Callable[[Downloaded], None] | None


async def download(
    aws: Aws,
    bucket: str,
    items: Sequence[Download],
    *,
    store: "S3Store",
    on_progress: OnProgress = None,
    on_done: OnDone = None,
) -> None:
    """Download objects into their targets, whose folders are made; what is there already is replaced.

    A target appears when all its bytes are there, with the size, the ETag and the SHA-256 that its item names. Whatever
    ends the call early leaves complete files, and ``.part`` files with which the next call goes on.

    Args:
        aws: the run's connection.
        bucket: its name.
        items: what to download.
        store: the way to the bucket for what obstore can name.
        on_progress: told on the event loop, several times a second and at the end.
        on_done: told there, too, of each object what came of it. What is wrong with one object is then told, and the
            others go on; without it, the first such error ends the call.

    Raises:
        NotFoundError: an object is gone.
        ConflictError: an object is not the version that its item names.
        DamagedError: an object has not the SHA-256 that its item names.
        InputError: a target cannot be written.
    """
    bulk, odd = _parted(items)
    report = _Reporter(files=len(items), size=sum(item.size for item in items), told=on_progress)
    outcomes = _Outcomes(on_done)
    report.tell(Tally())
    await sdktransfer.download(aws, bucket, odd, outcomes.add)
    outcomes.tell()
    report.start_from(Tally(files=len(odd), size=sum(item.size for item in odd)))
    if not bulk:
        return

    def tell(tally: Tally) -> None:
        outcomes.tell()
        report.tell(tally)

    threads = Threads(attempts=aws.attempts)
    try:
        async with aws.renewing():
            with Downloads(store, threads, bucket, outcomes.add) as downloads:
                await threads.run(await asyncio.to_thread(downloads.lanes, bulk), on_tick=tell)
    finally:
        outcomes.tell()


async def read(aws: Aws, bucket: str, objects: Sequence[ObjectInfo], *, store: "S3Store") -> dict[str, bytes]:
    """Return the contents of small objects by key, many read at once; of what was deleted or replaced, nothing.

    Only for keys that obstore can name.
    """
    if not objects:
        return {}
    threads = Threads(attempts=aws.attempts)
    reads = Reads(store, threads, bucket)
    async with aws.renewing():
        await threads.run([reads.lane(objects)], on_tick=lambda _: None)
    return reads.contents


async def upload(
    aws: Aws,
    bucket: str,
    items: Sequence[Upload],
    *,
    patience: timedelta = PATIENCE_UP,
    on_progress: OnProgress = None,
) -> None:
    """Upload files, bytes or streams; what is there under a key is replaced, and replaced as a whole.

    Args:
        aws: the run's connection.
        bucket: its name.
        items: what to upload; a stream only under a key that obstore can name.
        patience: how long a request may go without an answer, which comes when all its bytes are sent; when this is
            cancelled, the request under way is waited for.
        on_progress: told on the event loop, several times a second and at the end.

    Raises:
        InputError: a source cannot be read.
    """
    bulk, odd = _parted(items)
    sizes = await asyncio.to_thread(lambda: {item.key: size_of(item) for item in items})
    report = _Reporter(files=len(items), size=sum(sizes.values()), told=on_progress)
    report.tell(Tally())
    await sdktransfer.upload(aws, bucket, odd)
    report.start_from(Tally(files=len(odd), size=sum(sizes[item.key] for item in odd)))
    if bulk:
        threads = Threads(attempts=aws.attempts)
        uploads = Uploads(
            await make_store(aws, bucket, retries=0, patience=patience),
            await make_store(aws, bucket, retries=aws.attempts - 1, patience=patience),
            threads,
            bucket,
        )
        try:
            async with aws.renewing():
                await threads.run(uploads.lanes([(item, sizes[item.key]) for item in bulk]), on_tick=report.tell)
        finally:
            await abort_if_possible(aws, bucket, uploads.unfinished)


class _Outcomes:
    """Takes what came of each object from the threads, and tells it on the event loop."""

    def __init__(self, told: OnDone) -> None:
        self._told = told
        self._waiting: deque[Downloaded] = deque()

    def add(self, done: Downloaded) -> None:
        """Take an outcome, in any thread. Raises its error if nobody wants to be told."""
        if self._told is not None:
            self._waiting.append(done)
        elif done.error is not None:
            raise done.error

    def tell(self) -> None:
        """Tell what has come since."""
        while self._told is not None and self._waiting:
            self._told(self._waiting.popleft())


class _Reporter:
    """Tells how far a transfer is, if anybody wants to know."""

    def __init__(self, *, files: int, size: int, told: OnProgress) -> None:
        self._files, self._size, self._told, self._start = files, size, told, Tally()

    def start_from(self, tally: Tally) -> None:
        """Count what was done before the threads began."""
        self._start = tally
        self.tell(Tally())

    def tell(self, tally: Tally) -> None:
        if self._told is not None:
            self._told(
                Progress(
                    files_done=self._start.files + tally.files,
                    files_total=self._files,
                    bytes_done=self._start.size + tally.size,
                    bytes_total=self._size,
                )
            )


def _parted(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Part the items whose keys obstore can name from those that it would refuse, or take for another key."""
    odd = [item for item in items if _ODD.search(item.key)]
    return ([item for item in items if not _ODD.search(item.key)] if odd else list(items)), odd
