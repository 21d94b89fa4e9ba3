"""EC2 requests are refused, repeated and filtered as on AWS."""

import base64
import uuid
from typing import Any

import pytest

from .account import IMAGE, STOCK, Account, error_code

LAUNCH: dict[str, Any] = {"ImageId": IMAGE, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}


def test_the_same_client_token_gives_the_same_reservation(any_account: Account) -> None:
    request = LAUNCH | {"MinCount": 2, "MaxCount": 2, "ClientToken": str(uuid.uuid4())}
    first, second = (any_account.ec2.run_instances(**request) for _ in range(2))
    ids = [instance["InstanceId"] for instance in first["Instances"]]
    assert second["ReservationId"] == first["ReservationId"]
    assert [instance["InstanceId"] for instance in second["Instances"]] == ids
    assert [instance["AmiLaunchIndex"] for instance in first["Instances"]] == [0, 1]
    found = any_account.ec2.describe_instances(InstanceIds=ids)["Reservations"]
    assert [len(reservation["Instances"]) for reservation in found] == [2]
    any_account.terminate(*ids)


def test_a_client_token_with_other_parameters_is_refused(any_account: Account) -> None:
    token = str(uuid.uuid4())
    volume = {"AvailabilityZone": "us-east-1a", "ClientToken": token}
    volume_id = any_account.ec2.create_volume(**volume, Size=1)["VolumeId"]
    assert error_code(any_account.ec2.create_volume, **volume, Size=2) == "IdempotentParameterMismatch"
    launched = any_account.ec2.run_instances(**LAUNCH, ClientToken=token)
    other = LAUNCH | {"InstanceType": "c1.medium", "ClientToken": token}
    assert error_code(any_account.ec2.run_instances, **other) == "IdempotentParameterMismatch"
    any_account.volume_reached(volume_id, "available")
    any_account.ec2.delete_volume(VolumeId=volume_id)
    any_account.terminate(launched["Instances"][0]["InstanceId"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "image"}, "InvalidAMIID.Malformed"),
        ({"InstanceType": "m5.tiny"}, "InvalidParameterValue"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "InvalidParameterValue"),
        ({"IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/no"}}, "InvalidParameterValue"),
        ({"UserData": "x" * (16 * 1024 + 1)}, "InvalidParameterValue"),
        ({"MinCount": 3, "MaxCount": 2}, "InvalidParameterValue"),
        ({"MinCount": 0}, "InvalidParameterValue"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
        ({"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound"),
        ({"ClientToken": "t" * 65}, "InvalidParameterValue"),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": "snap-0123456789abcdef0"}}]},
            "InvalidSnapshot.NotFound",
        ),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_a_launch_that_ec2_refuses_starts_nothing(any_account: Account, change: dict[str, Any], code: str) -> None:
    def launched() -> list[str]:
        found = any_account.ec2.describe_instances()["Reservations"]
        return [instance["InstanceId"] for reservation in found for instance in reservation["Instances"]]

    before = launched()
    assert error_code(any_account.ec2.run_instances, **LAUNCH | change) == code
    assert launched() == before


def test_user_data_of_16_kilobytes_is_accepted(any_account: Account) -> None:
    script = "echo all there #"
    instance_id = any_account.launch(script + "x" * (16 * 1024 - len(script)))
    any_account.printed(instance_id, "all there")
    any_account.terminate(instance_id)


def test_tags_given_at_launch_are_on_instances_and_volumes_and_select_them(any_account: Account) -> None:
    tags = [{"Key": "session", "Value": str(uuid.uuid4())}]
    specifications = [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")]
    request = LAUNCH | {"MaxCount": 2, "TagSpecifications": specifications}
    ids = [instance["InstanceId"] for instance in any_account.ec2.run_instances(**request)["Instances"]]
    mine = {"Name": "tag:session", "Values": [tags[0]["Value"]]}

    def found(state: str) -> list[str]:
        filters = [mine, {"Name": "instance-state-name", "Values": [state]}]
        answer = any_account.ec2.describe_instances(Filters=filters)["Reservations"]
        return [instance["InstanceId"] for reservation in answer for instance in reservation["Instances"]]

    assert len(ids) == 2
    any_account.reached(ids[0], "running")
    any_account.reached(ids[1], "running")
    assert found("running") == ids
    volumes = any_account.ec2.describe_volumes(Filters=[mine])["Volumes"]
    assert sorted(volume["Attachments"][0]["InstanceId"] for volume in volumes) == sorted(ids)
    any_account.terminate(*ids)
    assert found("terminated") == ids
    assert any_account.ec2.describe_volumes(Filters=[mine])["Volumes"] == []


def test_terminating_again_leaves_an_instance_terminated(any_account: Account) -> None:
    instance_id = any_account.launch()
    any_account.terminate(instance_id)
    (change,) = any_account.ec2.terminate_instances(InstanceIds=[instance_id])["TerminatingInstances"]
    assert change["PreviousState"]["Name"] == change["CurrentState"]["Name"] == "terminated"
    assert error_code(any_account.ec2.terminate_instances, InstanceIds=["i-0"]) == "InvalidInstanceID.NotFound"


def test_the_account_has_two_images_and_knows_the_cores_of_instance_types(any_account: Account) -> None:
    images = any_account.ec2.describe_images(Owners=["123456789012"])["Images"]
    assert [image["ImageId"] for image in images] == [IMAGE, STOCK]
    assert any_account.ec2.describe_images()["Images"] == images
    (known,) = any_account.ec2.describe_instance_types(InstanceTypes=["c1.medium"])["InstanceTypes"]
    assert known["VCpuInfo"]["DefaultVCpus"] == 2
    assert error_code(any_account.ec2.describe_instance_types, InstanceTypes=["m5.tiny"]) == "InvalidInstanceType"


def test_a_public_parameter_of_systems_manager_names_the_stock_image_and_others_are_not_there(
    any_account: Account,
) -> None:
    instance_id = any_account.launch("", ImageId="resolve:ssm:/aws/service/debian/release/13/latest/amd64")
    assert any_account.instance(instance_id)["ImageId"] == STOCK
    any_account.terminate(instance_id)
    assert error_code(any_account.launch, ImageId="resolve:ssm:/mine") == "InvalidParameterValue"


def test_the_user_data_of_an_instance_can_be_described(any_account: Account) -> None:
    instance_id = any_account.launch("echo hello")
    answer = any_account.ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    assert base64.b64decode(answer["UserData"]["Value"]) == b"echo hello"
    any_account.terminate(instance_id)


@pytest.mark.parametrize("on_interface", [False, True])
def test_a_security_group_is_not_deleted_while_an_instance_has_it(any_account: Account, on_interface: bool) -> None:
    group_id = any_account.ec2.create_security_group(GroupName=f"mine-{uuid.uuid4()}", Description="x")["GroupId"]
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": True, "Groups": [group_id]}
    network = {"NetworkInterfaces": [interface]} if on_interface else {"SecurityGroupIds": [group_id]}
    instance_id = any_account.launch("", **network)

    assert error_code(any_account.ec2.delete_security_group, GroupId=group_id) == "DependencyViolation"
    any_account.terminate(instance_id)
    any_account.ec2.delete_security_group(GroupId=group_id)
    assert error_code(any_account.ec2.delete_security_group, GroupId=group_id) == "InvalidGroup.NotFound"
