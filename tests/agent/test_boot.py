"""An agent that cannot begin: it says why in one sentence, and its instance of a session goes all the same."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from awsac_async.agent.boot import keep_user_data
from awsac_async.local.metadata import Facts, MetadataService
from awsac_async.session.names import InstancePaths
from awsac_async.session.userdata import parse_user_data
from tests.agent.account import BUCKET, Session
from tests.conftest import Embedded
from tests.waiting import wait_until

BOOT = "import sys; from awsac_async.agent.main import main; sys.exit(main(['boot']))"
Boot = Callable[..., str]


@pytest.fixture
def boot(embedded: Embedded, session: Session, tmp_path: Path) -> Boot:
    """Boots an agent in a folder for a running instance of the session; returns what it printed."""

    def run(*, more: str = "", code: int = 1, **facts: str) -> str:
        session.instance_ids = session.account.launch(session.id, "", instances=1)
        values = {
            "instance-id": session.instance_ids[0],
            "ami-launch-index": "0",
            "placement/availability-zone": "us-east-1a",
            "placement/region": "us-east-1",
        }
        credentials = {"Code": "Success", **embedded.temporary()}
        service = MetadataService(
            Facts(
                document={},
                values=values | {name.replace("_", "-"): value for name, value in facts.items()},
                user_data=f"{session.id};{BUCKET};a.tar.bz2;1{more}".encode(),
                tokens_required=True,
                role="agent",
                profile={},
                credentials=lambda: credentials,
            )
        )
        service.start()
        paths = {name: str(tmp_path / name) for name in ("ATLASDir", "ATLASworkingDir", "AWSACworkingDir")}
        own = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.endpoint, "AWS_EC2_METADATA_DISABLED": "false"}
        try:
            ended = subprocess.run(
                [sys.executable, "-c", BOOT],
                env=os.environ | embedded.environment | paths | own,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        finally:
            service.stop()
        assert ended.returncode == code
        return ended.stdout

    return run


def terminated(session: Session) -> bool:
    return session.account.states(session.instance_ids) == {"terminated"}


def test_an_instance_goes_though_the_time_of_boot_cannot_be_kept(boot: Boot, session: Session, tmp_path: Path) -> None:
    info = tmp_path / "AWSACworkingDir" / "sessioninfo"
    info.mkdir(parents=True)
    (info / "state").write_text("a file where the folder should be")
    assert "the agent cannot begin" in boot()
    wait_until(lambda: terminated(session))


def test_an_agent_with_a_fault_is_to_be_started_again_but_in_the_end_its_instance_goes(
    boot: Boot, session: Session, tmp_path: Path
) -> None:
    state = tmp_path / "AWSACworkingDir" / "sessioninfo" / "state"
    (state / "booted").mkdir(parents=True)  # where a file should be
    assert "the agent cannot begin" in boot(code=70)
    faults = state / "faults"
    assert json.loads(faults.read_text()) == {"faults": 1}
    faults.write_text('{"faults": 4}')
    session.account.ec2.terminate_instances(InstanceIds=session.instance_ids)
    boot()
    wait_until(lambda: terminated(session))


def test_a_successor_does_not_write_the_user_data_again_for_which_a_full_disk_has_no_room(tmp_path: Path) -> None:
    paths = InstancePaths.from_environment({"AWSACworkingDir": str(tmp_path)})
    first, another = (
        parse_user_data(f"081215_1646--eventgen--1816;bucket;{name};1") for name in ("a.tar.bz2", "b.tar.bz2")
    )
    keep_user_data(first, paths)
    written = paths.session_info_file.stat().st_ino
    keep_user_data(first, paths)
    assert paths.session_info_file.stat().st_ino == written
    keep_user_data(another, paths)
    assert parse_user_data(paths.session_info_file.read_text()) == another


def test_an_agent_that_cannot_write_its_log_file_goes_on(boot: Boot, session: Session, tmp_path: Path) -> None:
    (tmp_path / "AWSACworkingDir" / "sessioninfo" / "processjobs.log").mkdir(parents=True)
    printed = boot(more=";n_jobs=1")
    assert "no log file, only this console" in printed
    assert session.items()["job1"].reason.startswith("GetObject")
    wait_until(lambda: terminated(session))


def test_a_field_that_cannot_be_read_is_said_in_one_sentence(boot: Boot, session: Session) -> None:
    printed = boot(more=";n_jobs=many")
    assert "boot failed: user data, n_jobs: found 'many', expected 0 or a positive integer" in printed
    assert "fault of the agent" not in printed
    wait_until(lambda: terminated(session))


def test_an_instance_that_cannot_be_terminated_says_so(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    assert "THIS INSTANCE STAYS" in boot()
