"""Embedded clouds whose instances run their user data, one for each form of isolation that this machine allows."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from awsac_async.local import hypervisor
from awsac_async.local.settings import Isolation, Settings
from tests.conftest import embedded_cloud

from .account import BOOT, Account

QUICK = {"instance_delay": 0.1, "volume_delay": 0.1, "attachment_delay": 0.1, "snapshot_delay": 0.1}


@pytest.fixture(scope="session", params=list(Isolation))
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    """Give an account whose instances have one form after the other."""
    yield from _account(request.param)


@pytest.fixture(scope="session")
def any_account() -> Iterator[Account]:
    """Give an account for what does not depend on the form of an instance."""
    yield from _account(Isolation.PLAIN)


def _account(isolation: Isolation) -> Iterator[Account]:
    if not hypervisor.available(isolation):
        pytest.skip(f"this machine does not allow instances with {isolation}")
    settings = Settings(boot=BOOT, isolation=isolation, shutdown_grace=0.5, **QUICK)
    with (
        tempfile.TemporaryDirectory(prefix="awsac-test-") as parent,
        embedded_cloud(Path(parent) / "cloud", settings) as running,
    ):
        yield Account(cloud=running, isolation=isolation)
