"""Instances are found, started once, and terminated; what EC2 is asked cannot be left behind."""

import base64
import dataclasses
import uuid
from datetime import timedelta
from urllib.parse import parse_qs

import pytest
import pytest_asyncio

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.instances import Instances, Launch
from awsac_async.session.errors import CapacityError, CloudError, ConflictError
from tests.cloud.faults import query_error

IMAGE, OWNER = "ami-0a35ac00000000001", "123456789012"


@pytest_asyncio.fixture(loop_scope="session")
async def launch(aws: Aws):
    """A launch of two instances; what it started is terminated."""
    session = f"261122_1646--inst--{uuid.uuid4().hex[:6]}"
    yield Launch(
        image_id=IMAGE,
        instance_type="c5.large",
        count=2,
        user_data="",
        client_token=uuid.uuid4().hex,
        session_id=session,
        instance_profile="awsac-agent",
    )
    await Instances(aws).terminate([info.instance_id for info in await Instances(aws).of_session(session)])


async def test_a_launch_gives_one_reservation_whose_instances_are_found_by_their_session(aws, launch):
    instances = Instances(aws)
    reservation = await instances.run(launch)
    found = await instances.of_session(launch.session_id)
    assert tuple(info.instance_id for info in found) == reservation.instance_ids
    assert [info.launch_index for info in found] == [0, 1]
    assert all(info.live and info.instance_type == "c5.large" for info in found)
    assert await instances.of_session("another session") == []


async def test_the_same_launch_again_starts_nothing_twice_and_another_under_its_token_is_refused(aws, launch):
    instances = Instances(aws)
    assert await instances.run(launch) == await instances.run(launch)
    assert len(await instances.of_session(launch.session_id)) == 2
    with pytest.raises(ConflictError, match="IdempotentParameterMismatch"):
        await instances.run(dataclasses.replace(launch, count=1))


async def test_terminated_instances_stay_so_and_unknown_ones_do_not_hinder_the_others(aws, launch):
    instances = Instances(aws)
    ids = (await instances.run(launch)).instance_ids
    await instances.terminate([*ids, "i-00000000000000000"])
    await instances.terminate(ids)
    await instances.terminate([])
    left = await instances.of_session(launch.session_id)
    assert not any(info.state in {"pending", "running"} for info in left)
    assert all(info.ended and info.launched <= info.ended + timedelta(seconds=1) for info in left)


async def test_what_is_asked_of_ec2_cannot_be_left_behind(proxied, proxy, launch):
    options = dataclasses.replace(
        launch, user_data="s;b;a;2", market="spot", key_name="key", security_group_ids=("sg-1", "sg-2"), subnet_id="sub"
    )
    proxy.fail(lambda asked: asked.action == "RunInstances", query_error(400, "VcpuLimitExceeded"))
    with pytest.raises(CapacityError):
        await Instances(proxied).run(options)
    [asked] = [asked for asked in proxy.asked if asked.action == "RunInstances"]
    request = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
    assert base64.b64decode(request.pop("UserData")) == b"s;b;a;2"
    name = f"awsac {launch.session_id}"
    assert request == {
        "Action": "RunInstances",
        "Version": "2016-11-15",
        "ImageId": IMAGE,
        "InstanceType": "c5.large",
        "MinCount": "2",
        "MaxCount": "2",
        "ClientToken": launch.client_token,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions.HttpTokens": "required",
        "MetadataOptions.HttpPutResponseHopLimit": "1",
        "MetadataOptions.HttpEndpoint": "enabled",
        "IamInstanceProfile.Name": "awsac-agent",
        "KeyName": "key",
        "SecurityGroupId.1": "sg-1",
        "SecurityGroupId.2": "sg-2",
        "SubnetId": "sub",
        "InstanceMarketOptions.MarketType": "spot",
    } | {
        f"TagSpecification.{number}.{field}": value
        for number, kind in enumerate(["instance", "volume"], start=1)
        for field, value in {
            "ResourceType": kind,
            "Tag.1.Key": "awsac:session",
            "Tag.1.Value": launch.session_id,
            "Tag.2.Key": "Name",
            "Tag.2.Value": name,
        }.items()
    }


@pytest.mark.parametrize("public", [True, False, None])
async def test_a_public_address_is_as_asked_and_the_root_volume_is_encrypted_and_goes_with_its_instance(
    aws, launch, public
):
    options = dataclasses.replace(launch, count=1, public_ip=public, root_device="/dev/sda1")
    [instance_id] = (await Instances(aws).run(options)).instance_ids
    ec2 = await aws.client("ec2")
    [instance] = (await ec2.describe_instances(InstanceIds=[instance_id]))["Reservations"][0]["Instances"]
    [mapping] = instance["BlockDeviceMappings"]
    [volume] = (await ec2.describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]]))["Volumes"]

    assert ("PublicIpAddress" in instance) is (public is not False)
    assert (volume["Encrypted"], mapping["Ebs"]["DeleteOnTermination"]) == (True, True)
    assert {tag["Key"] for tag in volume["Tags"]} == {"awsac:session", "Name"}


async def test_an_interface_has_the_groups_and_the_subnet_of_the_launch(proxied, proxy, launch):
    options = dataclasses.replace(launch, security_group_ids=("sg-1", "sg-2"), subnet_id="sub", public_ip=False)
    proxy.fail(lambda asked: asked.action == "RunInstances", query_error(400, "VcpuLimitExceeded"))
    with pytest.raises(CapacityError):
        await Instances(proxied).run(options)
    [asked] = [asked for asked in proxy.asked if asked.action == "RunInstances"]
    request = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
    assert {name: value for name, value in request.items() if "Security" in name or name.startswith("Network")} == {
        "NetworkInterface.1.DeviceIndex": "0",
        "NetworkInterface.1.AssociatePublicIpAddress": "false",
        "NetworkInterface.1.DeleteOnTermination": "true",
        "NetworkInterface.1.SubnetId": "sub",
        "NetworkInterface.1.SecurityGroupId.1": "sg-1",
        "NetworkInterface.1.SecurityGroupId.2": "sg-2",
    }


@pytest.mark.parametrize(
    "why", ["Invalid IAM Instance Profile name", 'IAM Instance Profile "arn" has no associated IAM Roles']
)
async def test_an_instance_profile_that_was_just_made_is_waited_for(proxied, proxy, launch, why):
    reason = f"Value (awsac-agent) for parameter iamInstanceProfile.name is invalid. {why}"
    proxy.fail(lambda asked: asked.action == "RunInstances", query_error(400, "InvalidParameterValue", reason), times=2)
    assert len((await Instances(proxied).run(launch)).instance_ids) == 2


async def test_a_plan_waits_for_a_fresh_profile_too_if_iam_knows_it_and_else_says_that_it_is_unknown(
    proxied, proxy, launch
):
    reason = "Value (awsac-agent) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
    proxy.fail(lambda asked: asked.action == "RunInstances", query_error(400, "InvalidParameterValue", reason), times=3)
    with pytest.raises(CloudError, match="Invalid IAM Instance Profile name"):
        await Instances(proxied).dry_run(launch)
    await Instances(proxied).dry_run(launch, profile_exists=True)
    assert proxy.count("RunInstances") == 4
