"""Images that awsac makes: found by their tags, and deleted with their snapshots, also when they are half made."""

import uuid

import pytest
import pytest_asyncio

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.builders import Build, Builders
from awsac_async.cloud.instances import Instances
from awsac_async.cloud.ownimages import NAME_TAKEN, OwnImages
from awsac_async.cloud.waiting import attempts
from awsac_async.session.errors import CloudError, NotFoundError

STOCK = "ami-0a35ac00000000002"


@pytest_asyncio.fixture(loop_scope="session")
async def build(aws: Aws):
    """A build whose builder has stopped, with what a test makes of it; all of it goes."""
    order = Build(
        build_id=uuid.uuid4().hex,
        base=STOCK,
        instance_type="t3.small",
        user_data="#!/bin/sh\npoweroff\n",
        max_hours=0.25,
    )
    instance_id = await Builders(aws).run(order)
    assert await Builders(aws).run(order) == instance_id
    async for _ in attempts(within=30):
        (builder,) = await Builders(aws).of_build(order.build_id)
        if builder.state == "stopped":
            break
    yield builder
    await Instances(aws).terminate([instance_id])
    await OwnImages(aws).delete_build(order.build_id)


async def test_a_builder_stops_by_itself_and_is_found_by_its_build_and_no_session(aws, build):
    assert (build.state, build.live, build.max_hours) == ("stopped", True, 0.25)
    assert build in await Builders(aws).of_all_builds()
    assert build.instance_id not in {each.instance_id for each in await Instances(aws).of_all_sessions()}


async def test_what_a_build_has_made_goes_with_its_snapshot_as_soon_as_it_is_begun(aws, build):
    images, name = OwnImages(aws), f"image of {build.build_id}"
    image_id = await images.make(build.instance_id, name=name, version="0.1.0", build_id=build.build_id)
    (image,) = await images.of_build(build.build_id)
    assert (image.image_id, image.name, image.version, image.state) == (image_id, name, "0.1.0", "pending")
    assert await images.named(name)
    assert image.snapshot_ids
    with pytest.raises(CloudError) as taken:
        await images.make(build.instance_id, name=name, version="0.1.0", build_id=build.build_id)
    assert taken.value.code == NAME_TAKEN

    await images.delete_build(build.build_id)
    assert await images.of_build(build.build_id) == []
    assert not await images.named(name)
    ec2 = await aws.client("ec2")
    shown = (await ec2.describe_snapshots(OwnerIds=["self"]))["Snapshots"]
    assert not {each["SnapshotId"] for each in shown} & {*image.snapshot_ids}
    await images.delete(image)  # again: it is gone


async def test_an_image_that_awsac_has_not_made_is_none_of_its_own(aws):
    with pytest.raises(NotFoundError, match="awsac has made no such image"):
        await OwnImages(aws).find(STOCK)
