"""Waiting for what a test cannot await: a condition on files, processes or the cloud."""

import asyncio
from collections.abc import Callable

LONGEST = 60.0  # s; a test that waits this long has failed


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(LONGEST):
        while not condition():  # noqa: ASYNC110  nobody here could set an event
            await asyncio.sleep(0.02)
