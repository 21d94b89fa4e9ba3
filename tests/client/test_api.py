"""The verbs as a Python API: they ask by callbacks, tell by events, and never print."""

import asyncio
import dataclasses
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from awsac_async import client
from awsac_async.client import Overwrite, Plan, events
from awsac_async.session.errors import InputError
from awsac_async.session.model import JobState
from awsac_async.session.record import read_record, write_record
from awsac_async.session.times import format_time, now
from tests.cli.conftest import BUCKET, Account, write_ini, write_jobs
from tests.cli.test_interrupts import session_file

MB = 1 << 20


async def test_start_tells_its_steps_in_order_asks_with_the_plan_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    client.pack(write_jobs(tmp_path), tmp_path / "jobs.tar.bz2")
    told: list[events.StartEvent] = []
    asked: list[Plan] = []

    async def no(plan: Plan) -> bool:
        asked.append(plan)
        return False

    record = await client.start(
        ini=write_ini(tmp_path), archive=tmp_path / "jobs.tar.bz2", directory=tmp_path, proceed=no, on_event=told.append
    )

    assert record is None
    assert [type(event).__name__ for event in told if not isinstance(event, events.Transferring)] == [
        "Planned",
        "Named",
        "Uploaded",
        "ImageFound",
        "UserDataBuilt",
        "JobsWritten",
        "Undone",
    ]
    assert [(plan.n_instances, plan.unused_cores) for plan in asked] == [(1, 0)]
    assert capfd.readouterr() == ("", "")


async def test_a_caller_that_fails_at_the_question_leaves_nothing_behind(tmp_path: Path, account: Account) -> None:
    client.pack(write_jobs(tmp_path), tmp_path / "jobs.tar.bz2")
    before = account.everything()

    async def break_down(_: Plan) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await client.start(
            ini=write_ini(tmp_path), archive=tmp_path / "jobs.tar.bz2", directory=tmp_path, proceed=break_down
        )

    assert account.everything() == before
    assert session_files(tmp_path) == []


async def test_a_session_whose_instance_was_taken_away_is_over_and_its_jobs_have_failed_with_a_reason(
    tmp_path: Path, account: Account
) -> None:
    client.pack(write_jobs(tmp_path, job="sleep 1000\n"), tmp_path / "jobs.tar.bz2")

    async def yes(_: object) -> bool:
        return True

    record = await client.start(
        ini=write_ini(tmp_path), archive=tmp_path / "jobs.tar.bz2", directory=tmp_path, proceed=yes
    )
    assert record is not None
    (file,) = session_files(tmp_path)
    (instance,) = account.instances(record.session_id)
    await asyncio.to_thread(account.ec2.terminate_instances, InstanceIds=[instance["InstanceId"]])

    statuses = [status async for status in client.watch(file)]

    assert statuses[-1].over
    assert [job.number for job in statuses[-1].failed] == [1, 2]
    assert all(job.reason for job in statuses[-1].failed)
    cleaned = await client.cleanup(file, confirm=yes)
    assert cleaned.session_file_removed


async def test_a_session_of_which_nothing_is_left_is_over_and_cleanup_removes_its_file(tmp_path: Path) -> None:
    file = session_file(tmp_path)

    async def never(_: object) -> bool:
        raise AssertionError("there is nothing to ask about")

    status = await client.check(file)
    cleaned = await client.cleanup(file, confirm=never)

    assert (status.over, status.instances) == (True, ())
    assert [(job.number, job.reason) for job in status.failed] == [(n, "no status was kept") for n in (1, 2)]
    assert [each.kind for each in cleaned.deleted] == ["session file"]
    assert not file.exists()


async def test_odd_items_hide_no_job_and_stop_neither_check_nor_cleanup(tmp_path: Path, account: Account) -> None:
    file = session_file(tmp_path)
    domain = read_record(file).session_id
    await asyncio.to_thread(account.sdb.create_domain, DomainName=domain)
    items = {"job1": {"status": "finished", "returncode": "0"}, "notes": {"colour": "blue"}}
    await asyncio.to_thread(put_items, account, domain, items)

    incomplete = await client.check(file)
    odd = {"job1": {"returncode": "zero"}, "job2": {"status": "exploded"}}
    await asyncio.to_thread(put_items, account, domain, odd)
    unreadable = await client.check(file)
    cleaned = await client.cleanup(file, confirm=agree)

    assert [(job.number, job.reason) for job in incomplete.failed] == [(2, "no status was kept")]
    assert [job.reason.partition(",")[0] for job in unreadable.failed] == [
        "returncode is 'zero'",
        "status is 'exploded'",
    ]
    assert [each.kind for each in cleaned.deleted] == ["domain", "session file"]


async def test_a_session_that_was_just_started_has_all_its_jobs_pending(tmp_path: Path) -> None:
    file = session_file(tmp_path)
    write_record(tmp_path, dataclasses.replace(read_record(file), started=format_time(now())))

    status = await client.check(file)

    assert (status.over, status.failed) == (False, ())
    assert [(job.number, job.state, job.reason) for job in status.jobs] == [
        (n, JobState.PENDING, "no status yet") for n in (1, 2)
    ]


async def test_cleanup_leaves_neither_what_is_internal_nor_half_an_upload(tmp_path: Path, account: Account) -> None:
    file = session_file(tmp_path)
    session_id = read_record(file).session_id
    internal = [f"awsac/{session_id}/{name}" for name in ("control.json", "logs/job_1/0", "manifests/job_1.json")]
    for key in internal:
        account.s3.put_object(Bucket=BUCKET, Key=key, Body=b"{}")
    account.s3.create_multipart_upload(Bucket=BUCKET, Key=f"{session_id}/results_job_1.tar.bz2")

    cleaned = await client.cleanup(file, confirm=agree)

    assert [each.name for each in cleaned.deleted if each.kind == "object"] == [
        f"s3://{BUCKET}/{key}" for key in internal
    ]
    assert [each.kind for each in cleaned.deleted] == [*["object"] * 3, "unfinished uploads below", "session file"]
    assert account.keys(f"awsac/{session_id}/") == []
    uploads = account.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    assert [each["Key"] for each in uploads if each["Key"].startswith(session_id)] == []


@pytest.mark.parametrize("reservation", ["", "r-0123456789abcdef0"], ids=["uncompleted", "completed"])
async def test_cleanup_waits_for_instances_that_ec2_may_not_show_yet(tmp_path: Path, reservation: str) -> None:
    file = session_file(tmp_path)
    minutes_ago = now() - timedelta(minutes=3)
    started = dataclasses.replace(
        read_record(file), ec2_reservation_id=reservation, client_token="t", started=format_time(minutes_ago)
    )
    write_record(tmp_path, started)

    with pytest.raises(InputError, match=r"can be seen yet, it was started 3 minutes ago; wait .* --force$"):
        await client.cleanup(file, confirm=agree)
    assert file.exists()
    assert (await client.cleanup(file, confirm=agree, force=True)).session_file_removed


async def test_a_large_object_is_complete_by_its_recorded_etag_and_differs_when_it_was_replaced(
    tmp_path: Path, account: Account
) -> None:
    file = session_file(tmp_path)
    key = f"{read_record(file).session_id}/results_job_1.tar.bz2"
    asked: list[str] = []

    async def overwrite(path: Path) -> Overwrite:
        asked.append(path.name)
        return Overwrite.YES

    await asyncio.to_thread(put_in_parts, account, key, b"a" * 5 * MB + b"b")
    first = await client.get_results(file, tmp_path, on_existing=overwrite)
    second = await client.get_results(file, tmp_path, on_existing=overwrite)
    await asyncio.to_thread(put_in_parts, account, key, b"c" * 5 * MB + b"d")
    third = await client.get_results(file, tmp_path, on_existing=overwrite)

    assert [run.files[0].state for run in (first, second, third)] == ["downloaded", "complete", "downloaded"]
    assert asked == ["results_job_1.tar.bz2"]
    assert third.files[0].path.read_bytes() == b"c" * 5 * MB + b"d"


async def test_results_cannot_be_put_into_a_file(tmp_path: Path) -> None:
    file = session_file(tmp_path)
    (tmp_path / "results").write_text("a file")

    async def never(_: Path) -> Overwrite:
        raise AssertionError("there is nothing to overwrite")

    with pytest.raises(InputError, match="cannot make the folder"):
        await client.get_results(file, tmp_path / "results", on_existing=never)


async def test_a_folder_that_goes_away_meanwhile_is_made_again(tmp_path: Path, account: Account) -> None:
    file = session_file(tmp_path)
    key = f"{read_record(file).session_id}/results_job_1.tar.bz2"
    await asyncio.to_thread(account.s3.put_object, Bucket=BUCKET, Key=key, Body=b"saved")
    folder = tmp_path / file.stem
    folder.mkdir()
    (folder / "results_job_1.tar.bz2").write_text("mine")

    async def take_away(path: Path) -> Overwrite:
        await asyncio.to_thread(shutil.rmtree, path.parent)
        return Overwrite.YES

    await client.get_results(file, tmp_path, on_existing=take_away)
    assert (folder / "results_job_1.tar.bz2").read_bytes() == b"saved"


async def test_a_start_with_other_inputs_does_not_continue_an_uncompleted_session(
    tmp_path: Path, account: Account
) -> None:
    client.pack(write_jobs(tmp_path), tmp_path / "jobs.tar.bz2")
    other = dataclasses.replace(
        read_record(session_file(tmp_path)), ec2_reservation_id="", client_token="token", input_digest="other"
    )
    file = write_record(tmp_path, other)
    named: list[bool] = []

    def note(event: events.StartEvent) -> None:
        if isinstance(event, events.Named):
            named.append(event.continued)

    async def no(_: Plan) -> bool:
        return False

    inputs = {"ini": write_ini(tmp_path), "archive": tmp_path / "jobs.tar.bz2", "directory": tmp_path}
    await client.start(**inputs, proceed=no, on_event=note)
    with pytest.raises(InputError, match="prepared with another ini, archive or data folder"):
        await client.start(**inputs, proceed=no, session=file)

    assert named == [False]
    assert file.exists()


async def agree(_: object) -> bool:
    return True


def put_items(account: Account, domain: str, items: dict[str, dict[str, str]]) -> None:
    for name, values in items.items():
        attributes = [{"Name": key, "Value": value, "Replace": True} for key, value in values.items()]
        account.sdb.put_attributes(DomainName=domain, ItemName=name, Attributes=attributes)


def session_files(folder: Path) -> list[Path]:
    return list(folder.glob("session-*"))


def put_in_parts(account: Account, key: str, content: bytes) -> None:
    """Upload in two parts, so that the ETag is no MD5."""
    place = {"Bucket": BUCKET, "Key": key}
    upload = account.s3.create_multipart_upload(**place)["UploadId"]
    parts = []
    for number, part in enumerate((content[: 5 * MB], content[5 * MB :]), 1):
        etag = account.s3.upload_part(**place, UploadId=upload, PartNumber=number, Body=part)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    account.s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})


async def test_the_consoles_of_a_session_without_instances_are_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^there is no instance of session 081215_\S+: EC2 shows none of it \("):
        await client.consoles(session_file(tmp_path))


def test_the_package_gives_what_its_stub_says_whatever_was_imported_before() -> None:
    imports = "import awsac_async.client.check, awsac_async.client.wait, ast, pathlib\nfrom awsac_async import client\n"
    stub = "(tree,) = [ast.parse(pathlib.Path(client.__file__).with_suffix('.pyi').read_text())]\n"
    said = "said = {each.name for node in tree.body if isinstance(node, ast.ImportFrom) for each in node.names}\n"
    given = "assert said == set(client.__all__), said ^ set(client.__all__)\n"
    used = (
        "assert client.check.__module__ == 'awsac_async.client.check' and all(getattr(client, name) for name in said)"
    )
    subprocess.run([sys.executable, "-c", imports + stub + said + given + used], check=True)
