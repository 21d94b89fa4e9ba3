"""Releases on the embedded cloud: volumes from snapshots, seen by jobs at ATLASDir, in the form this machine allows."""

import asyncio
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from awsac_async.agent.devices import Devices
from awsac_async.agent.metadata import Instance
from awsac_async.agent.releases import Place, ReleaseError, Releases
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.volumes import Volumes
from awsac_async.local import cloud
from awsac_async.local.hypervisor import available
from awsac_async.local.settings import Isolation, Settings
from awsac_async.session.releases import Compression
from tests.agent.account import Account, Session, session_of
from tests.agent.test_unpacker import COMPRESS
from tests.conftest import Embedded, embedded_cloud
from tests.waiting import until

SHOW = 'cat "$ATLASDir/name" && echo written > "$ATLASDir/by-$AWSAC_JOB" && ls "$ATLASDir" | grep by-\n'
TOUCH = 'cat "$ATLASDir/name" && LC_ALL=C touch "$ATLASDir/by-$AWSAC_JOB" && ls "$ATLASDir" | grep by-\n'
# It ends when the other release's volume has gone, which it sees from the agent's log.
OUTLAST = """
cat "$ATLASDir/name"
until grep -q 'delete vol-.*: done' "$SessionInfoDir/processjobs.log"; do sleep 0.05; done
cat "$ATLASDir/name"
"""
NONE = 'ls -A "$ATLASDir" | wc -l\n'
MISSING = "snap-0123456789abcdef0"
RELEASES = "awsac-releases"
NOWHERE = f"s3://{RELEASES}/nowhere.tar.gz"


def make_release(embedded: Embedded, name: str, directory: Path) -> str:
    folder = directory / name
    folder.mkdir()
    (folder / "name").write_text(f"release {name}\n")
    return cloud.import_snapshot(embedded.directory, folder, description=name)


@pytest.fixture(scope="module")
def snapshots(embedded: Embedded, account: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Two releases."""
    directory = tmp_path_factory.mktemp("releases")
    made = [make_release(embedded, name, directory) for name in ("one", "two")]
    yield made
    for snapshot_id in made:
        account.ec2.delete_snapshot(SnapshotId=snapshot_id)


def put_archive(account: Account, name: str, suffix: str, directory: Path) -> str:
    """Put a release into a bucket that is not the session's, and return its address."""
    folder = directory / f"archived-{name}"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "file").write_text(f"release {name}\n")
    (folder / "name").symlink_to("below/file")
    packed = subprocess.run(["tar", "-C", folder, "-cf", "-", "."], check=True, capture_output=True).stdout
    key = f"atlas/{name}.tar.{suffix}"
    account.s3.create_bucket(Bucket=RELEASES)
    account.s3.put_object(Bucket=RELEASES, Key=key, Body=COMPRESS[Compression(suffix)](packed))
    return f"s3://{RELEASES}/{key}"


@pytest.fixture(scope="module")
def archives(account: Account, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two releases in S3."""
    directory = tmp_path_factory.mktemp("archives")
    return [put_archive(account, name, suffix, directory) for name, suffix in (("three", "zst"), ("four", "bz2"))]


@pytest.fixture(scope="module")
def ended(account: Account, snapshots: list[str], archives: list[str]) -> Iterator[Session]:
    """A session of eight jobs on one instance, after its end.

    They need two snapshots, one that does not exist, none, two archives in S3, and one that does not exist.
    """
    first, second = snapshots
    with session_of(account) as session:
        jobs = f"{first};show.sh;2\n{second};outlast.sh;1\n{MISSING};show.sh;1\n-;none.sh;1\n"
        jobs += "".join(f"{address};show.sh;1\n" for address in (*archives, NOWHERE))
        session.upload_archive({"jobs.cfg": jobs, "show.sh": SHOW, "outlast.sh": OUTLAST, "none.sh": NONE})
        session.run(cores=8)
        yield session


def test_each_job_sees_its_own_release(ended: Session) -> None:
    assert ended.output(1).startswith("release one\n")
    assert ended.output(2).startswith("release one\n")
    assert ended.output(3) == "release two\nrelease two\n"
    assert ended.output(5) == "0\n"
    assert ended.output(6) == "release three\nby-6\n"
    assert ended.output(7) == "release four\nby-7\n"


def test_jobs_of_one_release_share_its_volume(ended: Session) -> None:
    seen = [set(ended.output(job).split()) & {"by-1", "by-2"} for job in (1, 2)]
    assert {"by-1", "by-2"} in seen


def test_a_volume_goes_when_its_last_job_is_done_while_others_run(ended: Session) -> None:
    log = ended.log(0)
    deleted = [match.start() for match in re.finditer(r"delete vol-\w+: done", log)]
    assert len(deleted) == 2
    assert deleted[0] < log.index("job 3: waitforsave") < deleted[1]


def test_a_release_that_does_not_exist_fails_only_its_own_jobs(ended: Session) -> None:
    items = ended.items()
    assert {name: item.status for name, item in items.items()} == {
        "job1": "finished",
        "job2": "finished",
        "job3": "finished",
        "job4": "failed",
        "job5": "finished",
        "job6": "finished",
        "job7": "finished",
        "job8": "failed",
    }
    assert MISSING in items["job4"].reason
    assert "InvalidSnapshot.NotFound" in items["job4"].reason


def test_each_step_of_a_release_is_named_and_timed(ended: Session, snapshots: list[str]) -> None:
    steps = ["create volume", "wait for vol-", "attach vol-", "wait for vol-", "find the device", "mount"]
    for snapshot_id in snapshots:
        done = re.findall(rf"{snapshot_id}: (.*): done in \d", ended.log(0))
        protected = [line for line in done if line.startswith("set DeleteOnTermination")]  # while it is mounted
        assert len(protected) == 1
        provided = [line for line in done if line not in protected][: len(steps)]
        assert [step for step, line in zip(steps, provided, strict=True) if line.startswith(step)] == steps


def test_no_volume_is_left(ended: Session) -> None:
    assert ended.volumes() == []


def test_the_log_says_when_each_release_was_ready_and_of_an_archive_how_fast(
    ended: Session, snapshots: list[str], archives: list[str]
) -> None:
    log = ended.log(0)
    for snapshot_id in snapshots:
        assert re.search(rf"release {snapshot_id}: ready after \d+\.\d+ s$", log, re.MULTILINE)
    for address in archives:
        assert re.search(rf"release {address}: ready after \d+\.\d+ s, \d+ bytes, \d+\.\d MB/s$", log, re.MULTILINE)
        assert re.search(rf"{address}: remove \S+: done in ", log)


def test_volumes_go_with_an_agent_that_is_told_to_stop(account: Account, snapshots: list[str]) -> None:
    stop = "read -r _ _ _ agent _ < /proc/$PPID/stat; kill -TERM $agent; sleep 60\n"
    with session_of(account) as session:
        session.upload_archive(
            {"jobs.cfg": f"-;stop.sh;1\n{snapshots[0]};show.sh;1\n", "stop.sh": stop, "show.sh": SHOW}
        )
        session.run()
        items = session.items()
        # The first job stops the agent at once, while the second one's release is still being provided.
        assert (items["job2"].status, items["job2"].runstarttime) == ("interrupted", "")
        assert session.volumes() == []


READ_ONLY = "touch: cannot touch '/mnt/atlas/by-{job}': Read-only file system\n"


@pytest.mark.parametrize(
    ("isolation", "release_mount", "says"),
    [(Isolation.USER_NAMESPACES, "ro", READ_ONLY), (Isolation.PLAIN, "rw", "by-{job}\n")],
)
def test_each_job_sees_its_own_release_where_volumes_are_directories(
    isolation: Isolation, release_mount: str, says: str, tmp_path: Path
) -> None:
    """Also, the instance can have one volume beside its root: the second release comes when the first has gone."""
    if not available(isolation):
        pytest.skip(f"this machine does not allow instances in {isolation}")
    with (
        tempfile.TemporaryDirectory(prefix="awsac-test-") as parent,
        embedded_cloud(Path(parent) / "cloud", Settings(isolation=isolation, attachment_limit=2)) as embedded,
        session_of(account := Account(embedded)) as session,
    ):
        first, second = (make_release(embedded, name, tmp_path) for name in ("one", "two"))
        third = put_archive(account, "three", "gz", tmp_path)
        jobs = "".join(f"{name};touch.sh;1\n" for name in (first, second, third))
        session.upload_archive({"jobs.cfg": jobs, "touch.sh": TOUCH})
        session.run(cores=3, more=f";release_mount={release_mount}")
        names = enumerate(("one", "two", "three"), 1)
        assert [session.output(job) for job in (1, 2, 3)] == [
            f"release {name}\n" + says.format(job=job) for job, name in names
        ]
        assert session.volumes() == []


GONE = Instance(instance_id="i-0123456789abcdef0", launch_index=0, zone="us-east-1a", region="us-east-1")


def releases_of(session: Session, aws: Aws, snapshot_id: str, directory: Path) -> Releases:
    """The one release of an instance that is gone."""
    place = Place(
        session_id=session.id,
        instance=GONE,
        directory=directory,
        volumes=Volumes(aws),
        devices=Devices({}),
        bucket=partial(Bucket, aws),
    )
    return Releases(place, [snapshot_id])


async def test_a_job_that_ends_while_the_agent_gives_up_leaves_its_volume_to_the_departure(
    embedded: Embedded, account: Account, snapshots: list[str], tmp_path: Path
) -> None:
    session = Session(account)
    async with connect(endpoint_url=embedded.endpoint) as aws:
        releases = releases_of(session, aws, snapshots[0], tmp_path)

        async def job() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                releases.leave(snapshots[0])

        async def give_up() -> None:
            async with asyncio.TaskGroup() as group:
                releases.start(group)
                group.create_task(job(), name="job")
                await until((tmp_path / f"{snapshots[0]}.json").exists)  # the volume is asked for, or was already
                raise KeyError("a fault")

        with pytest.raises(ExceptionGroup) as raised:
            await give_up()
        assert [type(error) for error in raised.value.exceptions] == [KeyError]
        await releases.remove_all()
    assert session.volumes() == []


async def test_a_volume_that_cannot_be_attached_is_deleted(
    embedded: Embedded, account: Account, snapshots: list[str], tmp_path: Path
) -> None:
    session = Session(account)
    async with connect(endpoint_url=embedded.endpoint) as aws:
        releases = releases_of(session, aws, snapshots[0], tmp_path)
        async with asyncio.TaskGroup() as group:
            releases.start(group)
            with pytest.raises(ReleaseError, match=f"^release {snapshots[0]}: AttachVolume .*{GONE.instance_id}"):
                await releases.ready(snapshots[0])
    assert session.volumes() == []
    assert not await asyncio.to_thread(os.path.exists, tmp_path / snapshots[0])
