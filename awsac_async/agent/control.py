"""What clients ask while the session runs: the control document, looked at every few seconds.

Owns the watching and nothing of what is done about it. A look that fails ends nothing: the jobs go on, and the next
look finds all that was asked, since commands stay as long as an agent may act on them. What a look costs is in
``docs/protocol.md``.
"""

import asyncio
import logging
from collections.abc import Callable

from awsac_async.agent.log import describe
from awsac_async.agent.retry import foreseen
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.objects import address
from awsac_async.cloud.waiting import jittered
from awsac_async.session.control import Control, parse_control
from awsac_async.session.errors import CloudError, FormatError, NotFoundError
from awsac_async.session.names import control_key

_log = logging.getLogger(__name__)
# Seconds between two looks: short after a change, since somebody is there who may ask for more.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0


async def watch_control(bucket: Bucket, session_id: str, on_change: Callable[[Control], None]) -> None:
    """Call ``on_change`` with all that has been asked, at first and whenever there is more; runs until cancelled."""
    document, pause = _Document(bucket, control_key(session_id)), _FIRST_PAUSE
    while True:
        if control := await document.changed():
            on_change(control)
            pause = _FIRST_PAUSE
        await asyncio.sleep(jittered(pause))
        pause = min(1.5 * pause, _LONGEST_PAUSE)


class _Document:
    """The control document, as it was when it was last read."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self.place = address(bucket.name, key)
        self._bucket, self._key = bucket, key
        self._etag: str | None = None
        self._failing = False

    async def changed(self) -> Control | None:
        """Return what it says, if that is new and can be read."""
        content = None
        try:
            if found := await self._read():
                content, self._etag = found
            self._failing = False
        except NotFoundError:  # nobody has asked for anything yet
            self._failing = False
        except CloudError as error:
            if not self._failing:
                _log.warning("control document: %s; going on looking", describe(error))
            self._failing = True
        return self._parsed(content) if content is not None else None

    async def _read(self) -> tuple[bytes, str] | None:
        return await foreseen("GetObject", self.place, self._bucket.read_if_changed(self._key, self._etag))

    def _parsed(self, content: bytes) -> Control | None:
        try:
            return parse_control(content, file=self.place)
        except FormatError as error:
            _log.warning("control document, left as it was: %s", error)
            return None
