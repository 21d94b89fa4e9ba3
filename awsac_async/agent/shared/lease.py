"""The lease by which an instance that shares jobs shows the others that it lives; and what follows when it cannot.

Owns the rule that keeps a job from running twice at the same time. Others take an instance for lost when its lease has
not changed for ``seconds`` by their own clock. So this instance stops counting on its lease well before: measured from
the begin of the last renewal that succeeded, after two thirds of that time its agent gives up the jobs that it holds,
and after three quarters ``fence``, a program of its own, kills them, should the agent be dead or stopped. Who takes
jobs over breaks the lease first, and a broken one cannot be renewed: so a machine whose clock stood still meanwhile
finds out. A lease that ran out is never renewed again: the agent begins another one.
"""

import asyncio
import json
import logging
import secrets
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

from awsac_async.agent.log import describe
from awsac_async.agent.retry import foreseen, keep_trying, passing
from awsac_async.agent.shared import fence
from awsac_async.agent.shared.fence import FenceFile, Until
from awsac_async.agent.stopping import Stop
from awsac_async.agent.timings import uptime
from awsac_async.cloud.claims import Leases
from awsac_async.session.claims import new_lease
from awsac_async.session.errors import CloudError, ConflictError, NotFoundError
from awsac_async.session.model import JobState

_log = logging.getLogger(__name__)
_RENEWED_SHARE, _GIVEN_UP_SHARE, _FENCED_SHARE = 1 / 6, 2 / 3, 3 / 4
_TRY_SHARE = 1 / 3
_LEAST_PAUSE_SECONDS = 0.5
_REMOVE_SECONDS = 2.0  # what cannot be reached is not waited for: the next lease is


class Lease:
    """The lease of this instance, and those that follow on it.

    ``name`` is "" until one is there; ``lost`` is the request to give up what was claimed on it.

    Args:
        leases: where it is.
        seconds: how long it may be silent.
        launch_index: that of this instance.
        session_id: the session.
        directory: the state directory.
    """

    def __init__(
        self,
        leases: Leases,
        *,
        seconds: float,
        launch_index: int,
        session_id: str,
        directory: Path,
    ) -> None:
        self.seconds, self.name, self.lost = seconds, "", _Lost(self)
        self._leases, self._launch_index, self._session_id = leases, launch_index, session_id
        self._directory, self._file = directory, FenceFile(directory)
        self._count, self._given_up = 0, 0.0
        self._version: str | None = None  # as it was written last
        self._there = asyncio.Event()
        self._trouble: CloudError | None = None
        self._fence: subprocess.Popen[bytes] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._told: Callable[[], bool] = lambda: True

    @property
    def overdue(self) -> bool:
        """Whether the lease that is there has run out, noticed or not: a machine may have slept."""
        return bool(self.name) and uptime() >= self._given_up

    @property
    def holds(self) -> bool:
        """Whether jobs can be claimed on the lease that is there, if there is one."""
        return bool(self.name) and self.lost.state is None and not self.overdue

    async def resume(self) -> str:
        """Return the name of the lease that a predecessor held, if its jobs are still this instance's; else ""."""
        found = await asyncio.to_thread(self._file.read)
        if found and found.of_this_boot:
            self._given_up = found.uptime - (_FENCED_SHARE - _GIVEN_UP_SHARE) * self.seconds
            if uptime() < self._given_up:
                self.name = found.lease
        return self.name

    def start(self, give_up: Callable[[], Awaitable[None]], *, told: Callable[[], bool] = lambda: True) -> None:
        """Begin a lease, if none was resumed, and renew it from now on, until :meth:`end`.

        ``give_up`` is awaited when one has run out, after ``lost`` was made, and returns when no job of it runs any
        more; the next one begins after that. ``told`` says whether the end of all jobs that have ended here is written:
        a lease is not removed before that, since others would take such a job for one that has not ended.
        """
        self._told = told
        self._keeping = asyncio.create_task(self._keep(give_up), name="keep the lease")

    async def there(self) -> str:
        """Wait until there is a lease, and return its name. Raises CloudError if there can be none."""
        await self._there.wait()
        if self._trouble is not None:
            raise self._trouble
        return self.name

    async def end(self, *, within: float) -> None:
        """Renew it no more: no job is held on it. Others see at once that nobody is to be counted on there.

        :meth:`start` begins another one.
        """
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        await asyncio.to_thread(self._file.remove)  # the fence ends
        if self.name:
            await self._remove(self.name, within=within)
        self._there.clear()
        self.name, self.lost = "", _Lost(self)

    async def _remove(self, name: str, *, within: float) -> None:
        """Let others see at once that no job is held on a lease; else it runs out."""
        if not await asyncio.to_thread(self._told):
            _log.warning("lease %s stays until it has run out for others too: the end of a job is not written", name)
            return
        try:
            async with asyncio.timeout(within):
                await foreseen("remove", f"lease {name}", self._leases.end(name))
        except (CloudError, TimeoutError) as error:
            _log.warning("lease %s stays until it has run out for others too: %s", name, describe(error))

    async def _keep(self, give_up: Callable[[], Awaitable[None]]) -> None:
        """Have one lease after the other; ends when there can be none: who must not write any asks once."""
        try:
            while True:
                await self._hold()
                self._there.clear()
                self.lost.make()
                await give_up()
                await self._remove(self.name, within=_REMOVE_SECONDS)
                self.name, self.lost = "", _Lost(self)
        except Exception as error:
            _log.exception("there is no lease any more")
            self.name = ""
            self._trouble = error if isinstance(error, CloudError) else CloudError("begin", "a lease", describe(error))
            self._there.set()

    async def _hold(self) -> None:
        """Have a lease; returns when it has run out. Raises CloudError, OSError if none can be begun."""
        if not self.name:
            await self._begin()
        self._there.set()
        try:
            await self._until_it_runs_out()
        except Exception:
            _log.exception("lease %s: given up by a fault of the agent", self.name)

    async def _begin(self) -> None:
        name = new_lease(self._launch_index, secrets.token_hex(4))
        began, self._version = uptime(), None

        async def renew() -> None:
            nonlocal began
            began = uptime()
            await self._write(name)

        await keep_trying("begin a lease", renew, until=float("inf"), again=passing)
        await self._note(name, began)
        _log.info("lease %s: others run this instance's jobs when it is silent for %.0f s", name, self.seconds)

    async def _until_it_runs_out(self) -> None:
        """Renew it again and again; returns when that has not succeeded for too long, or its jobs are given up."""
        usual = _RENEWED_SHARE * self.seconds
        pause = usual if self._count else 0.0  # one that was resumed is renewed at once
        # A job may have seen before us that it ran out, and a renewal that was under way came through all the same.
        while self.lost.state is None and (left := self._given_up - uptime()) > 0:
            await asyncio.sleep(min(left, pause))
            try:
                renewed = await self._renew(self.name)
            except _BrokenError:
                self.lost.make("others have taken this instance for lost")
                return
            pause = usual if renewed else max(_LEAST_PAUSE_SECONDS, usual / 4)

    async def _renew(self, name: str) -> bool:
        """Renew it; whether that was done, and noted before the fence has lost its patience."""
        began, fenced = uptime(), self._given_up + (_FENCED_SHARE - _GIVEN_UP_SHARE) * self.seconds
        try:
            await self._write(name, within=max(0.0, self._given_up - began))
        except _BrokenError:
            raise
        except CloudError as error:
            left = max(0.0, self._given_up - uptime())
            _log.warning("lease %s not renewed, %.0f s left: %s", name, left, describe(error))
            return False
        await self._note(name, began)
        if uptime() >= fenced:
            _log.warning("lease %s: renewed, and noted too late: its jobs may have been killed", name)
            self._given_up = 0.0
            return False
        return True

    async def _write(self, name: str, *, within: float = float("inf")) -> None:
        """Write it, in one try of bounded length: a later try counts for longer.

        Raises:
            CloudError: it could not be written.
            _BrokenError: others have broken it.
        """
        self._count += 1
        content = json.dumps({"renewed": self._count, "uptime": round(uptime(), 2)}).encode()
        try:
            async with asyncio.timeout(min(within, _TRY_SHARE * self.seconds)):
                self._version = await foreseen("renew", f"lease {name}", self._write_next(name, content))
        except TimeoutError as error:
            raise CloudError("renew", f"lease {name}", "it took too long", temporary=True) from error

    async def _write_next(self, name: str, content: bytes) -> str:
        if self._version is None and name == self.name:  # a predecessor's
            self._version = await self._found(name)
        try:
            return await self._leases.renew(name, content, self._version)
        except (ConflictError, NotFoundError) as error:
            if error.temporary:
                raise
        # Either the answer to an earlier try was lost, or it is broken.
        return await self._leases.renew(name, content, await self._found(name))

    async def _found(self, name: str) -> str:
        version = await self._leases.find(name)
        if version is None:
            raise _BrokenError("renew", f"lease {name}", "others have broken it")
        return version

    async def _note(self, name: str, began: float) -> None:
        await asyncio.to_thread(self._file.write, Until.now(lease=name, uptime=began + _FENCED_SHARE * self.seconds))
        self.name, self._given_up = name, began + _GIVEN_UP_SHARE * self.seconds  # after the fence knows of it
        if self._fence is None or self._fence.poll() is not None:
            try:
                if not await asyncio.to_thread(fence.runs, self._directory):
                    self._fence = fence.start(self._directory, self._session_id)
            except OSError as error:
                _log.error("nothing ends the jobs of this instance in time if its agent hangs: %s", describe(error))


class _BrokenError(ConflictError):
    """Others have taken this instance for lost, and may run its jobs."""


class _Lost(Stop):
    """The request to give up what was claimed on a lease. Who checks it need not wait until the agent notices."""

    def __init__(self, lease: Lease) -> None:
        super().__init__()
        self._lease = lease

    def make(self, reason: str = "") -> None:
        """Make it; unless another reason is given, it is that the lease has run out."""
        silent = f"the lease could not be renewed for {_GIVEN_UP_SHARE * self._lease.seconds:.0f} s"
        self.request(JobState.INTERRUPTED, reason or silent, grace=0)

    def check(self) -> None:
        """Raise StoppedError if it was made, or is due."""
        if self._lease.overdue:
            self.make()
        super().check()
