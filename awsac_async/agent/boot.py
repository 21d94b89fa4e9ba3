"""What an instance does before it knows its jobs: read its user data, and fetch the archive.

Owns ``SessionInfoFile``. It never decides what becomes of the instance when something fails.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import aiofiles

from awsac_async.agent.log import step
from awsac_async.agent.metadata import Metadata
from awsac_async.agent.retry import keep_trying
from awsac_async.cloud.bucket import Bucket, Download
from awsac_async.cloud.objects import address
from awsac_async.session.atomic import replacing
from awsac_async.session.errors import CloudError, CredentialsError, FormatError, NotFoundError
from awsac_async.session.fields import natural_number, read_field
from awsac_async.session.model import StartInfo, UserData
from awsac_async.session.names import (
    USER_DATA_HOURS,
    USER_DATA_JOBS,
    USER_DATA_OBJECTS,
    InstancePaths,
    archive_key,
)
from awsac_async.session.userdata import format_user_data, parse_user_data, read_settings

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 300.0  # a fresh instance role may take a while to be known everywhere


async def read_user_data(metadata: Metadata) -> UserData | None:
    """Read the user data; None if the instance has none.

    Raises:
        FormatError: it has some, but not those of a session.
        CloudError: the metadata service does not answer.
    """
    with step("read user data"):
        text = await metadata.user_data()
    return None if text is None else parse_user_data(text)


def keep_user_data(user_data: UserData, paths: InstancePaths) -> None:
    """Write ``SessionInfoFile``, where the session's own scripts look for the user data. Raises OSError.

    Once: a successor may find the disk full.
    """
    file, text = paths.session_info_file, format_user_data(user_data)
    if file.exists() and file.read_text(errors="replace") == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file, mode=0o644) as part:
        part.write_text(text)


async def recall_user_data(metadata: Metadata, file: Path) -> UserData:
    """Read a ``SessionInfoFile``; if it is missing or damaged, the user data itself. Raises as read_user_data."""
    try:
        async with aiofiles.open(file, errors="replace") as kept:
            return parse_user_data(await kept.read(), file=str(file))
    except (OSError, FormatError) as error:
        _log.warning("asking for the user data again: %s", error)
    found = await read_user_data(metadata)
    if found is None:
        raise FormatError(file="user data", found="none", expected="those of a session")
    return found


def check_user_data(user_data: UserData) -> None:
    """Raise FormatError if one of our own fields cannot be read; the readers below then take it for missing."""
    for key, reader in _FIELDS.items():
        if key in user_data.extra:
            read_field(reader, user_data.extra[key], file="user data", field=key)
    read_settings(user_data)


def number_of_jobs(user_data: UserData) -> int | None:
    """Return how many jobs the session has, or None: a client of 2008 does not say."""
    return int(_field(user_data, USER_DATA_JOBS)) if _field(user_data, USER_DATA_JOBS) else None


def number_of_data(user_data: UserData) -> int:
    """Return how many objects of input data the session has."""
    return int(_field(user_data, USER_DATA_OBJECTS))


def max_hours(user_data: UserData) -> float:
    """Return how many hours after its boot an instance of the session ends."""
    return _field(user_data, USER_DATA_HOURS) or StartInfo.max_hours


def _field(user_data: UserData, key: str) -> float:
    """Return a number of ours, or 0 if there is none that can be read."""
    try:
        return _FIELDS[key](user_data.extra[key])
    except (KeyError, ValueError):
        return 0


def _hours(text: str) -> float:
    with contextlib.suppress(ValueError):
        hours = float(text)
        if 0 < hours < math.inf:
            return hours
    raise ValueError("a number of hours above 0")


_FIELDS: Mapping[str, Callable[[str], float]] = {
    USER_DATA_JOBS: natural_number,
    USER_DATA_OBJECTS: natural_number,
    USER_DATA_HOURS: _hours,
}


async def fetch_archive(bucket: Bucket, user_data: UserData, paths: InstancePaths) -> None:
    """Fetch the session archive to ``SessionArchiveFile``; tries again for five minutes what may pass.

    Raises:
        CloudError: it is not there, or could not be fetched.
    """
    key = archive_key(user_data.session_id, user_data.archive_name)

    async def fetch() -> None:
        found = [info for info in await bucket.list(key) if info.key == key]
        if not found:
            raise NotFoundError("GetObject", address(user_data.bucket, key), "there is no such object")
        await bucket.download([Download(key=key, target=paths.archive, size=found[0].size, etag=found[0].etag)])

    until = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    await keep_trying(f"fetch {key}", fetch, until=until, again=_may_pass)


def _may_pass(error: CloudError) -> bool:
    return error.temporary or isinstance(error, CredentialsError)
