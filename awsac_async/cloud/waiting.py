"""Waiting for the cloud, bounded and jittered, and doing several calls at once, bounded.

Owns the only sleeps of this room. AWS has no event to wait for: what was made becomes visible, usable or gone when
it does, and one has to ask again.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_random = random.SystemRandom()
_FIRST_PAUSE = 0.2  # seconds


def jittered(seconds: float) -> float:
    """Return a time within a quarter of the given one, so that many waiters do not ask at the same moment."""
    return seconds * _random.uniform(0.75, 1.25)


async def attempts(*, within: float, longest: float = 4.0) -> AsyncIterator[bool]:
    """Yield before each attempt, with growing pauses: False, and at last True once ``within`` seconds are over."""
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + within, _FIRST_PAUSE
    while loop.time() + pause < end:
        yield False
        await asyncio.sleep(jittered(pause))
        pause = min(1.5 * pause, longest)
    yield True


async def retried(
    call: Callable[[], Awaitable[_Result]], *, again: Callable[[Exception], bool], within: float
) -> _Result:
    """Repeat a call as long as its error is one that passes (``again``), at most for about ``within`` seconds."""
    async for last in attempts(within=within):
        try:
            return await call()
        except Exception as error:
            if last or not again(error):
                raise
    raise AssertionError("attempts() ends with a last one")


async def for_each(items: Iterable[_Item], act: Callable[[_Item], Awaitable[None]], *, at_once: int, name: str) -> None:
    """Act on every item, at most ``at_once`` at a time; the first error cancels the rest and is raised."""
    pending = iter(items)

    async def worker() -> None:
        for item in pending:
            await act(item)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(at_once):
                group.create_task(worker(), name=f"{name} {number}")
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
