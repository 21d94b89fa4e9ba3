"""What the release of a job is: an EBS snapshot, named by its ID, or a tree in S3, named by the address of its archive.

Owns the form of such an address and what its suffix says. A release is kept as the text that names it, in ``jobs.cfg``
and everywhere else; here the two kinds are told apart.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeGuard

from awsac_async.session import fields

SCHEME = "s3://"
# Where jobs are shared, an instance keeps the releases of the jobs that its cores have, and so many more: the next job
# may well need one of them again.
SPARE_RELEASES = 4
_MOST_KEY = 1024  # bytes, S3's own bound
_ADDRESS = re.compile(re.escape(SCHEME) + r"(?P<bucket>[^/]*)/(?P<key>.*)")


class Compression(StrEnum):
    """How the tar file of a release is compressed, by the last part of its name."""

    NONE = "tar"
    GZIP = "gz"
    BZIP2 = "bz2"
    XZ = "xz"
    ZSTD = "zst"


SUFFIXES = {f".tar.{each}": each for each in Compression if each is not Compression.NONE} | {
    ".tar": Compression.NONE,
    ".tgz": Compression.GZIP,
    ".tbz2": Compression.BZIP2,
    ".txz": Compression.XZ,
    ".tzst": Compression.ZSTD,
}
_EXPECTED = "an address like s3://bucket/release.tar.zst (or .tar.gz, .tar.bz2, .tar.xz, .tar)"
_PLAIN_KEY = f"{_EXPECTED}, without spaces, empty names, '.' and '..' in its key"


@dataclass(frozen=True, kw_only=True)
class ReleaseArchive:
    """A release in S3: the bucket, which need not be the session's, and the key of a tar file."""

    bucket: str
    key: str
    compression: Compression

    @property
    def address(self) -> str:
        """The text that names it."""
        return f"{SCHEME}{self.bucket}/{self.key}"


def parse_address(text: str) -> ReleaseArchive:
    """Read the address of a release in S3; raises ValueError, which says what was expected."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(_EXPECTED)
    bucket, key = fields.bucket(found["bucket"]), found["key"]
    suffix = next((each for each in SUFFIXES if key.endswith(each) and key != each), None)
    if suffix is None:
        raise ValueError(_EXPECTED)
    # What no library changes on its way to S3, and no field of jobs.cfg has trouble with.
    odd = any(part in {"", ".", ".."} for part in key.split("/"))
    if odd or " " in key or not key.isprintable() or len(key.encode()) > _MOST_KEY:
        raise ValueError(_PLAIN_KEY)
    return ReleaseArchive(bucket=bucket, key=key, compression=SUFFIXES[suffix])


def archive_of(release: str | None) -> ReleaseArchive | None:
    """Return the archive in S3 that a release is; None if it is a snapshot, or none at all."""
    return parse_address(release) if release is not None and release.startswith(SCHEME) else None


def is_snapshot(release: str | None) -> TypeGuard[str]:
    """Whether a release is an EBS snapshot, of which a volume is made."""
    return release is not None and not release.startswith(SCHEME)


def need_volumes(releases: Iterable[str | None]) -> bool:
    """Whether any of these releases becomes a volume."""
    return any(map(is_snapshot, releases))
