"""What is known of the files in a folder of results, so that what was verified need not be read again.

Owns the record ``.awsac-results.jsonl``: a line a file, a JSON object, of which the last one with a name counts. It
is a memory, not a truth: a line that cannot be read, or that does not fit the file, only costs another look at the
file. Lines are only appended, so that a run that is killed loses none; who fills a folder has it alone.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from awsac_async.cloud.parts import NOTE_SUFFIX, PART_SUFFIX, writing
from awsac_async.session.atomic import replacing
from awsac_async.session.errors import InputError

RECORD_FILE = ".awsac-results.jsonl"
ETAGS_FILE = ".awsac-etags.json"  # of earlier versions: an object of names and ETags
RECORD_NAMES = frozenset({RECORD_FILE, ETAGS_FILE})
_SPARE = 1000  # lines that no longer count, and are borne with


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file as it was when it was complete: of the object with this ETag, ``mtime_ns`` its time of change.

    ``verified``: its SHA-256 is that of its job's manifest. ``unpacked``: so is what it holds, since then.
    """

    etag: str
    size: int
    mtime_ns: int
    sha256: str
    verified: bool
    unpacked: bool = False


_TYPES = {field.name: field.type for field in fields(Entry)}


class ResultsRecord:
    """The record of one folder, made by `opened`."""

    def __init__(self, folder: Path) -> None:
        self._path, self._old = folder / RECORD_FILE, folder / ETAGS_FILE
        self.entries: dict[str, Entry] = {}
        self.etags = _read_etags(self._old)
        lines = _read_lines(self._path)
        for line in lines:
            self.entries.update(_parsed(line))
        if len(lines) > len(self.entries) + _SPARE:
            self._rewrite()

    def note(self, entries: Mapping[str, Entry]) -> None:
        """Remember files by their names. Raises InputError if the record cannot be written."""
        self.entries.update(entries)
        if entries:
            with writing(self._path), self._path.open("ab", buffering=0) as file:
                file.write("".join(_line(name, entry) for name, entry in entries.items()).encode())

    def drop_old(self) -> None:
        """Remove the record of an earlier version, when this one knows all that it knew."""
        if self.etags:
            self._old.unlink(missing_ok=True)

    def _rewrite(self) -> None:
        text = "".join(_line(name, entry) for name, entry in self.entries.items())
        with writing(self._path), replacing(self._path, mode=0o644) as part:
            part.write_text(text, encoding="utf-8")


@contextmanager
def opened(folder: Path) -> Iterator[ResultsRecord]:
    """Make a folder, keep others from filling it meanwhile, and read its record.

    Raises:
        InputError: the folder cannot be used, or another run fills it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error
    try:
        _take(descriptor, folder)
        with writing(folder):
            _refuse_special(folder)
            record = ResultsRecord(folder)
        yield record
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(f"another getresults fills {folder}: wait for it, or name another folder") from error
    except OSError:  # some file systems have no locks: then it is up to the user
        return


def _refuse_special(folder: Path) -> None:
    """Raise InputError for what stands where we write and is no file: a pipe is waited for, a link leads elsewhere."""
    with os.scandir(folder) as entries:
        for each in entries:
            ours = each.name in RECORD_NAMES or each.name.endswith((PART_SUFFIX, NOTE_SUFFIX))
            if ours and not each.is_file(follow_symlinks=False):
                raise InputError(f"{each.path} is no plain file, and getresults writes there: move it away first")


def _read_lines(path: Path) -> list[bytes]:
    """Return whole lines: what has no end was being written when somebody was killed."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    if content and not content.endswith(b"\n"):
        with path.open("ab", buffering=0) as file:
            file.write(b"\n")  # lest the next line be part of it
    return content.split(b"\n")[:-1]


def _parsed(line: bytes) -> dict[str, Entry]:
    try:
        members = json.loads(line)
        name = members.pop("name")
        entry = Entry(**members)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    right = isinstance(name, str) and all(type(value) is _TYPES[key] for key, value in vars(entry).items())
    return {name: entry} if right else {}


def _line(name: str, entry: Entry) -> str:
    return json.dumps({"name": name, **vars(entry)}) + "\n"


def _read_etags(path: Path) -> dict[str, str]:
    try:
        return {str(name): str(etag) for name, etag in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
