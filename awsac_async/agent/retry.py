"""Trying again: the one loop in which the agent repeats a call to the cloud, bounded, jittered and named in the log.

Owns how long it waits between two tries, and what shortens that. It never decides what is worth another try.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

from awsac_async.agent.log import describe
from awsac_async.session.errors import CloudError, CredentialsError

_log = logging.getLogger(__name__)
_random = random.SystemRandom()
_Result = TypeVar("_Result")


def pauses(*, first: float = 0.5, longest: float = 60.0) -> Iterator[float]:
    """Yield pauses in seconds, for ever: doubling from ``first`` to ``longest``, each shortened by up to a half.

    The jitter keeps the agents of one session, started together, from calling together.
    """
    pause = first
    while True:
        yield pause * _random.uniform(0.5, 1.0)
        pause = min(2 * pause, longest)


def temporary(error: CloudError) -> bool:
    """Whether the same call may succeed later."""
    return error.temporary


def passing(error: CloudError) -> bool:
    """Whether it may pass by itself: what is temporary, and a role whose credentials are not good yet, or no more."""
    return error.temporary or isinstance(error, CredentialsError)


def always(_: CloudError) -> bool:
    """Whatever it is, somebody may mend it while we wait: a policy, a bucket, a network."""
    return True


async def foreseen(operation: str, resource: str, call: Awaitable[_Result]) -> _Result:
    """Await a call; what nobody foresaw becomes a CloudError too, and so one more reason to try again.

    For what must not be given up because of a fault: results, states, and the end of an instance that costs money.
    """
    try:
        return await call
    except CloudError:
        raise
    except Exception as fault:
        raise CloudError(operation, resource, describe(fault)) from fault


class Hurry:
    """The wish, made at any time, to be done sooner: who pauses between two tries then tries again at once.

    ``by`` is the loop's time after which nobody tries again.
    """

    def __init__(self) -> None:
        self.by = float("inf")
        self._wished = asyncio.Event()
        self._bounds: set[asyncio.Timeout] = set()

    def request(self, *, by: float) -> None:
        """Be done by then; the earliest time stays."""
        self.by = min(self.by, by)
        self._wished.set()
        for bound in self._bounds:
            bound.reschedule(min(bound.when() or self.by, self.by))

    @contextlib.asynccontextmanager
    async def bounding(self, until: float) -> AsyncIterator[None]:
        """Raise TimeoutError inside at the loop's time ``until``, or earlier if the wish is or was made."""
        async with asyncio.timeout_at(min(until, self.by)) as bound:
            self._bounds.add(bound)
            try:
                yield
            finally:
                self._bounds.discard(bound)

    async def pause(self, seconds: float) -> bool:
        """Wait so long, or until the wish is made; returns whether it was made meanwhile."""
        if self._wished.is_set():
            await asyncio.sleep(seconds)
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wished.wait()
        return self._wished.is_set()


async def keep_trying(
    what: str,
    call: Callable[[], Awaitable[_Result]],
    *,
    until: float,
    hurry: Hurry | None = None,
    again: Callable[[CloudError], bool] = temporary,
    longest: float = 60.0,
    on_trouble: Callable[[CloudError], None] = lambda _: None,
) -> _Result:
    """Repeat a call until it succeeds, fails in a way that is not worth another try, or time is up.

    Args:
        what: the call's name in the log.
        call: makes the call anew at each try.
        until: the loop's time after which no further try is made.
        hurry: may end it sooner, also while it pauses.
        again: whether an error is worth another try.
        longest: upper bound of a pause, in seconds.
        on_trouble: told of each error before the pause after it.

    Raises:
        CloudError: the last one.
    """
    loop, hurry, waits = asyncio.get_running_loop(), hurry or Hurry(), pauses(longest=longest)
    while True:
        try:
            return await call()
        except CloudError as error:
            pause = next(waits)
            if not again(error) or loop.time() + pause > min(until, hurry.by):
                raise
            _log.warning("%s: %s; trying again in %.1f s", what, error, pause)
            on_trouble(error)
        if await hurry.pause(pause):
            waits = pauses(longest=longest)  # soon again, since little time is left
