"""The deadline counts from the boot, whatever becomes of the clock and of the agent, and stops the jobs before it."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from awsac_async.agent import deadline as module
from awsac_async.agent.deadline import Deadline, watch_deadline
from awsac_async.agent.main import stop_on_signals
from awsac_async.agent.stopping import Stop
from awsac_async.agent.timings import uptime
from awsac_async.session.model import JobState, UserData
from awsac_async.session.names import InstancePaths
from awsac_async.session.times import now

BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def paths_in(directory: Path, booted: str | None = None) -> InstancePaths:
    paths = InstancePaths.from_environment({"AWSACworkingDir": str(directory)})
    if booted is not None:
        paths.state.mkdir(parents=True)
        (paths.state / "booted").write_text(booted)
    return paths


def user_data(**extra: str) -> UserData:
    return UserData(
        session_id="261122_1500--test--0001",
        bucket="sessions",
        archive_name="a.tar.bz2",
        cores_per_instance=1,
        extra=extra,
    )


def test_the_deadline_is_so_many_hours_after_the_boot_whatever_the_clock_says(tmp_path: Path) -> None:
    paths = paths_in(tmp_path, f"{BOOT_ID} {uptime() - 1800:.2f} 17\n")
    assert Deadline.read(user_data(max_hours="2"), paths).left() == pytest.approx(5400, abs=5)
    assert Deadline.read(user_data(), paths).left() == pytest.approx(48 * 3600 - 1800, abs=5)


def test_after_a_reboot_it_counts_from_the_first_boot(tmp_path: Path) -> None:
    paths = paths_in(tmp_path, f"another-boot 12.5 {now().timestamp() - 1800:.0f}\n")
    assert Deadline.read(user_data(max_hours="2"), paths).left() == pytest.approx(5400, abs=5)


@pytest.mark.parametrize("booted", [None, "", "nonsense\n", f"{BOOT_ID} soon 17\n"])
def test_a_boot_that_nobody_wrote_down_is_now_also_for_the_successor(
    tmp_path: Path, booted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = paths_in(tmp_path, booted)
    first = Deadline.read(user_data(max_hours="2"), paths)
    assert first.left() == pytest.approx(7200, abs=5)
    monkeypatch.setattr(module, "uptime", lambda: uptime() + 1800)
    assert Deadline.read(user_data(max_hours="2"), paths).left() == pytest.approx(5400, abs=5)


async def test_jobs_are_stopped_as_timed_out_before_the_deadline() -> None:
    stop, deadline = Stop(), Deadline(hours=0.01, booted=uptime() - 32.2)
    await watch_deadline(deadline, stop)
    assert 0 < deadline.left() <= deadline.warning() == pytest.approx(3.6)
    assert (stop.state, stop.reason) == (JobState.TIMEDOUT, "the session's deadline, 0.01 hours after boot, is near")
    assert stop.grace < deadline.warning()


def test_the_warning_is_ten_minutes_or_a_tenth() -> None:
    assert Deadline(hours=48, booted=0).warning() == 600
    assert Deadline(hours=1, booted=0).warning() == 360


@pytest.mark.parametrize(
    ("seconds_left", "state", "reason"),
    [
        (1000, JobState.INTERRUPTED, "the agent was stopped by SIGTERM"),
        (300, JobState.TIMEDOUT, "the session's deadline, 1 hours after boot, is near"),
        (360.9, JobState.TIMEDOUT, "the session's deadline, 1 hours after boot, is near"),
        (-5, JobState.TIMEDOUT, "the session's deadline, 1 hours after boot, is near"),
    ],
)
async def test_a_signal_when_the_deadline_is_near_is_the_deadline(
    seconds_left: float, state: JobState, reason: str
) -> None:
    stop = stop_on_signals(Deadline(hours=1, booted=uptime() - 3600 + seconds_left))
    told = asyncio.Event()
    stop.tell(told.set)
    os.kill(os.getpid(), signal.SIGTERM)
    await told.wait()
    assert (stop.state, stop.reason) == (state, reason)
