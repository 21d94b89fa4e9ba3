"""What came of a session: which of several things that went wrong it is known by."""

from dataclasses import replace

import pytest

from awsac_async.client import SessionStatus
from awsac_async.client.outcome import Outcome, job_outcome, outcome
from awsac_async.session.model import JobRecord, JobState
from tests.client.statuses import instance, job, status_of

GOOD = job(1, JobState.FINISHED, return_code=0)
FAILED = job(2, JobState.FINISHED, return_code=7)
KILLED = job(3, JobState.KILLED, return_code=-15)
TIMED_OUT = job(4, JobState.TIMEDOUT)
INTERRUPTED = job(5, JobState.INTERRUPTED)


@pytest.mark.parametrize(
    ("jobs", "expected", "exit_code"),
    [
        ([GOOD], Outcome.SUCCEEDED, 0),
        ([GOOD, FAILED], Outcome.JOB_FAILED, 1),
        ([FAILED, KILLED, GOOD], Outcome.KILLED, 6),
        ([KILLED, FAILED, TIMED_OUT], Outcome.TIMED_OUT, 5),
        ([TIMED_OUT, KILLED, FAILED, INTERRUPTED], Outcome.INFRASTRUCTURE, 4),
        ([replace(GOOD, state=JobState.SAVEFAILED)], Outcome.INFRASTRUCTURE, 4),
        ([job(1, JobState.FAILED)], Outcome.INFRASTRUCTURE, 4),
        ([replace(GOOD, return_code=None)], Outcome.JOB_FAILED, 1),
    ],
)
def test_a_session_is_known_by_the_worst_that_happened(
    jobs: list[JobRecord], expected: Outcome, exit_code: int
) -> None:
    found = outcome(status_of(jobs, over=True))
    assert (found, found.exit_code) == (expected, exit_code)


def test_a_job_whose_instance_is_gone_is_a_failure_of_the_infrastructure_though_it_is_pending() -> None:
    waiting, other = job(1, JobState.PENDING, launch_index=0), job(2, JobState.RUNNING, launch_index=1)
    status = status_of([waiting, other], instances=[instance(0, "terminated"), instance(1, "running")])

    assert [job_outcome(each, status) for each in status.jobs] == [Outcome.INFRASTRUCTURE, None]
    assert outcome(status).exit_code == 4


def test_a_session_under_way_has_the_outcome_of_what_has_ended() -> None:
    status: SessionStatus = status_of([GOOD, job(2, JobState.RUNNING)], instances=[instance(0, "running")])
    assert outcome(status) is Outcome.SUCCEEDED
