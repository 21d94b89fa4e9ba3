"""Threads that work off a list of transfers while the event loop goes on.

Owns starting, stopping and ending them: after `run`, none is left. obstore's calls release the GIL, and a thread that
pulls its next transfer itself costs far less than one executor call for each object; its asyncio API is avoided,
since it can abort the interpreter at exit.
"""

import asyncio
import contextlib
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from awsac_async.cloud.aws import translated
from awsac_async.session.errors import CloudError

_Result = TypeVar("_Result")
_random = random.SystemRandom()
_FIRST_TICK, _TICK = 0.01, 0.1  # seconds between two reports of progress: soon at first, then more rarely

# Requests a second for small objects, some times more than one process can make: so many threads that answers under way
# hold up nothing. Each thread more costs processor time: 3,000 small files took half as much again with 256 as with 16.
SMALL_RATE = 8500.0


class Stopped(Exception):  # noqa: N818  not an error: somebody asked for it
    """The transfer was asked to stop, by an error elsewhere or by cancellation."""


@dataclass(kw_only=True)
class Tally:
    """What one thread has done. Only that thread writes it, so that it needs no lock."""

    files: int = 0
    size: int = 0


Task = Callable[[Tally], None]


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Transfers of one kind, and how many of them may be under way at once.

    ``first``: so many as long as answers are quick, which the tasks tell by `Threads.note_answer`; 0: all at once.
    ``rate``: requests a second that so many threads are to keep up, however long the first byte of an answer takes.
    """

    tasks: deque[Task]
    threads: int
    first: int = 0
    rate: float = 0.0

    def wanted(self, fastest: float) -> int:
        """Return how many threads are of use when the fastest answer took so many seconds."""
        return min(self.threads, max(self.first, round(fastest * self.rate))) if self.first else self.threads


class Threads:
    """One run of transfers."""

    def __init__(self, *, attempts: int) -> None:
        self._attempts = attempts
        self._stopping = threading.Event()
        self._tallies: list[Tally] = []
        self._error: BaseException | None = None
        self._fastest = 0.0
        self._stop_hooks: list[Callable[[], None]] = []

    async def run(self, lanes: Sequence[Lane], *, on_tick: Callable[[Tally], None]) -> None:
        """Work off all lanes; the first error stops all threads and is raised when they have ended.

        When this task is cancelled, the threads are stopped, and have ended when it ends; what a thread has asked of
        the network is waited for, at most as long as the store's timeout.
        """
        crew, tick = _Crew(), _FIRST_TICK
        hired = [0] * len(lanes)
        try:
            self._hire(crew, lanes, hired)
            while crew.running:
                await crew.wait(within=tick)
                on_tick(self._tally())
                self._hire(crew, lanes, hired)
                tick = min(2 * tick, _TICK)
        finally:
            self.stop()
            await crew.join()
        if self._error is not None:
            raise self._error
        on_tick(self._tally())

    def _hire(self, crew: "_Crew", lanes: Sequence[Lane], hired: list[int]) -> None:
        """Start the threads that are of use now, as far as there is something to do for them."""
        for number, lane in enumerate(lanes):
            more = min(lane.wanted(self._fastest) - hired[number], len(lane.tasks))
            for _ in range(0 if self._stopping.is_set() else more):
                crew.start(partial(self._work, lane.tasks))
                hired[number] += 1

    def at_stop(self, hook: Callable[[], None]) -> None:
        """Have this called, in any thread and perhaps more than once, when the run is to end: it wakes who waits."""
        self._stop_hooks.append(hook)

    def note_answer(self, seconds: float) -> None:
        """Take, inside a thread, how long the first byte of an answer took: the fastest shows what the line takes."""
        self._fastest = min(self._fastest or seconds, seconds)

    def check(self) -> None:
        """Raise Stopped, inside a thread, if the run is to end."""
        if self._stopping.is_set():
            raise Stopped

    def persist(self, operation: str, resource: str, call: Callable[[], _Result]) -> _Result:
        """Make a call inside a thread, again if its error is temporary, with bounded and jittered pauses."""
        pause = 0.25
        for last in [False] * (self._attempts - 1) + [True]:
            self.check()
            try:
                with translated(operation, resource):
                    return call()
            except CloudError as error:
                if last or not error.temporary:
                    raise
            self._stopping.wait(pause * _random.uniform(0.5, 1.0))
            pause = min(2 * pause, 8.0)
        raise AssertionError("the last attempt returns or raises")

    def _tally(self) -> Tally:
        """Return the sum of what all threads have done so far."""
        return Tally(files=sum(tally.files for tally in self._tallies), size=sum(tally.size for tally in self._tallies))

    def _work(self, tasks: deque[Task]) -> None:
        tally = Tally()
        self._tallies.append(tally)
        try:
            while not self._stopping.is_set() and (task := _next(tasks)):
                task(tally)
        except Stopped:
            return
        except BaseException as error:
            self._error = self._error or error
            self.stop()

    def stop(self) -> None:
        """Let everything end as soon as it can, from any thread."""
        self._stopping.set()
        for hook in self._stop_hooks:
            hook()


def _next(tasks: deque[Task]) -> Task | None:
    """Take the next task; asking for the length first would race with the other threads."""
    try:
        return tasks.popleft()
    except IndexError:
        return None


class _Crew:
    """The threads themselves; the event loop hears when the last has ended."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads: list[threading.Thread] = []
        self._all_ended = asyncio.Event()
        self.running = 0

    def start(self, work: Callable[[], None]) -> None:
        def run() -> None:
            work()
            self._loop.call_soon_threadsafe(self._one_ended)

        thread = threading.Thread(target=run, name=f"transfer {len(self._threads)}")
        thread.start()
        self._threads.append(thread)
        self.running += 1

    async def wait(self, *, within: float) -> None:
        """Wait until all threads have ended, at most for a time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._all_ended.wait()

    async def join(self) -> None:
        """Wait until all threads have ended, also when cancelled: whatever they use is closed after this."""
        cancelled: asyncio.CancelledError | None = None
        while self.running:
            try:
                await self._all_ended.wait()
            except asyncio.CancelledError as error:
                cancelled = error
        for thread in self._threads:
            thread.join()
        if cancelled is not None:
            raise cancelled

    def _one_ended(self) -> None:
        self.running -= 1
        if not self.running:
            self._all_ended.set()
