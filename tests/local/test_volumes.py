"""Volumes and snapshots hold what was written to them, and go through the states of EBS."""

from pathlib import Path

import pytest

from awsac_async.local import cloud
from awsac_async.local.settings import Isolation

from .account import Account, error_code, eventually

ZONE = "us-east-1a"
NOWHERE = "snap-0123456789abcdef0"

# Makes a volume appear at $place, as the form of the instance allows; a blank one gets a file system first.
MOUNT = """
by_id=${AWSACDeviceDir:-/dev/disk/by-id}
device=$by_id/nvme-Amazon_Elastic_Block_Store_$(echo VOLUME | tr -d -)
place=$HOME/volume
until [ -e "$device" ]; do sleep 0.05; done
if [ -b "$device" ]; then
    blkid "$device" >/dev/null || mkfs.ext4 -q "$device"
    mkdir -p "$place"; mount "$device" "$place"
else
    ln -s "$device" "$place"
fi
"""


def _create(account: Account, **options: object) -> str:
    volume = account.ec2.create_volume(AvailabilityZone=ZONE, **options)
    assert volume["State"] == "creating"
    account.volume_reached(volume["VolumeId"], "available")
    return str(volume["VolumeId"])


def _attach(account: Account, volume_id: str, instance_id: str, device: str = "/dev/sdh1") -> None:
    answer = account.ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device)
    assert answer["State"] == "attaching"
    eventually(lambda: account.volume(volume_id)["Attachments"][0]["State"], lambda state: state == "attached")


def _snapshot(account: Account, volume_id: str) -> str:
    snapshot = account.ec2.create_snapshot(VolumeId=volume_id)
    snapshot_id = str(snapshot["SnapshotId"])
    assert snapshot["State"] == "pending"
    eventually(
        lambda: account.ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0],
        lambda found: found["State"] == "completed",
    )
    return snapshot_id


def _kept(account: Account, kind: str) -> list[Path]:
    return list((account.cloud.directory / kind).iterdir())


def test_what_is_written_to_a_volume_is_on_a_volume_made_from_its_snapshot(account: Account) -> None:
    volume_id = _create(account, Size=1)
    script = MOUNT.replace("VOLUME", volume_id)
    writer = account.launch(script + 'echo kept > "$place/file"; umount "$place" 2>/dev/null; echo written; sleep 60')
    account.reached(writer, "running")
    _attach(account, volume_id, writer)
    account.printed(writer, "written")
    answer = account.ec2.detach_volume(VolumeId=volume_id)
    assert answer["State"] == "detaching"
    account.volume_reached(volume_id, "available")
    snapshot_id = _snapshot(account, volume_id)
    account.ec2.delete_volume(VolumeId=volume_id)

    copy_id = _create(account, SnapshotId=snapshot_id)
    assert account.volume(copy_id)["Size"] == 1
    script = MOUNT.replace("VOLUME", copy_id)
    reader = account.launch(script + 'echo found $(cat "$place/file"); ls -lL /dev/nvme* 2>&1; sleep 60')
    account.reached(reader, "running")
    _attach(account, copy_id, reader)
    account.printed(reader, "found kept")
    account.terminate(writer, reader)
    account.volume_reached(copy_id, "available")
    account.ec2.delete_volume(VolumeId=copy_id)
    account.ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert _kept(account, "volumes") == _kept(account, "snapshots") == []
    assert cloud.status(account.cloud.directory).loop_devices == []


def test_a_volume_may_be_deleted_while_its_snapshot_is_pending(account: Account) -> None:
    volume_id = _create(account, Size=1)
    snapshot_id = account.ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    account.ec2.delete_volume(VolumeId=volume_id)
    eventually(
        lambda: account.ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]["State"],
        lambda state: state == "completed",
    )
    copy_id = _create(account, SnapshotId=snapshot_id)
    eventually(lambda: [path.name for path in _kept(account, "volumes")], lambda names: names == [copy_id])
    account.ec2.delete_volume(VolumeId=copy_id)
    account.ec2.delete_snapshot(SnapshotId=snapshot_id)


def test_a_snapshot_that_is_encrypted_with_the_accounts_own_key_cannot_be_shared(account: Account) -> None:
    volumes = [_create(account, Size=1, Encrypted=encrypted) for encrypted in (True, False)]
    kept, shared = (_snapshot(account, volume_id) for volume_id in volumes)
    options = {"Attribute": "createVolumePermission", "OperationType": "add", "UserIds": ["111122223333"]}
    refused = error_code(account.ec2.modify_snapshot_attribute, SnapshotId=kept, **options)
    account.ec2.modify_snapshot_attribute(SnapshotId=shared, **options)
    found = account.ec2.describe_snapshot_attribute(SnapshotId=shared, Attribute="createVolumePermission")
    for volume_id, snapshot_id in zip(volumes, (kept, shared), strict=True):
        account.ec2.delete_volume(VolumeId=volume_id)
        account.ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert refused == "OperationNotPermitted"
    assert [each["UserId"] for each in found["CreateVolumePermissions"]] == ["111122223333"]


def test_an_imported_folder_is_a_snapshot(account: Account, tmp_path: Path) -> None:
    (tmp_path / "release" / "bin").mkdir(parents=True)
    (tmp_path / "release" / "bin" / "tool").write_text("#!/bin/sh\necho the tool runs\n")
    (tmp_path / "release" / "bin" / "tool").chmod(0o755)
    snapshot_id = cloud.import_snapshot(account.cloud.directory, tmp_path / "release", description="a release")
    (snapshot,) = account.ec2.describe_snapshots(OwnerIds=["self"], SnapshotIds=[snapshot_id])["Snapshots"]
    assert (snapshot["State"], snapshot["Description"]) == ("completed", "a release")
    volume_id = _create(account, SnapshotId=snapshot_id)
    instance_id = account.launch(MOUNT.replace("VOLUME", volume_id) + '"$place/bin/tool"; sleep 60')
    account.reached(instance_id, "running")
    _attach(account, volume_id, instance_id)
    account.printed(instance_id, "the tool runs")
    account.ec2.modify_instance_attribute(
        InstanceId=instance_id,
        BlockDeviceMappings=[{"DeviceName": "/dev/sdh1", "Ebs": {"DeleteOnTermination": True}}],
    )
    account.terminate(instance_id)
    assert error_code(account.ec2.describe_volumes, VolumeIds=[volume_id]) == "InvalidVolume.NotFound"
    account.ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert _kept(account, "volumes") == []


def test_a_volume_asked_for_at_launch_is_there_before_the_boot_script(account: Account, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("early\n")
    snapshot_id = cloud.import_snapshot(account.cloud.directory, tmp_path, description="")
    mapping = {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot_id, "DeleteOnTermination": True}}
    instance_id = account.launch("ls ${AWSACDeviceDir:-/dev/disk/by-id}; sleep 60", BlockDeviceMappings=[mapping])
    console = account.printed(instance_id, "nvme-")
    devices = account.instance(instance_id)["BlockDeviceMappings"]
    assert sorted(device["DeviceName"] for device in devices) == ["/dev/sda1", "/dev/sdf"]
    (volume_id,) = (device["Ebs"]["VolumeId"] for device in devices if device["DeviceName"] == "/dev/sdf")
    assert console == f"nvme-Amazon_Elastic_Block_Store_{volume_id.replace('-', '')}\n"
    account.terminate(instance_id)
    account.ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert _kept(account, "volumes") == []


def test_a_volume_that_is_mounted_is_detached_when_it_is_unmounted(account: Account) -> None:
    if account.isolation != Isolation.NAMESPACES:
        pytest.skip("only a block device is held by who has it mounted")
    volume_id = _create(account, Size=1)
    script = MOUNT.replace("VOLUME", volume_id) + 'echo mounted; sleep 1; umount "$place"; echo unmounted; sleep 60'
    instance_id = account.launch(script)
    account.reached(instance_id, "running")
    _attach(account, volume_id, instance_id)
    account.printed(instance_id, "mounted")
    account.ec2.detach_volume(VolumeId=volume_id)
    account.volume_reached(volume_id, "available")
    assert "unmounted" in account.console(instance_id)
    account.terminate(instance_id)
    account.ec2.delete_volume(VolumeId=volume_id)


def test_a_volume_that_cannot_be_made_is_refused(any_account: Account) -> None:
    ec2 = any_account.ec2
    assert error_code(ec2.create_volume, AvailabilityZone=ZONE, SnapshotId=NOWHERE) == "InvalidSnapshot.NotFound"
    assert error_code(ec2.create_volume, AvailabilityZone="us-east-1z", Size=1) == "InvalidZone.NotFound"
    assert error_code(ec2.create_volume, AvailabilityZone=ZONE) == "MissingParameter"
    assert error_code(ec2.create_volume, AvailabilityZone=ZONE, Size=0) == "InvalidParameterValue"
    assert error_code(ec2.describe_snapshots, SnapshotIds=[NOWHERE]) == "InvalidSnapshot.NotFound"
    assert error_code(ec2.delete_snapshot, SnapshotId=NOWHERE) == "InvalidSnapshot.NotFound"


def test_an_attachment_that_cannot_be_made_is_refused(any_account: Account) -> None:
    ec2 = any_account.ec2
    instance_id = any_account.launch()
    volume_id, other, far = _create(any_account, Size=1), _create(any_account, Size=1), "us-east-1b"
    far_id = ec2.create_volume(AvailabilityZone=far, Size=1)["VolumeId"]
    any_account.volume_reached(far_id, "available")
    any_account.reached(instance_id, "running")
    request = {"VolumeId": volume_id, "InstanceId": instance_id, "Device": "/dev/sdh1"}
    assert error_code(ec2.attach_volume, **request | {"VolumeId": far_id}) == "InvalidVolume.ZoneMismatch"
    assert error_code(ec2.attach_volume, **request | {"Device": "sdh1"}) == "InvalidParameterValue"
    assert error_code(ec2.attach_volume, **request | {"InstanceId": "i-0"}) == "InvalidInstanceID.NotFound"
    assert error_code(ec2.detach_volume, VolumeId=volume_id) == "IncorrectState"
    _attach(any_account, volume_id, instance_id)
    assert error_code(ec2.attach_volume, **request) == "VolumeInUse"
    assert error_code(ec2.attach_volume, **request | {"VolumeId": other}) == "InvalidParameterValue"
    assert error_code(ec2.delete_volume, VolumeId=volume_id) == "VolumeInUse"
    root = any_account.instance(instance_id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    assert error_code(ec2.detach_volume, VolumeId=root) == "OperationNotPermitted"
    any_account.terminate(instance_id)
    assert error_code(ec2.attach_volume, **request | {"VolumeId": other}) == "IncorrectState"
    for leftover in (volume_id, other, far_id):
        any_account.volume_reached(leftover, "available")
        ec2.delete_volume(VolumeId=leftover)
    assert error_code(ec2.delete_volume, VolumeId=other) == "InvalidVolume.NotFound"


def test_a_snapshot_of_folders_that_may_not_be_written_is_deleted(account: Account, tmp_path: Path) -> None:
    locked = tmp_path / "release" / "locked"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    locked.chmod(0o500)
    try:
        snapshot_id = cloud.import_snapshot(account.cloud.directory, tmp_path / "release", description="")
    finally:
        locked.chmod(0o700)
    account.ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert _kept(account, "snapshots") == _kept(account, "volumes") == []
