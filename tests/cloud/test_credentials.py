"""Credentials that are renewed: nobody waits for new ones while the old are good; nobody is asked twice at a time."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials

from awsac_async.cloud.credentials import Credentials


class Source:
    """A role whose service answers when it is let, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked, self.may_answer = threading.Semaphore(0), threading.Event()
        self.times, self.fails = 0, False

    def renew(self) -> dict[str, str]:
        self.times += 1
        self.asked.release()
        assert self.may_answer.wait(timeout=60)
        if self.fails:
            raise OSError("the metadata service does not answer")
        return _keys("new", valid=timedelta(hours=6))

    def credentials(self, *, valid: timedelta) -> Credentials:
        """Return credentials with so much time left."""
        found = RefreshableCredentials.create_from_metadata(_keys("old", valid=valid), self.renew, "iam-role")
        return Credentials(_Session(lambda: found))


class _Session:
    def __init__(self, find: Callable[[], Any]) -> None:
        self.get_credentials = find


def _keys(key: str, *, valid: timedelta) -> dict[str, str]:
    end = datetime.now(UTC) + valid
    return {"access_key": key, "secret_key": "s", "token": "t", "expiry_time": end.isoformat()}


@pytest.fixture
def source() -> Source:
    return Source()


async def test_who_asks_while_good_credentials_are_renewed_gets_those_and_does_not_wait(source: Source) -> None:
    source.may_answer.set()
    credentials = source.credentials(valid=timedelta(minutes=12))  # in the time in which botocore tries to renew them
    source.fails = True
    assert (await credentials.get_frozen_credentials()).access_key == "old"  # the first to ask finds them
    source.may_answer.clear()
    found = [await credentials.get_frozen_credentials() for _ in range(10)]
    assert {each.access_key for each in found} == {"old"}
    source.may_answer.set()


async def test_credentials_that_are_over_are_asked_for_once_also_when_who_asked_first_gives_up(source: Source) -> None:
    credentials = source.credentials(valid=timedelta(minutes=-1))
    first, second = (asyncio.create_task(credentials.get_frozen_credentials()) for _ in range(2))
    assert await asyncio.to_thread(source.asked.acquire, timeout=60)
    first.cancel()
    third = asyncio.create_task(credentials.get_frozen_credentials())
    await asyncio.wait({first})
    source.may_answer.set()
    assert [(await each).access_key for each in (second, third)] == ["new", "new"]
    assert source.times == 1
