"""What an instance does before it knows its jobs: read its user data, and fetch the archive.

Owns ``SessionInfoFile``. It never decides what becomes of the instance when something fails.
"""

import asyncio
import logging
from pathlib import Path

import aiofiles

from awsac_async.agent.log import step
from awsac_async.agent.metadata import Metadata
from awsac_async.agent.retry import keep_trying, passing
from awsac_async.cloud.bucket import Bucket, Download
from awsac_async.cloud.objects import address
from awsac_async.session.atomic import replacing
from awsac_async.session.errors import FormatError, NotFoundError
from awsac_async.session.model import UserData
from awsac_async.session.names import InstancePaths, archive_key
from awsac_async.session.userdata import format_user_data, parse_user_data

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
    await keep_trying(f"fetch {key}", fetch, until=until, again=passing)
