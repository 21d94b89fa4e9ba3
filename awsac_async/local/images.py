"""EC2 images as a moto back end: what instances of them boot into, and images that are made of instances.

An image: pending -> available -> (deregistered)      failed: its instance's disk could not be copied

One runs the boot script of this machine; the stock image, and what is made of it, have a disk: a folder with what is
on it when an instance boots first. Owns these folders.
"""

import logging
from pathlib import Path
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import Ami
from moto.ec2.models.elastic_block_store import EBSBackend, Snapshot, Volume
from moto.ec2.models.instances import Instance
from moto.ec2.utils import random_ami_id

from awsac_async.local import disk, trees
from awsac_async.local.ebs import after
from awsac_async.local.ec2 import InstanceBackend
from awsac_async.local.settings import ACCOUNT, IMAGE, STOCK_IMAGE

log = logging.getLogger(__name__)
ROOT_DEVICE = "/dev/sda1"


class EmbeddedImage(Ami):
    """An image whose root volume goes with its instance, as it does here; moto says of all images that it stays."""

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        """Return the mapping as DescribeImages shows it."""
        mappings = super().block_device_mappings
        return [each | {"Ebs": each["Ebs"] | {"DeleteOnTermination": True}} for each in mappings]


class _Lists:
    """moto's lists of volumes and snapshots alone: what an image's snapshot holds is in the folder of its disk."""

    def __init__(self, backend: "ImageBackend") -> None:
        self._backend = backend
        self.account_id = backend.account_id

    def create_volume(self, size: int, zone_name: str) -> Volume:
        return EBSBackend.create_volume(self._backend, size, zone_name)

    def create_snapshot(self, volume_id: str, description: str, owner_id: str, from_ami: str) -> Snapshot:
        return EBSBackend.create_snapshot(self._backend, volume_id, description, owner_id, from_ami)

    def delete_volume(self, volume_id: str) -> None:
        del self._backend.volumes[volume_id]


class ImageBackend(InstanceBackend):
    """EC2 with images that can be made."""

    images: Path  # the folder with the disks of images; set before the first launch

    def provision_images(self) -> None:
        """Make the images that the account comes with."""
        self._provide(IMAGE, "awsac", "runs the boot script of this machine")
        self._provide(STOCK_IMAGE, "stock", "runs cloud-init, and has no agent")

    def _provide(self, image_id: str, name: str, description: str) -> None:
        self.amis[image_id] = EmbeddedImage(
            self,
            image_id,
            name=name,
            description=description,
            owner_id=ACCOUNT,
            virtualization_type="hvm",
            architecture="x86_64",
            root_device_type="ebs",
            root_device_name=ROOT_DEVICE,
        )

    def disk_of(self, instance: Instance) -> Path | None:
        """Return the folder with what is on the disk of an instance when it boots first."""
        if instance.image_id == STOCK_IMAGE:
            self._folder(STOCK_IMAGE).mkdir(parents=True, exist_ok=True)
        folder = self._folder(instance.image_id)
        return folder if folder.exists() else None

    def _folder(self, image_id: str) -> Path:
        return self.images / image_id

    def create_image(
        self, instance_id: str, name: str, description: str, tag_specifications: list[dict[str, Any]]
    ) -> Ami:
        """Begin to make an image of an instance, with the tags for the image and for its snapshot."""
        tags = {each.get("ResourceType"): each.get("Tags", []) for each in tag_specifications}
        with self.lock:
            instance = self.get_instance(instance_id)
            if instance.state not in {"running", "stopped"}:
                raise EC2ClientError("IncorrectState", f"Instance '{instance_id}' is '{instance.state}'.")
            if any(each.name == name and each.owner_id == ACCOUNT for each in self.amis.values()):
                raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use")
            image = self._enter_image(instance, name, description)
            for thing, kind in ((image, "image"), (image.ebs_snapshot, "snapshot")):
                thing.add_tags({tag.get("Key", ""): tag.get("Value", "") for tag in tags.get(kind, [])})
        after(self.hardware.settings.snapshot_delay, self._copy_disk, image, instance)
        return image

    def _enter_image(self, instance: Instance, name: str, description: str) -> Ami:
        """Enter a pending image into moto's lists."""
        image_id = random_ami_id()
        image = EmbeddedImage(
            _Lists(self),
            image_id,
            instance=instance,
            name=name,
            description=description,
            owner_id=ACCOUNT,
            state="pending",
            root_device_type="ebs",
            root_device_name=ROOT_DEVICE,
            snapshot_description=f"Created by CreateImage({instance.id}) for {image_id}",
        )
        image.ec2_backend = self
        self.amis[image_id] = image
        return image

    def _copy_disk(self, image: Ami, instance: Instance) -> None:
        source, unfinished = self.hardware.hypervisor.disk(instance.id), self.images / f"{image.id}.part"
        try:
            if source is not None:
                disk.copy_of(source, unfinished)
        except OSError:
            log.exception("cannot make %s of %s", image.id, instance.id)
            trees.remove(unfinished)
            image.state = "failed"
            return
        with self.lock:
            if image.id not in self.amis:  # deregistered meanwhile
                trees.remove(unfinished)
            elif source is not None:
                unfinished.rename(self._folder(image.id))
            image.state = "available"

    def deregister_image(self, ami_id: str) -> None:
        """Remove an image. Its snapshot stays, and its instances have what they have."""
        with self.lock:
            super().deregister_image(ami_id)
            trees.remove(self._folder(ami_id))
