"""How the files in a folder of results stand to their objects: not there, complete, or different.

Owns what counts as complete: size and SHA-256 are those of the manifest; or, where no manifest speaks of the object,
size and ETag are the object's, by the folder's record or by the MD5 of the content. Blocks, since files may be read.
"""

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

from awsac_async.client.results.files import Target
from awsac_async.client.results.manifests import Statement
from awsac_async.client.results.record import Entry, ResultsRecord


class Standing(Enum):
    """How a file stands to its object."""

    MISSING = "missing"
    COMPLETE = "complete"
    DIFFERING = "differing"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """How a file stands; ``entry`` is what is known of one that is complete."""

    target: Target
    standing: Standing
    entry: Entry | None = None


def settled(targets: Sequence[Target], record: ResultsRecord) -> list[Compared]:
    """Return the files that were verified, and have not changed since: nothing has to be asked or read for them."""
    entries = [(target, record.entries.get(target.path.name)) for target in targets]
    return [
        Compared(target=target, standing=Standing.COMPLETE, entry=entry)
        for target, entry in entries
        if entry is not None and entry.verified and _is_as_noted(target, entry)
    ]


def compare(targets: Sequence[Target], record: ResultsRecord, statements: Mapping[str, Statement]) -> list[Compared]:
    """Return how the other files stand; reads those of which the record is no proof, so it may take long."""
    return [_compare(target, record, statements.get(target.info.key)) for target in targets]


def _is_as_noted(target: Target, entry: Entry) -> bool:
    """Whether a file is still that of the record, and its object the one that it was made of."""
    status = _status(target.path)
    return (
        status is not None
        and (entry.etag, entry.size) == (target.info.etag, target.info.size)
        and stat.S_ISREG(status.st_mode)
        and (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)
    )


def _compare(target: Target, record: ResultsRecord, statement: Statement | None) -> Compared:
    status = _status(target.path)
    if status is None:
        return Compared(target=target, standing=Standing.MISSING)
    entry = record.entries.get(target.path.name)
    if statement is None and entry is not None and _is_as_noted(target, entry):
        return Compared(target=target, standing=Standing.COMPLETE, entry=entry)
    right = stat.S_ISREG(status.st_mode) and status.st_size == target.info.size
    found = _recognized(target, status, record, statement) if right else None
    return Compared(target=target, standing=Standing.COMPLETE if found else Standing.DIFFERING, entry=found)


def _recognized(
    target: Target, status: os.stat_result, record: ResultsRecord, statement: Statement | None
) -> Entry | None:
    """Return what is known of a file of the right size, or None if it is not the object's."""
    info, entry = target.info, record.entries.get(target.path.name)
    noted = partial(Entry, etag=info.etag, size=info.size, mtime_ns=status.st_mtime_ns)
    sha256 = _digest(target.path, "sha256")
    if statement is not None:
        return noted(sha256=sha256, verified=True) if sha256 == statement.saved.sha256 else None
    if entry is not None and (entry.etag, entry.sha256) == (info.etag, sha256):
        return noted(sha256=sha256, verified=entry.verified, unpacked=entry.unpacked)
    if record.etags.get(target.path.name) == info.etag or _digest(target.path, "md5") == info.etag.strip('"'):
        return noted(sha256=sha256, verified=False)
    return None


def _digest(path: Path, algorithm: str) -> str:
    """Return a file's checksum; the MD5 is what S3 has as ETag of an object that was uploaded in one piece."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()
    except OSError:  # what cannot be read is not the object's
        return ""


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # no such file; if it is another reason, writing it has the same
        return None
