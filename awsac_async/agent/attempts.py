"""One attempt at a job: its process, started by this agent or by the one before, until all of that has ended.

Owns what an attempt is given, how long it may run, and how it is stopped. What follows from its exit code, another
attempt perhaps, is decided in ``jobs.py``.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from awsac_async.agent import process
from awsac_async.agent.bounds import process_limit
from awsac_async.agent.command import JobFiles, job_command, job_environment, last_line
from awsac_async.agent.jobuser import JobUser, JobUserError, find_user
from awsac_async.agent.log import step
from awsac_async.agent.releases import Provided
from awsac_async.agent.shield import ShieldError, shield_metadata
from awsac_async.agent.state import End
from awsac_async.agent.stopping import Stop, StoppedError
from awsac_async.agent.timings import uptime
from awsac_async.agent.tree import ProcessTree
from awsac_async.agent.workplace import Workplace
from awsac_async.session.durations import shown_duration
from awsac_async.session.model import Job, JobState, Shield

_log = logging.getLogger(__name__)
# Who ended by himself while no agent was there has not run too long: so long it may take to find that out.
_LEAST_SECONDS = 1.0
_TRIES = 10  # to start an attempt: jobs of root beside it may remove its folders at that moment, or have mounted there


class NotRunError(Exception):
    """A job could not be run; the text is the reason in its status."""


class Attempt:
    """An attempt at a job, the first being number 1. It is either adopted or, if nobody has started it yet, started."""

    def __init__(self, job: Job, number: int, *, core: int, place: Workplace) -> None:
        self._job, self._core, self._place = job, core, place
        self.files = JobFiles.of(job.number, number, place.paths)
        self._tree = ProcessTree.of(session_id=place.session_id, job=job.number, attempt=number, jobs=place.cores)
        self._process: process.Process | None = None
        self._met = ""  # which bound of the instance it has met, when it has ended

    async def adopt(self) -> bool:
        """Take over what an earlier agent has started, whether or not it still runs; False if none has."""
        self._process = await process.adopt(self.files.claim, self._tree)
        return self._process is not None

    async def start(self, release: Provided | None) -> None:
        """Start it.

        Raises:
            NotRunError: it could not be.
        """
        script = self._place.paths.awsac_working / self._job.script
        if not await asyncio.to_thread(script.is_file):
            raise NotRunError(f"the script {self._job.script} is not in the session archive")
        try:
            user = await asyncio.to_thread(self._find_user)
            make = partial(job_command, files=self.files, release=release, paths=self._place.paths, user=user)
            command = await asyncio.to_thread(make, script)
        except (JobUserError, ShieldError) as error:
            raise NotRunError(str(error)) from error
        except OSError as error:
            raise NotRunError(f"could not be started: {error}") from error
        for _ in range(_TRIES):
            try:
                await asyncio.to_thread(self.files.prepare, user)
                self._process = await process.start(
                    command,
                    directory=self.files.directory,
                    environment=self._environment(release, user),
                    output=self.files.kept_output,
                    claim=self.files.claim,
                    tree=self._tree,
                    core=process.processor(self._core),
                )
                return
            except OSError as error:
                trouble = error
            if trouble.errno == errno.EBUSY:
                # The attempt before, of root, has mounted something over its folder, which cannot be set aside so.
                with suppress(process.ToolError):
                    await process.run_tool("umount", "--lazy", "--", str(self.files.directory))
        raise NotRunError(f"could not be started: {trouble}") from trouble

    def _find_user(self) -> JobUser | None:
        """Return whom it runs as, kept from the credentials of the instance's role unless the session can do without.

        Raises JobUserError, ShieldError.
        """
        settings = self._place.settings
        user = find_user(settings.job_user, job=self._job.number, shielded=settings.job_user_shield is Shield.REQUIRED)
        if user is None:
            return None
        user = replace(user, processes=process_limit(self._place.cores))
        try:
            shield_metadata(os.environ)
        except ShieldError as error:
            said = f"job_user = {user.name}: jobs could take the credentials of the instance's role, since {error}"
            if user.shielded:
                raise ShieldError(f"{said}; job_user_shield = optional runs them all the same") from error
            _log.warning("%s", said)
        return user

    async def give_up(self) -> bool:
        """See to it that nobody starts it any more; False if somebody has."""
        return await asyncio.to_thread(process.give_up, self.files.claim)

    async def began(self) -> float:
        """Return the uptime at which it was started; now, if nothing can tell any more."""
        try:
            return await asyncio.to_thread(process.claimed_at, self.files.claim)
        except OSError:
            return uptime()

    async def end(self, stop: Stop, *, on_stop: Callable[[StoppedError], None]) -> tuple[int, StoppedError | None]:
        """Wait for its end, or end it when that is asked for or its time is up; nothing of it runs afterwards.

        Args:
            stop: the job's request to stop.
            on_stop: told of it before anything is stopped: whoever dies in between must not take it for the job's end.

        Returns:
            its exit code, and the request that stopped it, if one did.

        Raises:
            NotRunError, StoppedError: it ended, or was stopped, before it came to the script.
        """
        running, stopped = self._running, None
        try:
            with (
                step(
                    f"job {self._job.number}: run {self._job.script}, process {running.pid}",
                    job=str(self._job.number),
                    attempt=str(self.files.attempt),
                    process=str(running.pid),
                ),
                self._limited(stop, await self.began()),
                self._place.floods.watching(self.files.kept_output, stop),
            ):
                code = await stop.unless(running.wait(), name=f"job {self._job.number}: run")
        except StoppedError as asked:
            stopped = asked
            on_stop(asked)
            code = await running.stop(grace=stop.grace)
        self._met = await asyncio.to_thread(self._tree.met)
        await running.clear()
        if not await asyncio.to_thread(self.files.begun):
            if stopped:
                raise stopped
            raise await asyncio.to_thread(self._not_begun)
        return code, stopped

    def explained(self, code: int) -> End | None:
        """Return its end if its exit code alone does not say why it ended so; None if it does."""
        if self._met:
            return End(state=JobState.FAILED if code else JobState.FINISHED, reason=self._met)
        if code and not self._running.written:
            return End(state=JobState.FINISHED, reason="its processes were killed, and not by the agent")
        return None

    async def clear(self) -> None:
        """Leave nothing of it running, whatever became of it."""
        if self._process is None:
            await self._tree.kill()
            await self._tree.remove()
        else:
            await self._process.clear()

    @property
    def _running(self) -> process.Process:
        if self._process is None:
            raise ValueError(f"job {self._job.number} has not been started")
        return self._process

    @contextmanager
    def _limited(self, stop: Stop, began: float) -> Iterator[None]:
        """Have it stopped when it has run too long; the time that it waited, for whatever, does not count."""
        timeout = self._job.timeout or self._place.settings.job_timeout
        if timeout is None:
            yield
            return
        left = max(_LEAST_SECONDS, timeout - (uptime() - began))
        reason = f"ran longer than its job_timeout, {shown_duration(timeout)}"
        timer = asyncio.get_running_loop().call_later(left, stop.request, JobState.TIMEDOUT, reason)
        try:
            yield
        finally:
            timer.cancel()

    def _environment(self, release: Provided | None, user: JobUser | None) -> dict[str, str]:
        place = self._place
        return job_environment(
            paths=place.paths,
            session_id=place.session_id,
            job=self._job.number,
            attempt=self.files.attempt,
            n_jobs=place.n_jobs,
            core=self._core,
            has_data=place.has_data,
            release=release,
            interrupt_at=place.interrupt_at,
            user=user,
        )

    def _not_begun(self) -> NotRunError:
        """Return why the process ended before it came to the script."""
        said = ""
        with suppress(OSError), self.files.kept_output.open("rb") as output:
            said = last_line(output)
        if self._job.release is None:
            return NotRunError(f"could not be started: {said}")
        return NotRunError(f"release {self._job.release} could not be shown to the job: {said}")
