"""The manifest of a job: what it saved, with sizes and checksums, uploaded when all that it lists is there.

Owns the format, a JSON document: ``version`` (1), ``session_id``, ``job``, ``attempt`` (the one whose results these
are), and ``files``, a list of ``key``, ``name`` (of the file that ``getresults`` makes), ``size`` in bytes, ``sha256``.
"""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from awsac_async.session.errors import FormatError

VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


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


def parse_manifest(document: bytes, *, file: str) -> Manifest:
    """Read a document; what newer versions add to it is ignored.

    Raises:
        FormatError: it is none, and names ``file``.
    """
    try:
        fields = json.loads(document)
        manifest = Manifest(
            session_id=_typed(str, fields["session_id"]),
            job=_natural(fields["job"]),
            attempt=_natural(fields["attempt"]),
            files=tuple(_saved_file(each) for each in _typed(list, fields["files"])),
        )
        if _natural(fields["version"]) < VERSION:
            raise ValueError("no such version")
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(file=file, found=f"no manifest ({error})", expected="what an agent saved of a job") from error
    return manifest


def _saved_file(fields: Any) -> SavedFile:
    sha256 = _typed(str, fields["sha256"])
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256!r} is no SHA-256")
    key, name = _typed(str, fields["key"]), _typed(str, fields["name"])
    return SavedFile(key=key, name=name, size=_natural(fields["size"]), sha256=sha256)


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number from 0")
    return value


def _typed(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
