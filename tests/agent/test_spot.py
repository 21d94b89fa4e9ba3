"""A spot instance hears of its end; what it is told is in the file for the jobs before they are stopped."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from awsac_async.agent import spot
from awsac_async.agent.metadata import ENDPOINT_VARIABLE, Metadata
from awsac_async.agent.spot import watch_spot
from awsac_async.agent.stopping import Stop
from awsac_async.session.model import JobState
from tests.agent.metadata import serving

END = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spot, "_POLL_SECONDS", 0.05)


async def test_a_notice_stops_the_jobs_once_its_time_is_in_the_file(tmp_path: Path) -> None:
    file, read, stop = tmp_path / "interrupt", [], Stop()
    stop.tell(lambda: read.append(file.read_text()))
    with serving({"instance-life-cycle": "spot"}) as running:
        metadata = Metadata({ENDPOINT_VARIABLE: running.endpoint})
        assert await metadata.spot_notice() is None
        watch = asyncio.create_task(watch_spot(metadata, stop, file))
        await asyncio.to_thread(running.give_spot_notice, END)
        await watch
    assert read == ["2026-11-22T20:00:00Z\n"]
    assert (stop.state, stop.reason) == (
        JobState.INTERRUPTED,
        "the spot instance is taken away at 2026-11-22T20:00:00Z",
    )
    assert stop.grace < 60


async def test_jobs_are_stopped_also_if_the_file_cannot_be_written(tmp_path: Path) -> None:
    stop = Stop()
    with serving({"instance-life-cycle": "spot"}) as running:
        running.give_spot_notice(END)
        await watch_spot(Metadata({ENDPOINT_VARIABLE: running.endpoint}), stop, tmp_path / "missing" / "interrupt")
    assert stop.state is JobState.INTERRUPTED


async def test_an_instance_that_is_not_spot_is_not_watched(tmp_path: Path) -> None:
    stop = Stop()
    with serving({"instance-life-cycle": "on-demand"}) as running:
        running.give_spot_notice(END)
        await watch_spot(Metadata({ENDPOINT_VARIABLE: running.endpoint}), stop, tmp_path / "interrupt")
    assert stop.state is None
