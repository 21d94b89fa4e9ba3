"""The part of one instance in jobs that are shared: whenever a core is free it takes the next, until none is left.

Owns when jobs are taken, on which core each runs, and when this instance has no more to do. A job that was taken is no
other than one that was this instance's from the start.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

from awsac_async.agent.log import describe
from awsac_async.agent.retry import pauses
from awsac_async.agent.shared.lease import Lease
from awsac_async.agent.shared.pool import Pool, Taken
from awsac_async.agent.stopping import Stop, StoppedError
from awsac_async.session.errors import CloudError
from awsac_async.session.model import JobState

_log = logging.getLogger(__name__)
# After a job that could not be run the next one is taken later: what is wrong may be so on this instance only.
_LONGEST_PAUSE_SECONDS = 20.0
_AT_ONCE_A_CORE = 2  # one job runs, and what another one has left is being saved
OnRan = Callable[[], None]
Run = Callable[[Taken, int, OnRan], Awaitable[JobState | None]]


class Sharing:
    """One instance's part in the jobs of its pool.

    Args:
        pool: the jobs.
        lease: this instance's.
        cores: how many jobs run at once.
        stop: the agent's request to stop.
    """

    def __init__(self, pool: Pool, lease: Lease, *, cores: int, stop: Stop) -> None:
        self.pool, self._lease, self._cores, self._stop = pool, lease, cores, stop
        self._running: dict[int, asyncio.Task[None]] = {}
        self._on_core: dict[int, int] = {}  # the job by its core
        self._killed: set[int] = set()
        self._pauses = pauses(longest=_LONGEST_PAUSE_SECONDS)
        self._not_before = 0.0  # the loop's time
        self._gave_up = False
        self._news = asyncio.Event()

    def kill(self, numbers: Collection[int]) -> None:
        """End these jobs if nobody has claimed them; those that somebody has, he ends."""
        self._killed |= set(numbers)
        self._news.set()

    async def given_up(self) -> None:
        """Wait until no job runs here any more that was claimed on a lease which is lost. Then look again for jobs."""
        self._gave_up = True
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def run(self, group: asyncio.TaskGroup, run: Run, *, resumed: AsyncIterator[Taken]) -> str:
        """Run jobs until there is nothing left for this instance to do.

        Args:
            group: gets a task for each job.
            run: runs a job on a core, tells when the core is free, and returns the final state; None: it was given up.
            resumed: those that a predecessor had.

        Returns:
            Why no more jobs could be taken, or ""; those that had begun have ended all the same.
        """
        self._stop.tell(self._news.set)
        try:
            async for taken in resumed:
                self._begin(group, run, taken)
            while await self._take_all(group, run):
                self._gave_up = False
        except (CloudError, OSError) as error:
            trouble = f"no more jobs are taken here: {describe(error)}"
            _log.error("%s", trouble)
            await self.given_up()
            return trouble
        return ""

    async def _take_all(self, group: asyncio.TaskGroup, run: Run) -> bool:
        """Take jobs until there is nothing more to do; returns whether there may be again, since jobs were given up."""
        while await self._take_some(group, run):
            pass
        while self._running:
            await asyncio.wait(list(self._running.values()))
        return self._gave_up and self._stop.state is None

    async def _take_some(self, group: asyncio.TaskGroup, run: Run) -> bool:
        """Take jobs for the cores that are free, or wait for what may change that; False: there is nothing to do."""
        self._news.clear()
        try:
            await self._stop.unless(self._lease.there(), name="wait for the lease")
            self._stop.check()
        except StoppedError:
            return False
        if self._killed:
            killed, self._killed = self._killed, set()
            for taken in await self.pool.take_if_free(killed):
                self._begin(group, run, taken)
        rest = self._not_before - asyncio.get_running_loop().time()
        free = min(self._cores - len(self._on_core), _AT_ONCE_A_CORE * self._cores - len(self._running))
        if free <= 0 or rest > 0:
            await self._wait(rest if free > 0 else None)
            return True
        taken_now = await self.pool.take_free(free)
        stay = True
        if not taken_now:
            outlook = await self.pool.look(busy=bool(self._running))
            taken_now = await self.pool.take_over(outlook.wanted, free)
            stay = outlook.stay or not self._lease.holds  # jobs of a lease that ran out are not given up yet
        for taken in taken_now:
            self._begin(group, run, taken)
        if not taken_now and stay:
            await self._wait(self.pool.pause)
        return bool(taken_now) or stay

    async def _wait(self, seconds: float | None) -> None:
        """Wait until a job has ended, or somebody wants something, or for so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def _begin(self, group: asyncio.TaskGroup, run: Run, taken: Taken) -> None:
        number = taken.job.number
        core = next(core for core in range(len(self._on_core) + 1) if core not in self._on_core)
        self._on_core[core] = number
        self._running[number] = group.create_task(self._live(run, taken, core), name=f"job {number}")

    async def _live(self, run: Run, taken: Taken, core: int) -> None:
        number = taken.job.number

        def leave_core() -> None:
            if self._on_core.get(core) == number:
                del self._on_core[core]
                self._news.set()

        try:
            state = await run(taken, core, leave_core)
        finally:
            leave_core()
            del self._running[number]
            self._news.set()
        if state is None:
            self._gave_up = True
        elif state is JobState.FAILED:
            self._not_before = asyncio.get_running_loop().time() + next(self._pauses)
        else:
            self._pauses = pauses(longest=_LONGEST_PAUSE_SECONDS)
