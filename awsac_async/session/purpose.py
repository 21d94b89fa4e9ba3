"""What a session of one job is for, if not for its results: to build a release, or to pack one into an archive.

Owns the fields of the user data that say so to the agent. Pure; what is done about them is the agent's business.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from awsac_async.session import fields, names
from awsac_async.session.errors import FormatError
from awsac_async.session.model import JobSettings, Schedule, StartInfo, UserData
from awsac_async.session.releases import Compression, ReleaseArchive, parse_address

T = TypeVar("T")
FILE_SYSTEMS = ("ext4", "xfs")
_MOST_GIB = 16_384  # of a gp3 volume: https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
_FILE = "user data"

release_name = fields.matching(
    r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}", "a name like atlas-14.2.24: at most 100 letters, digits, '_', '.', '+', '-'"
)
volume_size = fields.integer(least=1, most=_MOST_GIB, expected=f"a size in GiB from 1 to {_MOST_GIB}")
file_system = fields.matching("|".join(FILE_SYSTEMS), " or ".join(FILE_SYSTEMS))


@dataclass(frozen=True, kw_only=True)
class Build:
    """A release is built on an empty volume, of which a snapshot is made. ``gib`` is its size in GiB."""

    name: str
    gib: int
    file_system: str = FILE_SYSTEMS[0]


@dataclass(frozen=True, kw_only=True)
class PackTo:
    """The release of the job becomes an archive in S3."""

    archive: ReleaseArchive


Purpose = Build | PackTo


def packed_address(text: str) -> ReleaseArchive:
    """Read the address of an archive that is to be made; raises ValueError."""
    archive = parse_address(text)
    if archive.compression is not Compression.ZSTD:
        raise ValueError("an address that ends in .tar.zst, like s3://bucket/release.tar.zst")
    if ";" in archive.key:
        raise ValueError("an address without ';', which no jobs.cfg could name")
    return archive


def fit_for(purpose: Purpose, startinfo: StartInfo) -> StartInfo:
    """Return the ini for a session with this purpose: one job of root, made once, that may write to what it builds."""
    mount = "rw" if isinstance(purpose, Build) else "ro"
    alone = replace(startinfo, schedule=Schedule.FIXED, n_instances=None, max_cores=None, lease=JobSettings.lease)
    return replace(alone, n_jobs=1, retries=0, job_user="root", release_mount=mount)


def purpose_fields(purpose: Purpose | None) -> dict[str, str]:
    """Return the fields that tell the instance of it."""
    match purpose:
        case Build():
            return {
                names.USER_DATA_BUILD_NAME: purpose.name,
                names.USER_DATA_BUILD_SIZE: str(purpose.gib),
                names.USER_DATA_BUILD_FS: purpose.file_system,
            }
        case PackTo():
            return {names.USER_DATA_PACK_TO: purpose.archive.address}
    return {}


def read_purpose(user_data: UserData) -> Purpose | None:
    """Read those fields; None if the session is for its results, as others are. Raises FormatError."""
    extra = user_data.extra
    if names.USER_DATA_PACK_TO in extra:
        return PackTo(archive=_read(extra, names.USER_DATA_PACK_TO, packed_address))
    if names.USER_DATA_BUILD_SIZE not in extra:
        return None
    if names.USER_DATA_BUILD_NAME not in extra:
        expected = f"{names.USER_DATA_BUILD_NAME} beside {names.USER_DATA_BUILD_SIZE}"
        raise FormatError(file=_FILE, found="no name of the release", expected=expected)
    build = Build(
        name=_read(extra, names.USER_DATA_BUILD_NAME, release_name),
        gib=_read(extra, names.USER_DATA_BUILD_SIZE, volume_size),
    )
    if names.USER_DATA_BUILD_FS not in extra:
        return build
    return replace(build, file_system=_read(extra, names.USER_DATA_BUILD_FS, file_system))


def _read(extra: Mapping[str, str], key: str, reader: Callable[[str], T]) -> T:
    return fields.read_field(reader, extra[key], file=_FILE, field=key)
