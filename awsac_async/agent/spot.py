"""The end of a spot instance: EC2 announces it to the instance about two minutes ahead, and here it is heard.

Owns the watch, and the file by which jobs can read when it is. Instances of any other kind are not watched.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from awsac_async.agent.log import describe
from awsac_async.agent.metadata import Metadata
from awsac_async.agent.stopping import Stop
from awsac_async.session.atomic import replacing
from awsac_async.session.errors import CloudError
from awsac_async.session.model import JobState

_log = logging.getLogger(__name__)
_SPOT = "spot"
# What EC2 advises: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
_POLL_SECONDS = 5.0
_GRACE_SECONDS = 45.0  # of the two minutes; the rest is for saving what the jobs leave


async def watch_spot(metadata: Metadata, stop: Stop, interrupt_file: Path) -> None:
    """Wait until this spot instance is to be taken away, and stop the jobs then; returns at once on any other.

    Args:
        metadata: the instance's metadata service.
        stop: the agent's request to stop.
        interrupt_file: gets the time of the end, UTC, as EC2 writes it, before any job is stopped.
    """
    if await _known(metadata.life_cycle) != _SPOT:
        return
    time = await _known(metadata.spot_notice)
    reason = f"the spot instance is taken away at {time}"
    _log.warning("%s: stopping the jobs", reason)
    _write(interrupt_file, time)
    stop.request(JobState.INTERRUPTED, reason, grace=_GRACE_SECONDS)


async def _known(question: Callable[[], Awaitable[str | None]]) -> str:
    """Ask until there is an answer; a service that fails is asked again like one that has nothing to say."""
    while True:
        try:
            if (answer := await question()) is not None:
                return answer
        except CloudError as error:
            _log.warning("whether this is a spot instance that is taken away is not known now: %s", describe(error))
        await asyncio.sleep(_POLL_SECONDS)


def _write(file: Path, time: str) -> None:
    try:
        with replacing(file, mode=0o644) as part:
            part.write_text(f"{time}\n")
    except OSError as error:  # a full disk, say; to be stopped in time matters more
        _log.error("jobs cannot read when they end: %s", describe(error))
