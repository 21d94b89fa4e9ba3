"""Waiting for what a test cannot await: a condition on files, processes or the cloud."""

import asyncio
import time
from collections.abc import Callable

LONGEST = 60.0  # s; a test that waits this long has failed


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; other tasks go on meanwhile."""
    async with asyncio.timeout(LONGEST):
        while not condition():  # noqa: ASYNC110  nobody here could set an event
            await asyncio.sleep(0.02)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    end = time.monotonic() + LONGEST
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {LONGEST:.0f} s")
        time.sleep(0.05)
