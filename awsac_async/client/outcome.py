"""What came of a session in one word, and the exit code that says it to a script.

Owns the order in which what went wrong counts: what the infrastructure did goes before a limit of time, that before
somebody's will, that before a job's own exit code. Pure; asks nobody.
"""

from collections.abc import Mapping
from enum import StrEnum

from awsac_async.client.check import SessionStatus
from awsac_async.session.errors import (
    EXIT_INFRASTRUCTURE,
    EXIT_JOB_FAILED,
    EXIT_KILLED,
    EXIT_OK,
    EXIT_TIMED_OUT,
)
from awsac_async.session.model import JobRecord, JobState


class Outcome(StrEnum):
    """How a job or a session ended, what counts most first."""

    INFRASTRUCTURE = "infrastructure"
    TIMED_OUT = "timedout"
    KILLED = "killed"
    JOB_FAILED = "failed"
    SUCCEEDED = "succeeded"

    @property
    def exit_code(self) -> int:
        """The exit code that every verb and every script knows it by."""
        return _EXIT_CODES[self]


_EXIT_CODES: Mapping[Outcome, int] = {
    Outcome.INFRASTRUCTURE: EXIT_INFRASTRUCTURE,
    Outcome.TIMED_OUT: EXIT_TIMED_OUT,
    Outcome.KILLED: EXIT_KILLED,
    Outcome.JOB_FAILED: EXIT_JOB_FAILED,
    Outcome.SUCCEEDED: EXIT_OK,
}
_OF_STATES: Mapping[JobState, Outcome] = {
    JobState.FAILED: Outcome.INFRASTRUCTURE,
    JobState.SAVEFAILED: Outcome.INFRASTRUCTURE,
    JobState.INTERRUPTED: Outcome.INFRASTRUCTURE,
    JobState.TIMEDOUT: Outcome.TIMED_OUT,
    JobState.KILLED: Outcome.KILLED,
}


def outcome(status: SessionStatus) -> Outcome:
    """Return what came of a session; of one that is under way, what came of the jobs that have ended."""
    found = {job_outcome(job, status) for job in status.jobs}
    return next((each for each in Outcome if each in found), Outcome.SUCCEEDED)


def job_outcome(job: JobRecord, status: SessionStatus) -> Outcome | None:
    """Return what came of a job of the session, a lost one included; None while it may still go on."""
    if job.number in status.lost_numbers:
        return Outcome.INFRASTRUCTURE
    if job.number in status.taken_over:
        return None
    if job.state is JobState.FINISHED:
        return Outcome.SUCCEEDED if job.succeeded else Outcome.JOB_FAILED
    return _OF_STATES.get(job.state)
