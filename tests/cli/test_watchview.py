"""What the live view of a session shows on screens of several sizes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console

from awsac_async.cli.watchview import WatchView
from awsac_async.client import SessionStatus
from awsac_async.session.model import JobRecord, JobState
from tests.client.statuses import SHARED, STARTED, instance, job, status_of

NOW = STARTED + timedelta(minutes=2)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self):
        return self.now


def view_of(status: SessionStatus, *, lines: dict[int, str] | None = None, clock: Clock | None = None) -> WatchView:
    view = WatchView(clock=clock or Clock(), last_line=lambda number: (lines or {}).get(number, ""))
    view.update(status)
    return view


def drawn(view: WatchView, *, columns: int = 120, rows: int = 24) -> list[str]:
    """Return the screen, line by line, as it is without colours."""
    console = Console(width=columns, height=rows, force_terminal=True, color_system=None, highlight=False, markup=False)
    with console.capture() as screen:
        console.print(view, height=rows)
    lines = [line.rstrip() for line in screen.get().splitlines()]
    assert all(len(line) <= columns for line in lines)
    assert len(lines) <= rows
    return lines


def running(number: int, *, launch_index: int = 0) -> JobRecord:
    began = NOW - timedelta(seconds=65)
    return job(
        number, JobState.RUNNING, launch_index=launch_index, run_start=began, instance_id=f"i-{launch_index:017x}"
    )


def test_while_instances_boot_it_says_for_how_long_and_what_is_normal() -> None:
    jobs = [job(1, JobState.PENDING), job(2, JobState.PENDING)]
    lines = drawn(view_of(status_of(jobs, instances=[instance(0, "pending", reason="pending")])))

    assert lines[0] == "session 261122_1200--test--0a1b, started 2 minutes ago, in us-east-1"
    assert lines[1] == "2 jobs: 2 pending"
    assert lines[2].startswith("[......")
    assert lines[2].endswith("] 0 % ended")
    assert lines[3] == "instance 0, i-00000000000000000, pending: pending"
    assert (
        lines[4]
        == "1 instance launched up to 2 minutes ago, without a job yet: one to three minutes to boot are normal"
    )
    assert lines[-1] == "Ctrl-C leaves this view; the session goes on"


def test_an_instance_that_has_begun_nothing_for_ten_minutes_is_one_to_look_at() -> None:
    clock = Clock()
    clock.now += timedelta(minutes=10)
    view = view_of(status_of([job(1, JobState.PENDING)], instances=[instance(0, "running")]), clock=clock)

    (remark,) = [line for line in drawn(view, columns=220) if "without a job yet" in line]
    assert remark.endswith("awsac console -c session-261122_1200--test--0a1b.cfg 0 shows what was printed there")


def test_running_jobs_have_their_last_line_and_a_duration_that_ticks_without_a_look() -> None:
    clock = Clock()
    status = status_of([running(1), running(2)], instances=[instance(0, "running")], price_per_hour=0.1)
    view = view_of(status, lines={2: "event 17 of 1000"}, clock=clock)
    before = drawn(view)
    clock.now += timedelta(seconds=3)
    after = drawn(view)

    assert "about 0.0033 USD so far" in before[0]
    assert before[-2].split()[:5] == ["2", "running", "i-00000000000000000", "12:00:55Z", "1:05"]
    assert before[-2].endswith("event 17 of 1000")
    assert after[-2].split()[4] == "1:08"
    assert view.running_shown() == [1, 2]


def test_lost_and_failed_jobs_say_why() -> None:
    reason = "Server.SpotInstanceTermination: taken away"
    lost = job(1, JobState.RUNNING, reason=f"its instance is terminated: {reason}")
    failed = job(2, JobState.FINISHED, launch_index=1, return_code=7)
    instances = [instance(0, "terminated", reason=reason), instance(1, "running")]
    lines = drawn(view_of(status_of([lost, failed], instances=instances)), columns=140)

    assert lines[1] == "2 jobs: 1 lost, 1 exited non-zero"
    assert lines[2].startswith("[!!!!")
    assert lines[3] == f"instance 0, i-00000000000000000, terminated: {reason}"
    assert lines[4] == "instance 1, i-00000000000000001, running"
    assert lines[-3].split()[:2] == ["1", "lost"]
    assert lines[-3].endswith(f"its instance is terminated: {reason}")
    assert lines[-2].endswith("return code 7")


def ten_thousand() -> Sequence[JobRecord]:
    done = [job(number, JobState.FINISHED, return_code=0) for number in range(1, 9001)]
    waiting = [job(number, JobState.PENDING, launch_index=2) for number in range(9001, 9961)]
    return [*done, *waiting, *(running(number, launch_index=1) for number in range(9961, 10001))]


@pytest.mark.parametrize("rows", [24, 50])
def test_what_does_not_fit_is_summed_and_what_runs_comes_first(rows: int) -> None:
    instances = [instance(index, "running") for index in range(1250)]
    view = view_of(status_of(ten_thousand(), instances=instances))
    lines = drawn(view, rows=rows)
    shown = view.running_shown()
    titles = next(number for number, line in enumerate(lines) if line.split()[:2] == ["job", "status"])

    assert lines[1] == "10,000 jobs: 9,000 finished, 960 pending, 40 running"
    assert lines[3] == "1,250 instances: 1,250 running"
    assert [int(line.split()[0]) for line in lines[titles + 1 : titles + 1 + len(shown)]] == shown
    assert shown == [*range(9961, 9961 + len(shown))]
    assert len(lines) == rows
    pending_shown = len(lines) - 2 - (titles + 1) - len(shown)
    left = [f"{9000:,} finished", f"{960 - pending_shown:,} pending"]
    left += [f"{40 - len(shown)} running"] * (len(shown) < 40)
    assert lines[-2] == f"and {10000 - len(shown) - pending_shown:,} more: {', '.join(left)}"


def test_of_many_instances_those_are_named_that_left_jobs_behind() -> None:
    ended = [instance(index, "terminated", reason="User initiated shutdown") for index in range(40)]
    gone = instance(40, "terminated", reason="Server.InternalError")
    jobs = [running(1, launch_index=41), job(2, JobState.PENDING, launch_index=40)]
    lines = drawn(view_of(status_of(jobs, instances=[*ended, gone, instance(41, "running")])))

    assert lines[3] == "42 instances: 41 terminated, 1 running"
    assert lines[4] == "instance 40, i-00000000000000028, terminated: Server.InternalError"
    assert lines[5] == ""


def test_a_failure_among_many_running_jobs_is_on_the_screen() -> None:
    jobs = [running(number) for number in range(1, 100)] + [job(100, JobState.FAILED, reason="no release")]
    lines = drawn(view_of(status_of(jobs, instances=[instance(0, "running")])))

    assert any(line.split()[:2] == ["100", "failed"] and line.endswith("no release") for line in lines)


def test_a_narrow_screen_keeps_number_status_duration_and_last_line() -> None:
    view = view_of(status_of([running(1)], instances=[instance(0, "running")]), lines={1: "x" * 100})
    lines = drawn(view, columns=40, rows=12)

    assert lines[-2].split()[:3] == ["1", "running", "1:05"]
    assert lines[-2].endswith("x…")


def test_what_the_cloud_refuses_stands_on_the_screen_until_it_answers() -> None:
    status = status_of([running(1)], instances=[instance(0, "running")])
    view = view_of(status)
    view.failed("DescribeInstances failed: slow down; trying again")
    during = drawn(view)
    view.update(status)

    assert "DescribeInstances failed: slow down; trying again" in during
    assert "DescribeInstances failed: slow down; trying again" not in drawn(view)


def test_a_shared_job_whose_instance_is_gone_waits_for_another_one_and_runs_no_more() -> None:
    gone, lives = instance(0, "terminated"), instance(1, "running")
    reason = "its instance is terminated; another one takes it over"
    jobs = [replace(running(1), reason=reason), running(2, launch_index=1)]
    screen = drawn(view_of(status_of(jobs, instances=(gone, lives), user_data=SHARED)))

    (left,) = [line for line in screen if line.endswith(reason)]
    assert any(f"i-{1:017x}" in line and "1:05" in line for line in screen)
    assert "1:05" not in left
    assert "lost" not in "".join(screen)
