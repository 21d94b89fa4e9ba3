"""Ctrl-C in every verb, and clients and networks that die: one sentence, nothing lost, nothing started twice."""

import itertools
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from awsac_async.session.archive import pack
from tests.cli.conftest import AWSAC, BUCKET, Account, Awsac, interrupt, write_ini, write_jobs
from tests.cli.proxy import PATIENCE, Request, proxy_before
from tests.conftest import Embedded
from tests.waiting import wait_until

START = ("start", "--yes", "-i", "session.ini", "-a", "jobs.tar.bz2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_ini(tmp_path)
    pack(write_jobs(tmp_path, job="sleep 1000\n"), tmp_path / "jobs.tar.bz2")
    return tmp_path


def is_upload(request: Request) -> bool:
    return request.operation == "PUT" and not request.path.endswith("/write-check")


def is_run_instances(request: Request) -> bool:
    return request.operation == "RunInstances"


def test_ctrl_c_during_the_upload_removes_what_was_prepared(
    awsac: Awsac, account: Account, embedded: Embedded, folder: Path
) -> None:
    before = account.everything()
    with proxy_before(embedded.endpoint, hold=is_upload) as (proxy, address):
        starting = awsac.begin(*START, AWS_ENDPOINT_URL=address)
        proxy.wait()
        starting.send_signal(2)
        proxy.released.set()
        shown, said = starting.communicate(timeout=PATIENCE)

    assert starting.returncode == 130
    assert "nothing was started" not in shown
    assert said == "awsac: interrupted: nothing was started, and all that was prepared is removed\n"
    assert account.everything() == before
    assert not list(folder.glob("session-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_at_the_question_and_a_closed_terminal_remove_what_was_prepared(
    awsac: Awsac, account: Account, folder: Path, number: int
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("under nohup a terminal that is closed ends nothing")
    before = account.everything()
    starting = awsac.begin("start", *START[2:])
    assert starting.stdout is not None
    for line in starting.stdout:
        if line.startswith("domain:"):
            break
    starting.send_signal(number)
    starting.wait(timeout=PATIENCE)  # communicate() would end its standard input, which may be seen before the signal
    shown, said = starting.communicate()

    assert starting.returncode == 130
    assert shown == ""
    assert said.splitlines()[-1] == "awsac: interrupted: nothing was started, and all that was prepared is removed"
    assert account.everything() == before
    assert not list(folder.glob("session-*"))


@pytest.mark.parametrize("end", ["kill", "ctrl-c"])
def test_a_start_that_died_in_run_instances_continues_and_launches_nothing_twice(
    awsac: Awsac, account: Account, embedded: Embedded, folder: Path, end: str
) -> None:
    before, _, _ = account.everything()
    with proxy_before(embedded.endpoint, hold=is_run_instances) as (proxy, address):
        starting = awsac.begin(*START, AWS_ENDPOINT_URL=address)
        proxy.wait()
        if end == "kill":
            starting.kill()
            starting.communicate()
        else:
            _, said = interrupt(starting)
            assert starting.returncode == 130
            assert "the same start continues it, and starts nothing twice" in said
    (file,) = folder.glob("session-*.cfg")
    assert "ec2_reservation_id = \n" in file.read_text()
    launched = account.everything()[0] - before

    continued = awsac(*START, *(("-c", file) if end == "kill" else ()))

    assert continued.returncode == 0, continued.stderr
    assert f"session ID:   {file.stem.removeprefix('session-')} (continued)" in continued.stdout
    assert account.everything()[0] - before == launched
    assert len(launched) == 1
    (reservation,) = {each["Reservation"] for each in account.instances() if each["InstanceId"] in launched}
    assert f"ec2_reservation_id = {reservation}\n" in file.read_text()
    again = awsac(*START, "-c", file)
    assert again.returncode == 2
    assert f"was started already, as reservation {reservation}" in again.stderr
    awsac.ok("cleanup", "--force", "--yes", "-c", file)


def test_a_launch_without_capacity_keeps_the_session_file_and_the_next_start_continues_it(
    awsac: Awsac, embedded: Embedded, folder: Path
) -> None:
    refusal = (
        b"<Response><Errors><Error><Code>InsufficientInstanceCapacity</Code>"
        b"<Message>There is no capacity in your zone.</Message></Error></Errors></Response>"
    )
    with proxy_before(embedded.endpoint, hold=is_run_instances, refusal=refusal) as (_, address):
        refused = awsac(*START, AWS_ENDPOINT_URL=address, AWS_MAX_ATTEMPTS="1")
    (file,) = folder.glob("session-*.cfg")
    continued = awsac(*START)

    assert refused.returncode == 3
    assert refused.stderr.startswith(
        "awsac: RunInstances ami-0a35ac00000000001 failed: "
        "There is no capacity in your zone. (InsufficientInstanceCapacity); "
    )
    assert "the same start continues it, and starts nothing twice" in refused.stdout
    assert continued.returncode == 0, continued.stderr
    assert f"session ID:   {file.stem.removeprefix('session-')} (continued)" in continued.stdout
    awsac.ok("cleanup", "--force", "--yes", "-c", file)


def test_an_answer_to_run_instances_that_cannot_be_read_keeps_the_session_file(
    awsac: Awsac, embedded: Embedded, folder: Path
) -> None:
    nonsense = {"refusal": b"<html>no", "status": 200}
    with proxy_before(embedded.endpoint, hold=is_run_instances, **nonsense) as (_, address):
        failed = awsac(*START, AWS_ENDPOINT_URL=address, AWS_MAX_ATTEMPTS="1")
    (file,) = folder.glob("session-*.cfg")
    refused = awsac("cleanup", "--yes", "-c", file)
    awsac.ok("cleanup", "--force", "--yes", "-c", file)

    assert failed.returncode != 0
    assert "the same start continues it, and starts nothing twice" in failed.stdout
    assert "Traceback" not in failed.stderr
    assert refused.returncode == 2
    assert re.search(r"can be seen yet, it was started \d+ seconds? ago; wait", refused.stderr)


def test_watching_says_that_the_cloud_does_not_answer_and_goes_on_to_the_end(
    awsac: Awsac, account: Account, embedded: Embedded, folder: Path
) -> None:
    awsac.ok(*START)
    (file,) = folder.glob("session-*.cfg")
    (instance,) = account.instances(file.stem.removeprefix("session-"))
    looks: list[Request] = []

    def is_second_look(request: Request) -> bool:
        looks.extend([request] * (request.operation == "DescribeInstances"))
        return len(looks) == 2

    with proxy_before(embedded.endpoint, hold=is_second_look, refusal=b"<html>no", status=503) as (proxy, address):
        watching = awsac.begin("check", "--watch", "-c", str(file), AWS_ENDPOINT_URL=address, AWS_MAX_ATTEMPTS="1")
        proxy.wait()
        account.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
        shown, said = watching.communicate(timeout=PATIENCE)
    awsac.ok("cleanup", "--yes", "-c", file)

    assert said.startswith("awsac: DescribeInstances")
    assert said.endswith("; trying again\n")
    assert said.count("\n") == 1
    assert "is over" in shown
    assert watching.returncode == 1


def test_cleanup_refuses_while_the_session_runs_and_terminates_its_instances_when_forced(
    awsac: Awsac, account: Account, embedded: Embedded, folder: Path
) -> None:
    awsac.ok(*START)
    (file,) = folder.glob("session-*.cfg")
    session_id = file.stem.removeprefix("session-")

    under_way = awsac("check", "-c", file)
    refused = awsac("cleanup", "--yes", "-c", file)
    with proxy_before(embedded.endpoint, hold=lambda request: "?delete" in request.path) as (proxy, address):
        cleaning = awsac.begin("cleanup", "--force", "--yes", "-c", str(file), AWS_ENDPOINT_URL=address)
        proxy.wait()
        _, said = interrupt(cleaning)
    finished = awsac.ok("--verbose", "cleanup", "--yes", "-c", file)

    assert under_way.returncode == 0, under_way.stderr
    assert refused.returncode == 2
    assert "is not over: 1 instance runs and 2 jobs are not finished" in refused.stderr
    assert cleaning.returncode == 130
    assert said == f"awsac: interrupted: run cleanup again to remove the rest ({file} is kept until then)\n"
    assert finished.splitlines()[:-1] == [
        f"deleted object s3://{BUCKET}/awsac/{session_id}/session.cfg",
        f"deleted session file {file}",
        "deleted 1 object",
    ]
    assert finished.splitlines()[-1].startswith(f"nothing is left of session {session_id}: ")
    assert [each["State"]["Name"] for each in account.instances(session_id)] == ["terminated"]
    assert not file.exists()


def test_a_download_that_was_interrupted_is_completed_by_a_second_run(
    awsac: Awsac, account: Account, embedded: Embedded, folder: Path
) -> None:
    file = session_file(folder)
    contents = {f"results_job_{n}.tar.bz2": bytes([n]) * 3_000_000 for n in (1, 2, 3)}
    for name, content in contents.items():
        account.s3.put_object(Bucket=BUCKET, Key=f"{file.stem.removeprefix('session-')}/{name}", Body=content)
    results = folder / "results" / file.stem

    def is_second(request: Request) -> bool:
        return request.operation == "GET" and request.path.endswith("results_job_2.tar.bz2")

    with proxy_before(embedded.endpoint, hold=is_second) as (proxy, address):
        getting = awsac.begin("getresults", "-c", str(file), "-o", "results", AWS_ENDPOINT_URL=address)
        proxy.wait()
        wait_until(
            lambda: (results / "results_job_1.tar.bz2").exists() and (results / "results_job_3.tar.bz2").exists()
        )
        getting.send_signal(2)
        proxy.released.set()
        _, said = getting.communicate(timeout=PATIENCE)
    there = {path.name for path in results.iterdir() if path.name in contents}
    done = awsac("getresults", "-c", file, "-o", "results", "--json")

    assert getting.returncode == 130
    assert said == "awsac: interrupted: the same command downloads what is missing\n"
    assert {"results_job_1.tar.bz2", "results_job_3.tar.bz2"} <= there
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert set(json.loads(done.stdout)["complete"]) == there
    assert {name: (results / name).read_bytes() for name in contents} == contents


def test_ctrl_c_during_check_says_that_the_session_goes_on(awsac: Awsac, embedded: Embedded, folder: Path) -> None:
    file = session_file(folder)
    with proxy_before(embedded.endpoint, hold=lambda _: True) as (proxy, address):
        checking = awsac.begin("check", "--watch", "-c", str(file), AWS_ENDPOINT_URL=address)
        proxy.wait()
        _, said = interrupt(checking)

    assert (checking.returncode, said) == (130, "awsac: interrupted: the session goes on\n")


def test_ctrl_c_during_pack_leaves_no_archive(awsac: Awsac, folder: Path) -> None:
    with (folder / "jobs" / "large.bin").open("wb") as large:
        large.truncate(1 << 29)  # which bzip2 works on for seconds
    (folder / "jobs" / "first.bin").write_bytes(os.urandom(1 << 22))  # so that something is written at once
    packing = awsac.begin("pack", "jobs", "-o", "large.tar.bz2")
    wait_until(lambda: any("large.tar.bz2" in path.name and path.stat().st_size for path in folder.iterdir()))

    _, said = interrupt(packing)

    assert (packing.returncode, said) == (130, "awsac: interrupted: no archive was written\n")
    assert not [path for path in folder.iterdir() if "large.tar.bz2" in path.name]


_IDS = itertools.count(1)


def session_file(folder: Path) -> Path:
    """Write the session file of a session that nobody started."""
    from awsac_async.session.model import SessionRecord
    from awsac_async.session.record import write_record

    return write_record(
        folder,
        SessionRecord(
            session_id=f"081215_1646--test--{next(_IDS):04x}",
            ec2_reservation_id="r-0123456789abcdef0",
            n_instances=1,
            unused_cores=0,
            cores_per_instance=2,
            user_data="",
            shortdescr="test",
            bucket=BUCKET,
            n_jobs=2,
            ami_id="ami-0a35ac00000000001",
            ec2_uid="123456789012",
            instance_type="c1.medium",
            client_token="",
            input_digest="",
            region="us-east-1",
            started="",
        ),
    )


@pytest.mark.parametrize("ignored", ["", "INT"], ids=["at a terminal", "in the background of a script"])
def test_a_client_that_is_told_to_end_while_it_packs_leaves_no_folder_and_one_that_is_killed_leaves_it_to_the_next(
    ignored: str, awsac: Awsac, tmp_path: Path
) -> None:
    write_ini(tmp_path)
    (write_jobs(tmp_path) / "large").write_bytes(os.urandom(40_000_000))  # which takes bzip2 some seconds
    (tmp_path / "temporary").mkdir()
    shell = f"trap '' {ignored}; " if ignored else ""
    left = []
    for number in (signal.SIGTERM, signal.SIGKILL):
        with subprocess.Popen(
            ["sh", "-c", f'{shell}exec "$0" plan -i session.ini -a jobs', AWSAC],
            cwd=tmp_path,
            env=awsac.environment | {"TMPDIR": str(tmp_path / "temporary")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as packing:
            awsac.begun.append(packing)
            wait_until(lambda: any((tmp_path / "temporary").glob("*/jobs.tar.bz2")))
            packing.send_signal(number)
        left.append((packing.returncode, len([*(tmp_path / "temporary").iterdir()])))

    (tmp_path / "jobs" / "large").unlink()
    awsac.ok("plan", "-i", "session.ini", "-a", "jobs", TMPDIR=str(tmp_path / "temporary"))

    assert left == [(130, 0), (-signal.SIGKILL, 1)]
    assert [*(tmp_path / "temporary").iterdir()] == []
