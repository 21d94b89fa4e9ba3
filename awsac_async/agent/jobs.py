"""One job on one core, from its release to its saved results. A job is a value: it says how it ended, and never raises.

Owns the job's record and is the only one to change it; each change is kept on disk before it is reported, so that a
successor of the agent goes on from there: a job that has ended is left alone, one that runs is adopted, one that was
being saved is saved again. How one attempt is run is in ``attempts.py``.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import gettempdir

from awsac_async.agent.attempts import Attempt, NotRunError
from awsac_async.agent.command import JobFiles
from awsac_async.agent.data import DataError
from awsac_async.agent.launch import Beginning
from awsac_async.agent.log import describe
from awsac_async.agent.releases import Provided, ReleaseError
from awsac_async.agent.results import SaveError
from awsac_async.agent.state import End, KeptJob
from awsac_async.agent.stopping import Stop, StoppedError
from awsac_async.agent.timings import Timings, uptime
from awsac_async.agent.workplace import Workplace
from awsac_async.session.model import Job, JobState
from awsac_async.session.names import LOG_PACKED, PRODUCTS, X_LOG, X_LOG_BEGIN, job_log_prefix
from awsac_async.session.times import now
from awsac_async.session.timings import read_attempt, timing_attributes

_log = logging.getLogger(__name__)
_FINISHED = End(state=JobState.FINISHED, reason="")
_FULL_BYTES = 1 << 20  # of room that is left: with less, nothing can be written
_LOG_SECONDS = 30.0  # how long a job may wait for the last of its log, which its packed output holds too


async def run_job(
    job: Job,
    *,
    core: int,
    kept: KeptJob,
    begin: Beginning,
    stop: Stop,
    place: Workplace,
    lost: Stop | None = None,
    on_ran: Callable[[], None] = lambda: None,
) -> JobState | None:
    """Take a job to its end, from wherever it stands; the end is reported whatever it is.

    Args:
        job: the job.
        core: the number of its slot on this instance, from 0.
        kept: how it stands.
        begin: how it begins here.
        stop: its own request to stop.
        place: what it shares with its siblings.
        lost: made when the job is not this instance's any more: then nothing of it runs on, and nothing is said of it.
        on_ran: told when its processes have ended, before what they left is saved.

    Returns:
        how it ended; None if it was lost.
    """
    if kept.record.state.final:
        return kept.record.state
    lost = lost or Stop()
    run = _JobRun(job, core=core, kept=kept, begin=begin, stop=stop, lost=lost, place=place)
    try:
        await _to_its_end(run, lost, on_ran, number=job.number)
    except StoppedError as gone:
        _log.warning("job %d: given up here: %s", job.number, gone)
        await run.give_away()
        return None
    return run.state


async def _to_its_end(run: "_JobRun", lost: Stop, on_ran: Callable[[], None], *, number: int) -> None:
    """Let a job live, and have its end reported whatever it is. Raises StoppedError if it is somebody else's."""
    try:
        await lost.unless(run.live(on_ran), name=f"job {number}: live")
    except StoppedError:
        raise
    except SaveError as error:
        run.finish(End(state=JobState.SAVEFAILED, reason=str(error)))
    except Exception as fault:
        # A fault of the agent in one job: its siblings go on.
        _log.exception("job %d: fault of the agent", number)
        remark = await run.abandon()
        run.finish(End(state=JobState.FAILED, reason=f"fault of the agent: {describe(fault)}"), remark)


def runs_or_will(kept: KeptJob) -> bool:
    """Whether a job is still to be run to its end, and so needs its release."""
    return kept.record.state in (JobState.PENDING, JobState.RUNNING)


class _JobRun:
    """One run of one job; the methods are its steps, :meth:`live` is their order."""

    def __init__(
        self, job: Job, *, core: int, kept: KeptJob, begin: Beginning, stop: Stop, lost: Stop, place: Workplace
    ) -> None:
        self._job, self._core, self._begin, self._place = job, core, begin, place
        self._stop, self._lost = stop, lost
        self._record, self._end = kept.record, kept.end
        self._timings = Timings(kept.record, part=kept.part, since=kept.since)
        self._needs = job.release if runs_or_will(kept) else None
        self._first = begin.attempt
        self._attempt = self._numbered_attempt(read_attempt(kept.record) or self._first)
        self._begun_before = kept.record.state is JobState.SAVING
        self._ran = self._attempt.files.attempt > self._first or not runs_or_will(kept)

    @property
    def state(self) -> JobState:
        """How it stands."""
        return self._record.state

    async def live(self, on_ran: Callable[[], None]) -> None:
        """Run it, attempt by attempt, save what it left, say how it ended."""
        await self._follow_output()
        if runs_or_will(KeptJob(record=self._record)):
            await self._run()
        on_ran()
        if not self._ran:
            self.finish(self._end or _FINISHED)
            return
        self._timings.enter("save")
        self.update(state=JobState.SAVING, save_start=self._record.save_start or now())
        remark, sent = await asyncio.gather(
            self._save(), self._place.logs.finish(self._log_prefix, within=_LOG_SECONDS)
        )
        if not sent:
            packed = {X_LOG: LOG_PACKED, X_LOG_BEGIN: str(self._begin.log_begin)}
            self._record = replace(self._record, extra={**self._record.extra, **packed})
        self.finish(self._end or _FINISHED, remark)

    def update(self, **changes: object) -> None:
        """Change the job's record, keep it, report it. Raises StoppedError if the job is somebody else's."""
        self._lost.check()
        attributes = timing_attributes(self._timings.seconds, attempt=self._attempt.files.attempt)
        extra = {**self._record.extra, **attributes}
        self._record = replace(self._record, extra=extra, **changes)  # type: ignore[arg-type]  # replace() is not typed
        _log.info("job %d: %s%s", self._job.number, self._record.state, f", {self._record.reason}".rstrip(", "))
        self._place.state.keep_job(
            KeptJob(record=self._record, part=self._timings.part, since=self._timings.since, end=self._end)
        )
        self._place.reporter.report(self._record)

    def finish(self, end: End, remark: str = "") -> None:
        """Say how it ended."""
        self._leave_release()
        self._timings.enter("")
        saved = {"save_end": now()} if self._record.state is JobState.SAVING else {}
        self.update(state=end.state, reason="; ".join(filter(None, (end.reason, remark))), **saved)

    async def abandon(self) -> str:
        """Leave nothing of it running, and save what it has left; returns what is to be said of that. Never raises."""
        try:
            await self._attempt.clear()
            return await self._save() if self._ran else ""
        except Exception as trouble:
            _log.exception("job %d: what it left", self._job.number)
            return describe(trouble)

    async def give_away(self) -> None:
        """Leave nothing of it running, nor about to be started, and nothing of its log on the way."""
        try:
            if not await self._attempt.give_up():
                await self._attempt.adopt()
        except OSError as error:
            _log.error("job %d: it cannot be noted that it is given up: %s", self._job.number, describe(error))
        await self._attempt.clear()
        self._leave_release()
        await self._place.logs.forget(self._log_prefix)

    # --- running ---

    async def _run(self) -> None:
        """Make attempts until one is the last; what kept the job from running, or stopped it, becomes its end."""
        code = None
        try:
            while True:
                code = await self._make_attempt()
                if not await self._another(code):
                    break
                await self._next_attempt()
            self._end = self._end or self._attempt.explained(code)
            if code == 0 and not self._end:
                await self._make_product()
        except (NotRunError, ReleaseError, DataError) as error:
            self._end = End(state=JobState.FAILED, reason=str(error))
        except StoppedError as stopped:
            self._end = End(state=stopped.state, reason=str(stopped))
        self._leave_release()
        if self._ran:
            reason = self._end.reason if self._end else ""
            self.update(state=JobState.WAITFORSAVE, run_end=now(), return_code=code, reason=reason)

    async def _make_product(self) -> None:
        """Make of its release what the session is for, before the release goes."""
        if self._place.product is None or self._needs is None or PRODUCTS & self._record.extra.keys():
            return
        made = await self._place.product(self._needs, self._stop)
        self._record = replace(self._record, extra={**self._record.extra, **made})
        self.update()  # kept before anything of the release goes: nobody makes it again of what is left

    async def _make_attempt(self) -> int:
        """Adopt the attempt, or start it when what it needs is there; returns its exit code."""
        attempt = self._attempt
        if not await attempt.adopt():
            await self._start(attempt)
        began = await attempt.began()
        self._timings.enter("run", at=began)
        self.update(state=JobState.RUNNING, run_start=now() - timedelta(seconds=max(0.0, uptime() - began)))
        if self._end:  # an agent that died had begun to stop it
            self._stop.request(self._end.state, self._end.reason)
        code, _ = await attempt.end(self._stop, on_stop=self._is_stopped)
        self._ran = True
        return code

    async def _start(self, attempt: Attempt) -> None:
        """Start an attempt when what it needs is there; one that cannot be started is given up, and never was."""
        try:
            self._stop.check()
            release = await self._stop.unless(self._provide(), name=f"job {self._job.number}: provide")
            self._lost.check()
            self._timings.enter("queue")
            await attempt.start(release)
        except (NotRunError, ReleaseError, DataError, StoppedError):
            if await attempt.give_up():
                self._attempt = self._numbered_attempt(max(self._first, attempt.files.attempt - 1))
                raise
            await attempt.adopt()  # what a dead agent had begun to start has come to its claim

    def _is_stopped(self, stopped: StoppedError) -> None:
        self._end = End(state=stopped.state, reason=str(stopped))
        self.update(reason=self._end.reason)

    async def _another(self, code: int) -> bool:
        """Whether the job is to be tried once more: not after an end that is not its own, a full disk for one."""
        if code == 0 or self._end:
            return False
        places = (self._attempt.files.directory, self._place.paths.atlas_working, Path(gettempdir()))
        if full := await asyncio.to_thread(_full_disk, *places):
            self._end = End(state=JobState.FAILED, reason=full)
            return False
        return self._attempt.files.attempt - self._first < self._place.settings.retries

    async def _next_attempt(self) -> None:
        number = self._attempt.files.attempt + 1
        _log.info("job %d: attempt %d of %d", self._job.number, number, self._first + self._place.settings.retries)
        self._attempt = self._numbered_attempt(number)
        await self._follow(self._attempt.files)
        self._timings.enter("queue")
        self.update()

    def _numbered_attempt(self, number: int) -> Attempt:
        return Attempt(self._job, number, core=self._core, place=self._place)

    async def _provide(self) -> Provided | None:
        """Wait for the input data and for the release."""
        self._timings.enter("fetch")
        if trouble := await asyncio.shield(self._place.data):
            raise trouble
        self._timings.enter("provide")
        return await self._place.releases.ready(self._needs) if self._needs else None

    def _leave_release(self) -> None:
        """Let the release go, once."""
        self._place.releases.leave(self._needs)
        self._needs = None

    # --- its output and results ---

    @property
    def _log_prefix(self) -> str:
        return job_log_prefix(self._place.session_id, self._job.number)

    def _attempts(self) -> list[JobFiles]:
        """Return the files of all attempts of this launch so far."""
        numbers = range(self._first, self._attempt.files.attempt + 1)
        return [JobFiles.of(self._job.number, number, self._place.paths) for number in numbers]

    async def _follow_output(self) -> None:
        for files in self._attempts():
            await self._follow(files)

    async def _follow(self, files: JobFiles) -> None:
        file = await asyncio.to_thread(files.log_file)
        await self._place.logs.add(self._log_prefix, file, begin=self._begin.log_begin)

    async def _save(self) -> str:
        """Save what the job left; returns what is to be said of it, or ""."""
        return await self._place.saver.save_job(
            self._job.number,
            self._attempts(),
            on_trouble=lambda error: self.update(reason=f"saving is delayed: {error}"),
            settings=self._place.settings,
            again=self._begun_before,
            replaces=self._begin.replaces,
        )


def _full_disk(*directories: Path) -> str:
    """Return why nothing more can be written in a directory, or "". As root, who may use what is reserved as well.

    A job may have left anything where its folder was, or nothing.
    """
    for directory in directories:
        with suppress(OSError):
            there = os.statvfs(directory)
            if there.f_bfree * there.f_frsize < _FULL_BYTES or (there.f_files and not there.f_ffree):
                return f"the disk of {directory} is full"
    return ""
