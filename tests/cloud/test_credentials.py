"""Credentials that are renewed: nobody waits for new ones while the old are good; nobody is asked twice at a time."""

import asyncio
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials

from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.credentialprocess import bound_processes
from awsac_async.cloud.credentials import Credentials
from awsac_async.session.errors import CredentialsError, InputError


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


# --- what a profile names, and what it finds ---


async def found(folder: Path, process: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what credentials a profile with such a credential process has."""
    (folder / "config").write_text(f"[default]\nregion = us-east-1\ncredential_process = {process}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    async with connect() as aws:
        return await aws.credentials()


KEYS = '{"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret"}'


@pytest.mark.parametrize(
    ("printed", "says"),
    [
        ("Please log in first", "is not JSON"),
        ("[1]", "cannot be used"),
        ('{"Version": 1}', "Missing required key"),
        (KEYS[:-1] + ', "Expiration": "soon"}', "cannot be used"),
        (KEYS[:40], "is not JSON"),
    ],
)
async def test_a_credential_process_that_prints_something_else_is_a_sentence_about_credentials(
    printed: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "printed").write_text(printed)

    with pytest.raises(CredentialsError, match=f"^find credentials failed: .*{says}"):
        await found(tmp_path, f"cat {tmp_path}/printed", monkeypatch)


async def test_a_credential_process_that_hangs_or_prints_without_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "printed").write_text(KEYS)
    assert (await found(tmp_path, f"cat {tmp_path}/printed", monkeypatch)).access_key == "AKIDEXAMPLE"
    with pytest.raises(CredentialsError, match="prints without end"):
        await found(tmp_path, "yes", monkeypatch)
    bound = partial(bound_processes, seconds=0.3)
    monkeypatch.setattr("awsac_async.cloud.aws.bound_processes", bound)
    hangs = f"sh -c 'echo $$ > {tmp_path}/pid; exec sleep 600'"
    with pytest.raises(CredentialsError, match=r"did not end within 0\.3 seconds"):
        await found(tmp_path, hangs, monkeypatch)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE\n", "the access key ID of the AWS credentials holds a line end"),
        ("AWS_SECRET_ACCESS_KEY", "schl\u00fcssel", "the secret access key of the AWS credentials holds a character"),
        ("AWS_SESSION_TOKEN", "tok3n\r\n", "the session token of the AWS credentials holds a line end"),
        ("AWS_SESSION_TOKEN", " tok3n", "the session token of the AWS credentials begins or ends with white space"),
        ("AWS_SESSION_TOKEN", "to\x7fk3n", "the session token of the AWS credentials holds a control character"),
    ],
)
async def test_a_key_that_no_request_can_carry_is_said_as_that_and_not_told(
    variable: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    async with connect() as aws:
        with pytest.raises(InputError) as raised:
            await Bucket(aws, "bucket").check()
    assert says in str(raised.value)
    assert value.strip() not in str(raised.value)
