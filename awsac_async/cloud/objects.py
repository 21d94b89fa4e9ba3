"""The words of S3 that the other rooms use: an object, what to upload, what to download, and how far it is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from awsac_async.session.errors import CloudError, UnwritableError


def address(bucket: str, key: str) -> str:
    """Return how an object is called in errors and to users."""
    return f"s3://{bucket}/{key}"


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """An object in a listing. ``size`` in bytes, ``etag`` with its quotes, ``modified`` in UTC."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Bytes that come into being while they are uploaded: nothing of them is on any disk.

    ``read`` is called for each upload, in a thread, and yields them from the beginning; an error that it raises ends
    the upload, and leaves nothing of it. ``about`` is how many bytes are to be expected.
    """

    read: Callable[[], Iterator[bytes]]
    about: int


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file, bytes or a stream to be uploaded as the object ``key``."""

    source: Path | bytes | Stream
    key: str


@dataclass(frozen=True, kw_only=True)
class Download:
    """An object to be downloaded into the file ``target``: the very version that was listed, by size and ETag.

    ``sha256`` is what its content must have, in lower-case hexadecimal digits; None: that is not known.
    """

    key: str
    target: Path
    size: int
    etag: str
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """What came of a download: the SHA-256 of what it received, and when the file was written (``st_mtime_ns``).

    With an ``error`` there is no file, but perhaps the one that was there before.
    """

    item: Download
    sha256: str = ""
    mtime_ns: int = 0
    error: CloudError | UnwritableError | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a transfer is; of many small files, not every step is told."""

    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
