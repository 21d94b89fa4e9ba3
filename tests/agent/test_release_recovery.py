"""Whenever an agent dies, its successor has each release once, and leaves no volume behind."""

import asyncio
import io
import multiprocessing
import os
import signal
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from awsac_async.agent.releases import ReleaseError, Releases
from awsac_async.cloud.aws import Aws, connect
from awsac_async.local import cloud
from awsac_async.local.settings import Isolation, Settings
from awsac_async.session.names import NEW_RELEASE
from tests.agent import release_child
from tests.agent.account import BUCKET, Account, Session
from tests.agent.release_child import releases_of
from tests.cloud.faults import Asked, Fault, Proxy, error, proxy_to, query_error
from tests.conftest import Embedded, embedded_cloud
from tests.waiting import LONGEST, until, wait_until

# From a process that has imported the SDK, which takes longer than an agent lives here.
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload([release_child.__name__, "aioboto3"])
# The calls by which a volume comes and goes, in their order.
CALLS = ["CreateVolume", "AttachVolume", "ModifyInstanceAttribute", "DetachVolume", "DeleteVolume"]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An instance, and what an agent on it keeps of a session's releases."""

    account: Account
    session: Session
    endpoint: str
    keys: dict[str, str]
    instance: str
    directory: Path
    devices: Path
    snapshot: str  # or the address of a release in S3

    def arguments(self, endpoint: str) -> list[str]:
        return [endpoint, self.session.id, self.instance, str(self.directory), str(self.devices), self.snapshot]

    def die(self, proxy: Proxy, call: str) -> None:
        """Let an agent provide and remove the release, and kill it once the cloud has got one of its calls.

        ``call``: an operation of EC2, or the first words of a request to S3 for the release.
        """
        started = threading.Event()
        child = FORKING.Process(target=release_child.live, args=(self.keys, *self.arguments(proxy.endpoint)))

        def kill(asked: Asked) -> bool:
            if call in (asked.action, f"{asked.method} {asked.headers.get('range', '')}".strip()):
                started.wait()
                child.kill()
            return False  # the call takes place

        proxy.reset()
        proxy.fail(kill, Fault())
        child.start()
        started.set()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL

    def releases(self, aws: Aws, needed: list[str], *devices: str) -> Releases:
        """What a successor has; ``devices`` are those of the instance's launch."""
        _, *where, _ = self.arguments("")
        return releases_of(aws, where, needed, *devices)

    async def use(self, *devices: str) -> int:
        """Let a successor have the release and leave it; returns how many volumes the session had meanwhile."""
        async with connect(endpoint_url=self.endpoint) as aws, asyncio.TaskGroup() as group:
            releases = self.releases(aws, [self.snapshot], *devices)
            releases.start(group)
            provided = await releases.ready(self.snapshot)
            assert (provided.directory / "name").read_text() == "release\n"
            volumes = await asyncio.to_thread(self.session.volumes)
            releases.leave(self.snapshot)
        return len(volumes)


@pytest.fixture(scope="module")
def plain() -> Iterator[Embedded]:
    """A cloud whose instances show their devices in a folder of this machine."""
    with (
        tempfile.TemporaryDirectory(prefix="awsac-test-") as parent,
        embedded_cloud(Path(parent) / "cloud", Settings(isolation=Isolation.PLAIN)) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def snapshot(plain: Embedded, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("release")
    (folder / "name").write_text("release\n")
    return cloud.import_snapshot(plain.directory, folder, description="")


@pytest.fixture(scope="module")
def instance(plain: Embedded, snapshot: str) -> Iterator[str]:
    """An instance that no session has."""
    account = Account(plain)
    [instance] = account.launch("", "", instances=1)
    wait_until(lambda: account.states([instance]) == {"running"})
    yield instance
    account.ec2.terminate_instances(InstanceIds=[instance])


@pytest.fixture
def scene(plain: Embedded, snapshot: str, instance: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    account = Account(plain)
    found = Scene(
        account=account,
        session=Session(account),
        endpoint=plain.endpoint,
        keys={name: plain.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")},
        instance=instance,
        directory=tmp_path / "releases",
        devices=plain.directory / "instances" / instance / "dev/disk/by-id",
        snapshot=snapshot,
    )
    for name, value in found.keys.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture(scope="module")
def proxy(plain: Embedded) -> Iterator[Proxy]:
    with proxy_to(plain.endpoint) as proxy:
        yield proxy


@pytest.mark.parametrize("call", CALLS)
async def test_a_successor_has_the_release_once_whatever_call_the_agent_died_at(
    scene: Scene, proxy: Proxy, call: str
) -> None:
    await asyncio.to_thread(scene.die, proxy, call)
    assert await scene.use() == 1
    assert scene.session.volumes() == []
    assert not list(scene.devices.iterdir())
    assert not (scene.directory / scene.snapshot).is_symlink()


@pytest.mark.parametrize("call", ["CreateVolume", "AttachVolume"])
async def test_a_successor_removes_what_none_of_its_jobs_needs(scene: Scene, proxy: Proxy, call: str) -> None:
    await asyncio.to_thread(scene.die, proxy, call)
    async with connect(endpoint_url=scene.endpoint) as aws:
        await scene.releases(aws, []).remove_all()
    assert scene.session.volumes() == []
    assert not list(scene.devices.iterdir())


async def test_a_volume_whose_creation_was_never_answered_is_removed(
    scene: Scene, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    proxy.reset()
    proxy.fail(lambda asked: asked.action == "CreateVolume", Fault(cut=0), times=1)
    async with connect(endpoint_url=proxy.endpoint) as aws, asyncio.TaskGroup() as group:
        releases = scene.releases(aws, [scene.snapshot])
        releases.start(group)
        with pytest.raises(ReleaseError, match="CreateVolume"):
            await releases.ready(scene.snapshot)
    assert proxy.count("DeleteVolume") == 1
    assert scene.session.volumes() == []


async def test_what_a_predecessor_left_mounted_goes_like_any_other_that_no_job_uses(scene: Scene) -> None:
    missing = "snap-0123456789abcdef0"
    async with connect(endpoint_url=scene.endpoint) as aws:
        async with asyncio.TaskGroup() as group:
            releases = scene.releases(aws, [scene.snapshot])
            releases.start(group)
            await releases.ready(scene.snapshot)
        where = scene.arguments("")[1:-1]
        async with asyncio.TaskGroup() as group:
            releases = release_child.releases_of(aws, where, [], possible=[scene.snapshot, missing])
            releases.start(group)
            releases.need(missing)
            with pytest.raises(ReleaseError):
                await releases.ready(missing)
            assert len(scene.session.volumes()) == 1
            releases.leave(missing)
    assert scene.session.volumes() == []


async def test_a_volume_is_removed_though_nothing_can_be_noted_of_it_any_more(scene: Scene) -> None:
    async with connect(endpoint_url=scene.endpoint) as aws, asyncio.TaskGroup() as group:
        releases = scene.releases(aws, [scene.snapshot])
        releases.start(group)
        await releases.ready(scene.snapshot)
        record = scene.directory / f"{scene.snapshot}.json"
        record.unlink()
        record.mkdir()  # as little to be replaced as on a full disk
        releases.leave(scene.snapshot)
    assert scene.session.volumes() == []


async def test_a_volume_that_the_launch_attached_is_used_and_left_as_it_is(scene: Scene) -> None:
    ec2 = scene.account.ec2
    mapping = {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": scene.snapshot, "DeleteOnTermination": True}}
    answer = ec2.run_instances(
        ImageId="ami-0a35ac00000000001",
        InstanceType="c5.large",
        MinCount=1,
        MaxCount=1,
        BlockDeviceMappings=[mapping],
    )
    [instance] = [each["InstanceId"] for each in answer["Instances"]]
    folder = scene.devices.parents[3] / instance / "dev/disk/by-id"
    await until(lambda: folder.is_dir() and any(folder.iterdir()))
    launched = replace(scene, instance=instance, devices=folder)
    assert await launched.use("sdf") == 0
    of_release = [{"Name": "snapshot-id", "Values": [scene.snapshot]}]
    assert [each["State"] for each in ec2.describe_volumes(Filters=of_release)["Volumes"]] == ["in-use"]
    ec2.terminate_instances(InstanceIds=[instance])
    await until(lambda: scene.account.states([instance]) == {"terminated"})
    assert ec2.describe_volumes(Filters=of_release)["Volumes"] == []


# --- a release in S3 ---

RANGE = 4 << 20
# From the first look at the object to the last of its bytes, which come when some of the files are there already.
REQUESTS = ["HEAD", f"GET bytes=0-{RANGE - 1}", f"GET bytes={2 * RANGE}-{3 * RANGE - 1}"]


def packed(**files: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


@pytest.fixture(scope="module")
def archive(plain: Embedded) -> bytes:
    content = packed(name=b"release\n", large=os.urandom(3 * RANGE), last=b"last\n")
    Account(plain).put("releases/good.tar.gz", content)
    Account(plain).put("releases/damaged.tar.gz", content[:RANGE] + b"damage" + content[RANGE + 6 :])
    return content


@pytest.fixture
def archived(scene: Scene, archive: bytes) -> Scene:
    return replace(scene, snapshot=f"s3://{BUCKET}/releases/good.tar.gz")


@pytest.mark.parametrize("asked", REQUESTS)
async def test_a_successor_has_all_of_a_release_in_s3_wherever_the_agent_died(
    archived: Scene, archive: bytes, proxy: Proxy, asked: str
) -> None:
    await asyncio.to_thread(archived.die, proxy, asked)
    async with connect(endpoint_url=archived.endpoint) as aws, asyncio.TaskGroup() as group:
        releases = archived.releases(aws, [archived.snapshot])
        releases.start(group)
        provided = await releases.ready(archived.snapshot)
        assert sorted(file.name for file in provided.directory.iterdir()) == ["large", "last", "name"]
        assert (provided.directory / "large").stat().st_size == 3 * RANGE
        assert provided.size == len(archive)
        releases.leave(archived.snapshot)
    assert list(archived.directory.iterdir()) == []


async def test_a_successor_removes_what_was_unpacked_and_none_of_its_jobs_needs(archived: Scene, proxy: Proxy) -> None:
    await asyncio.to_thread(archived.die, proxy, REQUESTS[-1])
    assert list(archived.directory.iterdir()) != []
    async with connect(endpoint_url=archived.endpoint) as aws:
        await archived.releases(aws, []).remove_all()
    assert list(archived.directory.iterdir()) == []


async def test_a_release_in_s3_is_fetched_once_however_many_jobs_and_agents_need_it(
    archived: Scene, proxy: Proxy
) -> None:
    proxy.reset()
    twice = [archived.snapshot] * 2
    async with connect(endpoint_url=proxy.endpoint) as aws:
        for number in (1, 2):
            async with asyncio.TaskGroup() as group:
                releases = archived.releases(aws, twice)
                releases.start(group)
                first, second = await asyncio.gather(*map(releases.ready, twice))
                assert first is second
                assert (first.directory / "name").read_text() == "release\n"
                if number == 2:
                    releases.leave(archived.snapshot)
                    assert first.directory.exists()
                    releases.leave(archived.snapshot)
    assert {asked.action for asked in proxy.asked} == {""}  # nothing is asked of EC2
    asked = [asked.headers["range"] for asked in proxy.asked if asked.method == "GET"]
    assert len(asked) == len(set(asked)) == 4
    assert list(archived.directory.iterdir()) == []


@pytest.mark.parametrize(
    "fault", [error(403, "ExpiredToken"), error(503, "SlowDown"), Fault(cut=0)], ids=["expired", "throttled", "cut"]
)
async def test_what_may_pass_while_a_release_is_fetched_is_borne(
    archived: Scene, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """Also where one try is all that a call makes: the fetch goes on at the byte at which it stopped."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    proxy.reset()
    proxy.fail(lambda asked: asked.headers.get("range", "").startswith(f"bytes={RANGE}-"), fault, times=1)
    async with connect(endpoint_url=proxy.endpoint) as aws, asyncio.TaskGroup() as group:
        releases = archived.releases(aws, [archived.snapshot])
        releases.start(group)
        provided = await releases.ready(archived.snapshot)
        assert (provided.directory / "last").read_text() == "last\n"
        releases.leave(archived.snapshot)
    assert list(archived.directory.iterdir()) == []


async def test_a_release_that_is_replaced_while_it_is_fetched_is_no_mixture(archived: Scene, proxy: Proxy) -> None:
    proxy.reset()
    proxy.fail(
        lambda asked: asked.headers.get("range", "").startswith(f"bytes={RANGE}-"), error(412, "PreconditionFailed")
    )
    async with connect(endpoint_url=proxy.endpoint) as aws, asyncio.TaskGroup() as group:
        releases = archived.releases(aws, [archived.snapshot])
        releases.start(group)
        with pytest.raises(ReleaseError, match=f"GetObject {archived.snapshot} failed: .*PreconditionFailed"):
            await releases.ready(archived.snapshot)
        releases.leave(archived.snapshot)
    assert list(archived.directory.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("damaged.tar.gz", "the archive is damaged: "),
        ("none.tar.gz", f"HeadObject s3://{BUCKET}/releases/none.tar.gz failed: there is no such object"),
        ("good.tar.xz", "HeadObject .* there is no such object"),
    ],
)
async def test_a_release_in_s3_that_cannot_be_used_says_why_and_leaves_nothing(
    archived: Scene, name: str, says: str
) -> None:
    scene = replace(archived, snapshot=f"s3://{BUCKET}/releases/{name}")
    async with connect(endpoint_url=scene.endpoint) as aws, asyncio.TaskGroup() as group:
        releases = scene.releases(aws, [scene.snapshot])
        releases.start(group)
        with pytest.raises(ReleaseError, match=f"^release {scene.snapshot}: {says}"):
            await releases.ready(scene.snapshot)
        releases.leave(scene.snapshot)
    assert not scene.directory.exists() or list(scene.directory.iterdir()) == []


async def test_a_job_that_is_stopped_while_its_release_is_fetched_leaves_nothing_of_it(
    archived: Scene, proxy: Proxy
) -> None:
    proxy.reset()
    fetching, loop = asyncio.Event(), asyncio.get_running_loop()

    def begun(asked: Asked) -> bool:
        if asked.method == "GET":
            loop.call_soon_threadsafe(fetching.set)
        return False

    proxy.fail(begun, Fault())
    async with connect(endpoint_url=proxy.endpoint) as aws, asyncio.TaskGroup() as group:
        releases = archived.releases(aws, [archived.snapshot])
        releases.start(group)
        async with asyncio.timeout(LONGEST):  # it may have failed before
            await fetching.wait()
        releases.leave(archived.snapshot)
    assert list(archived.directory.iterdir()) == []


@pytest.mark.parametrize("call", ["CreateVolume", "ModifyInstanceAttribute", "CreateSnapshot"])
async def test_a_successor_makes_one_snapshot_of_the_release_that_is_built_whatever_call_the_agent_died_at(
    scene: Scene, proxy: Proxy, call: str
) -> None:
    building = replace(scene, snapshot=NEW_RELEASE)
    await asyncio.to_thread(building.die, proxy, call)

    async with connect(endpoint_url=scene.endpoint) as aws, asyncio.TaskGroup() as group:
        releases = scene.releases(aws, [NEW_RELEASE])
        releases.start(group)
        made = await release_child.use(releases, NEW_RELEASE)

    tag = {"Name": "tag:awsac:session", "Values": [scene.session.id]}
    (snapshot,) = (await asyncio.to_thread(scene.account.ec2.describe_snapshots, Filters=[tag]))["Snapshots"]
    assert snapshot["SnapshotId"] == made
    assert scene.session.volumes() == []
    assert await replace(scene, snapshot=made, directory=scene.directory / "user").use() == 1


async def test_a_job_that_has_begun_to_fill_a_volume_gets_no_other_one_in_its_place(scene: Scene, proxy: Proxy) -> None:
    await asyncio.to_thread(replace(scene, snapshot=NEW_RELEASE).die, proxy, "DetachVolume")
    (scene.directory / "new.snapshot").unlink()

    async with connect(endpoint_url=scene.endpoint) as aws, asyncio.TaskGroup() as group:
        releases = scene.releases(aws, [NEW_RELEASE])
        releases.start(group)
        with pytest.raises(ReleaseError, match=r"vol-\w+, on which the release was being built, is gone"):
            await releases.ready(NEW_RELEASE)

    assert scene.session.volumes() == []


async def test_a_release_whose_snapshot_may_not_be_made_is_not_begun(scene: Scene, proxy: Proxy) -> None:
    proxy.reset()
    proxy.fail(lambda asked: asked.action == "CreateSnapshot", query_error(403, "UnauthorizedOperation"))

    async with connect(endpoint_url=proxy.endpoint) as aws, asyncio.TaskGroup() as group:
        releases = scene.releases(aws, [NEW_RELEASE])
        releases.start(group)
        with pytest.raises(ReleaseError, match=r"CreateSnapshot vol-.* failed"):
            await releases.ready(NEW_RELEASE)

    assert scene.session.volumes() == []
