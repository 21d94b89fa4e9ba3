"""``ls`` and ``gc`` on an account of its own, in which things stand that a boto3 program has put there."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from awsac_async import client
from awsac_async.client import SessionState
from awsac_async.cloud.instances import Instances
from awsac_async.local import cloud
from awsac_async.local.settings import Settings
from awsac_async.session.errors import NotFoundError
from awsac_async.session.items import to_attributes
from awsac_async.session.model import JobRecord, JobState, SessionRecord
from awsac_async.session.record import format_record, write_record
from awsac_async.session.times import format_time, now
from tests.cli.conftest import BUCKET, Account, Awsac, environment_for
from tests.conftest import Embedded, embedded_cloud
from tests.faults.clouds import CLOCK
from tests.waiting import wait_until

OVER = "261121_0900--over--0001"
LIVING = "261121_0900--living--0002"
STARTING = "261121_0900--starting--0003"
UPLOADING = "261121_0900--upload--0004"
OLD = "081214_1030--eventgen--1816"
ORPHAN = "081215_1646--orphan--0005"
AT_ONCE = timedelta(0)
REFUSED = """[[fault]]
service = "{service}"
operation = "{operation}"
kind = "error"
code = "{code}"
status = 403
message = "no"
"""


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    """Give an account in which nothing else is found."""
    with (
        tempfile.TemporaryDirectory(prefix="awsac-gc-") as parent,
        embedded_cloud(Path(parent) / "cloud", Settings()) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def account(embedded: Embedded) -> Iterator[Account]:
    account = Account(embedded)
    yield account
    for service in (account.ec2, account.s3, account.sdb):
        service.close()


@pytest.fixture
def awsac(embedded: Embedded, tmp_path: Path) -> Awsac:
    return Awsac(folder=tmp_path, environment=environment_for(embedded))


def record(session_id: str, *, started: timedelta, reservation: str = "r-1", n_jobs: int = 2) -> SessionRecord:
    return SessionRecord(
        session_id=session_id,
        ec2_reservation_id=reservation,
        n_instances=1,
        unused_cores=0,
        cores_per_instance=2,
        user_data=f"{session_id};{BUCKET};a.tar.bz2;2;max_hours=48",
        shortdescr="test",
        bucket=BUCKET,
        n_jobs=n_jobs,
        ami_id="ami-0a35ac00000000001",
        ec2_uid="123456789012",
        instance_type="c5.large",
        client_token="t",
        input_digest="d",
        region="us-east-1",
        started=format_time(now() - started),
        price_per_hour=0.5,
    )


@dataclass(frozen=True, kw_only=True)
class Things:
    """Puts things into the account."""

    account: Account

    def session(self, session: SessionRecord, *states: JobState) -> None:
        """Write what a start leaves before RunInstances, and how the jobs stand."""
        session_id, s3 = session.session_id, self.account.s3
        s3.put_object(Bucket=BUCKET, Key=f"awsac/{session_id}/session.cfg", Body=format_record(session).encode())
        self.session_of_2008(session_id, *states)

    def session_of_2008(self, session_id: str, *states: JobState) -> None:
        """Write what a client of 2008 and its agents leave."""
        s3, sdb = self.account.s3, self.account.sdb
        s3.put_object(Bucket=BUCKET, Key=f"{session_id}/a.tar.bz2", Body=b"archive")
        sdb.create_domain(DomainName=session_id)
        for number, state in enumerate(states, 1):
            job = JobRecord(number=number, state=state, return_code=0 if state is JobState.FINISHED else None)
            attributes = [{"Name": name, "Value": value} for name, value in to_attributes(job).items()]
            sdb.put_attributes(DomainName=session_id, ItemName=f"job{number}", Attributes=attributes)

    def tags(self, kind: str, session_id: str) -> list[dict[str, object]]:
        return [{"ResourceType": kind, "Tags": [{"Key": "awsac:session", "Value": session_id}]}]

    def instance(self, session_id: str) -> str:
        """Run one without user data: it does nothing, and stays."""
        answer = self.account.ec2.run_instances(
            ImageId="ami-0a35ac00000000001",
            InstanceType="c5.large",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=self.tags("instance", session_id),
        )
        return str(answer["Instances"][0]["InstanceId"])

    def volume(self, session_id: str) -> str:
        answer = self.account.ec2.create_volume(
            AvailabilityZone="us-east-1a", Size=1, TagSpecifications=self.tags("volume", session_id)
        )
        volume_id = str(answer["VolumeId"])
        wait_until(lambda: self.volumes().get(volume_id) == "available")
        return volume_id

    def upload(self, key: str) -> str:
        self.account.s3.create_multipart_upload(Bucket=BUCKET, Key=key)
        return f"s3://{BUCKET}/{key}"

    def volumes(self) -> dict[str, str]:
        return {each["VolumeId"]: each["State"] for each in self.account.ec2.describe_volumes()["Volumes"]}

    def uploads(self) -> set[str]:
        found = self.account.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return {f"s3://{BUCKET}/{each['Key']}" for each in found}

    def running(self) -> set[str]:
        return {each["InstanceId"] for each in self.account.instances() if each["State"]["Name"] == "running"}

    def all(self) -> set[str]:
        """Return what gc could delete, or whatever it must not."""
        volumes = {volume_id for volume_id, state in self.volumes().items() if state == "available"}
        return self.running() | volumes | self.uploads() | set(self.account.domains()) | set(self.account.keys())


@dataclass(frozen=True, kw_only=True)
class World:
    """What stands in the account: ``garbage`` by its kinds, and all else."""

    things: Things
    garbage: dict[str, str]
    owned: set[str]


@pytest.fixture(scope="module")
def world(account: Account) -> World:
    things = Things(account=account)
    things.session(record(OVER, started=timedelta(hours=5)), JobState.FINISHED, JobState.FAILED)
    things.session_of_2008(OLD, JobState.FINISHED, JobState.FINISHED)
    things.session(record(LIVING, started=timedelta(hours=1)), JobState.RUNNING, JobState.PENDING)
    things.instance(LIVING)
    things.volume(LIVING)
    things.upload(f"{LIVING}/results_job_1.tar.bz2")
    things.session(record(STARTING, started=timedelta(seconds=1), reservation=""), JobState.PENDING, JobState.PENDING)
    things.upload(f"{STARTING}/a.tar.bz2")
    things.upload(f"awsac/{UPLOADING}/data/large")  # of a start that has not asked its question yet
    things.upload("others/file")
    account.sdb.create_domain(DomainName="customers")
    wait_until(lambda: len(things.running()) == 1)
    owned = things.all()
    account.sdb.create_domain(DomainName="081215_1646--domain--0006")
    garbage = {
        "instance": things.instance(ORPHAN),
        "volume": things.volume(OVER),
        "upload": things.upload(f"{OVER}/results_job_2.tar.bz2"),
        "domain": "081215_1646--domain--0006",
    }
    wait_until(lambda: len(things.running()) == 2)
    return World(things=things, garbage=garbage, owned=owned)


async def test_ls_says_of_each_session_how_it_stands(world: World, awsac: Awsac) -> None:
    remarks: list[str] = []
    found = await client.list_sessions(on_remark=remarks.append)

    stands = {each.session_id: (each.state, dict(each.jobs), each.failed, each.instances) for each in found}
    assert stands == {
        STARTING: (SessionState.STARTING, {"pending": 2}, 0, 0),
        LIVING: (SessionState.UNDER_WAY, {"pending": 1, "running": 1}, 0, 1),
        OVER: (SessionState.OVER, {"finished": 1, "failed": 1}, 1, 0),
        OLD: (SessionState.OVER, {"finished": 2}, 0, 0),
        ORPHAN: (SessionState.ORPHANED, {}, 0, 1),
        "081215_1646--domain--0006": (SessionState.UNKNOWN, {}, 0, 0),
    }
    assert [each.session_id for each in found][:3] == [ORPHAN, STARTING, LIVING]
    assert {each.session_id: each.bucket for each in found}[OVER] == BUCKET
    assert remarks == []
    printed = json.loads(awsac.ok("ls", "--json"))
    assert [each["session_id"] for each in printed] == [each.session_id for each in found]
    assert printed[2] | {"cost_usd": 0} == {
        "session_id": LIVING,
        "bucket": BUCKET,
        "started": found[2].started and format_time(found[2].started),
        "state": "under way",
        "n_jobs": 2,
        "jobs": {"pending": 1, "running": 1},
        "failed_jobs": 0,
        "instances": 1,
        "cost_usd": 0,
    }


async def test_ls_of_one_bucket_keeps_to_it_and_a_bucket_that_is_not_there_is_an_error(
    world: World, awsac: Awsac
) -> None:
    lines = awsac.ok("ls", "--bucket", BUCKET).splitlines()

    assert lines[0].split() == ["session", "age", "state", "instances", "cost", "bucket"]
    assert [line.split()[0] for line in lines[1:]] == [STARTING, LIVING, OVER, OLD]
    (over,) = (line for line in lines if line.startswith(OVER))
    assert "over: 1 finished, 1 failed (1 went wrong)" in over
    assert over.endswith(BUCKET)
    with pytest.raises(NotFoundError, match=r"^HeadBucket no-such-bucket failed: "):
        await client.list_sessions(buckets=["no-such-bucket"])


def test_gc_leaves_alone_what_is_young_and_with_json_only_lists(world: World, awsac: Awsac) -> None:
    before = world.things.all()
    (found,) = json.loads(awsac.ok("gc", "--json"))
    assert (found["kind"], found["name"]) == ("domain", world.garbage["domain"])
    assert world.things.all() == before


def test_gc_goes_by_the_clock_of_aws(world: World, awsac: Awsac, tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler on this machine")
    library, offset = tmp_path / "clock.so", tmp_path / "offset"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, CLOCK], check=True)
    offset.write_text(str(400 * 24 * 3600))
    ahead = {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(offset)}
    (found,) = json.loads(awsac.ok("gc", "--json", **ahead))
    assert (found["kind"], found["name"]) == ("domain", world.garbage["domain"])


async def test_a_bucket_that_cannot_be_read_is_told_of_and_no_domain_is_garbage_then(
    world: World, embedded: Embedded
) -> None:
    told_by_ls: list[str] = []
    told_by_gc: list[str] = []
    fault = REFUSED.format(service="s3", operation="ListObjectsV2", code="AccessDenied")
    cloud.set_faults(embedded.directory, fault)
    sessions = await client.list_sessions(on_remark=told_by_ls.append)
    found = await client.find_garbage(on_remark=told_by_gc.append)
    cloud.set_faults(embedded.directory, "")

    why = f"ListObjectsV2 s3://{BUCKET}/awsac/ failed: no (AccessDenied)"
    assert told_by_ls == [f"the bucket {BUCKET} is passed over: {why}"]
    assert OVER in {each.session_id for each in sessions}  # by its domain
    assert told_by_gc == [f"domains are left alone, as not all buckets can be looked into: {why}"]
    assert found == []
    assert world.garbage["domain"] in world.things.all()


async def test_an_instance_whose_user_data_say_nothing_that_can_be_read_is_not_garbage_for_want_of_objects(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def user_data(*_: object) -> str:
        return "#!/bin/sh\n"

    monkeypatch.setattr(Instances, "user_data", user_data)
    found = await client.find_garbage(older_than=AT_ONCE)
    assert sorted(each.kind.value for each in found) == ["domain", "upload", "volume"]


def test_gc_lists_what_no_living_session_owns_and_deletes_nothing_unless_told(world: World, awsac: Awsac) -> None:
    before = world.things.all()
    done = awsac("gc", "--older-than", "0.001s", answers="n\n")

    assert done.returncode == 0
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        [kind, world.garbage[kind]] for kind in ("instance", "volume", "upload")
    ] + [["domain", f"{world.garbage['domain']}:"]]
    assert "GiB" in done.stdout
    assert done.stderr == "delete these 4 things? (y/n) awsac: nothing was deleted\n"
    assert world.things.all() == before


async def test_what_has_come_alive_since_it_was_listed_is_left_alone(world: World, account: Account) -> None:
    found = await client.find_garbage(older_than=AT_ONCE)
    assert {each.kind.value: each.name for each in found} == world.garbage
    keys = [f"{ORPHAN}/results_job_1.tar.bz2", f"{world.garbage['domain']}/a.tar.bz2"]
    for key in keys:
        account.s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    retried = world.things.instance(OVER)
    before = world.things.all()

    done = await client.collect_garbage(found, older_than=AT_ONCE)

    assert [(each.deleted, each.error) for each in done] == [(False, None)] * 4
    assert world.things.all() >= before
    for key in keys:
        account.s3.delete_object(Bucket=BUCKET, Key=key)
    account.ec2.terminate_instances(InstanceIds=[retried])
    wait_until(lambda: {each["State"]["Name"] for each in account.instances(OVER)} == {"terminated"})


def test_gc_names_what_it_cannot_delete_and_ends_with_exit_code_3(
    world: World, awsac: Awsac, embedded: Embedded
) -> None:
    fault = REFUSED.format(service="ec2", operation="DeleteVolume", code="UnauthorizedOperation")
    cloud.set_faults(embedded.directory, fault)
    denied = awsac("gc", "--older-than", "0.001s", "--yes", "--json")
    cloud.set_faults(embedded.directory, "")

    assert denied.returncode == 3
    became = {each["kind"]: (each["deleted"], each["error"]) for each in json.loads(denied.stdout)}
    assert became.pop("volume") == (False, f"DeleteVolume {world.garbage['volume']} failed: no (UnauthorizedOperation)")
    assert became == dict.fromkeys(("instance", "upload", "domain"), (True, None))


async def test_gc_deletes_all_it_has_listed_and_nothing_else(world: World, awsac: Awsac) -> None:
    done = awsac("gc", "--older-than", "0.001s", answers="y\n")
    wait_until(lambda: len(world.things.running()) == 1)

    assert done.stdout.endswith(f"deleted volume {world.garbage['volume']}\n")
    assert done.returncode == 0, done.stderr
    assert world.things.all() == world.owned
    assert await client.find_garbage(older_than=AT_ONCE) == []


async def test_cleanup_names_what_appears_after_it_has_deleted_all_and_keeps_the_file(
    account: Account, world: World, awsac: Awsac
) -> None:
    file = write_record(awsac.folder, record(OVER, started=timedelta(hours=5)))
    late = f"{OVER}/processjobslog_LI_0.tar.bz2"

    def upload_late(event: client.CleanupEvent) -> None:
        if isinstance(event, client.Deleted) and event.name.endswith("a.tar.bz2"):
            account.s3.put_object(Bucket=BUCKET, Key=late, Body=b"")

    async def yes(_: object) -> bool:
        return True

    cleaned = await client.cleanup(file, confirm=yes, on_event=upload_late)
    assert cleaned.left == (client.Left(kind="object", name=f"s3://{BUCKET}/{late}"),)
    assert not cleaned.session_file_removed
    assert file.exists()
    assert account.keys(f"awsac/{OVER}/") == [f"awsac/{OVER}/session.cfg"]
    assert awsac.ok("cleanup", "--yes", "-c", file).splitlines() == [
        f"deleted session file {file}",
        "deleted 2 objects",
        f"nothing is left of session {OVER}: looked for instances, volumes, objects and unfinished uploads "
        f"below s3://{BUCKET}/{OVER}/ and s3://{BUCKET}/awsac/{OVER}/, the domain {OVER}",
    ]


async def test_the_builder_of_an_image_is_found_and_terminated_when_no_client_can_be_waiting_for_it(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"awsac:builder": "b1", "awsac:max-hours": "0.0003"}
    tags = [{"Key": key, "Value": value} for key, value in named.items()]
    answer = account.ec2.run_instances(
        ImageId="ami-0a35ac00000000002",
        InstanceType="t3.small",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    instance_id = answer["Instances"][0]["InstanceId"]

    async def found() -> list[client.Garbage]:
        return [each for each in await client.find_garbage(older_than=AT_ONCE) if each.name == instance_id]

    assert await found() == []
    monkeypatch.setattr("awsac_async.client.gc.rules._IMAGE_OF_A_BUILDER", timedelta(seconds=-2))  # an hour and a half
    (builder,) = await found()
    assert (builder.kind.value, builder.session_id) == ("builder", "b1")
    (collected,) = await client.collect_garbage([builder], older_than=AT_ONCE)
    assert collected.deleted
    state = account.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]["State"]
    assert state["Name"] in {"shutting-down", "terminated"}
