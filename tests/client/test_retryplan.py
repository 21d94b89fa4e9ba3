"""Which jobs a retry takes, from which attempt on, and what it refuses."""

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest

from awsac_async.client.check import SessionStatus
from awsac_async.client.retryplan import Choice, RetryPlan, choose, new_launch, refuse_other_jobs
from awsac_async.cloud.instances import InstanceInfo
from awsac_async.session.errors import InputError
from awsac_async.session.model import JobRecord, JobState, SessionRecord
from awsac_async.session.record import read_record
from tests.cli.test_interrupts import session_file

TIME = datetime(2026, 11, 22, tzinfo=UTC)
RAN = {"run_start": TIME, "extra": {"x_attempt": "2"}}


def instance(launch_index: int, state: str) -> InstanceInfo:
    return InstanceInfo(
        instance_id=f"i-{launch_index}",
        session_id="session",
        reservation_id="r-1",
        state=state,
        reason="",
        launch_index=launch_index,
        host="",
        instance_type="c1.medium",
        zone="us-east-1a",
        launched=TIME,
    )


@pytest.fixture
def record(tmp_path: Path) -> SessionRecord:
    return read_record(session_file(tmp_path))


@pytest.fixture
def status(record: SessionRecord) -> SessionStatus:
    """One instance is gone, with jobs 6 and 7; on the other job 8 runs, and the log of job 10 is on its way."""
    jobs = (
        JobRecord(number=1, launch_index=0, state=JobState.FINISHED, return_code=0, **RAN),
        JobRecord(number=2, launch_index=0, state=JobState.FINISHED, return_code=3, **RAN),
        JobRecord(number=3, launch_index=0, state=JobState.KILLED, return_code=143, **RAN),
        JobRecord(number=4, launch_index=0, state=JobState.INTERRUPTED, return_code=143, **RAN),
        JobRecord(number=5, launch_index=0, state=JobState.FAILED, extra={"x_attempt": "3"}),
        JobRecord(number=6, launch_index=0, state=JobState.RUNNING, run_start=TIME),
        JobRecord(number=7, launch_index=0, state=JobState.PENDING),
        JobRecord(number=8, launch_index=1, state=JobState.RUNNING, **RAN),
        JobRecord(number=9, launch_index=1, state=JobState.TIMEDOUT, **RAN),
        JobRecord(number=10, launch_index=1, state=JobState.SAVEFAILED, extra={"x_log": "packed"}),
    )
    instances = (instance(0, "terminated"), instance(1, "running"))
    return SessionStatus(record=record, jobs=jobs, instances=instances, over=False)


@pytest.mark.parametrize(
    ("choice", "numbers"),
    [
        (Choice(), [2, 4, 5, 6, 7, 9]),
        (Choice(failed=True), [2, 5, 9]),
        (Choice(lost=True), [6, 7]),
        (Choice(interrupted=True), [4]),
        (Choice(lost=True, interrupted=True), [4, 6, 7]),
        (Choice(numbers=frozenset({1, 3})), [1, 3]),
        (Choice(numbers=frozenset({1, 2, 3, 6}), failed=True), [2]),
    ],
)
def test_each_choice_takes_its_jobs(status: SessionStatus, choice: Choice, numbers: list[int]) -> None:
    assert [job.number for job in choose(status, choice)] == numbers


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (Choice(numbers=frozenset({2, 11})), "there is no job 11: session .* has 1-10"),
        (Choice(numbers=frozenset({2, 8, 10})), "jobs 8,10 are still under way"),
        (Choice(numbers=frozenset({1}), lost=True), "no job of session .* is of these kinds"),
    ],
)
def test_what_cannot_be_retried_is_refused(status: SessionStatus, choice: Choice, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        choose(status, choice)


def test_a_job_whose_instance_still_shuts_down_is_under_way(record: SessionRecord, status: SessionStatus) -> None:
    leaving = SessionStatus(record=record, jobs=status.jobs, instances=(instance(0, "shutting-down"),), over=True)
    with pytest.raises(InputError, match="jobs 6-7 are still under way"):
        choose(leaving, Choice(numbers=frozenset({4, 6, 7})))


def test_nothing_to_retry_is_said_with_what_can_be_named(record: SessionRecord, status: SessionStatus) -> None:
    calm = tuple(job for job in status.jobs if job.number in {1, 3, 8})
    with pytest.raises(InputError, match=r"1 job succeeded, 1 is under way, 1 killed on request \(--jobs 3 retries"):
        choose(SessionStatus(record=record, jobs=calm, instances=status.instances, over=False), Choice())


def test_a_launch_goes_on_with_launch_indexes_and_attempts(record: SessionRecord, status: SessionStatus) -> None:
    second = new_launch(
        record,
        choose(status, Choice(numbers=frozenset({2, 5, 6, 7, 9}))),
        launch=2,
        first_launch_index=record.n_instances,
    )
    third = new_launch(record, status.jobs[:1], launch=3, first_launch_index=second.end_launch_index)

    # What never began does not count.
    assert [(job.number, job.attempt) for job in second.jobs] == [(2, 3), (5, 3), (6, 2), (7, 1), (9, 3)]
    assert (second.launch, second.first_launch_index, second.n_instances) == (2, 1, 3)
    assert (third.launch, third.first_launch_index, third.n_instances) == (3, 4, 1)
    assert RetryPlan(record=record, document=second, continued=False).unused_cores == 1
    assert second.client_token != third.client_token


@pytest.mark.parametrize(
    ("choice", "refused"),
    [
        (Choice(), False),
        (Choice(numbers=frozenset({6, 7})), False),
        (Choice(lost=True), False),
        (Choice(numbers=frozenset({5, 6, 7}), lost=True), False),
        (Choice(numbers=frozenset({6})), True),
        (Choice(numbers=frozenset({5, 6, 7})), True),
        (Choice(numbers=frozenset({6}), lost=True), True),
        (Choice(failed=True), True),
    ],
)
def test_an_unfinished_retry_is_continued_for_no_choice_and_for_its_own_jobs_only(
    record: SessionRecord, status: SessionStatus, choice: Choice, refused: bool
) -> None:
    unfinished = new_launch(record, choose(status, Choice(lost=True)), launch=2, first_launch_index=record.n_instances)
    says = "a retry of jobs 6-7 is not finished, .*awsac retry without a choice of jobs continues it"
    with pytest.raises(InputError, match=says) if refused else nullcontext():
        refuse_other_jobs(unfinished, status, choice)
