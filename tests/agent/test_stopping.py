"""Waits that a request to stop ends: what was waited for has ended too, and the first reason stays."""

import asyncio

import pytest

from awsac_async.agent.stopping import Stop, StoppedError
from awsac_async.session.model import JobState


async def test_a_wait_that_ends_first_gives_its_result() -> None:
    assert await Stop().unless(asyncio.sleep(0, "result"), name="wait") == "result"


async def test_a_wait_that_fails_fails_as_itself() -> None:
    async def fail() -> None:
        raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        await Stop().unless(fail(), name="wait")


async def test_a_request_to_stop_ends_the_wait_with_its_first_reason() -> None:
    stop = Stop()
    asyncio.get_running_loop().call_soon(stop.request, JobState.INTERRUPTED, "taken away")
    asyncio.get_running_loop().call_soon(stop.request, JobState.KILLED, "again")
    with pytest.raises(StoppedError, match=r"^taken away$") as stopped:
        await stop.unless(asyncio.Event().wait(), name="wait")
    assert stopped.value.state is JobState.INTERRUPTED


async def test_what_was_waited_for_has_ended_before_the_request_is_obeyed() -> None:
    stop, ended = Stop(), []

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    asyncio.get_running_loop().call_soon(stop.request, JobState.INTERRUPTED, "taken away")
    with pytest.raises(StoppedError):
        await stop.unless(slow_to_end(), name="wait")
    assert ended == [True]


async def test_one_job_stops_alone_and_all_stop_together() -> None:
    stop = Stop()
    first, second = stop.child(), stop.child()
    first.request(JobState.KILLED, "killed by awsac kill", grace=1.0)
    assert (stop.state, second.state) == (None, None)
    stop.request(JobState.TIMEDOUT, "the deadline", grace=2.0)
    late = stop.child()
    assert [(each.state, each.reason, each.grace) for each in (first, second, late)] == [
        (JobState.KILLED, "killed by awsac kill", 1.0),
        (JobState.TIMEDOUT, "the deadline", 2.0),
        (JobState.TIMEDOUT, "the deadline", 2.0),
    ]


async def test_who_listens_after_the_request_is_told_at_once() -> None:
    stop, told = Stop(), []
    stop.request(JobState.KILLED, "killed")
    stop.tell(lambda: told.append(True))
    assert told == [True]
