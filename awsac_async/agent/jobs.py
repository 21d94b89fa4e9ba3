"""One job on one core, from its release to its saved results. A job is a value: it says how it ended, and never raises.

Owns the job's record and is the only one to change it. What a job is given, its command and its environment, is made
in ``command.py``.
"""

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import BinaryIO

from awsac_async.agent import process
from awsac_async.agent.command import JobFiles, job_command, job_environment, last_line
from awsac_async.agent.data import DataError
from awsac_async.agent.log import describe, step
from awsac_async.agent.releases import Provided, ReleaseError, Releases
from awsac_async.agent.reporter import StatusReporter
from awsac_async.agent.results import SaveError, Saver
from awsac_async.agent.stopping import Stop, StoppedError
from awsac_async.agent.tree import ProcessGroup
from awsac_async.session.model import Job, JobRecord, JobState
from awsac_async.session.names import InstancePaths
from awsac_async.session.times import now

_log = logging.getLogger(__name__)


class NotRunError(Exception):
    """A job could not be run; the text is the reason in its status."""


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What the jobs of one instance share. ``data`` ends when the input data is there, or with why it is not."""

    paths: InstancePaths
    session_id: str
    n_jobs: int
    has_data: bool
    reporter: StatusReporter
    releases: Releases
    data: asyncio.Task[DataError | None]
    saver: Saver
    stop: Stop


async def run_job(job: Job, *, core: int, record: JobRecord, place: Workplace) -> None:
    """Run a job to its end, which is reported whatever it is.

    Args:
        job: the job.
        core: the number of its slot on this instance, from 0.
        record: what has been reported of it so far.
        place: what it shares with its siblings.
    """
    run = _JobRun(job, core, record, place)
    try:
        await run.live()
    except (NotRunError, ReleaseError, DataError) as error:
        run.update(state=JobState.FAILED, reason=str(error))
    except StoppedError as stopped:
        run.update(state=stopped.state, reason=str(stopped))
    except SaveError as error:
        run.update(state=JobState.SAVEFAILED, reason=str(error), save_end=now())
    except Exception as fault:
        # A fault of the agent in one job: its siblings go on.
        _log.exception("job %d: fault of the agent", job.number)
        run.update(state=JobState.FAILED, reason=f"fault of the agent: {describe(fault)}")
    finally:
        run.leave_release()


class _JobRun:
    """One run of one job; the methods are its steps, :meth:`live` is their order."""

    def __init__(self, job: Job, core: int, record: JobRecord, place: Workplace) -> None:
        self._job, self._core, self._record, self._place = job, core, record, place
        self._files = JobFiles.of(job.number, 1, place.paths)
        self._script = place.paths.awsac_working / job.script
        self._needs: str | None = job.snapshot_id

    async def live(self) -> None:
        """Wait for what the job needs, run it, save what it left, say how it ended."""
        release = await self._place.stop.unless(self._provide(), name=f"job {self._job.number}: provide")
        with await self._prepare() as output:
            stopped = await self._run(release, output)
            self.leave_release()
            self.update(state=JobState.SAVING, save_start=now())
            remark = await self._save(output)
        end, reason = (stopped.state, str(stopped)) if stopped else (JobState.FINISHED, "")
        self.update(state=end, reason="; ".join(filter(None, (reason, remark))), save_end=now())

    def update(self, **changes: object) -> None:
        """Change the job's record and report it."""
        self._record = replace(self._record, **changes)  # type: ignore[arg-type]  # replace() cannot be typed further
        _log.info("job %d: %s%s", self._job.number, self._record.state, f", {self._record.reason}".rstrip(", "))
        self._place.reporter.report(self._record)

    def leave_release(self) -> None:
        """Let the release go, once."""
        self._place.releases.leave(self._needs)
        self._needs = None

    async def _provide(self) -> Provided | None:
        if trouble := await asyncio.shield(self._place.data):
            raise trouble
        return await self._place.releases.ready(self._needs) if self._needs else None

    async def _prepare(self) -> BinaryIO:
        """Make the job's files, and return its output, open to be read."""
        if not await asyncio.to_thread(self._script.is_file):
            raise NotRunError(f"the script {self._job.script} is not in the session archive")
        try:
            await asyncio.to_thread(self._files.prepare, None)
            return await asyncio.to_thread(self._files.kept_output.open, "rb")
        except OSError as error:
            raise NotRunError(f"could not be started: {error}") from error

    async def _run(self, release: Provided | None, output: BinaryIO) -> StoppedError | None:
        """Run the script to its end; returns the request that stopped it, if one did."""
        child = await self._start(release)
        self.update(state=JobState.RUNNING, run_start=now())
        stop = None
        try:
            with step(f"job {self._job.number}: run {self._job.script}, process {child.pid}"):
                code = await self._place.stop.unless(child.wait(), name=f"job {self._job.number}: run")
        except StoppedError as stopped:
            stop = stopped
            code = await child.stop(grace=self._place.stop.grace)
        finally:
            await child.clear()
        if not await asyncio.to_thread(self._files.begun):
            raise await self._not_begun(release, output, stop)
        self.update(state=JobState.WAITFORSAVE, run_end=now(), return_code=code)
        return stop

    async def _start(self, release: Provided | None) -> process.Process:
        try:
            return await process.start(
                job_command(self._script, files=self._files, release=release, paths=self._place.paths, user=None),
                directory=self._files.directory,
                environment=self._environment(release),
                output=self._files.kept_output,
                claim=self._files.claim,
                group=ProcessGroup.of(session_id=self._place.session_id, job=self._job.number, attempt=1),
                core=process.processor(self._core),
            )
        except OSError as error:
            raise NotRunError(f"could not be started: {error}") from error

    def _environment(self, release: Provided | None) -> dict[str, str]:
        place = self._place
        return job_environment(
            paths=place.paths,
            session_id=place.session_id,
            job=self._job.number,
            attempt=1,
            n_jobs=place.n_jobs,
            core=self._core,
            has_data=place.has_data,
            release=release,
            interrupt_at=place.paths.state / "interrupted",
            user=None,
        )

    async def _not_begun(
        self, release: Provided | None, output: BinaryIO, stop: StoppedError | None
    ) -> NotRunError | StoppedError:
        """Return why a process ended before it came to the script, and so did not run the job."""
        if stop:
            return stop
        what = f"release {release.directory.name} could not be shown to the job" if release else "could not be started"
        return NotRunError(f"{what}: {await asyncio.to_thread(last_line, output)}")

    async def _save(self, output: BinaryIO) -> str:
        """Save what the job left; returns what is to be said of it, or ""."""
        return await self._place.saver.save_job(
            self._job.number,
            self._files.directory,
            output,
            on_trouble=lambda error: self.update(reason=f"saving is delayed: {error}"),
        )
