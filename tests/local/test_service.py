"""The service manager of an instance goes by the unit file beside the boot script, as systemd does."""

from pathlib import Path

import pytest

from awsac_async.local.service import RestartRule

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


def test_without_a_unit_nothing_starts_again(tmp_path: Path) -> None:
    assert not RestartRule.read(tmp_path / "missing").restarts(70)
