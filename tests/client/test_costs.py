import dataclasses

import pytest

from awsac_async.client.costs import InstanceTime, cost_so_far, instance_times, unknown_instances
from awsac_async.session.model import JobState, StartReservation
from tests.client.written import at, instance, job, status

PARTS = {"boot": 20.0, "fetch": 3.0, "provide": 6.0, "queue": 1.0, "run": 100.0, "save": 5.0}
RAN = {"run_start": 30, "run_end": 130, "save_start": 130, "save_end": 135}


def time(launch_index: int, begin: float, end: float | None, *, estimated: bool = False) -> InstanceTime:
    ended = None if end is None else at(end)
    return InstanceTime(
        launch_index=launch_index, instance_id=f"i-{launch_index}", begin=at(begin), end=ended, estimated=estimated
    )


TIMES = {
    "one that runs has no end": (status(job(1), instances=(instance(0, begin=5),), over=False), [time(0, 5, None)]),
    "one that EC2 shows ended when EC2 says": (
        status(job(1, **RAN), instances=(instance(0, end=150),)),
        [time(0, 0, 150)],
    ),
    "an end that EC2 does not say is that of the last job": (
        status(job(1, **RAN), job(2, run_start=30), instances=(instance(0, state="terminated"),)),
        [time(0, 0, 135, estimated=True)],
    ),
    "one that EC2 has forgotten was there from its boot to its last saved job": (
        status(job(1, seconds=PARTS, **RAN)),
        [time(0, 0, 135, estimated=True)],
    ),
    "earlier attempts of a job count from its boot": (
        status(job(1, attempt=2, seconds=PARTS, run_start=80, run_end=130)),
        [time(0, 0, 130, estimated=True)],
    ),
    "a job that was lost while it ran counts from its boot": (
        status(job(1, state=JobState.RUNNING, seconds={"boot": 20, "fetch": 4}, run_start=30)),
        [time(0, 6, 30, estimated=True)],
    ),
    "jobs of a 2008 agent tell no more than when they ran": (
        status(job(1, run_start=30, run_end=90)),
        [time(0, 30, 90, estimated=True)],
    ),
    "of one whose jobs never ran nothing is known": (status(job(1, state=JobState.FAILED)), []),
    "all launches count": (
        status(job(1, seconds=PARTS, **RAN), job(2, launch_index=1), instances=(instance(1, begin=900, end=950),)),
        [time(0, 0, 135, estimated=True), time(1, 900, 950)],
    ),
}


@pytest.mark.parametrize(("known", "expected"), TIMES.values(), ids=TIMES)
def test_when_an_instance_was_there(known, expected):
    assert instance_times(known, at=at(1000)) == tuple(expected)


def test_each_second_of_an_instance_costs_from_the_first_minute_on():
    there = (instance(0, end=20), instance(1, end=100.5), instance(2, begin=400))
    assert cost_so_far(status(instances=there, over=False), at=at(1000)) == pytest.approx(0.060 + 0.1005 + 0.600)


def test_each_reservation_of_a_start_has_its_price_and_a_retry_that_of_the_first():
    there = tuple(instance(index, end=1000) for index in range(4))
    had = tuple(
        StartReservation(instance_type="x", n_instances=count, cores_per_instance=2, price_per_hour=price)
        for count, price in ((2, 3.6), (1, 7.2))
    )
    spread = status(instances=there, n_instances=3, reservations=had)
    assert cost_so_far(spread, at=at(1000)) == pytest.approx(1 + 1 + 2 + 1)
    unknown = (had[0], dataclasses.replace(had[1], price_per_hour=None))
    assert cost_so_far(status(instances=there, n_instances=3, reservations=unknown), at=at(1000)) is None


def test_a_cost_without_a_price_is_unknown():
    assert cost_so_far(status(instances=(instance(0),), price_per_hour=None), at=at(60)) is None


def test_a_session_without_an_instance_has_cost_nothing():
    assert cost_so_far(status(over=False), at=at(60)) == 0


def test_an_instance_that_neither_ec2_nor_a_job_remembers_is_counted_as_unknown():
    forgotten = status(job(1, launch_index=2), instances=(instance(2),), n_instances=2)
    assert unknown_instances(forgotten, instance_times(forgotten, at=at(9))) == 2
    over = status(job(1, state=JobState.PENDING, launch_index=None))
    assert unknown_instances(over, instance_times(over, at=at(9))) == 1
    begun = dataclasses.replace(over, over=False)
    assert unknown_instances(begun, instance_times(begun, at=at(9))) == 0
