"""Volumes live from creation to deletion, and all who wait for them share one poll."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.instances import Instances, Launch
from awsac_async.cloud.volumes import Volumes
from awsac_async.local.cloud import import_snapshot
from awsac_async.session.errors import (
    AttachmentLimitError,
    CloudError,
    DeniedError,
    DeviceNameInUseError,
    NotFoundError,
)
from tests.cloud.faults import Asked, Fault, Proxy, query_error
from tests.conftest import Embedded

ZONE = "us-east-1a"


@pytest.fixture(scope="session")
def snapshot(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A snapshot of a folder with one file."""
    source = tmp_path_factory.mktemp("release")
    (source / "file").write_text("release")
    return import_snapshot(embedded.directory, source, description="tests of the volumes")


@pytest_asyncio.fixture(loop_scope="session")
async def session(aws: Aws) -> AsyncIterator[str]:
    """A session's ID; what was made for it is removed."""
    session = f"261122_1646--volumes--{uuid.uuid4().hex[:6]}"
    yield session
    instances, volumes = Instances(aws), Volumes(aws)
    await instances.terminate([info.instance_id for info in await instances.of_session(session)])
    for info in await volumes.of_session(session):
        if info.instance_id == "":
            await volumes.delete(info.volume_id)


@pytest_asyncio.fixture(loop_scope="session")
async def instance(aws: Aws, session: str) -> str:
    """An instance of the session."""
    launch = Launch(
        image_id="ami-0a35ac00000000001",
        instance_type="c5.large",
        count=1,
        user_data="",
        client_token=uuid.uuid4().hex,
        session_id=session,
    )
    return (await Instances(aws).run(launch)).instance_ids[0]


async def create(volumes: Volumes, snapshot: str, session: str, token: str = "") -> str:
    return await volumes.create(
        snapshot_id=snapshot,
        zone=ZONE,
        client_token=token or uuid.uuid4().hex,
        session_id=session,
        instance_id="i-1",
    )


async def test_missing_snapshots_are_named_and_existing_ones_are_not(aws, snapshot):
    asked = ["snap-0123456789abcdef0", snapshot, "nonsense", snapshot]
    found = await Volumes(aws).snapshots(asked)
    assert [(name, each.completed) for name, each in found.items()] == [(snapshot, True)]
    assert await Volumes(aws).snapshots([]) == {}


async def test_a_volume_of_a_snapshot_that_does_not_exist_is_refused(aws, session):
    with pytest.raises(NotFoundError, match="CreateVolume snap-0123456789abcdef0 failed"):
        await create(Volumes(aws), "snap-0123456789abcdef0", session)


async def test_a_volume_lives_from_creation_to_deletion_and_every_step_can_be_repeated(
    aws, snapshot, session, instance
):
    volumes = Volumes(aws)
    volume = await create(volumes, snapshot, session)
    await volumes.wait_available(volume)
    for name in ("/dev/sdh1", "/dev/sdh2"):  # the second time it is attached, under the first name
        await volumes.wait_available(volume)
        assert await volumes.attach(volume, instance, name) == "/dev/sdh1"
        await volumes.wait_attached(volume)
        await volumes.delete_with_instance(instance, "/dev/sdh1")
    [info] = [info for info in await volumes.of_session(session) if info.volume_id == volume]
    assert info in await volumes.of_instance(instance)
    assert (info.state, info.snapshot_id, info.instance_id, info.device, info.zone) == (
        "in-use",
        snapshot,
        instance,
        "/dev/sdh1",
        ZONE,
    )
    for _ in range(2):
        await volumes.detach(volume, instance)
    for _ in range(2):
        await volumes.delete(volume)
    assert volume not in [info.volume_id for info in await volumes.of_session(session)]
    await volumes.detach(volume, instance)


async def test_the_same_token_makes_a_volume_only_once(aws, snapshot, session):
    volumes = Volumes(aws)
    assert await create(volumes, snapshot, session, "one") == await create(volumes, snapshot, session, "one")
    assert len(await volumes.of_session(session)) == 1


async def test_a_volume_attached_elsewhere_is_not_attached_as_wished(aws, snapshot, session, instance):
    volumes = Volumes(aws)
    volume = await create(volumes, snapshot, session)
    await volumes.wait_available(volume)
    await volumes.attach(volume, instance, "/dev/sdh1")
    await volumes.wait_attached(volume)
    with pytest.raises(CloudError, match=f"AttachVolume {volume} failed"):
        await volumes.attach(volume, "i-00000000000000000", "/dev/sdh1")
    await volumes.detach(volume, instance)


async def test_a_device_name_that_is_taken_is_told_from_other_refusals(aws, snapshot, session, instance):
    volumes = Volumes(aws)
    ids = [await create(volumes, snapshot, session) for _ in range(2)]
    await asyncio.gather(*(volumes.wait_available(volume) for volume in ids))
    await volumes.attach(ids[0], instance, "/dev/sdi")
    with pytest.raises(DeviceNameInUseError, match=f"AttachVolume {ids[1]} failed"):
        await volumes.attach(ids[1], instance, "/dev/sdi")
    await volumes.detach(ids[0], instance)


async def test_an_instance_that_can_have_no_more_volumes_is_told_from_other_refusals(
    proxied, proxy, snapshot, session, instance
):
    volumes = Volumes(proxied)
    volume = await create(volumes, snapshot, session)
    await volumes.wait_available(volume)
    proxy.fail(lambda asked: asked.action == "AttachVolume", query_error(400, "AttachmentLimitExceeded"), times=1)
    with pytest.raises(AttachmentLimitError, match=f"AttachVolume {volume} failed"):
        await volumes.attach(volume, instance, "/dev/sdi")


async def test_a_volume_whose_detachment_is_refused_at_first_is_detached_all_the_same(
    proxied, proxy, snapshot, session, instance
):
    volumes = Volumes(proxied)
    volume = await create(volumes, snapshot, session)
    await volumes.wait_available(volume)
    await volumes.attach(volume, instance, "/dev/sdj")
    proxy.fail(lambda asked: asked.action == "DetachVolume", query_error(400, "IncorrectState"), times=2)
    await volumes.detach(volume, instance)
    assert proxy.count("DetachVolume") == 3


async def test_all_who_wait_share_one_poll(proxied: Aws, proxy: Proxy, snapshot, session):
    volumes = Volumes(proxied)
    ids = [await create(volumes, snapshot, session) for _ in range(12)]
    await asyncio.gather(*(volumes.wait_available(volume) for volume in ids))
    polls = [asked for asked in proxy.asked if asked.action == "DescribeVolumes"]
    assert len(polls) < len(ids)
    assert any(all(volume in poll.body.decode() for volume in ids) for poll in polls)


async def test_nothing_is_polled_when_nobody_waits_any_more(proxied, proxy, snapshot, session):
    volumes = Volumes(proxied)
    waiting = asyncio.create_task(volumes.wait_attached(await create(volumes, snapshot, session)), name="wait")
    await asyncio.to_thread(proxy.wait_for, "DescribeVolumes", times=2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "poll volumes"] == []


def volumes_answer(volume: str = "", state: str = "") -> Fault:
    """What DescribeVolumes answers about one volume, or about none."""
    item = f"<item><volumeId>{volume}</volumeId><status>{state}</status></item>" if volume else ""
    answer = f"<DescribeVolumesResponse><volumeSet>{item}</volumeSet></DescribeVolumesResponse>"
    return Fault(status=200, body=answer.encode())


def described(asked: Asked) -> bool:
    return asked.action == "DescribeVolumes"


async def test_a_volume_that_ec2_does_not_show_yet_is_waited_for(proxied, proxy, snapshot, session):
    volumes = Volumes(proxied)
    volume = await create(volumes, snapshot, session)
    proxy.fail(described, volumes_answer(), times=2)
    await volumes.wait_available(volume)
    assert proxy.count("DescribeVolumes") >= 3


async def test_a_poll_that_is_throttled_is_only_a_missed_poll(proxied, proxy, snapshot, session):
    volumes = Volumes(proxied)
    volume = await create(volumes, snapshot, session)
    proxy.fail(described, query_error(503, "RequestLimitExceeded"), times=4)  # two polls of two attempts
    await volumes.wait_available(volume)
    assert proxy.count("DescribeVolumes") > 4


async def test_a_poll_that_is_denied_is_an_error_to_all_who_wait(proxied, proxy, snapshot, session):
    volumes = Volumes(proxied)
    ids = [await create(volumes, snapshot, session) for _ in range(2)]
    proxy.fail(described, query_error(403, "UnauthorizedOperation"))
    results = await asyncio.gather(*(volumes.wait_available(volume) for volume in ids), return_exceptions=True)
    assert [type(result) for result in results] == [DeniedError, DeniedError]


async def test_a_volume_that_ends_in_error_is_not_waited_for_any_longer(proxied, proxy):
    proxy.fail(described, volumes_answer("vol-1", "error"))
    with pytest.raises(CloudError, match="vol-1 failed: it is 'error' and will not become 'available'"):
        await Volumes(proxied).wait_available("vol-1")


async def test_a_volume_that_is_in_use_for_a_moment_longer_is_deleted_when_it_is_free(
    proxied, proxy, snapshot, session
):
    volumes = Volumes(proxied)
    volume = await create(volumes, snapshot, session)
    await volumes.wait_available(volume)
    proxy.fail(lambda asked: asked.action == "DeleteVolume", query_error(400, "VolumeInUse"), times=2)
    await volumes.delete(volume)
    assert proxy.count("DeleteVolume") == 3
    assert await volumes.of_session(session) == []


async def test_a_volume_that_ec2_does_not_show_yet_is_deleted_all_the_same(proxied, proxy, snapshot, session):
    volumes = Volumes(proxied)
    volume = await create(volumes, snapshot, session)
    proxy.fail(lambda asked: asked.action == "DeleteVolume", query_error(400, "InvalidVolume.NotFound"), times=2)
    await volumes.delete(volume)
    assert proxy.count("DeleteVolume") == 3
    assert await volumes.of_session(session) == []


async def test_a_volume_that_ec2_does_not_show_yet_is_detached_all_the_same(
    proxied, proxy, snapshot, session, instance
):
    volumes = Volumes(proxied)
    volume = await create(volumes, snapshot, session)
    await volumes.wait_available(volume)
    await volumes.attach(volume, instance, "/dev/sdh1")
    proxy.fail(described, volumes_answer(), times=2)
    await volumes.detach(volume, instance)
    [info] = [info for info in await volumes.of_session(session) if info.volume_id == volume]
    assert (info.state, info.instance_id) == ("available", "")


async def test_a_volume_of_somebody_else_that_is_gone_is_deleted_already(proxied, proxy):
    await Volumes(proxied).delete("vol-0123456789abcdef0")
    assert proxy.count("DeleteVolume") == 1
