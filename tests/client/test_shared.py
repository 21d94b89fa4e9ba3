"""How a session whose jobs are shared is told of: nobody knows beforehand which of its instances runs which job."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from awsac_async import client
from awsac_async.client import SessionStatus
from awsac_async.client.booting import booting
from awsac_async.client.check import status_with
from awsac_async.client.launches import read_launches
from awsac_async.client.outcome import Outcome, job_outcome, outcome
from awsac_async.client.retryplan import Choice, RetryPlan, choose, new_launch
from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.instances import InstanceInfo
from awsac_async.cloud.status import store_of
from awsac_async.session.claims import FIRST_POOL, Claim, claim_attribute
from awsac_async.session.errors import ConflictError, InputError
from awsac_async.session.model import JobRecord, JobState, StartReservation, StatusKind
from awsac_async.session.record import write_record
from awsac_async.session.statusdocs import StatusWriter
from awsac_async.session.times import format_time, now
from tests.cli.conftest import BUCKET, Account
from tests.client.statuses import SHARED, STARTED, instance, record, status_of
from tests.client.statuses import job as made
from tests.client.test_plan import faults
from tests.conftest import Embedded

RECLAIMED = "Server.SpotInstanceTermination"
GONE, LIVES = instance(0, "terminated", reason=RECLAIMED), instance(1, "running")


def job(number: int, state: JobState, launch_index: int = 0, **more: Any) -> JobRecord:
    """Return a job that an instance has claimed."""
    claimed = claim_attribute(Claim(pool=FIRST_POOL, count=1, lease=f"{launch_index}-a1"))
    values = {"instance_id": f"i-{launch_index:017x}", "script": "job.sh", "extra": claimed} | more
    return made(number, state, launch_index=launch_index, **values)


def unclaimed(number: int, launch_index: int = 0) -> JobRecord:
    """Return a job as start, or retry, has written it."""
    return made(number, JobState.PENDING, launch_index=launch_index, extra=claim_attribute(Claim(pool=1, count=0)))


FINISHED = job(1, JobState.FINISHED, return_code=0)
FAILED = job(2, JobState.FINISHED, return_code=7, run_start=STARTED)
RUNS_ON_GONE = job(3, JobState.RUNNING)
INTERRUPTED = job(4, JobState.INTERRUPTED, return_code=143, reason="the spot instance is interrupted")
RUNS = job(5, JobState.RUNNING, 1)
WAITS = unclaimed(6)
JOBS = (FINISHED, FAILED, RUNS_ON_GONE, INTERRUPTED, RUNS, WAITS)


def shared(
    jobs: Sequence[JobRecord], *, instances: Sequence[InstanceInfo] = (GONE, LIVES), **more: Any
) -> SessionStatus:
    return status_of(jobs, instances=instances, user_data=SHARED, **more)


async def looked_at(jobs: Sequence[JobRecord], *instances: InstanceInfo, **more: Any) -> SessionStatus:
    """Return how a session stands whose status is kept in the bucket of the embedded cloud."""
    session_id = f"261122_1200--test--{uuid.uuid4().hex[:4]}"
    session = record(len(jobs), session_id=session_id, status_store=StatusKind.S3, n_instances=2, user_data=SHARED)
    async with connect() as aws:
        store = store_of(aws, session)
        await store.write(jobs)
        status = await status_with(aws, replace(session, **more), tuple(instances))
        await store.delete()
    return status


async def test_while_an_instance_lives_no_job_is_lost_and_it_is_said_which_ones_it_takes_over() -> None:
    status = await looked_at(JOBS, GONE, LIVES)

    assert (status.over, status.lost) == (False, ())
    assert [(each.number, status.shown_state(each), each.launch_index, each.reason) for each in status.jobs[2:]] == [
        (3, "running", 0, f"its instance is terminated: {RECLAIMED}; another one takes it over"),
        (4, "interrupted", 0, "the spot instance is interrupted; another one takes it over"),
        (5, "running", 1, ""),
        (6, "pending", None, ""),
    ]
    assert [each.number for each in status.failed] == [2]
    assert [each.number for each in status.jobs if status.ended(each)] == [1, 2]
    assert [job_outcome(each, status) for each in status.jobs[2:]] == [None] * 4
    assert outcome(status) is Outcome.JOB_FAILED


async def test_when_all_instances_are_gone_what_they_left_is_lost_with_its_reason() -> None:
    status = await looked_at(JOBS, GONE, instance(1, "terminated", reason="User initiated"))

    assert status.over
    assert [(each.number, each.reason) for each in status.lost] == [
        (3, f"its instance is terminated: {RECLAIMED}"),
        (5, "its instance is terminated: User initiated"),
        (6, "no instance is left to run it"),
    ]
    assert [each.number for each in status.failed] == [2, 3, 4, 5, 6]
    assert status.jobs[3].reason == "the spot instance is interrupted"


@pytest.mark.parametrize(("state", "over"), [(JobState.RUNNING, False), (JobState.FINISHED, True)])
async def test_while_an_instance_shuts_down_its_agent_may_still_say_how_a_job_ended(
    state: JobState, over: bool
) -> None:
    status = await looked_at([job(1, state)], GONE, instance(1, "shutting-down"))
    assert (status.over, status.lost) == (over, ())


async def test_an_instance_that_was_started_after_one_looked_at_ec2_is_no_lost_one(account: Account) -> None:
    """Its agent has already written that the job runs: whoever asked EC2 before that asks once more."""
    session_id = f"261122_1200--test--{uuid.uuid4().hex[:4]}"
    session = record(1, session_id=session_id, status_store=StatusKind.S3)
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "awsac:session", "Value": session_id}]}]
    asked = {"ImageId": "ami-0a35ac00000000001", "InstanceType": "c1.medium", "MinCount": 1, "MaxCount": 1}
    started = await asyncio.to_thread(account.ec2.run_instances, **asked, TagSpecifications=tags)
    instance_id = started["Instances"][0]["InstanceId"]
    async with connect() as aws:
        store = store_of(aws, session)
        await store.write([made(1, JobState.RUNNING, instance_id=instance_id)])
        status = await status_with(aws, session, ())
        await store.delete()
    await asyncio.to_thread(account.ec2.terminate_instances, InstanceIds=[instance_id])
    assert [each.instance_id for each in status.instances] == [instance_id]
    assert (status.over, status.lost) == (False, ())


async def test_what_the_only_instance_has_not_ended_when_it_is_taken_away_falls_to_nobody() -> None:
    status = await looked_at((replace(INTERRUPTED, number=1), unclaimed(2)), instance(0, "running"))

    assert not status.over
    assert [(each.number, each.reason) for each in status.failed] == [(1, "the spot instance is interrupted")]
    assert [status.ended(each) for each in status.jobs] == [True, False]
    assert outcome(status) is Outcome.INFRASTRUCTURE


@pytest.mark.parametrize(("age", "over"), [(5.0, False), (3600.0, True)])
async def test_a_session_of_which_ec2_shows_no_instance_is_over_only_after_some_minutes(age: float, over: bool) -> None:
    started = format_time(now() - timedelta(seconds=age))
    assert (await looked_at([unclaimed(1)], started=started)).over is over


def test_an_instance_without_a_job_boots_as_long_as_a_job_waits_for_whoever_is_free() -> None:
    late = replace(instance(2, "running"), launched=STARTED + timedelta(seconds=60))
    waiting = shared((RUNS, replace(WAITS, launch_index=None)), instances=(GONE, LIVES, late))
    found = booting(waiting, at=STARTED + timedelta(seconds=90))

    assert found is not None
    assert (found.launch_indexes, found.seconds) == ((2,), 30)
    assert booting(shared((RUNS, FINISHED), instances=(LIVES, late)), at=STARTED) is None


def test_what_others_take_over_cannot_be_retried_yet() -> None:
    status = shared(JOBS)
    assert [each.number for each in choose(status, Choice())] == [2]
    with pytest.raises(InputError, match="jobs 3-6 are still under way"):
        choose(status, Choice(numbers=frozenset({2, 3, 4, 5, 6})))


def spread(instance_type: str, n_instances: int, cores: int) -> StartReservation:
    return StartReservation(
        instance_type=instance_type, n_instances=n_instances, cores_per_instance=cores, price_per_hour=None
    )


@pytest.mark.parametrize(
    ("n_jobs", "values", "expected"),
    [
        (2, {"n_instances": 3}, 1),
        (9, {"n_instances": 3}, 3),
        (9, {"n_instances": 4, "reservations": (spread("c1.medium", 1, 2), spread("m1.small", 3, 1))}, 2),
    ],
    ids=["as many as are needed", "no more than the start had", "no more cores than the start had"],
)
def test_the_jobs_of_a_retry_are_a_pool_of_their_own(n_jobs: int, values: dict[str, Any], expected: int) -> None:
    session = record(n_jobs, user_data=SHARED, **values)
    jobs = [replace(FAILED, number=number) for number in range(1, n_jobs + 1)]
    second = new_launch(session, jobs, launch=2, first_launch_index=session.n_instances)
    third = new_launch(session, jobs[:1], launch=3, first_launch_index=second.end_launch_index)

    assert (second.launch, second.pool, len(second.jobs), second.n_instances) == (2, 2, n_jobs, expected)
    assert (third.launch, third.pool, third.n_instances) == (3, 3, 1)
    assert RetryPlan(record=session, document=second, continued=False).unused_cores == 0


MISMATCH = """[[fault]]
service = "ec2"
operation = "RunInstances"
kind = "error"
code = "IdempotentParameterMismatch"
status = 400
message = "another client was faster"
"""


async def test_kill_asks_for_jobs_that_nobody_has_and_a_retry_lets_its_jobs_wait_for_whoever_claims_them(
    tmp_path: Path, account: Account, embedded: Embedded
) -> None:
    session_id = f"261122_1200--test--{uuid.uuid4().hex[:4]}"
    values = {"session_id": session_id, "status_store": StatusKind.S3, "n_instances": 2, "cores_per_instance": 1}
    session = record(6, started=format_time(now()), instance_profile="awsac-agent", user_data=SHARED, **values)
    file = write_record(tmp_path, session)
    account.s3.put_object(Bucket=BUCKET, Key=f"{session_id}/jobs.tar.bz2", Body=b"")

    async def proceed(_: object) -> bool:
        return True

    async with connect() as aws:
        store = store_of(aws, session)
        await store.write(
            [FINISHED, FAILED, replace(FAILED, number=3), INTERRUPTED, replace(RUNS, launch_index=0), WAITS]
        )
        with pytest.raises(InputError, match="no instance has taken up job 6 yet: it waits for a core that is free"):
            await client.way_in(file, 6)
        with pytest.raises(
            InputError, match="EC2 does not show it any more; another one takes the job over; awsac logs"
        ):
            await client.way_in(file, 4)
        fetched = await client.get_results(file, tmp_path, on_existing=proceed, jobs=[4])
        killed = await client.kill(file, [1, 4, 6])
        with faults(embedded, MISMATCH), pytest.raises(ConflictError):
            await client.retry(file, proceed=proceed)
        reset = (await store.read())[1:3]
        claimed = replace(reset[0], state=JobState.RUNNING, instance_id="i-3", launch_index=3)
        await store.write([claimed], by=StatusWriter(launch=2, launch_index=3))
        with pytest.raises(InputError, match="nothing to retry: 1 job succeeded, 5 are under way"):
            await client.retry(file, proceed=proceed)
        documents = (await read_launches(Bucket(aws, BUCKET), session)).documents
    await client.cleanup(file, confirm=proceed, force=True)

    (missing,) = fetched.missing
    taken_over = "interrupted: the spot instance is interrupted; another one takes it over"
    assert (missing.status, missing.reason) == ("interrupted", taken_over)
    assert (killed.asked, [each.number for each in killed.ended]) == ((4, 6), [1])
    assert [(each.state, each.launch_index, each.extra) for each in reset] == [
        (JobState.PENDING, 2, {"x_attempt": "2", "x_claim": "2.0"})
    ] * 2
    # An instance of it was seen, which EC2 has forgotten: nothing is launched again.
    assert [(each.pool, each.n_instances, each.reservation_id) for each in documents] == [(2, 2, "unknown")]
