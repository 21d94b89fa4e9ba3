"""Being told to stop: one flag with its reason, and waits that end when it is raised.

A job is not cancelled when the agent is told to stop: it is ended, and what it wrote so far is saved. So the request to
stop is a value that each wait looks at, and never an exception thrown into the middle of something.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class StoppedError(Exception):
    """A wait ended because the agent was told to stop; its text is the reason."""


class Stop:
    """The request to stop: made at most once, never taken back."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason = ""
        self._listeners: list[Callable[[], None]] = []

    def request(self, reason: str) -> None:
        """Ask all to stop; the first reason stays."""
        if self.reason:
            return
        self.reason = reason
        self._event.set()
        for tell in self._listeners:
            tell()

    def tell(self, listener: Callable[[], None]) -> None:
        """Call this when the request is made: for work that is to go on, but otherwise."""
        self._listeners.append(listener)

    async def unless(self, wait: Coroutine[Any, Any, _Result], *, name: str) -> _Result:
        """Await ``wait``, a task called ``name``, unless the request to stop comes first.

        Raises:
            StoppedError: it came first; ``wait`` was cancelled and has ended.
        """
        task = asyncio.create_task(wait, name=name)
        stop = asyncio.create_task(self._event.wait(), name=f"{name}: stop")
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = task.done()
            stop.cancel()
            task.cancel()
            await asyncio.wait({task, stop})
        if not ended:
            raise StoppedError(self.reason)
        return task.result()
