"""What ``awsac kill`` and ``awsac stop`` ask for, say, and leave alone; what agents make of it is shown elsewhere."""

import dataclasses
import json
from pathlib import Path

import pytest

from awsac_async.session.record import read_record, write_record
from awsac_async.session.times import format_time, now
from tests.cli.conftest import Account, Awsac
from tests.cli.test_interrupts import session_file


@pytest.fixture
def file(tmp_path: Path, account: Account) -> Path:
    """Give the file of a session that was just started: job 1 has run, job 2 is to be seen nowhere yet."""
    file = session_file(tmp_path)
    write_record(tmp_path, dataclasses.replace(read_record(file), started=format_time(now())))
    domain = read_record(file).session_id
    account.sdb.create_domain(DomainName=domain)
    run = [{"Name": "status", "Value": "saving"}, {"Name": "returncode", "Value": "0"}]
    account.sdb.put_attributes(DomainName=domain, ItemName="job1", Attributes=run)
    return file


def asked(account: Account, file: Path) -> dict[str, object]:
    """Return what the agents of the session find asked."""
    document: dict[str, object] = json.loads(account.content(f"awsac/{read_record(file).session_id}/control.json"))
    return document


def test_kill_asks_for_what_has_not_ended_and_says_what_it_could_not_ask_for(
    awsac: Awsac, account: Account, file: Path
) -> None:
    done = awsac("kill", "-c", file, "1-2", "9")
    nothing = awsac("kill", "-c", file, "1", "--json")

    assert (done.returncode, done.stdout) == (0, "asked for the end of job 2; it comes within some seconds\n")
    assert done.stderr.splitlines() == [
        "awsac: job 1 cannot be stopped any more: it is saving",
        f"awsac: there is no job 9: session {read_record(file).session_id} has 1-2",
    ]
    assert nothing.returncode == 2
    assert json.loads(nothing.stdout) == {
        "session_id": read_record(file).session_id,
        "asked": [],
        "ended": [{"number": 1, "status": "saving"}],
        "lost": [],
        "unknown": [],
    }
    assert asked(account, file) == {"version": 1, "kill": [2], "stop": False, "follow": 0}


def test_stop_asks_first_and_leaves_what_was_asked_before(awsac: Awsac, account: Account, file: Path) -> None:
    awsac.ok("kill", "-c", file, "2")
    refused = awsac("stop", "-c", file, answers="n\n")
    before = asked(account, file)
    stopped = awsac("stop", "-c", file, "--yes", "--json")

    session_id = read_record(file).session_id
    assert refused.stderr == f"stop session {session_id}? 2 jobs are not finished (y/n) "
    assert (refused.returncode, refused.stdout, before["stop"]) == (0, "the session goes on\n", False)
    assert json.loads(stopped.stdout) == {
        "asked": True,
        "session_id": session_id,
        "instances": [],
        "unfinished_jobs": [1, 2],
    }
    assert asked(account, file) == {"version": 1, "kill": [2], "stop": True, "follow": 0}


@pytest.mark.parametrize("command", [("kill", "2"), ("stop", "--yes")])
def test_a_session_that_is_over_cannot_be_asked_for_anything(
    awsac: Awsac, tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = session_file(tmp_path)
    done = awsac(*command, "-c", file)

    assert done.returncode == 2
    assert done.stderr == f"awsac: session {read_record(file).session_id} is over: there is nothing to stop any more\n"
