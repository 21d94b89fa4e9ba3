"""Which jobs of a session are to run again, and on what: what ``retry`` decides before anything is changed.

Owns the rule of which jobs may be retried, and the sentence for each that may not. Asks the cloud nothing.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from awsac_async.client.check import SessionStatus
from awsac_async.session.errors import InputError
from awsac_async.session.jobs import instances_needed, named_jobs, no_such_job, shown_numbers
from awsac_async.session.launches import LaunchDocument, LaunchedJob
from awsac_async.session.model import JobRecord, JobState, SessionRecord
from awsac_async.session.names import LOG_PACKED, X_LOG
from awsac_async.session.places import n_cores
from awsac_async.session.times import format_time, now
from awsac_async.session.timings import read_attempt
from awsac_async.session.userdata import shares_jobs
from awsac_async.session.wording import counted

_FAILED = frozenset({JobState.FAILED, JobState.SAVEFAILED, JobState.TIMEDOUT, JobState.FINISHED})


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which jobs are meant: those of these numbers, and of them, if a kind is named, those of these kinds.

    Without numbers it is all jobs of these kinds; with neither, all that failed, were lost or were interrupted.
    """

    numbers: frozenset[int] | None = None
    failed: bool = False
    lost: bool = False
    interrupted: bool = False

    @property
    def any_kind(self) -> bool:
        """Whether no kind is named."""
        return not (self.failed or self.lost or self.interrupted)


@dataclass(frozen=True, kw_only=True)
class RetryPlan:
    """What is going to be launched. ``continued``: a ``retry`` that died has decided it, and it is now carried on."""

    record: SessionRecord
    document: LaunchDocument
    continued: bool

    @property
    def unused_cores(self) -> int:
        """Cores that get no job."""
        return max(0, self.document.n_instances * self.document.cores_per_instance - len(self.document.jobs))

    @property
    def price_per_hour(self) -> float | None:
        """What all its instances cost an hour, in USD; None if that is not known."""
        price = self.record.price_per_hour
        return None if price is None else price * self.document.n_instances


def choose(status: SessionStatus, choice: Choice) -> list[JobRecord]:
    """Return the jobs that are to run again, by number.

    Raises:
        InputError: a number is that of no job, or of one that is under way; or there is nothing to retry.
    """
    live = {each.launch_index for each in status.instances if each.live}
    busy = {job.number for job in status.jobs if _under_way(job, status, live)}
    if choice.numbers is not None:
        _check_numbers(status, choice.numbers, busy)
    wanted = [job for job in status.jobs if job.number not in busy and _is_meant(job, status, choice)]
    if not wanted:
        raise InputError(_nothing(status, choice, busy))
    return wanted


def refuse_other_jobs(document: LaunchDocument, status: SessionStatus, choice: Choice) -> None:
    """Raise InputError if a choice of the user is not that of the unfinished retry, which comes first.

    A job that it has reset does not show any more of which kind it was: it counts as of the kind that is asked for.
    """
    if choice == Choice() or _is_of(document, status, choice):
        return
    raise InputError(
        f"a retry of {named_jobs(document.numbers)} is not finished, and goes first: "
        "awsac retry without a choice of jobs continues it"
    )


def _is_of(document: LaunchDocument, status: SessionStatus, choice: Choice) -> bool:
    if choice.numbers is not None and choice.any_kind:
        return choice.numbers == document.numbers
    if choice.numbers is not None and not document.numbers <= choice.numbers:
        return False
    return document.numbers.issuperset(job.number for job in status.jobs if _is_meant(job, status, choice))


def new_launch(
    record: SessionRecord, jobs: Sequence[JobRecord], *, launch: int, first_launch_index: int
) -> LaunchDocument:
    """Return the document of the launch of this number that runs these jobs, from this launch index on.

    Where jobs are shared, it has no more instances, and no more cores, than the start had.
    """
    shared = shares_jobs(record.user_data)
    needed = instances_needed(len(jobs), record.cores_per_instance)
    most = min(record.n_instances, max(1, n_cores(record) // record.cores_per_instance))
    return LaunchDocument(
        launch=launch,
        first_launch_index=first_launch_index,
        n_instances=min(needed, most) if shared else needed,
        cores_per_instance=record.cores_per_instance,
        client_token=uuid.uuid4().hex,
        reservation_id="",
        started=format_time(now()),
        jobs=tuple(LaunchedJob(number=job.number, attempt=_next_attempt(job)) for job in jobs),
        pool=launch if shared else 0,
    )


def _next_attempt(job: JobRecord) -> int:
    """Return the number of a job's next attempt; one that never began does not count."""
    return (read_attempt(job) or 1) + (job.run_start is not None)


def _under_way(job: JobRecord, status: SessionStatus, live: Collection[int]) -> bool:
    """Whether an agent may still write something of a job: its status, or the rest of its log.

    While its instance shuts down it may: an agent whose instance is terminated says what becomes of its jobs. ``live``
    are the launch indexes of the instances that are not gone.
    """
    if job.number in status.taken_over:
        return True
    may_write = job.launch_index in live
    if not job.state.final:
        return may_write or job.number not in status.lost_numbers
    return may_write and job.extra.get(X_LOG) == LOG_PACKED


def _is_meant(job: JobRecord, status: SessionStatus, choice: Choice) -> bool:
    if choice.numbers is not None and job.number not in choice.numbers:
        return False
    if choice.numbers is not None and choice.any_kind:
        return True
    lost = job.number in status.lost_numbers
    failed = job.state in _FAILED and not job.succeeded
    interrupted = job.state is JobState.INTERRUPTED
    if choice.any_kind:
        return lost or failed or interrupted
    return (lost and choice.lost) or (failed and choice.failed) or (interrupted and choice.interrupted)


def _check_numbers(status: SessionStatus, numbers: Collection[int], busy: Collection[int]) -> None:
    session_id, known = status.record.session_id, {job.number for job in status.jobs}
    if unknown := set(numbers) - known:
        raise InputError(no_such_job(unknown, session_id=session_id, known=known))
    if meant := set(numbers).intersection(busy):
        are = "is" if len(meant) == 1 else "are"
        raise InputError(f"{named_jobs(meant)} {are} still under way: wait for the end, or ask for it with awsac kill")


def _nothing(status: SessionStatus, choice: Choice, busy: Collection[int]) -> str:
    """Say why there is nothing to retry, and what can be retried by number."""
    if not choice.any_kind:
        return f"no job of session {status.record.session_id} is of these kinds; awsac check shows how they stand"
    succeeded = [job.number for job in status.jobs if job.succeeded and job.number not in busy]
    killed = [job.number for job in status.jobs if job.state is JobState.KILLED and job.number not in busy]
    stand = [counted(len(succeeded), "job succeeded", "jobs succeeded")] * bool(succeeded)
    stand += [counted(len(busy), "is under way", "are under way")] * bool(busy)
    stand += [f"{len(killed)} killed on request (--jobs {shown_numbers(killed)} retries them)"] * bool(killed)
    return f"session {status.record.session_id} has nothing to retry: {', '.join(stand)}"
