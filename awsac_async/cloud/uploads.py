"""A file, bytes or a stream become an object: by one request if they are small, by a multipart upload if large.

Owns the sizes and the memory of uploads. A large file is read part by part while earlier parts are on their way; a
multipart upload that fails or is stopped is aborted, since its parts would cost money for ever.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from awsac_async.cloud.aws import translated
from awsac_async.cloud.objects import Stream, Upload, address
from awsac_async.cloud.threads import SMALL_RATE, Lane, Tally, Threads
from awsac_async.session.errors import InputError

if TYPE_CHECKING:
    from obstore.store import S3Store

_SMALL = 256 << 10  # bytes
_MULTIPART = 8 << 20  # bytes above which a file goes by parts
_SMALL_AT_ONCE, _SMALL_AT_FIRST = 256, 16
_MEDIUM_AT_ONCE = 12  # with all their bytes in memory: 96 MiB at most
_BUDGET = 128 << 20  # bytes of parts in memory: those on their way, and one being read for each file
_LARGE_AT_ONCE = _BUDGET // (2 * _MULTIPART)  # two parts of each are the least
_MOST_PARTS = 10_000  # of S3
_STREAM_AT_ONCE = 3  # parts of a stream on their way: it is made more slowly than it is sent


@contextmanager
def reading(source: Path | bytes) -> Iterator[None]:
    """Turn what the operating system says of a file into one of our errors."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot read {source!s}: {error.strerror}") from error


def size_of(item: Upload) -> int:
    """Return how many bytes an item has now, or is expected to have."""
    if isinstance(item.source, bytes):
        return len(item.source)
    if isinstance(item.source, Stream):
        return item.source.about
    with reading(item.source):
        return item.source.stat().st_size


class Uploads:
    """The items of one call to `transfer.upload`."""

    def __init__(self, store: "S3Store", patient_store: "S3Store", threads: Threads, bucket: str) -> None:
        # A small object is repeated by us, who can be stopped; a part of a large one by obstore, which knows it.
        self._store, self._patient_store = store, patient_store
        self._threads, self._bucket = threads, bucket
        self._open: set[str] = set()

    @property
    def unfinished(self) -> frozenset[str]:
        """The keys to which an upload by parts has begun and not been completed."""
        return frozenset(self._open)

    def lanes(self, sized: Sequence[tuple[Upload, int]]) -> list[Lane]:
        """Return what the threads have to do for these items, of these sizes."""
        streams = [(item, item.source) for item, _ in sized if isinstance(item.source, Stream)]
        known = [(item, item.source, size) for item, size in sized if not isinstance(item.source, Stream)]
        large = [each for each in known if each[2] > _MULTIPART]
        at_once = max(1, min(_LARGE_AT_ONCE, len(large)))
        return [
            Lane(tasks=deque(partial(self._put_stream, *each) for each in streams), threads=1),
            Lane(tasks=deque(partial(self._put_parts, *each, _BUDGET // at_once) for each in large), threads=at_once),
            self._lane(known, over=_SMALL, upto=_MULTIPART, threads=_MEDIUM_AT_ONCE),
            self._lane(known, over=-1, upto=_SMALL, threads=_SMALL_AT_ONCE, first=_SMALL_AT_FIRST),
        ]

    def _lane(
        self, known: Sequence[tuple[Upload, Path | bytes, int]], *, over: int, upto: int, threads: int, first: int = 0
    ) -> Lane:
        return Lane(
            tasks=deque(partial(self._put, item, source) for item, source, size in known if over < size <= upto),
            threads=threads,
            first=first,
            rate=SMALL_RATE,
        )

    def _put(self, item: Upload, source: Path | bytes, tally: Tally) -> None:
        body = source
        if isinstance(body, Path):
            with reading(body):
                body = body.read_bytes()
        self._put_whole(item, body, tally)
        tally.size += len(body)

    def _put_whole(self, item: Upload, body: bytes, tally: Tally) -> None:
        self._threads.persist("PutObject", self._place(item), partial(self._send, item, body))
        tally.files += 1

    def _send(self, item: Upload, body: bytes) -> None:
        import obstore

        began = time.monotonic()
        obstore.put(self._store, item.key, body, use_multipart=False)
        self._threads.note_answer(time.monotonic() - began)

    def _put_stream(self, item: Upload, stream: Stream, tally: Tally) -> None:
        """Send what fits into one request by one; what goes on after that, by parts."""
        with closing(self._passed(stream.read(), tally)) as chunks:
            head = bytearray()
            for chunk in chunks:
                head += chunk
                if len(head) > _MULTIPART:
                    break
            if len(head) <= _MULTIPART:
                self._put_whole(item, bytes(head), tally)
            else:
                part = max(_MULTIPART, -(-stream.about // _MOST_PARTS))
                self._put_chunks(item, chain([bytes(head)], chunks), part, _STREAM_AT_ONCE, tally)

    def _passed(self, chunks: Iterator[bytes], tally: Tally) -> Generator[bytes, None, None]:
        """Yield a stream; raises Stopped, which aborts the upload, if the run is to end."""
        for chunk in chunks:
            self._threads.check()
            if chunk:
                tally.size += len(chunk)
                yield chunk

    def _put_parts(self, item: Upload, source: Path | bytes, size: int, budget: int, tally: Tally) -> None:
        part = max(_MULTIPART, -(-size // _MOST_PARTS))
        at_once = max(1, budget // part - 1)
        self._put_chunks(item, self._chunks(source, size, part, tally), part, at_once, tally)

    def _put_chunks(
        self, item: Upload, chunks: Iterator[bytes | memoryview], part: int, at_once: int, tally: Tally
    ) -> None:
        import obstore

        self._open.add(item.key)
        with translated("PutObject", self._place(item)):
            obstore.put(self._patient_store, item.key, chunks, chunk_size=part, max_concurrency=at_once)
        self._open.discard(item.key)
        tally.files += 1

    def _chunks(self, source: Path | bytes, size: int, part: int, tally: Tally) -> Iterator[bytes | memoryview]:
        """Yield the source part by part; raises Stopped, which aborts the upload, if the run is to end."""
        with _opened(source) as read:
            for start in range(0, size, part):
                self._threads.check()
                chunk = read(start, min(part, size - start))
                yield chunk
                tally.size += len(chunk)

    def _place(self, item: Upload) -> str:
        return address(self._bucket, item.key)


@contextmanager
def _opened(source: Path | bytes) -> Iterator[Callable[[int, int], bytes | memoryview]]:
    """Give a function that reads a number of bytes at an offset, all of them or an error."""
    if isinstance(source, bytes):
        view = memoryview(source)
        yield lambda start, length: view[start : start + length]
        return
    with reading(source):
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield partial(_read, descriptor, source)
    finally:
        os.close(descriptor)


def _read(descriptor: int, source: Path, start: int, length: int) -> bytes:
    with reading(source):
        chunk = os.pread(descriptor, length, start)
    if len(chunk) < length:
        raise InputError(f"cannot read {source}: it became shorter while it was uploaded")
    return chunk
