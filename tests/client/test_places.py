"""What a session costs at most, wherever there is room for it."""

from hypothesis import given
from hypothesis import strategies as st

from awsac_async.client.plan.places import PlannedPlace, dearest_per_hour
from awsac_async.session.jobs import instances_needed


@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(1, 8), st.integers(1, 20)), min_size=1, max_size=3),
    st.lists(st.integers(0, 6), min_size=3, max_size=3),
)
def test_no_spread_over_types_costs_more_than_was_said(
    n_jobs: int, types: list[tuple[int, int]], rooms: list[int]
) -> None:
    places = [
        PlannedPlace(
            instance_type=str(number),
            cores_per_instance=cores,
            n_instances=instances_needed(n_jobs, cores),
            price_per_hour=price,
            volumes_per_hour=None,
            disks_per_hour=None,
        )
        for number, (cores, price) in enumerate(types)
    ]
    left, cost = n_jobs, 0
    for (cores, price), room in zip(types, [*rooms[: len(types) - 1], n_jobs], strict=True):
        had = min(room, instances_needed(left, cores))
        left, cost = max(0, left - had * cores), cost + had * price

    most = dearest_per_hour(places, without_volumes=True)
    assert left == 0
    assert most is not None
    assert cost <= most
    assert dearest_per_hour(places, without_volumes=False) is None
