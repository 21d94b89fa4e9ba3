"""What the agent's tests share: the embedded cloud's account, and a session of each test's own."""

from collections.abc import Iterator

import pytest

from tests.agent.account import Account, Session, session_of
from tests.conftest import Embedded


@pytest.fixture(scope="session")
def account(embedded: Embedded) -> Account:
    return Account(embedded)


@pytest.fixture
def session(account: Account) -> Iterator[Session]:
    with session_of(account) as session:
        yield session
