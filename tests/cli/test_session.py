"""One real session by the real command, and everything a user, an old client or another AWS program sees of it."""

import configparser
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from awsac_async.session.wording import printable
from tests.cli.conftest import Account, Awsac, environment_for, write_ini, write_jobs
from tests.conftest import Embedded
from tests.contract import ITEM_ATTRIBUTES

ODD_NAME = "-rf \u00a0\U0001f469\u200d\U0001f52c %41+&#?*\\\"'<>\n\t\r~ "  # of input data
GOOD = """echo "job ${AWSAC_JOB} of ${AWSAC_N_JOBS}"
cat "${AWSAC_DATA}/deep/numbers.txt"
"${AWSAC_DATA}/tool"
(cd "${AWSAC_DATA}" && find . -mindepth 1 -printf '%P\\0' | LC_ALL=C sort -z | sha256sum | cut -c 1-64)
head -c 300000 /dev/urandom > random.bin
python3 -m tarfile -c results.tar.bz2 random.bin
"""
DEFINITIONS = "# two good ones, and one that fails\n-;good.sh;2\n-;bad.sh;1\n"


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session that is over: job 3 has failed."""

    awsac: Awsac
    file: Path
    started: str
    watched: str

    @property
    def id(self) -> str:
        return self.file.stem.removeprefix("session-")


@pytest.fixture(scope="module")
def session(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("workstation")
    awsac = Awsac(folder=folder, environment=environment_for(embedded))
    ini = write_ini(folder, n_jobs="3", more="max_hours = 0.5\n")
    write_jobs(folder, DEFINITIONS, good=GOOD, bad="echo oops >&2\nexit 7\n")
    (folder / "data" / "deep").mkdir(parents=True)
    (folder / "data" / "deep" / "numbers.txt").write_text("42\n")
    (folder / "data" / "tool").write_text("#!/bin/sh\necho the tool ran\n")
    (folder / "data" / "tool").chmod(0o755)
    (folder / "data" / "empty").mkdir()
    (folder / "data" / ODD_NAME).touch()
    awsac.ok("pack", "jobs")
    started = awsac("start", "-i", ini, "-a", "jobs.tar.bz2", "-d", "data", answers="what?\ny\n")
    assert started.returncode == 0, started.stderr
    (file,) = folder.glob("session-*.cfg")
    watched = awsac("check", "-c", file, "--watch")
    assert watched.returncode == 1, watched.stderr
    yield Session(awsac=awsac, file=file, started=started.stdout, watched=watched.stdout)
    awsac("cleanup", "--yes", "--force", "-c", file)


def test_start_prints_the_plan_and_what_2008_printed_in_its_order(session: Session) -> None:
    first_words = [line.split(":")[0] for line in session.started.splitlines()]

    assert first_words == [
        "jobs",
        "instances",
        "cores",
        "volumes",
        "deadline",
        "status in",
        "price",
        "worst case",
        "session ID",
        "uploaded",
        "AMI",
        "user data",
        "domain",
        "reservation",
        "session file",
    ]
    assert "cores:        2 per instance, 1 unused" in session.started
    assert session.started.splitlines()[-1].endswith(session.file.name)


def test_the_session_file_has_the_twelve_keys_as_a_client_of_2008_reads_them(
    session: Session, account: Account, embedded: Embedded
) -> None:
    parser = configparser.ConfigParser()  # interpolation is on
    parser.read(session.file)
    values = dict(parser["sessionconfig"])
    instances = account.instances(session.id)

    expected = {
        "session_id": session.id,
        "ec2_reservation_id": instances[0]["Reservation"],
        "n_instances": "2",
        "unused_cores": "1",
        "cores_per_instance": "2",
        "runuserdata": f"{session.id};awsac-sessions;jobs.tar.bz2;2;n_jobs=3;max_hours=0.5;data=3;data_document=yes"
        f";endpoint_url={embedded.endpoint}",
        "shortdescr": "test",
        "bucket": "awsac-sessions",
        "n_jobs": "3",
        "ami_id": "ami-0a35ac00000000001",
        "ec2_uid": "123456789012",
        "instance_type": "c1.medium",
    }
    assert {key: values[key] for key in expected} == expected
    assert re.fullmatch(r"\d{6}_\d{4}--test--[0-9a-f]{4}", session.id)


def test_the_objects_have_the_names_of_2008_and_nothing_else_begins_with_the_session_id(
    session: Session, account: Account
) -> None:
    names = {key.removeprefix(f"{session.id}/") for key in account.keys(session.id)}

    assert names == {
        "jobs.tar.bz2",
        "results_job_1.tar.bz2",
        "results_job_2.tar.bz2",
        "stdouterr_job_1.tar.bz2",
        "stdouterr_job_2.tar.bz2",
        "stdouterr_job_3.tar.bz2",
        "processjobslog_LI_0.tar.bz2",
        "processjobslog_LI_1.tar.bz2",
    }
    assert f"awsac/{session.id}/data/deep/numbers.txt" in account.keys(f"awsac/{session.id}/")


def test_the_items_have_the_ten_attributes_that_a_client_of_2008_reads(session: Session, account: Account) -> None:
    items = account.items(session.id)

    assert set(items) == {"job1", "job2", "job3"}
    for item in items.values():
        assert set(ITEM_ATTRIBUTES) <= set(item)
        assert all(name.startswith("x_") or name == "reason" for name in set(item) - {*ITEM_ATTRIBUTES})
        assert all(item[name] for name in ITEM_ATTRIBUTES)
    assert [items[f"job{n}"]["returncode"] for n in (1, 2, 3)] == ["0", "0", "7"]
    assert [items[f"job{n}"]["launchindex"] for n in (1, 2, 3)] == ["0", "0", "1"]
    assert {items[f"job{n}"]["status"] for n in (1, 2, 3)} == {"finished"}
    assert items["job3"]["shellscript"].endswith("/mnt/awsac/bad.sh")


def test_watching_in_a_pipe_tells_each_change_once_and_ends_with_the_table(session: Session) -> None:
    lines = session.watched.splitlines()
    told = [line for line in lines if line.startswith("job 1: ")]

    assert told[-1].startswith("job 1: finished on i-")
    assert len(told) == len(set(told))
    assert f"session {session.id} is over" in lines
    assert [line for line in lines if line != line.rstrip()] == []
    assert [line.split()[:2] for line in lines[-3:]] == [["1", "finished"], ["2", "finished"], ["3", "finished"]]


def test_check_says_by_its_exit_code_that_a_job_failed_and_which_in_json(session: Session) -> None:
    done = session.awsac("check", "-c", session.file, "--json")
    status = json.loads(done.stdout)

    assert done.returncode == 1
    assert status["over"] is True
    assert status["failed_jobs"] == [3]
    assert [(job["number"], job["status"], job["return_code"]) for job in status["jobs"]] == [
        (1, "finished", 0),
        (2, "finished", 0),
        (3, "finished", 7),
    ]
    assert {each["state"] for each in status["instances"]} <= {"shutting-down", "terminated"}


def test_getresults_brings_every_object_into_results_and_a_second_run_brings_nothing(
    session: Session, account: Account
) -> None:
    session.awsac.ok("getresults", "-c", session.file)
    again = json.loads(session.awsac.ok("getresults", "-c", session.file, "--json"))

    folder = session.awsac.folder / "results" / f"session-{session.id}"
    keys = account.keys(f"{session.id}/")
    files = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}
    assert files == {key.rpartition("/")[2]: account.content(key) for key in keys}
    assert again["downloaded"] == []
    assert len(again["complete"]) == len(keys)
    assert set(again["verified"]) == {name for name in files if "_job_" in name}


def test_each_job_found_its_number_and_the_input_data(session: Session, account: Account) -> None:
    packed = io.BytesIO(account.content(f"{session.id}/stdouterr_job_2.tar.bz2"))

    with tarfile.open(fileobj=packed) as archive:
        output = archive.extractfile("stdouterr_job_2.log")
        assert output is not None
        lines = output.read().decode().splitlines()
    data = session.file.parent / "data"
    names = sorted(os.fsencode(path.relative_to(data)) + b"\0" for path in data.rglob("*"))
    assert lines == ["job 2 of 3", "42", "the tool ran", hashlib.sha256(b"".join(names)).hexdigest()]


def test_getresults_asks_before_it_overwrites_a_file_that_differs(
    session: Session, account: Account, tmp_path: Path
) -> None:
    folder = tmp_path / f"session-{session.id}"
    folder.mkdir()
    mine = {name: folder / f"{name}.tar.bz2" for name in ("results_job_1", "results_job_2", "stdouterr_job_1")}
    for path in mine.values():
        path.write_text("mine")

    done = session.awsac("getresults", "-c", session.file, "-o", tmp_path, answers="n\na\n")

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("overwrite? (y/n/a)") == 2
    assert mine["results_job_1"].read_text() == "mine"
    for name in ("results_job_2", "stdouterr_job_1"):
        assert mine[name].read_bytes() == account.content(f"{session.id}/{name}.tar.bz2")
    assert "1 file of yours: results_job_1.tar.bz2" in done.stdout


def test_getresults_makes_no_file_outside_its_folder_or_over_its_own_record(
    session: Session, account: Account, tmp_path: Path
) -> None:
    keys = [f"{session.id}/..", f"{session.id}/.awsac-etags.json"]
    for key in keys:
        account.s3.put_object(Bucket="awsac-sessions", Key=key, Body=b"evil")

    done = session.awsac("getresults", "-c", session.file, "-o", tmp_path)
    for key in keys:
        account.s3.delete_object(Bucket="awsac-sessions", Key=key)

    assert done.returncode == 0, done.stderr
    folder = tmp_path / f"session-{session.id}"
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    spelled = {path.name for path in folder.iterdir() if path.read_bytes() == b"evil"}
    assert spelled == {"%2E%2E", "%2Eawsac-etags.json"}
    assert all(name in done.stderr for name in spelled)


# The last test of the module: nothing is left of the session after it.
def test_cleanup_asks_twice_names_what_it_deletes_and_keeps_the_file_until_all_is_gone(
    session: Session, account: Account
) -> None:
    copy = f"awsac/{session.id}/session.cfg"
    keys = account.keys(f"{session.id}/") + account.keys(f"awsac/{session.id}/")

    first = session.awsac("cleanup", "-c", session.file, answers="n\ny\n")
    assert first.returncode == 0, first.stderr
    assert session.id in account.domains()
    assert account.keys(f"{session.id}/") + account.keys(f"awsac/{session.id}/") == [copy]
    assert all(first.stderr.count(f"s3://awsac-sessions/{printable(key)}\n") == 1 for key in keys if key != copy)
    assert f"deleted {len(keys) - 1} objects\n" in first.stdout
    assert "s3://awsac-sessions/" not in first.stdout.replace("unfinished uploads below s3://awsac-sessions/", "")
    assert session.file.exists()

    second = session.awsac("cleanup", "-c", session.file, "--yes", "--json")
    assert json.loads(second.stdout) == {
        "session_id": session.id,
        "deleted": [
            {"kind": "domain", "name": session.id},
            {"kind": "object", "name": f"s3://awsac-sessions/{copy}"},
            {"kind": "session file", "name": str(session.file)},
        ],
        "left": [],
        "session_file_removed": True,
    }
    assert session.id not in account.domains()
    assert not account.keys(f"awsac/{session.id}/")
    assert not session.file.exists()
