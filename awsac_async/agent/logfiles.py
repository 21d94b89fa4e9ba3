"""The files of one log as one stream of bytes, and the note of how far they have been read.

Owns positions: what has been read is never read again, whatever the writer does to its files, and whoever reads on
after this process died. All of it blocks and belongs into a thread. Knows nothing of where the bytes go.
"""

import hashlib
import json
import logging
import mmap
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from awsac_async.agent.kept import natural, read_kept
from awsac_async.agent.walking import open_file
from awsac_async.session.atomic import replacing

_log = logging.getLogger(__name__)
_TAIL = 1024  # bytes before a position by which the file is known again


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """A file to be followed by ``path``, a name that its writer does not touch (a hard link, if need be).

    ``shown`` is the name under which the writer sees it: if another file appears there, that one is followed as well.
    ``spare`` is one more name, of which ``path`` is made again should a job of root have removed that with all around.
    """

    path: Path
    shown: Path | None = None
    spare: Path | None = None


def written_files(file: LogFile) -> list[Path]:
    """Return the files that hold what was written to a log, in the order in which a stream has found them.

    They are ``path``, those that took its place under ``shown``, and what is there now; if all are gone, ``path``.
    """
    _restore(file)
    found = [path for path in (file.path, *_replacements(file.path)) if os.path.lexists(path)]
    if file.shown is not None and _is_another(file.shown, found):
        if link := _keep_replacement(file):
            found.append(link)
        elif _owner(file) == os.geteuid():  # nobody whom it would tell more than he may read has put it there
            found.append(file.shown)
    return found or [file.path]


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The next bytes of a stream, and where in the stream they begin."""

    offset: int
    body: bytes | memoryview


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """How far one file has been read, and the digest of the last bytes before that."""

    position: int = 0
    tail: str = ""


@dataclass(frozen=True, kw_only=True)
class _Reached:
    """How far a stream has been read: its own offset, and the mark in each file by name."""

    offset: int = 0
    marks: Mapping[str, _Mark] = field(default_factory=dict)

    def mark(self, path: Path) -> _Mark:
        return self.marks.get(path.name, _Mark())


class LogStream:
    """One log. A chunk that was read is *sent* until :meth:`settle` says what became of it.

    Files are read in the order in which they were added; of each, what is new. A file that was truncated is read again
    from its start. Both are found by size, time of change and the last bytes read; what was written and truncated
    between two readings is gone. Symbolic links are not followed: a job must not choose what the agent reads.

    Args:
        note: the file that holds how far it has been read; its folder exists. Of a stream that was followed before, it
            is read, and the last chunk counts as sent.
        begin: where in the log it begins, if it was not followed before.
    """

    def __init__(self, note: Path, *, begin: int = 0) -> None:
        self._note = note
        self._read, self._sent = _read_note(note) or (_Reached(offset=begin), None)
        self._files: list[LogFile] = []
        self._paths: list[Path] = []
        self._looked: dict[Path, tuple[int, int]] = {}  # size and time of change
        self._lock = threading.Lock()

    @property
    def offset(self) -> int:
        """Where in the stream the next chunk begins; or the one that is sent."""
        return self._read.offset

    @property
    def unsettled(self) -> bool:
        """Whether a chunk is sent of which nobody has said what became of it."""
        return self._sent is not None

    def add(self, file: LogFile) -> None:
        """Follow one more file after the others; whose ``shown`` is looked at for the last time now."""
        with self._lock:
            if self._files:
                self._find_replacement()
            self._files.append(file)
            self._paths += [file.path, *_replacements(file.path)]

    def look(self) -> int:
        """Return how many bytes are there that are not known to have arrived; cheap, and to be done often."""
        with self._lock:
            if self._files:
                self._find_replacement()
            return sum(map(self._waiting, self._paths))

    def read(self, limit: int) -> Chunk | None:
        """Read the next bytes, at most ``limit``, and note that they are sent; None: there are none now."""
        with self._lock:
            body, marks = self._next(limit)
            if not body:
                return None
            self._sent = _Reached(offset=self._read.offset + len(body), marks=marks)
            self._write_note()
            return Chunk(offset=self._read.offset, body=body)

    def forget(self) -> None:
        """Remove the note: whoever follows this log again does so from where he is told."""
        with self._lock:
            self._note.unlink(missing_ok=True)

    def settle(self, size: int | None) -> None:
        """Say how many bytes have arrived where the sent chunk begins; None: it has not, and is to be read again."""
        with self._lock:
            begun, sent, self._sent = self._read.offset, self._sent, None
            if sent is not None and size == sent.offset - begun:
                self._read = sent
            elif size is not None:  # an earlier try, given up by us, that has arrived since: it began as this one did
                _, marks = self._next(size)
                self._read = _Reached(offset=begun + size, marks=marks)

    def _next(self, limit: int) -> tuple[bytes | memoryview, dict[str, _Mark]]:
        """Return at most ``limit`` bytes that follow what is read, and the marks behind them."""
        marks, pieces, left = dict(self._read.marks), [], limit
        for path in self._paths:
            if left:
                piece, marks[path.name] = self._piece(path, left)
                pieces.append(piece)
                left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), marks

    def _waiting(self, path: Path) -> int:
        """Return how much of a file is not read; if it has become shorter, or another, all of it."""
        try:
            found = path.lstat()
        except OSError:
            return 0
        mark, before = self._latest.mark(path), self._looked.get(path, (0, -1))
        self._looked[path] = found.st_size, found.st_mtime_ns
        touched = found.st_size == mark.position and found.st_mtime_ns != before[1]
        if found.st_size < max(mark.position, before[0]) or (touched and not _is_known(path, mark)):
            self._begin_again(path)
        arrived = self._read.mark(path).position
        # A mark that went back: the file was truncated, and what is sent was read from its new start.
        return found.st_size - (arrived if arrived <= self._latest.mark(path).position else 0)

    @property
    def _latest(self) -> _Reached:
        return self._sent or self._read

    def _begin_again(self, path: Path) -> None:
        self._read = _forgetting(path, self._read)
        self._sent = self._sent and _forgetting(path, self._sent)
        self._write_note()

    def _piece(self, path: Path, limit: int) -> tuple[bytes | memoryview, _Mark]:
        """Return what is new in a file, and the mark behind it."""
        mark = self._read.mark(path)
        try:
            with _opened(path) as file:
                return _read_on(file, mark, limit) or _read_on(file, _Mark(), limit) or (b"", mark)
        except OSError as error:
            if path in self._looked:  # it was there
                _log.warning("%s cannot be read: %s", path, error.strerror)
            return b"", mark

    def _find_replacement(self) -> None:
        """Give what took the place of the last file a link of ours, if we do not know it yet."""
        file = self._files[-1]
        _restore(file)
        if file.shown is not None and _is_another(file.shown, self._paths):
            links = _replacements(file.path)  # whoever packs the log may have made it by now
            if _is_another(file.shown, links) and (link := _keep_replacement(file)):
                links.append(link)
            self._paths += [path for path in links if path not in self._paths]

    def _write_note(self) -> None:
        """Note how far it is. On a full disk only this is lost, and only if this process dies too."""
        text = json.dumps({"read": _to_json(self._read), "sent": self._sent and _to_json(self._sent)})
        try:
            with replacing(self._note, mode=0o600) as part:
                part.write_text(text)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._note, error.strerror)


def _forgetting(path: Path, reached: _Reached) -> _Reached:
    return replace(reached, marks={**reached.marks, path.name: _Mark()})


def _replacements(path: Path) -> list[Path]:
    """Return the links to the files that took the place of this one, oldest first."""
    numbers = (name.suffix[1:] for name in path.parent.glob(f"{path.name}.*"))
    return [path.with_name(f"{path.name}.{number}") for number in sorted(int(n) for n in numbers if n.isdecimal())]


def _restore(file: LogFile) -> None:
    if file.spare is not None and not os.path.lexists(file.path):
        with suppress(OSError):  # the spare one is gone as well, or was never there
            file.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.path.hardlink_to(file.spare)


def _keep_replacement(file: LogFile) -> Path | None:
    """Give what is shown a link of ours and return that; None if it cannot be, or is not the writer's own file.

    Who may write in a folder may link any file into it, also one that only root can read.
    """
    if file.shown is None:
        return None
    link = file.path.with_name(f"{file.path.name}.{len(_replacements(file.path)) + 1}")
    with suppress(OSError):  # it is on another file system, or gone by now
        os.link(file.shown, link, follow_symlinks=False)
        found = link.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_uid == _owner(file):
            return link
        link.unlink()
    return None


def _owner(file: LogFile) -> int:
    """Return whose a log is; one that is gone can only have been removed by a job of our own user."""
    try:
        return file.path.lstat().st_uid
    except OSError:
        return os.geteuid()


def _is_another(shown: Path, known: list[Path]) -> bool:
    """Whether a name is that of a file, no link, which is none of the known ones."""
    with suppress(OSError):  # nothing is there
        found = shown.lstat()
        return stat.S_ISREG(found.st_mode) and not any(os.path.samestat(found, each) for each in _stats(known))
    return False


def _stats(paths: list[Path]) -> Iterator[os.stat_result]:
    for path in paths:
        with suppress(OSError):
            yield path.lstat()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = open_file(str(path), parent=None)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_on(file: int, mark: _Mark, limit: int) -> tuple[memoryview, _Mark] | None:
    """Return what follows a mark, and the mark behind that; None if the bytes before the mark are others by now.

    Both are read in one call, so that a file that is truncated at this moment cannot deceive.
    """
    before, new = bytearray(min(mark.position, _TAIL)), os.fstat(file).st_size - mark.position
    body = _memory(min(limit, max(0, new)))
    got = os.preadv(file, [before, body], mark.position - len(before)) if before or body else 0
    if got < len(before) or (before and _digest(before) != mark.tail):
        return None
    body = body[: got - len(before)]
    tail = (before + body[-_TAIL:])[-_TAIL:]
    return body, _Mark(position=mark.position + len(body), tail=_digest(tail))


def _memory(size: int) -> memoryview:
    """Return memory that goes back to the system when it is let go: a heap would keep megabytes for each thread."""
    return memoryview(mmap.mmap(-1, size) if size else bytearray())


def _is_known(path: Path, mark: _Mark) -> bool:
    try:
        with _opened(path) as file:
            return _read_on(file, mark, 0) is not None
    except OSError:
        return True  # what cannot be read is not news


def _digest(tail: bytes | bytearray) -> str:
    return hashlib.blake2b(tail, digest_size=16).hexdigest()


def _to_json(reached: _Reached) -> dict[str, object]:
    marks = {name: [mark.position, mark.tail] for name, mark in reached.marks.items()}
    return {"offset": reached.offset, "marks": marks}


def _read_note(note: Path) -> tuple[_Reached, _Reached | None] | None:
    def of_json(value: Any) -> _Reached:
        pairs = value["marks"].items()
        marks = {name: _Mark(position=natural(position), tail=str(tail)) for name, (position, tail) in pairs}
        return _Reached(offset=natural(value["offset"]), marks=marks)

    return read_kept(note, lambda kept: (of_json(kept["read"]), kept["sent"] and of_json(kept["sent"])))
