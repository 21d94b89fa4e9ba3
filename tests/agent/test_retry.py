"""Trying again: until it succeeds, until time is up, or until somebody is in a hurry."""

import asyncio

import pytest

from awsac_async.agent.retry import Hurry, always, keep_trying
from awsac_async.session.errors import CloudError
from tests.waiting import LONGEST


async def test_who_pauses_tries_once_more_when_told_to_hurry_and_then_gives_up() -> None:
    hurry, loop = Hurry(), asyncio.get_running_loop()
    tries = []

    async def fail() -> None:
        tries.append(loop.time())
        raise CloudError("PutObject", "key", "refused")

    def wish(_: CloudError) -> None:
        loop.call_soon(lambda: hurry.request(by=loop.time()))  # when the pause has begun

    async with asyncio.timeout(LONGEST):
        with pytest.raises(CloudError, match="refused"):
            await keep_trying("upload", fail, until=float("inf"), hurry=hurry, again=always, on_trouble=wish)
    assert len(tries) == 2


async def test_a_pause_ends_when_the_wish_to_hurry_is_made() -> None:
    hurry = Hurry()
    pausing = asyncio.create_task(hurry.pause(3600.0), name="pause")
    asyncio.get_running_loop().call_soon(lambda: hurry.request(by=0.0))
    async with asyncio.timeout(LONGEST):
        assert await pausing
    assert not await hurry.pause(0.0)


async def test_what_is_under_way_is_given_up_when_time_is_up_also_when_the_wish_to_hurry_comes_later() -> None:
    hurry, loop = Hurry(), asyncio.get_running_loop()
    for until in (loop.time(), loop.time() + 3600):
        loop.call_soon(lambda: hurry.request(by=loop.time()))
        async with asyncio.timeout(LONGEST):
            with pytest.raises(TimeoutError):
                async with hurry.bounding(until):
                    await asyncio.Event().wait()
