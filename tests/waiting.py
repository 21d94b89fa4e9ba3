"""Waiting for what a test cannot await: a condition on files, processes or the cloud."""

import asyncio
import time
from collections.abc import Callable, Iterator

LONGEST = 180.0  # s; a test that waits this long has failed, also on a machine that does much else


def looks() -> Iterator[float]:
    """Give the seconds until the next look: an eighth of the time so far, as each takes time from what it waits for."""
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < LONGEST:
        yield min(max(passed / 8, 0.02), 0.5)


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; other tasks go on meanwhile."""
    for pause in looks():
        if condition():
            return
        await asyncio.sleep(pause)
    raise TimeoutError(f"not within {LONGEST:.0f} s")


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    for pause in looks():
        if condition():
            return
        time.sleep(pause)
    raise TimeoutError(f"not within {LONGEST:.0f} s")
