"""One object becomes a file: in one request if it is small, by ranges that several threads fetch if it is large.

Owns the requests; the files themselves are in ``parts``. Every request carries ``If-Match`` and is never continued by
the library itself, so that a file cannot be put together from two versions of an object.
"""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from awsac_async.cloud.objects import Download, Downloaded, ObjectInfo, address
from awsac_async.cloud.parts import NOTE_SUFFIX, LargeFile, Stretch, note_path, write_whole, writing
from awsac_async.cloud.threads import SMALL_RATE, Lane, Tally, Task, Threads
from awsac_async.session.errors import (
    ConflictError,
    DamagedError,
    DeniedError,
    NotFoundError,
    UnavailableError,
    UnwritableError,
)

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import S3Store

# Memory: 256 small bodies of 256 KiB and 32 streams of two chunks of 1 MiB are 128 MiB at the very most.
_SMALL = 256 << 10  # bytes; the whole body at once, nothing to gain by streaming it
_SMALL_AT_ONCE, _SMALL_AT_FIRST = 256, 16  # S3's first byte takes 10 to 50 ms, whatever the size
_LARGE_AT_ONCE, _LARGE_AT_FIRST = 32, 8  # more fill no line, they only share it
_LARGE_RATE = 1000.0  # requests a second: their bytes take longer than the first of them
_LONGEST = 4  # ranges in one request, which costs a server as much as some millions of bytes
_CHUNK = 1 << 20  # bytes written at once

# What is wrong with one object, and says nothing of the others.
OWN_FAULTS = (NotFoundError, ConflictError, DamagedError, DeniedError, UnwritableError)


class Downloads:
    """The objects of one call to `transfer.download`; closes what a stopped run left open.

    Args:
        store: the bucket.
        threads: what works off the lanes.
        bucket: its name.
        tell: told, in a thread, what came of each object; an object's own fault is told as well, not raised.
    """

    def __init__(self, store: "S3Store", threads: Threads, bucket: str, tell: Callable[[Downloaded], None]) -> None:
        self._store, self._threads, self._bucket, self._tell = store, threads, bucket, tell
        self._large: list[LargeFile] = []
        self._ranges_left = 0
        self._taking = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._large:
            file.close()

    def lanes(self, items: Sequence[Download]) -> list[Lane]:
        """Return what the threads have to do. Makes the folders of the targets, and finds what can be resumed."""
        notes = {note for folder in {item.target.parent for item in items} for note in _notes_in(folder)}
        small: deque[Task] = deque(partial(self._fetch, item) for item in items if item.size <= _SMALL)
        for item in items if notes else ():
            if item.size <= _SMALL and note_path(item.target) in notes:  # once there was a large version
                os.unlink(note_path(item.target))  # noqa: PTH108  a string
        large: deque[Task] = deque(
            task
            for turn in zip_longest(
                *(self._ranges(item, note_path(item.target) in notes) for item in items if item.size > _SMALL)
            )
            for task in turn
            if task is not None
        )
        return [
            Lane(tasks=large, threads=_LARGE_AT_ONCE, first=_LARGE_AT_FIRST, rate=_LARGE_RATE),
            _small_lane(small),
        ]

    def _ranges(self, item: Download, resumable: bool) -> Iterator[Task]:
        file = LargeFile(item, place=self._place(item), resumable=resumable)
        self._large.append(file)
        first: Task = partial(self._begin, file)
        yield first
        self._ranges_left += len(file.missing)
        for _ in file.missing:
            yield partial(self._fetch_ranges, file)

    def _begin(self, file: LargeFile, tally: Tally) -> None:
        """Count what an earlier run has left, which may be all."""
        tally.size += file.size_there
        if not file.missing:
            with self._settling(file):
                self._complete(file, tally)

    def _fetch(self, item: Download, tally: Tally) -> None:
        try:
            body = self._threads.persist("GetObject", self._place(item), partial(self._get_whole, item))
            done = write_whole(item, body, place=self._place(item))
        except OWN_FAULTS as error:
            self._tell(Downloaded(item=item, error=error))
            return
        tally.size += item.size
        tally.files += 1
        self._tell(done)

    def _get_whole(self, item: Download) -> Any:
        result = self._ask(item, _condition(item))
        body = result.bytes()
        self._check_length(item, len(body), item.size)
        return body

    def _fetch_ranges(self, file: LargeFile, tally: Tally) -> None:
        """Fetch one stretch of ranges after the other, as long as there is one that no other thread has taken.

        A thread stays with its file: what comes in order is hashed as it comes, and not read once more.
        """
        with self._settling(file):
            while not file.abandoned and (stretch := self._take(file)) is not None:
                stream = partial(self._stream, file, stretch, tally)
                if self._threads.persist("GetObject", self._place(file.item), stream):
                    self._complete(file, tally)

    def _take(self, file: LargeFile) -> Stretch | None:
        """Take ranges for one request: long ones first, shorter ones when the end is near, so that all end together."""
        with self._taking:
            stretch = file.take(max(1, min(_LONGEST, self._ranges_left // (2 * _LARGE_AT_FIRST))))
            self._ranges_left -= stretch.ranges if stretch else 0
            return stretch

    def _complete(self, file: LargeFile, tally: Tally) -> None:
        done = file.complete(self._threads.check)
        tally.files += 1
        self._tell(done)

    @contextmanager
    def _settling(self, file: LargeFile) -> Iterator[None]:
        """Let an object's own fault end its file, and no other."""
        try:
            yield
        except OWN_FAULTS as error:
            if file.give_up():
                self._tell(Downloaded(item=file.item, error=error))

    def _stream(self, file: LargeFile, stretch: Stretch, tally: Tally) -> bool:
        """Write what is missing of a stretch, chunk by chunk; after an error, the next call goes on from there.

        Returns:
            Whether the file is whole by that.
        """
        if file.abandoned or stretch.at == stretch.end:  # the last byte was there, and then the connection broke
            return stretch.whole
        options = _condition(file.item) | {"range": (stretch.at, stretch.end)}
        result = self._ask(file.item, options)
        for chunk in result.stream(min_chunk_size=_CHUNK):
            if stretch.at + len(chunk) > stretch.end:
                self._check_length(file.item, stretch.at + len(chunk), stretch.end)
            file.write(stretch, chunk, self._threads.check)
            tally.size += len(chunk)
            self._threads.check()
            if file.abandoned:
                return False
        self._check_length(file.item, stretch.at, stretch.end)
        return stretch.whole

    def _ask(self, item: Download, options: "GetOptions") -> Any:
        """Return the answer, whose body is still to come, if it is about the version that was asked for."""
        import obstore

        began = time.monotonic()
        result = obstore.get(self._store, item.key, options=options)
        self._threads.note_answer(time.monotonic() - began)
        check_version(result, size=item.size, etag=item.etag, place=self._place(item))
        return result

    def _check_length(self, item: Download, found: int, expected: int) -> None:
        check_length(found, expected, place=self._place(item))

    def _place(self, item: Download) -> str:
        return address(self._bucket, item.key)


def check_version(result: Any, *, size: int, etag: str, place: str) -> None:
    """Raise ConflictError if an answer is about another version of an object: not every server heeds If-Match."""
    if result.meta["size"] != size or (etag and result.meta["e_tag"] != etag):
        raise ConflictError("GetObject", place, "the object was replaced since it was listed")


def check_length(found: int, expected: int, *, place: str) -> None:
    """Raise UnavailableError if an answer has fewer bytes than it should, or more."""
    if found != expected:
        raise UnavailableError("GetObject", place, f"the connection ended after {found} of {expected} bytes")


class Reads:
    """Small objects that are read into memory, all of which must have room there together."""

    def __init__(self, store: "S3Store", threads: Threads, bucket: str) -> None:
        self._store, self._threads, self._bucket = store, threads, bucket
        self.contents: dict[str, bytes] = {}

    def lane(self, objects: Sequence[ObjectInfo]) -> Lane:
        """Return what the threads have to do."""
        tasks: deque[Task] = deque(partial(self._fetch, info) for info in objects)
        return _small_lane(tasks)

    def _fetch(self, info: ObjectInfo, _: Tally) -> None:
        place = address(self._bucket, info.key)
        with contextlib.suppress(NotFoundError, ConflictError):
            self.contents[info.key] = self._threads.persist("GetObject", place, partial(self._get, info))

    def _get(self, info: ObjectInfo) -> bytes:
        import obstore

        began = time.monotonic()
        result = obstore.get(self._store, info.key, options={"if_match": info.etag})
        self._threads.note_answer(time.monotonic() - began)
        return bytes(result.bytes())


def _small_lane(tasks: deque[Task]) -> Lane:
    return Lane(tasks=tasks, threads=_SMALL_AT_ONCE, first=_SMALL_AT_FIRST, rate=SMALL_RATE)


def _condition(item: Download) -> "GetOptions":
    return {"if_match": item.etag} if item.etag else {}


def _notes_in(folder: Path) -> list[str]:
    """Make a folder, or return the notes of unfinished files that are in it."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return [str(folder / name) for name in os.listdir(folder) if name.endswith(NOTE_SUFFIX)]  # noqa: PTH208
