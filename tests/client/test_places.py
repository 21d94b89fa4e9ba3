"""What a session costs at most, wherever there is room for it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.client.plan.places import PlannedPlace, dearest_per_hour
from awsac_async.session.model import Schedule, StartInfo
from awsac_async.session.places import instances_at

INFO = StartInfo(
    instance_type="m1.small",
    ami_id="ami-c97591a0",
    bucket="b",
    ec2_uid="",
    shortdescr="",
    n_jobs=1,
    instance_profile="",
)
TYPES = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 20)), min_size=1, max_size=3)  # cores, price
ROOMS = st.lists(st.integers(0, 6), min_size=3, max_size=3)


def shared(**limits: Any) -> StartInfo:
    return replace(INFO, schedule=Schedule.SHARED, **limits)


def places_for(info: StartInfo, n_jobs: int, types: list[tuple[int, int]]) -> list[PlannedPlace]:
    return [
        PlannedPlace(
            instance_type=str(number),
            cores_per_instance=cores,
            n_instances=instances_at(info, cores, wanted=n_jobs),
            price_per_hour=price,
            volumes_per_hour=None,
            disks_per_hour=None,
        )
        for number, (cores, price) in enumerate(types)
    ]


@given(st.integers(1, 40), TYPES, ROOMS)
def test_no_spread_over_types_costs_more_than_was_said(
    n_jobs: int, types: list[tuple[int, int]], rooms: list[int]
) -> None:
    places = places_for(INFO, n_jobs, types)
    left, cost = n_jobs, 0
    for (cores, price), room in zip(types, [*rooms[: len(types) - 1], n_jobs], strict=True):
        had = min(room, instances_at(INFO, cores, wanted=left))
        left, cost = max(0, left - had * cores), cost + had * price

    most = dearest_per_hour(places, without_volumes=True)
    assert left == 0
    assert most is not None
    assert cost <= most
    assert dearest_per_hour(places, without_volumes=False) is None


LIMITS = st.one_of(st.none(), st.integers(1, 20))


@given(st.integers(1, 40), TYPES, ROOMS, LIMITS, st.one_of(st.none(), st.integers(8, 40)))
def test_no_spread_of_a_shared_session_exceeds_its_limits_or_costs_more_than_was_said(
    n_jobs: int, types: list[tuple[int, int]], rooms: list[int], n_instances: int | None, max_cores: int | None
) -> None:
    info = shared(n_instances=n_instances, max_cores=max_cores)
    places = places_for(info, n_jobs, types)
    first = next(each for each, room in zip(places, rooms, strict=False) if room) if any(rooms[: len(types)]) else None
    count = n_cores = cost = 0
    wanted = min(n_jobs, first.n_instances * first.cores_per_instance) if first else 0
    for (cores, price), room in zip(types, rooms, strict=False):
        left = max(0, wanted - n_cores)
        had = min(room, instances_at(info, cores, wanted=left, n_instances=count, n_cores=n_cores))
        count, n_cores, cost = count + had, n_cores + had * cores, cost + had * price

    most = dearest_per_hour(places, without_volumes=True)
    assert most is not None
    assert cost <= most
    assert count <= (n_instances or count)
    assert n_cores <= (max_cores or n_cores)


@pytest.mark.parametrize(
    ("limits", "cores", "expected"),
    [
        ({}, 2, 5),
        ({"n_instances": 3}, 2, 3),
        ({"n_instances": 9}, 2, 5),  # never more than there are jobs for
        ({"max_cores": 5}, 2, 2),
        ({"n_instances": 3, "max_cores": 5}, 2, 2),
        ({"n_instances": 1, "max_cores": 5}, 2, 1),
        ({"max_cores": 5}, 8, 0),
    ],
)
def test_instances_are_as_many_as_jobs_can_use_and_the_user_allows(
    limits: dict[str, int], cores: int, expected: int
) -> None:
    assert instances_at(shared(**limits), cores, wanted=9) == expected
