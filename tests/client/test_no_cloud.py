"""What every verb of the API raises where AWS cannot be asked at all."""

from collections.abc import AsyncIterable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from awsac_async import client
from awsac_async.session import names
from awsac_async.session.errors import CredentialsError
from awsac_async.session.record import read_record, write_record
from tests.cli.conftest import write_ini, write_jobs
from tests.cli.test_interrupts import session_file

Verb = Callable[[Path], Coroutine[Any, Any, object]]


async def yes(*_: object) -> bool:
    return True


async def overwrite(_: Path) -> client.Overwrite:
    return client.Overwrite.ALL


async def drain(values: AsyncIterable[object]) -> None:
    async for _ in values:
        pass


def written(folder: Path) -> Path:
    """Write the session file of a session that can be retried."""
    file = session_file(folder)
    return write_record(folder, replace(read_record(file), client_token="token", instance_profile="awsac-agent"))


def session_files(folder: Path) -> list[Path]:
    return list(folder.glob(names.session_file("*")))


def inputs(folder: Path) -> dict[str, Path]:
    return {"ini": write_ini(folder), "archive": write_jobs(folder)}


VERBS: dict[str, Verb] = {
    "plan": lambda file: client.plan(**inputs(file.parent)),
    "start": lambda file: client.start(**inputs(file.parent), directory=file.parent, proceed=yes),
    "check": client.check,
    "watch": lambda file: drain(client.watch(file)),
    "wait": client.wait,
    "logs": lambda file: drain(client.logs(file)),
    "consoles": client.consoles,
    "way_in": lambda file: client.way_in(file, 1),
    "kill": lambda file: client.kill(file, [1]),
    "stop": lambda file: client.stop(file, confirm=yes),
    "get_results": lambda file: client.get_results(file, file.parent, on_existing=overwrite),
    "report": client.report,
    "retry": lambda file: client.retry(file, proceed=yes),
    "attach": lambda file: client.attach(
        "081215_1646--test--1816", bucket="awsac-sessions", directory=file.parent / "new"
    ),
    "cleanup": lambda file: client.cleanup(file, confirm=yes),
    "list_sessions": lambda _: client.list_sessions(),
    "find_garbage": lambda _: client.find_garbage(),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
async def test_a_verb_without_credentials_says_so_and_leaves_no_file(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(CredentialsError):
        await verb(written(tmp_path))

    assert len(session_files(tmp_path)) == 1
