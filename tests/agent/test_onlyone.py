"""Two agents on one instance: the second begins when the first has ended, and not before."""

import asyncio
from pathlib import Path

import pytest

from awsac_async.agent import onlyone
from awsac_async.agent.onlyone import only_agent
from tests.waiting import until


async def test_an_agent_waits_for_the_end_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(onlyone, "_PAUSE_SECONDS", 0.01)
    said: list[str] = []

    async def second() -> None:
        async with only_agent(tmp_path / "lock"):
            said.append("second begins")

    async with only_agent(tmp_path / "lock"):
        waiting = asyncio.create_task(second(), name="second agent")
        await until(lambda: "another agent is at work" in caplog.text)
        said.append("first ends")
    await waiting
    assert said == ["first ends", "second begins"]


async def test_an_agent_that_cannot_have_a_lock_works_without(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    async with only_agent(tmp_path / "state" / "lock"):
        pass
