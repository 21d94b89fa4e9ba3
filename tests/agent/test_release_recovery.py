"""Whenever an agent dies, its successor has each release once, and leaves no volume behind."""

import asyncio
import multiprocessing
import signal
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
from tests.agent import release_child
from tests.agent.account import Account, Session
from tests.agent.release_child import releases_of
from tests.cloud.faults import Asked, Fault, Proxy, proxy_to
from tests.conftest import Embedded, embedded_cloud
from tests.waiting import until, wait_until

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
    instance: str
    directory: Path
    devices: Path
    snapshot: str

    def arguments(self, endpoint: str) -> list[str]:
        return [endpoint, self.session.id, self.instance, str(self.directory), str(self.devices), self.snapshot]

    def die(self, proxy: Proxy, call: str) -> None:
        """Let an agent provide and remove the release, and kill it once the cloud has got one of its calls."""
        started = threading.Event()
        child = FORKING.Process(target=release_child.live, args=self.arguments(proxy.endpoint))

        def kill(asked: Asked) -> bool:
            if asked.action == call:
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
def scene(plain: Embedded, snapshot: str, instance: str, tmp_path: Path) -> Scene:
    account = Account(plain)
    return Scene(
        account=account,
        session=Session(account),
        endpoint=plain.endpoint,
        instance=instance,
        directory=tmp_path / "releases",
        devices=plain.directory / "instances" / instance / "dev/disk/by-id",
        snapshot=snapshot,
    )


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
