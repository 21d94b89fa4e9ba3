"""The manifest of a job: what it saved, with sizes and checksums, uploaded when all that it lists is there.

Owns the format, a JSON document: ``version`` (1), ``session_id``, ``job``, ``attempt`` (the one whose results these
are), and ``files``, a list of ``key``, ``name`` (of the file that ``getresults`` makes), ``size`` in bytes, ``sha256``,
and ``remark`` if something of what the job left is not in it.
And that of the copies of one instance's manifests in one document, so that they can be read in one request.
The reader trusts nothing of it: whoever may write into the bucket may have written it.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from awsac_async.session.errors import FormatError
from awsac_async.session.jsonobject import JsonObject, is_integer, is_text, parse_object

VERSION = 1
_MOST_SIZE = 1 << 50  # bytes; S3 takes no object of a twentieth of it
_MOST_REMARK = 1000  # characters, as of a reason
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class SavedFile:
    """One object as it was uploaded; ``sha256`` in lower-case hexadecimal digits; ``remark``: what is not in it."""

    key: str
    name: str
    size: int
    sha256: str
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one job saved."""

    session_id: str
    job: int
    attempt: int
    files: tuple[SavedFile, ...]


def format_manifest(manifest: Manifest) -> bytes:
    """Return the document."""
    files = [{key: value for key, value in asdict(file).items() if value != ""} for file in manifest.files]
    return (json.dumps({"version": VERSION, **asdict(manifest), "files": files}, indent=1) + "\n").encode()


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
    return _parse(parse_object(content, file=file), session_id=session_id, job=job, file=file)


def format_copies(manifests: Iterable[bytes]) -> bytes:
    """Return one document with these manifests, each with the MD5 of its own, which is that object's ETag."""
    copies = [json.loads(content) | {"md5": _md5(content)} for content in manifests]
    return (json.dumps({"version": VERSION, "copies": copies}) + "\n").encode()


def parse_copies(content: bytes, *, session_id: str, file: str) -> dict[str, Manifest]:
    """Read such a document of a session; returns the manifests by that MD5.

    Raises:
        FormatError: it is none, or another session's.
    """
    document = parse_object(content, file=file)
    document.read_version(VERSION)
    found = {}
    for value in document.read("copies", lambda value: isinstance(value, list), "a list"):
        copy = JsonObject(value, file=file)
        md5 = copy.read("md5", is_text, "the MD5 of the manifest")
        job = copy.read("job", is_integer, "the number of a job")
        found[md5] = _parse(copy, session_id=session_id, job=job, file=file)
    return found


def _parse(document: JsonObject, *, session_id: str, job: int, file: str) -> Manifest:
    document.read_version(VERSION)
    document.read("session_id", lambda value: value == session_id, session_id)
    document.read("job", lambda value: is_integer(value, least=job, most=job), f"{job}")
    attempt = document.read("attempt", is_integer, "a number from 1 on")
    files = document.read("files", lambda value: isinstance(value, list), "a list")
    saved = tuple(_saved_file(JsonObject(each, file=file)) for each in files)
    if len({each.key for each in saved}) < len(saved):
        raise FormatError(file=file, field="files", found="a key a second time", expected="each key once")
    return Manifest(session_id=session_id, job=job, attempt=attempt, files=saved)


def _saved_file(members: JsonObject) -> SavedFile:
    key = members.read("key", lambda value: is_text(value) and value != "", "the key of an object")
    return SavedFile(
        key=key,
        name=members.read("name", lambda value: value == key.rpartition("/")[2], "the last part of the key"),
        size=members.read("size", _is_size, "a number of bytes"),
        sha256=members.read("sha256", _is_sha256, "64 hexadecimal digits in lower case"),
        remark=members.read("remark", is_text, "a text", absent="")[:_MOST_REMARK],
    )


def _is_size(value: object) -> bool:
    return is_integer(value, least=0, most=_MOST_SIZE)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None
