"""Being told to stop: a request with the state it leaves jobs in and its reason, and waits that end when it is made.

A job is not cancelled when it is told to stop: it is ended, and what it wrote so far is saved. So the request to stop
is a value that each wait looks at, and never an exception thrown into the middle of something. The agent has one, and
each of its jobs a child of it: a job can be stopped alone, and stops with all.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from awsac_async.session.model import JobState

_Result = TypeVar("_Result")
GRACE_SECONDS = 15.0
KILLED = (JobState.KILLED, "killed by awsac kill")  # how a job ends whose end clients have asked for, and why


class StoppedError(Exception):
    """A wait ended because of a request to stop; its text is the reason, ``state`` what a job then ends as."""

    def __init__(self, state: JobState, reason: str) -> None:
        super().__init__(reason)
        self.state = state


class Stop:
    """The request to stop: made at most once, never taken back.

    ``state`` is what jobs end as (None until the request is made), ``grace`` the seconds between TERM and KILL.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self.state: JobState | None = None
        self.reason = ""
        self.grace = GRACE_SECONDS

    def request(self, state: JobState, reason: str, *, grace: float = GRACE_SECONDS) -> None:
        """Ask to stop; the first request stays.

        Args:
            state: what a job that is stopped ends as: killed, timedout, interrupted, or failed.
            reason: why, for the status of each job.
            grace: seconds a process is given to end by itself.
        """
        if self.state is not None:
            return
        self.state, self.reason, self.grace = state, reason, grace
        self._event.set()
        for tell in self._listeners:
            tell()

    def child(self) -> "Stop":
        """Return a request of its own that is also made when this one is; this one never hears of it."""
        child = Stop()

        def follow() -> None:
            if self.state is not None:
                child.request(self.state, self.reason, grace=self.grace)

        self.tell(follow)
        return child

    def tell(self, listener: Callable[[], None]) -> None:
        """Call this when the request is made, or now if it is: for work that is to go on, but otherwise."""
        self._listeners.append(listener)
        if self.state is not None:
            listener()

    def check(self) -> None:
        """Raise StoppedError if the request has been made."""
        if self.state is not None:
            raise StoppedError(self.state, self.reason)

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
            self.check()
        return task.result()
