"""Images, instance types and instance profiles: what is asked about them before instances are started.

Owns the reading calls on these three. Starts and changes nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from awsac_async.cloud.aws import Aws, translated
from awsac_async.session.errors import NotFoundError

# Paid for beside their size: what a gp3 volume has without extra cost is not.
# https://aws.amazon.com/ebs/pricing/
_FREE_IOPS, _FREE_THROUGHPUT = 3000, 125
_PROVISIONED = frozenset({"io1", "io2"})


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A volume that every instance gets: its size, and its EBS type (``gp3``).

    ``extra``: it costs more than its size, since more operations or throughput are ordered with it. ``kept``: it stays
    when its instance is terminated.
    """

    gib: int
    volume_type: str
    extra: bool = False
    kept: bool = False


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image as EC2 sees it; ``disks`` are the EBS volumes of its block device mapping, the root volume too.

    ``root_device`` is the name of the device of the root volume, "" if that is no EBS volume.
    """

    image_id: str
    owner: str
    name: str
    state: str
    architecture: str
    disks: tuple[Disk, ...]
    root_device: str = ""


@dataclass(frozen=True, kw_only=True)
class InstanceType:
    """An instance type: its virtual CPUs, as far as nobody chooses fewer, and the architectures it runs."""

    name: str
    vcpus: int
    architectures: tuple[str, ...]


class Images:
    """What instances may be made of in a region."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    async def find_image(self, image_id: str, owner: str) -> Image:
        """Return an image that this account (its number) owns. Raises NotFoundError if there is none."""
        ec2 = await self._aws.client("ec2")
        with translated("DescribeImages", image_id):
            images = (await ec2.describe_images(ImageIds=[image_id]))["Images"]
        found = [_image(image) for image in images if image["OwnerId"] == owner]
        if not found:
            raise NotFoundError("DescribeImages", image_id, f"account {owner} owns no such image in {self._aws.region}")
        return found[0]

    async def instance_type(self, name: str) -> InstanceType:
        """Return an instance type that the region offers. Raises NotFoundError if it offers none of this name."""
        found = await self.instance_types([name])
        if not found:
            raise NotFoundError("DescribeInstanceTypes", name, "there is no such instance type")
        return found[0]

    async def instance_types(self, names: Collection[str]) -> list[InstanceType]:
        """Return these instance types. Raises NotFoundError if the region does not offer one of them."""
        ec2 = await self._aws.client("ec2")
        pages, found = ec2.get_paginator("describe_instance_types"), []
        with translated("DescribeInstanceTypes", " ".join(sorted(names))):
            async for page in pages.paginate(InstanceTypes=sorted(names)):
                found += [_instance_type(each) for each in page["InstanceTypes"]]
        return found

    async def check_profile(self, name: str) -> None:
        """Return if the account has an instance profile of this name. Raises NotFoundError, DeniedError."""
        iam = await self._aws.client("iam")
        with translated("GetInstanceProfile", name):
            await iam.get_instance_profile(InstanceProfileName=name)


def _image(image: dict[str, Any]) -> Image:
    volumes = [mapping["Ebs"] for mapping in image.get("BlockDeviceMappings", []) if "Ebs" in mapping]
    return Image(
        image_id=image["ImageId"],
        owner=image["OwnerId"],
        name=str(image.get("Name", "")),
        state=image["State"],
        architecture=image["Architecture"],
        disks=tuple(_disk(volume) for volume in volumes if "VolumeSize" in volume),
        root_device=image.get("RootDeviceName", "") if image.get("RootDeviceType") == "ebs" else "",
    )


def _disk(volume: dict[str, Any]) -> Disk:
    volume_type = volume.get("VolumeType", "standard")
    more = volume.get("Iops", 0) > _FREE_IOPS or volume.get("Throughput", 0) > _FREE_THROUGHPUT
    extra = volume_type in _PROVISIONED or (volume_type == "gp3" and more)
    kept = not volume.get("DeleteOnTermination", True)
    return Disk(gib=volume["VolumeSize"], volume_type=volume_type, extra=extra, kept=kept)


def _instance_type(found: dict[str, Any]) -> InstanceType:
    return InstanceType(
        name=found["InstanceType"],
        vcpus=int(found["VCpuInfo"]["DefaultVCpus"]),
        architectures=tuple(found["ProcessorInfo"]["SupportedArchitectures"]),
    )
