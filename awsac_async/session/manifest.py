"""The manifest of a job: what it saved, with sizes and checksums, uploaded when all that it lists is there.

Owns the format, a JSON document: ``version`` (1), ``session_id``, ``job``, ``attempt`` (the one whose results these
are), and ``files``, a list of ``key``, ``name`` (of the file that ``getresults`` makes), ``size`` in bytes, ``sha256``.
"""

import json
from dataclasses import asdict, dataclass

VERSION = 1


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
