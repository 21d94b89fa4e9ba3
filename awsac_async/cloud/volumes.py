"""EBS volumes, made from snapshots or empty: create, attach, detach, delete, each of them safe to repeat.

Owns every EC2 call on snapshots and volumes. Waits through one shared poll (``volumewaits``), and bears EC2's eventual
consistency: what was just made may not be seen for a while, and what is not there any more is gone as wished.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.volumewaits import GONE, IDS_A_CALL, VISIBLE_WITHIN, Standing, VolumePoll
from awsac_async.cloud.waiting import attempts, retried
from awsac_async.session.errors import CloudError, ConflictError, NotFoundError
from awsac_async.session.names import INSTANCE_TAG, NAME_TAG, RELEASE_TAG, SESSION_TAG, SNAPSHOT_TAG

RELEASE_VOLUME_TYPE = "gp3"
_SETTLED_WITHIN = 60.0  # seconds in which EC2 has heard of what it did itself
_SHOWN_WITHIN = 5.0  # seconds in which DescribeVolumes follows what EC2 says elsewhere
_LOST = ("error", "deleting", "deleted")  # states in which a volume is of no use any more


@dataclass(frozen=True, kw_only=True)
class VolumeInfo:
    """A volume as EC2 sees it; ``instance_id`` and ``device`` are "" when it is attached to nothing.

    ``created`` is in UTC, ``gib`` its size in GiB; ``session_id`` is "" when it belongs to none.
    """

    volume_id: str
    session_id: str
    state: str
    gib: int
    snapshot_id: str
    zone: str
    instance_id: str
    device: str
    created: datetime

    @property
    def free(self) -> bool:
        """Whether it is attached to nothing, and stays unless somebody deletes it."""
        return self.state in {"available", "error"}


@dataclass(frozen=True, kw_only=True)
class SnapshotInfo:
    """A snapshot as EC2 sees it; ``gib`` is the size of the volumes made of it. Only a completed one can be used.

    ``released``: it has the tag of a release, which an agent's role wants to see; tags of other accounts are not shown.
    """

    state: str
    gib: int
    released: bool = True

    @property
    def completed(self) -> bool:
        """Whether volumes can be made of it."""
        return self.state == "completed"


class Volumes:
    """The EBS volumes that one account may have in a region."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._poll = VolumePoll(aws)
        self._visible_by: dict[str, float] = {}  # by volume made here: the loop's time at which EC2 must show it

    async def snapshots(self, ids: Collection[str]) -> dict[str, SnapshotInfo]:
        """Return those of these snapshots that exist and that this account may make volumes of, by ID."""
        ec2 = await self._aws.client("ec2")
        pages, wanted = ec2.get_paginator("describe_snapshots"), sorted(set(ids))
        found: dict[str, SnapshotInfo] = {}
        with translated("DescribeSnapshots", " ".join(wanted)):
            for start in range(0, len(wanted), IDS_A_CALL):
                filters = [{"Name": "snapshot-id", "Values": wanted[start : start + IDS_A_CALL]}]
                async for page in pages.paginate(Filters=filters):
                    found |= {each["SnapshotId"]: _snapshot(each) for each in page["Snapshots"]}
        return found

    async def create(
        self,
        *,
        snapshot_id: str,
        zone: str,
        client_token: str,
        session_id: str,
        instance_id: str,
        instance_arn: str = "",
        encrypted: bool = False,
    ) -> str:
        """Start to make a volume of the snapshot's size and return its ID; the same token makes it only once.

        ``instance_arn``: of the instance that may use it, as far as the role's policy says. ``encrypted``: also if the
        snapshot is not, with the account's key for EBS.
        """
        tags = {**_owned(session_id, instance_id, instance_arn), SNAPSHOT_TAG: snapshot_id}
        return await self._create(
            snapshot_id, tags, encrypted, SnapshotId=snapshot_id, AvailabilityZone=zone, ClientToken=client_token
        )

    async def create_empty(
        self,
        *,
        gib: int,
        zone: str,
        client_token: str,
        session_id: str,
        instance_id: str,
        instance_arn: str = "",
        encrypted: bool,
    ) -> str:
        """Start to make a volume of so many GiB with nothing on it, and return its ID, as ``create`` does."""
        tags = _owned(session_id, instance_id, instance_arn)
        return await self._create(
            f"{gib} GiB", tags, encrypted, Size=gib, AvailabilityZone=zone, ClientToken=client_token
        )

    async def _create(self, what: str, tags: Mapping[str, str], encrypted: bool, **options: Any) -> str:
        ec2 = await self._aws.client("ec2")
        with translated("CreateVolume", what):
            volume = await ec2.create_volume(
                VolumeType=RELEASE_VOLUME_TYPE,
                TagSpecifications=[tag_specification("volume", tags)],
                **({"Encrypted": True} if encrypted else {}),
                **options,
            )
        volume_id = str(volume["VolumeId"])
        self.expect(volume_id)
        return volume_id

    def expect(self, volume_id: str) -> None:
        """Take it for known that a volume exists, also if EC2 does not show it for a while: it may be just made."""
        self._visible_by[volume_id] = asyncio.get_running_loop().time() + VISIBLE_WITHIN

    async def wait_available(self, volume_id: str) -> None:
        """Wait until a volume can be attached, or is."""
        await self._poll.wait(volume_id, until=("available", "attaching", "attached"), failed=_LOST)

    async def attach(self, volume_id: str, instance_id: str, device: str) -> str:
        """Start to attach an available volume, and return its device name.

        A volume that is attached to this instance already is attached as wished, under the name that it has.

        Raises:
            DeviceNameInUseError: another volume has the name.
            AttachmentLimitError: the instance can have no more volumes.
        """
        ec2 = await self._aws.client("ec2")

        async def call() -> None:
            with translated("AttachVolume", volume_id):
                await ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device)

        try:
            # IncorrectState: EC2 may still call an instance "pending" while it already runs this code.
            await _until_settled(call, again=_has_code("IncorrectState", "InvalidVolume.NotFound"))
        except ConflictError:
            standing = await self._attachment(volume_id)
            if standing.instance_id != instance_id:
                raise
            return standing.device
        return device

    async def wait_attached(self, volume_id: str) -> None:
        """Wait until an attachment is complete; the device may still take a moment to appear."""
        await self._poll.wait(volume_id, until=("attached",), failed=_LOST)

    async def delete_with_instance(self, instance_id: str, device: str) -> None:
        """Let the attached volume be deleted with its instance, however that ends."""
        ec2 = await self._aws.client("ec2")
        mapping = {"DeviceName": device, "Ebs": {"DeleteOnTermination": True}}

        async def call() -> None:
            with translated("ModifyInstanceAttribute", f"{instance_id} {device}"):
                await ec2.modify_instance_attribute(InstanceId=instance_id, BlockDeviceMappings=[mapping])

        # The instance may learn of a device a moment after the volume has.
        await _until_settled(call, again=_has_code("InvalidInstanceAttributeValue", "IncorrectState"))

    async def detach(self, volume_id: str, instance_id: str) -> None:
        """Detach a volume from an instance and wait until it is free; one that is not attached, or gone, is free."""
        ec2 = await self._aws.client("ec2")

        async def call() -> None:
            try:
                with translated("DetachVolume", volume_id):
                    await ec2.detach_volume(VolumeId=volume_id, InstanceId=instance_id)
            except ConflictError:  # it is attached to nothing, or is detaching: or EC2 does not know better yet
                if (await self._standing(volume_id)).state in {"attaching", "attached"}:
                    raise

        with suppress(NotFoundError):  # what EC2 still comes to show, is told by the wait
            await _until_settled(call, again=_has_code("IncorrectState"))
        with suppress(NotFoundError):
            visible_within = max(0.0, self._visible_in(volume_id))
            await self._poll.wait(volume_id, until=("available",), failed=("error",), visible_within=visible_within)

    async def delete(self, volume_id: str) -> None:
        """Delete a volume, once it is free; one that is gone is deleted already."""
        ec2 = await self._aws.client("ec2")

        async def call() -> None:
            with translated("DeleteVolume", volume_id):
                await ec2.delete_volume(VolumeId=volume_id)

        settles = _has_code("VolumeInUse", "IncorrectState")
        with suppress(NotFoundError):
            await _until_settled(
                call,
                again=lambda error: (
                    settles(error) or (isinstance(error, NotFoundError) and self._visible_in(volume_id) > 0)
                ),
            )
        self._visible_by.pop(volume_id, None)

    async def of_session(self, session_id: str) -> list[VolumeInfo]:
        """Return a session's volumes, in the order of their creation."""
        return await self._find(f"tag:{SESSION_TAG}", session_id)

    async def of_all_sessions(self) -> list[VolumeInfo]:
        """Return the volumes of all sessions in this region, in the order of their creation."""
        return await self._find("tag-key", SESSION_TAG)

    async def of_instance(self, instance_id: str) -> list[VolumeInfo]:
        """Return the volumes that are attached to an instance, or being so, in the order of their creation."""
        return await self._find("attachment.instance-id", instance_id)

    async def _find(self, name: str, value: str) -> list[VolumeInfo]:
        ec2 = await self._aws.client("ec2")
        pages, found = ec2.get_paginator("describe_volumes"), []
        with translated("DescribeVolumes", value):
            async for page in pages.paginate(Filters=[{"Name": name, "Values": [value]}]):
                found += [_info(volume) for volume in page["Volumes"]]
        return sorted(found, key=lambda volume: (volume.created, volume.volume_id))

    async def _standing(self, volume_id: str) -> Standing:
        """Return how a volume stands; one made here moments ago is not gone because EC2 does not show it yet."""
        async for _ in attempts(within=self._visible_in(volume_id)):
            standing = (await self._poll.describe([volume_id])).get(volume_id, GONE)
            if standing is not GONE:
                return standing
        return GONE

    async def _attachment(self, volume_id: str) -> Standing:
        """Return how a volume stands that EC2 says is attached, which it may not show yet."""
        async for _ in attempts(within=_SHOWN_WITHIN):
            standing = (await self._poll.describe([volume_id])).get(volume_id, GONE)
            if standing.instance_id:
                break
        return standing

    def _visible_in(self, volume_id: str) -> float:
        """Return the seconds in which EC2 may still come to show a volume; 0 or less: what it does not show is gone."""
        now = asyncio.get_running_loop().time()
        return self._visible_by.get(volume_id, now) - now


async def _until_settled(call: Callable[[], Awaitable[None]], *, again: Callable[[Exception], bool]) -> None:
    await retried(call, again=again, within=_SETTLED_WITHIN)


def tag_specification(kind: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the tags that a resource of a kind is to be made with, as EC2 reads them."""
    return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _has_code(*codes: str) -> Callable[[Exception], bool]:
    return lambda error: isinstance(error, CloudError) and error.code in codes


def _info(volume: dict[str, Any]) -> VolumeInfo:
    attachment: dict[str, str] = next(iter(volume.get("Attachments") or []), {})
    tags = {tag["Key"]: tag["Value"] for tag in volume.get("Tags") or []}
    return VolumeInfo(
        volume_id=volume["VolumeId"],
        session_id=tags.get(SESSION_TAG, ""),
        state=volume["State"],
        gib=volume["Size"],
        snapshot_id=volume.get("SnapshotId", ""),
        zone=volume["AvailabilityZone"],
        instance_id=attachment.get("InstanceId", ""),
        device=attachment.get("Device", ""),
        created=volume["CreateTime"].astimezone(UTC),
    )


def _owned(session_id: str, instance_id: str, instance_arn: str) -> dict[str, str]:
    """Return the tags that say whose a volume is."""
    tags = {SESSION_TAG: session_id, NAME_TAG: f"awsac {session_id} {instance_id}"}
    return tags | ({INSTANCE_TAG: instance_arn} if instance_arn else {})


def _snapshot(item: Mapping[str, Any]) -> SnapshotInfo:
    released = any(tag["Key"] == RELEASE_TAG for tag in item.get("Tags", []))
    return SnapshotInfo(state=item["State"], gib=item["VolumeSize"], released=released)
