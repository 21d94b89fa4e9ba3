"""How often a session is looked at."""

from awsac_async.client.pace import Pace
from awsac_async.session.model import JobRecord, JobState
from tests.client.statuses import job

RUNNING = [job(1, JobState.RUNNING), job(2, JobState.FINISHED)]
BOOTING = [job(1, JobState.PENDING)]


def pauses(pace: Pace, jobs: list[JobRecord], *, looks: int = 20) -> list[float]:
    return [pace.after(jobs, changed=False, took=0.01) for _ in range(looks)]


def test_pauses_grow_while_nothing_changes_but_the_end_of_a_running_job_is_seen_soon() -> None:
    running, booting = pauses(Pace(), RUNNING), pauses(Pace(), BOOTING)

    assert max(running) < 1.5
    assert max(booting) > 2.2
    assert max(booting) < 4


def test_a_change_makes_the_next_pause_short() -> None:
    pace = Pace()
    pauses(pace, BOOTING)
    assert pace.after(BOOTING, changed=True, took=0.01) < 0.7


def test_looking_takes_at_most_a_fifth_of_the_time() -> None:
    assert Pace().after(RUNNING, changed=True, took=3.0) >= 12.0


def test_throttling_makes_pauses_longer_and_they_become_short_again() -> None:
    pace = Pace()
    throttled = [pace.after(RUNNING, changed=True, took=0.01, throttled=True) for _ in range(10)]
    recovering = pauses(pace, RUNNING)

    assert throttled[0] == 2.0
    assert throttled[1] == 4.0
    assert max(throttled) == 60.0
    assert recovering[0] > 30
    assert recovering[-1] < 1.5
