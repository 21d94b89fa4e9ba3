"""Instances that share jobs, hundreds of sessions of them in virtual time: each job ends once, and none is forgotten.

Whatever is found here comes again with ``python -m tests.attack.simulation --seed``, where more of it can be tried.
"""

import pytest

from awsac_async.session.model import StatusKind
from tests.attack.simulation import Plan, simulate


def faults_of(plan: Plan) -> list[str]:
    """What must not be, each with what brings it about again."""
    return [f"{plan}: {fault}" for fault in simulate(plan).faults]


@pytest.mark.parametrize("seed", range(1, 7))
def test_each_of_500_jobs_on_50_instances_ends_once_whatever_becomes_of_instances_and_agents(seed: int) -> None:
    assert faults_of(Plan(seed=seed)) == []


@pytest.mark.parametrize("seed", range(1, 5))
def test_so_it_does_where_the_status_is_in_simpledb(seed: int) -> None:
    plan = Plan(seed=seed, store=StatusKind.SIMPLEDB, instances=16, jobs=120, lost=3, noticed=5, cut_off=2, hard=3)
    assert faults_of(plan) == []


@pytest.mark.parametrize("store", StatusKind)
@pytest.mark.parametrize("instances", [1, 2, 3, 6])
def test_a_few_instances_forget_no_job_when_agents_come_back_as_their_lease_runs_out(
    store: StatusKind, instances: int
) -> None:
    """With two that are struck at about the same time, of which neither may count on the other."""
    lost, noticed = (2, 1) if instances == 6 else (0, 0)
    plans = [
        Plan(
            seed=seed,
            store=store,
            instances=instances,
            jobs=7 * instances,
            lost=lost,
            noticed=noticed,
            cut_off=1 if instances in {3, 6} else 0,
            killed=instances,
            hard=min(2, instances),
        )
        for seed in range(1, 13)
    ]
    assert [fault for plan in plans for fault in faults_of(plan)] == []
