"""Watching, while jobs run, for whatever may stop them: clients, the session's deadline, the end of a spot instance.

Owns what is done about each: which request to stop is made, and with which words. A watch that fails is a fault that is
said, and ends nothing but itself.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from awsac_async.agent.context import Agent
from awsac_async.agent.control import watch_control
from awsac_async.agent.deadline import watch_deadline
from awsac_async.agent.metadata import Metadata
from awsac_async.agent.spot import watch_spot
from awsac_async.agent.stopping import KILLED
from awsac_async.session.control import Control
from awsac_async.session.model import JobState

_log = logging.getLogger(__name__)


@asynccontextmanager
async def watching(agent: Agent) -> AsyncIterator[None]:
    """Watch as long as the body runs."""
    watches = [asyncio.create_task(_go_on_without(watch, name), name=name) for name, watch in _watches(agent).items()]
    try:
        yield
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.wait(watches)


def _watches(agent: Agent) -> dict[str, Awaitable[None]]:
    """Return what is watched for, by name."""
    return {
        "watch the deadline": watch_deadline(agent.deadline, agent.stop),
        "watch for a spot notice": watch_spot(Metadata(os.environ), agent.stop, agent.interrupt_at),
        "watch clients": watch_control(agent.bucket, agent.user_data.session_id, lambda control: _obey(agent, control)),
    }


def _obey(agent: Agent, control: Control) -> None:
    """Do what clients ask; what was asked before is done already."""
    agent.killed = control.kill
    for number in control.kill & agent.stops.keys():
        agent.stops[number].request(*KILLED)
    if agent.sharing:
        agent.sharing.kill(control.kill - agent.stops.keys())
    if control.stop:
        agent.stop.request(JobState.KILLED, "stopped by awsac stop")
    if control.follow != agent.followed:
        agent.followed = control.follow
        agent.logs.follow()


async def _go_on_without(watch: Awaitable[None], name: str) -> None:
    try:
        await watch
    except Exception:
        _log.exception("%s: ended by a fault of the agent; the jobs go on", name)
