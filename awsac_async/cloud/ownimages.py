"""The images that awsac has made: making, listing and deleting them, with the snapshots that belong to them.

Owns the EC2 calls that make or delete an image. An image and its snapshots carry the tags of their build from the call
on that makes them, so that what is half made can be found and deleted.
"""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.waiting import retried
from awsac_async.session.errors import CloudError, NotFoundError
from awsac_async.session.names import BUILDER_TAG, IMAGE_TAG, NAME_TAG, VERSION_TAG

NAME_TAKEN = "InvalidAMIName.Duplicate"
_FREE_WITHIN = 60.0  # seconds: a snapshot may be its image's for some time after that is deregistered


@dataclass(frozen=True, kw_only=True)
class OwnImage:
    """An image that awsac has made. ``version`` is that of its agent, ``reason`` why it failed, ``created`` in UTC."""

    image_id: str
    name: str
    version: str
    state: str
    reason: str
    architecture: str
    created: datetime | None
    snapshot_ids: tuple[str, ...]


class OwnImages:
    """The images that awsac has made in one account and region."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    async def make(self, instance_id: str, *, name: str, version: str, build_id: str) -> str:
        """Begin to make an image of a stopped instance; returns its ID.

        Raises:
            CloudError: its code is NAME_TAKEN if an image of the account has this name.
        """
        named = {IMAGE_TAG: name, VERSION_TAG: version, BUILDER_TAG: build_id, NAME_TAG: name}
        tags = [{"Key": key, "Value": value} for key, value in named.items()]
        ec2 = await self._aws.client("ec2")
        with translated("CreateImage", name):
            answer = await ec2.create_image(
                InstanceId=instance_id,
                Name=name,
                Description=f"awsac_async {version}",
                TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")],
            )
        return str(answer["ImageId"])

    async def named(self, name: str) -> bool:
        """Whether an image of the account has this name, whoever made it."""
        return bool(await self._described(name, [{"Name": "name", "Values": [name]}]))

    async def all(self) -> list[OwnImage]:
        """Return all of them, by name."""
        return await self._described("of awsac", [{"Name": "tag-key", "Values": [IMAGE_TAG]}])

    async def of_build(self, build_id: str) -> list[OwnImage]:
        """Return what a build has made, as far as EC2 shows it."""
        return await self._described(build_id, [{"Name": f"tag:{BUILDER_TAG}", "Values": [build_id]}])

    async def find(self, image_id: str) -> OwnImage:
        """Return one of them. Raises NotFoundError if there is none of this ID that awsac has made."""
        found = [each for each in await self.all() if each.image_id == image_id]
        if not found:
            raise NotFoundError("DescribeImages", image_id, f"awsac has made no such image in {self._aws.region}")
        return found[0]

    async def delete(self, image: OwnImage) -> None:
        """Deregister an image, then delete its snapshots; what is gone already is no error."""
        ec2 = await self._aws.client("ec2")
        try:
            with translated("DeregisterImage", image.image_id):
                await ec2.deregister_image(ImageId=image.image_id)
        except NotFoundError:
            pass
        for snapshot_id in image.snapshot_ids:
            await self._delete_snapshot(snapshot_id)

    async def delete_build(self, build_id: str) -> None:
        """Delete whatever a build has made: its image, and snapshots that no image names yet."""
        for image in await self.of_build(build_id):
            await self.delete(image)
        ec2 = await self._aws.client("ec2")
        condition = {"Name": f"tag:{BUILDER_TAG}", "Values": [build_id]}
        with translated("DescribeSnapshots", build_id):
            answer = await ec2.describe_snapshots(OwnerIds=["self"], Filters=[condition])
        for snapshot in answer["Snapshots"]:
            await self._delete_snapshot(snapshot["SnapshotId"])

    async def _delete_snapshot(self, snapshot_id: str) -> None:
        ec2 = await self._aws.client("ec2")

        async def call() -> None:
            with translated("DeleteSnapshot", snapshot_id):
                await ec2.delete_snapshot(SnapshotId=snapshot_id)

        with contextlib.suppress(NotFoundError):
            await retried(call, again=_in_use, within=_FREE_WITHIN)

    async def _described(self, resource: str, conditions: list[dict[str, Any]]) -> list[OwnImage]:
        ec2 = await self._aws.client("ec2")
        pages, found = ec2.get_paginator("describe_images"), []
        with translated("DescribeImages", resource):
            async for page in pages.paginate(Owners=["self"], Filters=conditions):
                found += [_own_image(each) for each in page["Images"]]
        return sorted(found, key=lambda each: (each.name, each.image_id))


def _in_use(error: Exception) -> bool:
    return isinstance(error, CloudError) and error.code == "InvalidSnapshot.InUse"


def _own_image(image: dict[str, Any]) -> OwnImage:
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
    volumes = [mapping.get("Ebs", {}) for mapping in image.get("BlockDeviceMappings", [])]
    created = image.get("CreationDate", "")
    return OwnImage(
        image_id=image["ImageId"],
        name=str(image.get("Name", "")),
        version=tags.get(VERSION_TAG, ""),
        state=image["State"],
        reason=image.get("StateReason", {}).get("Message", ""),
        architecture=image.get("Architecture", ""),
        created=datetime.fromisoformat(created).astimezone(UTC) if created else None,
        snapshot_ids=tuple(volume["SnapshotId"] for volume in volumes if "SnapshotId" in volume),
    )
