"""Input data of a session (``start -d``): fetched once per instance, for all of its jobs.

Owns ``AWSACDataDir``. A key is somebody's text: nothing may ever be written outside of that folder.
"""

import asyncio
from pathlib import Path, PurePosixPath

from awsac_async.agent.log import step
from awsac_async.agent.retry import keep_trying
from awsac_async.cloud.bucket import Bucket, Download, ObjectInfo
from awsac_async.session.datadocument import parse_data_document, stays_inside
from awsac_async.session.errors import AwsacError
from awsac_async.session.names import data_document_key, data_prefix

_PATIENCE_SECONDS = 600.0


class DataError(Exception):
    """The input data could not be fetched, or is not what was uploaded; the text is the reason its jobs report."""


async def fetch_data(
    bucket: Bucket, *, session_id: str, count: int, directory: Path, has_document: bool = False
) -> None:
    """Fetch all input data of a session into ``directory``.

    Args:
        bucket: the session's bucket.
        session_id: the session.
        count: how many objects the client uploaded; 0 fetches nothing.
        directory: where they go, under their names below the session's data prefix.
        has_document: there is a document about them, which says what is executable, and which folders are empty.

    Raises:
        DataError: the number differs, a key leads out of ``directory``, a file cannot be written, or the transfer
            failed for ten minutes.
    """
    if not count:
        return
    try:
        with step(f"fetch {count} data objects to {directory}"):
            await keep_trying(
                "fetch data",
                lambda: _fetch(bucket, session_id, count, directory),
                until=asyncio.get_running_loop().time() + _PATIENCE_SECONDS,
            )
            if has_document:
                await keep_trying(
                    "follow the data document",
                    lambda: _follow_document(bucket, session_id, directory),
                    until=asyncio.get_running_loop().time() + _PATIENCE_SECONDS,
                )
    except (AwsacError, OSError) as error:
        raise DataError(f"input data: {error}") from error


async def _fetch(bucket: Bucket, session_id: str, count: int, directory: Path) -> None:
    prefix = data_prefix(session_id)
    objects = await bucket.list(prefix)
    if len(objects) != count:
        raise DataError(f"input data: found {len(objects)} objects below {prefix}, expected {count}")
    await bucket.download([_download(info, prefix, directory) for info in objects])


def _download(info: ObjectInfo, prefix: str, directory: Path) -> Download:
    name = PurePosixPath(info.key.removeprefix(prefix))
    if not stays_inside(name):
        raise DataError(f"input data: the key {info.key} leads out of the data directory")
    return Download(key=info.key, target=directory / name, size=info.size, etag=info.etag)


async def _follow_document(bucket: Bucket, session_id: str, directory: Path) -> None:
    """Make files executable and folders that hold none, as the document says."""
    key = data_document_key(session_id)
    content, _ = await bucket.read(key)
    document = parse_data_document(content, file=key)

    def follow() -> None:
        for name in document.folders:
            (directory / name).mkdir(parents=True, exist_ok=True)
        for name in document.executable:
            (directory / name).chmod(0o755)

    await asyncio.to_thread(follow)
