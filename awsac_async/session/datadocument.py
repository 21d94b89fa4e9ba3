"""The data document: what objects cannot say of input data, beside which it is in the bucket.

Owns its form, ``{"version": 1, "executable": ["bin/tool"], "folders": ["empty"]}``: which files are executable, and
which folders there are that hold none. Names are relative, with ``/``; bytes that are not UTF-8 are as Python escapes
them. A session has the document if it would not be empty.
"""

import json
from dataclasses import dataclass
from pathlib import PurePosixPath

from awsac_async.session.jsonobject import parse_object

VERSION = 1
_MOST_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class DataDocument:
    """The names of executable files, and of folders without a file."""

    executable: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self.executable or self.folders)


def format_data_document(document: DataDocument) -> str:
    """Return the document's text."""
    members = {"version": VERSION, "executable": document.executable, "folders": document.folders}
    return json.dumps(members)


def parse_data_document(content: bytes, *, file: str) -> DataDocument:
    """Read the document. Raises FormatError, also for a name that leads out of the folder of the data."""
    document = parse_object(content, file=file, most_bytes=_MOST_BYTES)
    document.read_version(VERSION)
    expected = "a list of names that lead nowhere else"
    return DataDocument(
        executable=tuple(document.read("executable", _are_names, expected, absent=[])),
        folders=tuple(document.read("folders", _are_names, expected, absent=[])),
    )


def stays_inside(name: PurePosixPath) -> bool:
    """Whether a name of somebody else's leads to a place below the folder that it is relative to."""
    return bool(name.parts) and not name.is_absolute() and ".." not in name.parts and "\0" not in str(name)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(name, str) and stays_inside(PurePosixPath(name)) for name in value
    )
