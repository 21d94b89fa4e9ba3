"""The manifest of a job: what it saved, with sizes and checksums, uploaded when all that it lists is there.

Owns the format, a JSON document: ``version`` (1), ``session_id``, ``job``, ``attempt`` (the one whose results these
are), and ``files``, a list of ``key``, ``name`` (of the file that ``getresults`` makes), ``size`` in bytes, ``sha256``.
And that of the copies of one instance's manifests in one document, so that they can be read in one request.
The reader trusts nothing of it: whoever may write into the bucket may have written it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, cast

from awsac_async.session.errors import FormatError
from awsac_async.session.fields import decode, shown

VERSION = 1
_MOST_SIZE = 1 << 50  # bytes; S3 takes no object of a twentieth of it
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class SavedFile:
    """One object as it was uploaded; ``sha256`` in lower-case hexadecimal digits."""

    key: str
    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one job saved."""

    session_id: str
    job: int
    attempt: int
    files: tuple[SavedFile, ...]


def format_manifest(manifest: Manifest) -> bytes:
    """Return the document."""
    return (json.dumps({"version": VERSION, **asdict(manifest)}, indent=1) + "\n").encode()


def parse_manifest(content: bytes, *, session_id: str, job: int, file: str) -> Manifest:
    """Read the manifest of a job; members that a later version may add are passed over.

    Args:
        content: the document.
        session_id: the session that it must be of.
        job: the job that it must be of.
        file: its name in errors.

    Raises:
        FormatError: it is no manifest, or another job's.
    """
    return _parse(_loaded(content, file=file), session_id=session_id, job=job, file=file)


def format_copies(manifests: Iterable[bytes]) -> bytes:
    """Return one document with these manifests, each with the MD5 of its own, which is that object's ETag."""
    copies = [json.loads(content) | {"md5": _md5(content)} for content in manifests]
    return (json.dumps({"version": VERSION, "copies": copies}) + "\n").encode()


def parse_copies(content: bytes, *, session_id: str, file: str) -> dict[str, Manifest]:
    """Read such a document of a session; returns the manifests by that MD5.

    Raises:
        FormatError: it is none, or another session's.
    """
    members = _Members(_loaded(content, file=file), file=file)
    members.read("version", lambda value: value == VERSION and _is_integer(value), f"{VERSION}")
    found = {}
    for value in members.read("copies", lambda value: isinstance(value, list), "a list"):
        copy = _Members(value, file=file)
        md5 = copy.read("md5", lambda value: isinstance(value, str), "the MD5 of the manifest")
        job = copy.read("job", _is_integer, "the number of a job")
        found[md5] = _parse(value, session_id=session_id, job=job, file=file)
    return found


def _parse(document: object, *, session_id: str, job: int, file: str) -> Manifest:
    members = _Members(document, file=file)
    members.read("version", lambda value: value == VERSION and _is_integer(value), f"{VERSION}")
    members.read("session_id", lambda value: value == session_id, session_id)
    members.read("job", lambda value: value == job and _is_integer(value), f"{job}")
    attempt = members.read("attempt", lambda value: _is_integer(value) and value >= 1, "a number from 1 on")
    files = members.read("files", lambda value: isinstance(value, list), "a list")
    saved = tuple(_saved_file(each, file=file) for each in files)
    if len({each.key for each in saved}) < len(saved):
        raise FormatError(file=file, field="files", found="a key a second time", expected="each key once")
    return Manifest(session_id=session_id, job=job, attempt=attempt, files=saved)


def _loaded(content: bytes, *, file: str) -> object:
    text = decode(content, file=file)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise FormatError(file=file, found=shown(text), expected="a JSON object") from None


def _saved_file(value: object, *, file: str) -> SavedFile:
    members = _Members(value, file=file)
    key = members.read("key", lambda value: isinstance(value, str) and value != "", "the key of an object")
    return SavedFile(
        key=key,
        name=members.read("name", lambda value: value == key.rpartition("/")[2], "the last part of the key"),
        size=members.read("size", lambda value: _is_integer(value) and 0 <= value <= _MOST_SIZE, "a number of bytes"),
        sha256=members.read("sha256", _is_sha256, "64 hexadecimal digits in lower case"),
    )


class _Members:
    """The members of one JSON object, each read with a check."""

    def __init__(self, value: object, *, file: str) -> None:
        if not isinstance(value, dict):
            raise FormatError(file=file, found=_shown(value), expected="a JSON object")
        self._members, self._file = cast("dict[str, Any]", value), file

    def read(self, name: str, right: Callable[[Any], bool], expected: str) -> Any:
        """Return a member for which ``right`` is true; raises FormatError."""
        value = self._members.get(name)
        if not right(value):
            raise FormatError(file=self._file, field=name, found=_shown(value), expected=expected)
        return value


def _shown(value: object) -> str:
    return "nothing" if value is None else shown(json.dumps(value))


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None
