"""A file until it is complete: ``<name>.part``, and what is noted of a large one beside it, ``<name>.part.ranges``.

Owns both. A file gets its name when all its bytes are there and, if its SHA-256 is known, only with that. The note
lists the ranges that are there, so that an interrupted download goes on; it is bound to the object's version and the
size of a range, and goes before the file gets its name.
"""

import errno
import hashlib
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from awsac_async.cloud.objects import Download, Downloaded
from awsac_async.session.errors import DamagedError, InputError, UnwritableError

RANGE = 16 << 20  # bytes
PART_SUFFIX = ".part"
NOTE_SUFFIX = ".part.ranges"
_MOST_NAME = 255  # bytes, on every file system of Linux
# What the system says of one name, or of what stands there; anything else concerns all files of a folder.
_OF_ONE_FILE = frozenset(
    {
        errno.ENAMETOOLONG,
        errno.EILSEQ,
        errno.EINVAL,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.ENOTEMPTY,
        errno.EEXIST,
        errno.ELOOP,
        errno.ENXIO,
        errno.ETXTBSY,
        errno.EFBIG,
    }
)
_BLOCK = 1 << 20  # bytes hashed at once
_MOST_NOTE = 1 << 20  # bytes; 5 TB are 300,000 ranges


def part_path(target: Path) -> str:
    """Return where a file grows until it is complete."""
    return f"{_growing(target)}{PART_SUFFIX}"


def note_path(target: Path) -> str:
    """Return where the finished ranges of a large file are noted until it is complete."""
    return f"{_growing(target)}{NOTE_SUFFIX}"


def _growing(target: Path) -> str:
    """Return a file's path without the ending that it has while it grows; of a long name there is no room for one."""
    name = os.fsencode(target.name)
    if len(name) + len(NOTE_SUFFIX) <= _MOST_NAME:
        return str(target)
    return f"{target.parent}/.awsac-{hashlib.sha256(name).hexdigest()[:32]}"


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn what the operating system says of a file into one of our errors."""
    try:
        yield
    except OSError as error:
        kind = UnwritableError if error.errno in _OF_ONE_FILE else InputError
        raise kind(f"cannot write {target}: {error.strerror}") from error


def check_sha256(item: Download, found: str, *, place: str) -> None:
    """Raise DamagedError if an object's content is not what it must be."""
    if item.sha256 is not None and found != item.sha256:
        cause = f"its SHA-256 is {found[:12]}…, that of what was saved is {item.sha256[:12]}…"
        raise DamagedError("GetObject", place, cause)


def write_whole(item: Download, body: bytes, *, place: str) -> Downloaded:
    """Make a file of a whole body. Raises DamagedError, and InputError if the file cannot be written."""
    sha256 = hashlib.sha256(body).hexdigest()
    check_sha256(item, sha256, place=place)
    part = part_path(item.target)
    with writing(item.target):
        # Plain system calls: with thousands of small files, each object of pathlib and io would count.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            _write(descriptor, body, 0)
            mtime_ns = os.fstat(descriptor).st_mtime_ns
        finally:
            os.close(descriptor)
        os.rename(part, item.target)  # noqa: PTH104  as above
    return Downloaded(item=item, sha256=sha256, mtime_ns=mtime_ns)


def _write(descriptor: int, content: bytes | memoryview, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


@dataclass(kw_only=True)
class Stretch:
    """Consecutive ranges that one thread fills: so many, from where the next byte belongs to where they end.

    ``whole``: all ranges of the file were there when its last one was.
    """

    ranges: int
    at: int
    end: int
    whole: bool = False


class LargeFile:
    """A file that several threads fill by ranges, which are numbered from 0.

    It is hashed in order, behind the writing: whichever thread closes the gap goes on from there, with what others
    have written meanwhile, which the system still has in memory.

    Args:
        item: what is downloaded.
        place: how the object is called in errors.
        resumable: whether there may be a note of finished ranges.
    """

    def __init__(self, item: Download, *, place: str, resumable: bool) -> None:
        self.item, self._place = item, place
        self._starts = range(0, item.size, RANGE)
        self._header = json.dumps({"etag": item.etag, "size": item.size, "range": RANGE})
        there = self._finished() if resumable else frozenset()
        self._resumed = bool(there)
        self._at = [self.end(number) if number in there else start for number, start in enumerate(self._starts)]
        self.missing = [number for number in range(len(self._starts)) if number not in there]
        self._left, self._not_taken = len(self.missing), deque(self.missing)
        self._lock = threading.Lock()  # of the descriptor and the counts
        self._descriptor: int | None = None
        self.abandoned = False
        self._hashing = threading.Lock()  # of the three below
        self._sha256, self._hashed, self._front = hashlib.sha256(), 0, 0

    @property
    def size_there(self) -> int:
        """How many bytes an earlier download has left."""
        return self.item.size - sum(self.end(number) - self._starts[number] for number in self.missing)

    def end(self, number: int) -> int:
        """Return where a range ends."""
        return min(self._starts[number] + RANGE, self.item.size)

    def take(self, most: int) -> Stretch | None:
        """Return the next ranges that are missing and that no thread has taken; None: there are no such any more."""
        with self._lock:
            if not self._not_taken:
                return None
            first = last = self._not_taken.popleft()
            while last - first + 1 < most and self._not_taken and self._not_taken[0] == last + 1:
                last = self._not_taken.popleft()
        return Stretch(ranges=last - first + 1, at=self._starts[first], end=self.end(last))

    def write(self, stretch: Stretch, chunk: bytes, check: Callable[[], None]) -> None:
        """Write the next bytes of a stretch, and hash what can be; ``check`` may stop that.

        Nothing is written of a file that was given up.
        """
        rest = memoryview(chunk)
        while rest:
            number = stretch.at // RANGE
            piece = rest[: self.end(number) - stretch.at]
            with writing(self.item.target):
                descriptor = self._open()
                if descriptor is None:
                    return
                self._write_piece(descriptor, number, piece, check)
                stretch.at, rest = stretch.at + len(piece), rest[len(piece) :]
                if stretch.at == self.end(number):
                    stretch.whole = self._note(number)

    def _write_piece(self, descriptor: int, number: int, piece: memoryview, check: Callable[[], None]) -> None:
        offset = self._at[number]
        _write(descriptor, piece, offset)
        self._at[number] = offset + len(piece)
        if self._hashing.acquire(blocking=False):
            try:
                if offset == self._hashed:
                    self._sha256.update(piece)
                    self._hashed += len(piece)
                self._hash_written(descriptor, check)
            finally:
                self._hashing.release()

    def _note(self, number: int) -> bool:
        """Note that a range is there; return whether all are."""
        _append(note_path(self.item.target), f"{number}\n")
        with self._lock:
            self._left -= 1
            return not self._left

    def complete(self, check: Callable[[], None]) -> Downloaded:
        """Give the file its name, when all ranges are there; ``check`` may stop the hashing of what is left of it.

        Raises:
            DamagedError: it is not what was saved; nothing of it is left.
        """
        with writing(self.item.target):
            descriptor = self._open()
            if descriptor is None:
                raise AssertionError("a file that was given up is never complete")
            with self._hashing:
                self._hash_written(descriptor, check)
            sha256, mtime_ns = self._sha256.hexdigest(), os.fstat(descriptor).st_mtime_ns
            self.close()
            if self._hashed != self.item.size:
                raise DamagedError("GetObject", self._place, "another program has changed the file while it grew")
            check_sha256(self.item, sha256, place=self._place)
            Path(note_path(self.item.target)).unlink(missing_ok=True)
            os.rename(part_path(self.item.target), self.item.target)  # noqa: PTH104  strings
        return Downloaded(item=self.item, sha256=sha256, mtime_ns=mtime_ns)

    def give_up(self) -> bool:
        """Remove what is there of the file, of which nothing can come; return False if that was done before."""
        with self._lock:
            first, self.abandoned = not self.abandoned, True
            # Not closed here: another thread may be writing to it.
            for path in (note_path(self.item.target), part_path(self.item.target)):
                Path(path).unlink(missing_ok=True)
            return first

    def close(self) -> None:
        """Close the file, when no thread writes to it any more."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _open(self) -> int | None:
        """Return the descriptor of the ``.part`` file, made anew unless it is resumed; None: the file was given up."""
        with self._lock:
            if self._descriptor is None and not self.abandoned:
                note = note_path(self.item.target)
                if not self._resumed:  # never an old note beside a new file
                    Path(note).unlink(missing_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if self._resumed else os.O_TRUNC)
                self._descriptor = os.open(part_path(self.item.target), flags, 0o666)
                if not self._resumed:
                    _append(note, f"{self._header}\n")
            return None if self.abandoned else self._descriptor

    def _hash_written(self, descriptor: int, check: Callable[[], None]) -> None:
        """Hash on to the first byte that is not there yet."""
        while block := os.pread(descriptor, min(_BLOCK, self._gap() - self._hashed), self._hashed):
            self._sha256.update(block)
            self._hashed += len(block)
            check()

    def _gap(self) -> int:
        """Return where the first byte that is not there yet belongs."""
        while self._front < len(self._at) - 1 and self._at[self._front] == self.end(self._front):
            self._front += 1
        return self._at[self._front]

    def _finished(self) -> frozenset[int]:
        """Return which ranges of the ``.part`` file are there, as far as it is of this version of the object."""
        try:
            with open(note_path(self.item.target), "rb") as note:  # noqa: PTH123  a string
                lines = note.read(_MOST_NOTE).split(b"\n")[:-1]  # what has no end was being written
            size = os.stat(part_path(self.item.target)).st_size  # noqa: PTH116  as above
        except OSError:
            return frozenset()
        if not self.item.etag or not lines or lines[0] != self._header.encode():
            return frozenset()
        numbers = {int(line) for line in lines[1:] if line.isdigit() and len(line) < 10}
        return frozenset(n for n in numbers if n < len(self._starts) and self.end(n) <= size)


def _append(path: str, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
