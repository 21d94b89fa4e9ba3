"""One agent at a time: whoever comes while another is at work on this instance waits for its end.

A boot script that was killed leaves the agent that it had started behind, and the next one starts another. Owns the
lock file, which the kernel frees however its holder ends.
"""

import asyncio
import fcntl
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

from awsac_async.agent.log import describe

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 1.0  # a wait for the lock itself would be a thread that no signal ends


@asynccontextmanager
async def only_agent(file: Path) -> AsyncIterator[None]:
    """Be the only agent that holds ``file``, from now to the end of the body."""
    try:
        lock = await asyncio.to_thread(_open, file)
    except OSError as error:
        _log.error("nothing keeps another agent from working here too: %s", describe(error))
        yield
        return
    with lock:
        if not taken(lock):
            _log.warning("another agent is at work on this instance: waiting for its end")
            while not taken(lock):  # noqa: ASYNC110  it is another process that frees it
                await asyncio.sleep(_PAUSE_SECONDS)
        yield


def _open(file: Path) -> TextIO:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.open("w")


def taken(lock: TextIO) -> bool:
    """Whether a lock file is held by this process from now on, since nobody else holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
