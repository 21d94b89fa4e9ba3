"""The service manager of an instance goes by the unit file beside the boot script, as systemd does."""

import asyncio
import math
import time
from pathlib import Path

import pytest

from awsac_async.agent.watchdog import end_watch, watched
from awsac_async.local.service import RestartRule
from awsac_async.local.watch import Watch

UNIT = """\
[Unit]
Description=a unit: with = signs; and more
[Service]
# a comment
Environment=A=1
Environment=B=2
Restart={restart}
RestartSec=2
SuccessExitStatus=1 3
"""


@pytest.mark.parametrize(
    ("restart", "starts_again"), [("no", set()), ("on-failure", {70, 2, -9}), ("always", {0, 1, 3, 70, 2, -9, -15})]
)
def test_a_service_starts_again_after_what_its_unit_calls_a_failure(
    tmp_path: Path, restart: str, starts_again: set[int]
) -> None:
    unit = tmp_path / "some.service"
    unit.write_text(UNIT.format(restart=restart))
    rule = RestartRule.read(unit)
    assert {code for code in (0, 1, 3, 70, 2, -9, -15) if rule.restarts(code)} == starts_again
    assert rule.seconds == 2.0


def test_a_service_that_is_silent_for_too_long_is_to_be_killed_unless_it_has_ended_the_watch(tmp_path: Path) -> None:
    async def live(environment: dict[str, str]) -> None:
        async with watched(environment):
            await asyncio.sleep(1)

    watch = Watch(tmp_path / "notify", 0.8)
    try:
        asyncio.run(live(watch.begin()))
        assert not watch.is_over()
        time.sleep(watch.left())
        assert watch.is_over()
        end_watch(watch.begin())
        assert not watch.is_over()
        assert watch.left() == math.inf
    finally:
        watch.end()
    assert not list(tmp_path.iterdir())


def test_without_a_unit_nothing_starts_again(tmp_path: Path) -> None:
    assert not RestartRule.read(tmp_path / "missing").restarts(70)
