"""Waits that a request to stop ends: what was waited for has ended too, and the first reason stays."""

import asyncio

import pytest

from awsac_async.agent.stopping import Stop, StoppedError


async def test_a_wait_that_ends_first_gives_its_result() -> None:
    assert await Stop().unless(asyncio.sleep(0, "result"), name="wait") == "result"


async def test_a_wait_that_fails_fails_as_itself() -> None:
    async def fail() -> None:
        raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        await Stop().unless(fail(), name="wait")


async def test_a_request_to_stop_ends_the_wait_with_its_first_reason() -> None:
    stop = Stop()
    asyncio.get_running_loop().call_soon(stop.request, "taken away")
    asyncio.get_running_loop().call_soon(stop.request, "again")
    with pytest.raises(StoppedError, match=r"^taken away$"):
        await stop.unless(asyncio.Event().wait(), name="wait")


async def test_what_was_waited_for_has_ended_before_the_request_is_obeyed() -> None:
    stop, ended = Stop(), []

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    asyncio.get_running_loop().call_soon(stop.request, "taken away")
    with pytest.raises(StoppedError):
        await stop.unless(slow_to_end(), name="wait")
    assert ended == [True]
