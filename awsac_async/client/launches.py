"""The further launches of a session, as their documents in its bucket tell.

Owns reading them, and how many instances a session has had in all. Every launch but the first has a document, from
before its instances run.
"""

import contextlib

from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.objects import address
from awsac_async.session.errors import NotFoundError
from awsac_async.session.launches import LaunchDocument, parse_launch
from awsac_async.session.model import SessionRecord
from awsac_async.session.names import launch_key, launches_prefix


async def read_last_launch(bucket: Bucket, session_id: str) -> LaunchDocument | None:
    """Return the document of a session's last launch; None if that is the one of ``start``.

    Raises:
        FormatError: what stands in its place is none.
        CloudError: it could not be read.
    """
    for launch in reversed(await _numbers(bucket, session_id)):
        key = launch_key(session_id, launch)
        with contextlib.suppress(NotFoundError):  # undone since it was listed
            content, _ = await bucket.read(key)
            return parse_launch(content, file=address(bucket.name, key))
    return None


async def count_instances(bucket: Bucket, record: SessionRecord) -> int:
    """Return how many instances a session has had in all: their launch indexes are those below. Raises likewise."""
    last = await read_last_launch(bucket, record.session_id)
    return last.end_launch_index if last else record.n_instances


async def _numbers(bucket: Bucket, session_id: str) -> list[int]:
    """Return the numbers of the further launches, in order."""
    prefix = launches_prefix(session_id)
    names = [each.key.removeprefix(prefix).removesuffix(".json") for each in await bucket.list(prefix)]
    return sorted(int(name) for name in names if name.isdecimal())
