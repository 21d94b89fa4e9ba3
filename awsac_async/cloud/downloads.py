"""One object becomes a file: in one request if it is small, by ranges that several threads fetch if it is large.

Owns the ``.part`` files. Every request carries ``If-Match`` and is never continued by the library itself, so that a
file cannot be put together from two versions of an object.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from awsac_async.cloud.objects import Download, address
from awsac_async.cloud.threads import Lane, Tally, Task, Threads
from awsac_async.session.errors import ConflictError, InputError, UnavailableError

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import S3Store

# Memory: 256 small bodies of 256 KiB and 32 streams of two chunks of 1 MiB are 128 MiB at the very most.
_SMALL = 256 << 10  # bytes; the whole body at once, nothing to gain by streaming it
_SMALL_AT_ONCE = 256  # S3's first byte takes 10 to 50 ms, whatever the size
_LARGE_AT_ONCE = 32  # more fill no line, they only share it
_PART = 16 << 20  # bytes of a range
_CHUNK = 1 << 20  # bytes written at once


def part_path(target: Path) -> str:
    """Return where a file grows until it is complete."""
    return f"{target}.part"


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn what the operating system says of a file into one of our errors."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from error


class Downloads:
    """The objects of one call to `transfer.download`; closes what a stopped run left open."""

    def __init__(self, store: "S3Store", threads: Threads, bucket: str) -> None:
        self._store, self._threads, self._bucket = store, threads, bucket
        self._large: list[_LargeFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._large:
            file.close()

    def lanes(self, items: Sequence[Download]) -> list[Lane]:
        """Return what the threads have to do. Makes the folders of the targets."""
        for folder in {item.target.parent for item in items}:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        small: deque[Task] = deque(partial(self._fetch, item) for item in items if item.size <= _SMALL)
        large: deque[Task] = deque(part for item in items if item.size > _SMALL for part in self._parts(item))
        return [Lane(tasks=large, threads=_LARGE_AT_ONCE), Lane(tasks=small, threads=_SMALL_AT_ONCE)]

    def _parts(self, item: Download) -> Iterator[partial[None]]:
        starts = range(0, item.size, _PART)
        file = _LargeFile(item, parts=len(starts))
        self._large.append(file)
        for start in starts:
            yield partial(self._fetch_part, file, start, min(start + _PART, item.size))

    def _fetch(self, item: Download, tally: Tally) -> None:
        body = self._threads.persist("GetObject", self._place(item), partial(self._get_whole, item))
        part = part_path(item.target)
        with writing(item.target):
            with open(part, "wb", buffering=0) as file:  # noqa: PTH123  Path costs more than the system call
                file.write(body)
            os.rename(part, item.target)  # noqa: PTH104  as above
        tally.size += item.size
        tally.files += 1

    def _get_whole(self, item: Download) -> Any:
        import obstore

        result = obstore.get(self._store, item.key, options=_condition(item))
        self._verify(item, result)
        body = result.bytes()
        self._complete(item, len(body), item.size)
        return body

    def _fetch_part(self, file: "_LargeFile", start: int, end: int, tally: Tally) -> None:
        position = _Position(start)
        self._threads.persist("GetObject", self._place(file.item), partial(self._stream, file, position, end, tally))
        tally.files += file.part_done()

    def _stream(self, file: "_LargeFile", position: "_Position", end: int, tally: Tally) -> None:
        """Write what is missing of a range, chunk by chunk; after an error, the next call goes on from there."""
        import obstore

        options = _condition(file.item) | {"range": (position.at, end)}
        result = obstore.get(self._store, file.item.key, options=options)
        self._verify(file.item, result)
        for chunk in result.stream(min_chunk_size=_CHUNK):
            file.write(chunk, position.at)
            position.at += len(chunk)
            tally.size += len(chunk)
            self._threads.check()
        self._complete(file.item, position.at, end)

    def _verify(self, item: Download, result: Any) -> None:
        """Make sure that the answer is about the version that was asked for; not every server heeds If-Match."""
        meta = result.meta
        if meta["size"] != item.size or (item.etag and meta["e_tag"] != item.etag):
            raise ConflictError("GetObject", self._place(item), "the object was replaced since it was listed")

    def _complete(self, item: Download, found: int, expected: int) -> None:
        if found != expected:
            cause = f"the connection ended after {found} of {expected} bytes"
            raise UnavailableError("GetObject", self._place(item), cause)

    def _place(self, item: Download) -> str:
        return address(self._bucket, item.key)


def _condition(item: Download) -> "GetOptions":
    return {"if_match": item.etag} if item.etag else {}


class _Position:
    """How far a range is written."""

    def __init__(self, at: int) -> None:
        self.at = at


class _LargeFile:
    """A file that several threads fill; it gets its name when the last part is written."""

    def __init__(self, item: Download, *, parts: int) -> None:
        self.item, self._missing = item, parts
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def write(self, chunk: bytes, offset: int) -> None:
        with writing(self.item.target):
            view = memoryview(chunk)
            while view:
                written = os.pwrite(self._open(), view, offset)
                view, offset = view[written:], offset + written

    def part_done(self) -> bool:
        """Count a part; return True for the last, by which the file is complete."""
        with self._lock:
            self._missing -= 1
            if self._missing:
                return False
        self.close()
        with writing(self.item.target):
            os.rename(part_path(self.item.target), self.item.target)  # noqa: PTH104  as in Downloads
        return True

    def close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _open(self) -> int:
        with self._lock:
            if self._descriptor is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
                self._descriptor = os.open(part_path(self.item.target), flags, 0o666)
            return self._descriptor
