"""Embedded clouds whose instances run their user data, one for each form of isolation that this machine allows."""

import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from awsac_async.local import hypervisor
from awsac_async.local.settings import Isolation, Settings
from tests.conftest import embedded_cloud

from .account import BOOT, Account

QUICK = {"instance_delay": 0.1, "volume_delay": 0.1, "attachment_delay": 0.1, "snapshot_delay": 0.1}


@pytest.fixture(scope="session")
def accounts() -> Iterator[Callable[[Isolation], Account]]:
    """Give what makes an account for each form of an instance, once a run and when it is first asked for."""
    with ExitStack() as clouds:
        parent = Path(clouds.enter_context(tempfile.TemporaryDirectory(prefix="awsac-test-")))

        @functools.cache
        def account(isolation: Isolation) -> Account:
            settings = Settings(boot=BOOT, isolation=isolation, shutdown_grace=0.5, **QUICK)
            running = clouds.enter_context(embedded_cloud(parent / isolation, settings))
            return Account(cloud=running, isolation=isolation)

        yield account


@pytest.fixture(params=list(Isolation))
def account(accounts: Callable[[Isolation], Account], request: pytest.FixtureRequest) -> Account:
    """Give an account whose instances have one form after the other."""
    if not hypervisor.available(request.param):
        pytest.skip(f"this machine does not allow instances with {request.param}")
    return accounts(request.param)


@pytest.fixture(scope="session")
def any_account(accounts: Callable[[Isolation], Account]) -> Account:
    """Give an account for what does not depend on the form of an instance."""
    return accounts(Isolation.PLAIN)
