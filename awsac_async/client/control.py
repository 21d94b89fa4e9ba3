"""How a client asks something of the agents of a running session: the control document in the session's bucket.

Owns the writing of it, which other clients may do at the same time: read, change, and write only if it is still what
was read. Nothing here waits for an agent to act.
"""

import logging
from collections.abc import Callable

from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.objects import address
from awsac_async.cloud.waiting import attempts
from awsac_async.session.control import Control, format_control, parse_control
from awsac_async.session.errors import ConflictError, FormatError, NotFoundError
from awsac_async.session.names import control_key

_log = logging.getLogger(__name__)
_PATIENCE = 30.0  # seconds; each conflict means that another client got its word in


async def amend_control(bucket: Bucket, session_id: str, change: Callable[[Control], Control]) -> Control:
    """Change a session's control document and return what stands in it then; what does not change is not written.

    Args:
        bucket: the session's bucket.
        session_id: its ID.
        change: returns the document with what is asked; called again if another client was faster.

    Raises:
        CloudError: it could not be read or written.
    """
    key = control_key(session_id)
    async for last in attempts(within=_PATIENCE):
        found, etag = await _read(bucket, key)
        if (control := change(found)) == found:
            return control
        try:
            await bucket.write(key, format_control(control), etag=etag)
        except (ConflictError, NotFoundError):  # written, or deleted, since it was read
            if last:
                raise
        else:
            return control
    raise AssertionError("attempts() ends with a last one")


async def read_control(bucket: Bucket, session_id: str) -> Control:
    """Return what has been asked of a session's agents. Raises as ``amend_control``."""
    return (await _read(bucket, control_key(session_id)))[0]


async def _read(bucket: Bucket, key: str) -> tuple[Control, str | None]:
    try:
        content, etag = await bucket.read(key)
    except NotFoundError:
        return Control(), None
    try:
        return parse_control(content, file=address(bucket.name, key)), etag
    except FormatError as error:  # somebody else's: agents pass it over, and what is asked now replaces it
        _log.warning("%s", error)
        return Control(), etag
