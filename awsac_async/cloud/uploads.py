"""A file, or bytes, becomes an object: by one request if it is small, by a multipart upload if it is large.

Owns the sizes and the memory of uploads. A large file is read part by part while earlier parts are on their way; a
multipart upload that fails or is stopped is aborted, since its parts would cost money for ever.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from awsac_async.cloud.aws import translated
from awsac_async.cloud.objects import Upload, address
from awsac_async.cloud.threads import Lane, Tally, Threads
from awsac_async.session.errors import InputError

if TYPE_CHECKING:
    from obstore.store import S3Store

_SMALL = 256 << 10  # bytes
_MULTIPART = 8 << 20  # bytes above which a file goes by parts
_SMALL_AT_ONCE = 256
_MEDIUM_AT_ONCE = 12  # with all their bytes in memory: 96 MiB at most
_BUDGET = 128 << 20  # bytes of parts in memory: those on their way, and one being read for each file
_LARGE_AT_ONCE = _BUDGET // (2 * _MULTIPART)  # two parts of each are the least
_MOST_PARTS = 10_000  # of S3


@contextmanager
def reading(source: Path | bytes) -> Iterator[None]:
    """Turn what the operating system says of a file into one of our errors."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot read {source!s}: {error.strerror}") from error


def size_of(item: Upload) -> int:
    """Return how many bytes an item has now."""
    if isinstance(item.source, bytes):
        return len(item.source)
    with reading(item.source):
        return item.source.stat().st_size


class Uploads:
    """The items of one call to `transfer.upload`."""

    def __init__(self, store: "S3Store", patient_store: "S3Store", threads: Threads, bucket: str) -> None:
        # A small object is repeated by us, who can be stopped; a part of a large one by obstore, which knows it.
        self._store, self._patient_store = store, patient_store
        self._threads, self._bucket = threads, bucket

    def lanes(self, sized: Sequence[tuple[Upload, int]]) -> list[Lane]:
        """Return what the threads have to do for these items, of these sizes."""
        large = [(item, size) for item, size in sized if size > _MULTIPART]
        at_once = max(1, min(_LARGE_AT_ONCE, len(large)))
        return [
            Lane(
                tasks=deque(partial(self._put_parts, item, size, _BUDGET // at_once) for item, size in large),
                threads=at_once,
            ),
            self._lane(sized, over=_SMALL, upto=_MULTIPART, threads=_MEDIUM_AT_ONCE),
            self._lane(sized, over=-1, upto=_SMALL, threads=_SMALL_AT_ONCE),
        ]

    def _lane(self, sized: Sequence[tuple[Upload, int]], *, over: int, upto: int, threads: int) -> Lane:
        return Lane(
            tasks=deque(partial(self._put, item) for item, size in sized if over < size <= upto), threads=threads
        )

    def _put(self, item: Upload, tally: Tally) -> None:
        import obstore

        body = item.source
        if isinstance(body, Path):
            with reading(body):
                body = body.read_bytes()
        put = partial(obstore.put, self._store, item.key, body, use_multipart=False)
        self._threads.persist("PutObject", self._place(item), put)
        tally.size += len(body)
        tally.files += 1

    def _put_parts(self, item: Upload, size: int, budget: int, tally: Tally) -> None:
        import obstore

        part = max(_MULTIPART, -(-size // _MOST_PARTS))
        at_once = max(1, budget // part - 1)
        with translated("PutObject", self._place(item)):
            chunks = self._chunks(item, size, part, tally)
            obstore.put(self._patient_store, item.key, chunks, chunk_size=part, max_concurrency=at_once)
        tally.files += 1

    def _chunks(self, item: Upload, size: int, part: int, tally: Tally) -> Iterator[bytes | memoryview]:
        """Yield the source part by part; raises Stopped, which aborts the upload, if the run is to end."""
        with _opened(item.source) as read:
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
