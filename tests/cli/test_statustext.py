"""What is said of a session that has not begun yet, and in one line of one that has ended."""

import os
import sys
from datetime import timedelta

import pytest

from awsac_async.cli.statustext import boot_remark, job_line, plain, status_text
from awsac_async.cli.wait import ended_text, next_step
from awsac_async.client import Ended, SessionStatus, outcome
from awsac_async.session.model import JobRecord, JobState
from tests.client.statuses import STARTED, instance, job, status_of

PENDING = [job(1, JobState.PENDING)]
GOOD = job(1, JobState.FINISHED, return_code=0)


@pytest.mark.parametrize(
    ("status", "seconds", "remark"),
    [
        (status_of(PENDING), 12, "started 12 seconds ago, and EC2 shows no instance yet: some seconds are normal"),
        (
            status_of(PENDING),
            7500,
            "started 2 hours 5 minutes ago, and EC2 shows no instance of it: "
            "that is normal for some seconds after a retry",
        ),
        (
            status_of(PENDING, ec2_reservation_id=""),
            90,
            "its start, 1 minute ago, was not completed: the same awsac start again goes on with it",
        ),
        (
            status_of(PENDING, instances=[instance(0, "running")]),
            45,
            "1 instance launched up to 45 seconds ago, without a job yet: one to three minutes to boot are normal",
        ),
        (status_of([job(1, JobState.RUNNING)], instances=[instance(0, "running")]), 45, ""),
        (status_of(PENDING, over=True), 45, ""),
    ],
)
def test_a_session_that_has_not_begun_says_since_when_and_what_is_normal(
    status: SessionStatus, seconds: int, remark: str
) -> None:
    assert boot_remark(status, at=STARTED + timedelta(seconds=seconds)) == remark


def test_of_several_instances_the_slow_one_is_the_one_to_look_at() -> None:
    jobs = [
        job(1, JobState.PENDING),
        job(2, JobState.RUNNING, launch_index=1),
        job(3, JobState.PENDING, launch_index=2),
    ]
    late = instance(2, "running", launched=STARTED + timedelta(minutes=13))
    status = status_of(jobs, instances=[instance(0, "running"), instance(1, "running"), late])

    remark = boot_remark(status, at=STARTED + timedelta(minutes=14))
    assert remark.startswith("1 instance launched up to 14 minutes ago, without a job yet, though")
    assert remark.endswith("awsac console -c session-261122_1200--test--0a1b.cfg 0 shows what was printed there")


@pytest.mark.parametrize(
    ("jobs", "line"),
    [
        ([GOOD], "its job finished well"),
        ([GOOD, job(2, JobState.FINISHED, return_code=7)], "1 of 2 jobs went wrong (failed): job 2"),
        ([GOOD, job(2, JobState.KILLED), job(3, JobState.KILLED)], "2 of 3 jobs went wrong (killed): jobs 2-3"),
        ([job(1, JobState.PENDING)], "1 of 1 job went wrong (infrastructure): job 1"),
    ],
)
def test_the_last_line_of_wait_says_what_came_of_the_session(jobs: list[JobRecord], line: str) -> None:
    status = status_of(jobs, over=True)
    ended = Ended(status=status, outcome=outcome(status))

    assert ended_text(ended, None) == f"session 261122_1200--test--0a1b is over: {line}"


@pytest.mark.parametrize(
    ("jobs", "hint"),
    [
        ([GOOD], ""),
        ([job(1, JobState.PENDING)], "awsac check says why; awsac retry runs it again"),
        (
            [job(1, JobState.PENDING), job(2, JobState.KILLED)],
            "awsac check says why; awsac retry --jobs 1-2 runs them again",
        ),
        ([job(1, JobState.TIMEDOUT)], "awsac check says why; awsac retry runs it again, within the same limits"),
        ([GOOD, job(2, JobState.KILLED)], "awsac retry --jobs 2 runs it again"),
        (
            [GOOD, job(2, JobState.FINISHED, return_code=7)],
            "awsac getresults gets the output, which may say why; awsac retry runs it again, with the same script",
        ),
    ],
)
def test_wait_says_what_to_do_about_what_went_wrong(jobs: list[JobRecord], hint: str) -> None:
    status = status_of(jobs, over=True)

    assert next_step(Ended(status=status, outcome=outcome(status))) == hint


def test_a_line_of_a_lost_job_says_so_and_why() -> None:
    gone = job(3, JobState.RUNNING, instance_id="i-0a", reason="its instance is terminated: taken away")
    assert job_line(gone, lost=True) == "job 3: lost on i-0a (its instance is terminated: taken away)"


def test_plain_text_is_the_same_at_a_narrow_terminal_as_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    text = status_text(status_of([GOOD]), columns=None, timings=False)
    in_a_pipe = plain(text)
    master, slave = os.openpty()
    monkeypatch.setenv("COLUMNS", "40")
    with os.fdopen(master), os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert plain(text) == in_a_pipe
        monkeypatch.undo()


def test_a_very_narrow_terminal_gets_a_table_with_a_line_for_each_job() -> None:
    lines = plain(status_text(status_of([GOOD, job(2, JobState.RUNNING)]), columns=40, timings=False)).splitlines()

    assert lines[-3].split() == ["job", "status", "LI", "rc"]
    assert [line.split()[:2] for line in lines[-2:]] == [["1", "finished"], ["2", "running"]]
