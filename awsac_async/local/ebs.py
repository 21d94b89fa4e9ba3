"""EBS volumes and snapshots as a moto back end: states that take time, attachments that are real, the errors of EC2.

A volume:      creating -> available <-> in-use -> (gone)         error: its content could not be made
An attachment: attaching -> attached -> detaching -> (gone)
A snapshot:    pending -> completed -> (gone)                     error: the volume could not be copied

What a volume holds is kept by ``volumes``; who sees it is arranged by ``hypervisor``. Both are asked from here only.
"""

import logging
import math
import re
import threading
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_block_store import EBSBackend, Snapshot, Volume, VolumeAttachment
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

from awsac_async.local.hypervisor import Hypervisor
from awsac_async.local.settings import Settings
from awsac_async.local.volumes import Storage, VolumeError, size_for

log = logging.getLogger(__name__)

_DEVICE_NAME = re.compile(r"/dev/(sd|xvd|hd)[a-z]{1,2}\d{0,3}")
BUSY_POLL = 0.2  # s: how often a device is asked whether it has been unmounted


class EmbeddedVolume(Volume):
    """A volume that is ``creating`` until its content is there. ``created`` is set then, also after a failure."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.phase = "creating"
        self.created = threading.Event()

    @property
    def status(self) -> str:
        """Return the state that DescribeVolumes shows."""
        return super().status if self.phase == "available" else self.phase


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What the back end runs on."""

    settings: Settings
    storage: Storage
    hypervisor: Hypervisor


_held_up: ContextVar[float] = ContextVar("held_up", default=0.0)


@contextmanager
def held_up(seconds: float) -> Iterator[None]:
    """Let whatever is begun inside take so many seconds more; infinity: never come to its end."""
    token = _held_up.set(seconds)
    try:
        yield
    finally:
        _held_up.reset(token)


def after(seconds: float, function: Callable[..., None], *arguments: Any) -> None:
    """Call a function later, in a thread of its own."""
    seconds += _held_up.get()
    if math.isinf(seconds):
        return
    timer = threading.Timer(seconds, function, arguments)
    timer.name = f"{function.__name__} {arguments[0]}"
    timer.daemon = True
    timer.start()


class VolumeBackend(EC2Backend):
    """EC2's volumes. Until ``run_on`` is called they are entries in moto's lists, with nothing on disk."""

    hardware: Hardware

    def __init__(self, region_name: str, account_id: str) -> None:
        self.lock = threading.RLock()
        self.real = False
        self._copying: Counter[str] = Counter()  # by volume: its snapshots that are being made
        super().__init__(region_name, account_id)

    def describe_tags(self, filters: dict[str, list[str]] | None = None) -> list[dict[str, str]]:
        """Return tags; those of one resource, which moto asks for whenever it shows one, without a search in all."""
        match filters:
            case {"resource-id": [resource_id], **others} if not others and resource_id in self.tags:
                tag = {
                    "resource_id": resource_id,
                    "resource_type": EC2_PREFIX_TO_RESOURCE.get(get_prefix(resource_id), ""),
                }
                return [tag | {"key": key, "value": value} for key, value in self.tags[resource_id].items()]
        return super().describe_tags(filters)

    def run_on(self, hardware: Hardware) -> None:
        """Make volumes and instances real from now on."""
        self.hardware = hardware
        self.real = True

    @abstractmethod
    def instance_lock(self, instance_id: str) -> threading.Lock:
        """Return the lock that is held while an instance boots, is shut down, or gains or loses a volume."""

    # --- volumes ---

    def get_volume(self, volume_id: str) -> EmbeddedVolume:
        """Return a volume; every volume here is one of ours."""
        return cast("EmbeddedVolume", super().get_volume(volume_id))

    def create_volume(
        self, size: int, zone_name: str, snapshot_id: str | None = None, *arguments: Any, **options: Any
    ) -> EmbeddedVolume:
        """Begin to create a volume; without a size it is as large as its snapshot."""
        if self.real:
            size = self._checked_size(size, snapshot_id)
        volume = self.get_volume(super().create_volume(size, zone_name, snapshot_id, *arguments, **options).id)
        if self.real:
            after(0, self._make_content, volume, snapshot_id)
        else:
            volume.phase = "available"
        return volume

    def _checked_size(self, size: int | None, snapshot_id: str | None) -> int:
        snapshot = self.get_snapshot(snapshot_id) if snapshot_id else None
        if snapshot and snapshot.status != "completed":
            raise EC2ClientError("IncorrectState", f"Snapshot {snapshot_id} is not completed")
        least = snapshot.volume_size if snapshot else 1
        if size is None and snapshot is None:
            raise EC2ClientError("MissingParameter", "The request must contain the parameter size or snapshotId")
        if size is not None and size < least:
            raise EC2ClientError("InvalidParameterValue", f"Volume of {size}GiB is too small; minimum is {least}GiB.")
        return size or least

    def _make_content(self, volume: EmbeddedVolume, snapshot_id: str | None) -> None:
        try:
            self.hardware.storage.create(volume.id, size=volume.size, snapshot_id=snapshot_id)
        except (VolumeError, OSError):
            log.exception("cannot create %s", volume.id)
            self._settle_volume(volume, "error")
        else:
            after(self.hardware.settings.volume_delay, self._settle_volume, volume, "available")

    def _settle_volume(self, volume: EmbeddedVolume, phase: str) -> None:
        volume.phase = phase
        volume.created.set()

    def describe_volumes(self, volume_ids: list[str] | None = None, filters: Any = None) -> list[Volume]:
        """Return volumes; an unknown ID is named in the error."""
        for volume_id in volume_ids or []:
            self.get_volume(volume_id)
        return super().describe_volumes(volume_ids, filters)

    def delete_volume(self, volume_id: str) -> Volume:
        """Delete a volume and what it holds, once that is copied into its snapshots. It must be available."""
        with self.lock:
            volume = self.get_volume(volume_id)
            if volume.phase == "creating":
                raise EC2ClientError("IncorrectState", f"The volume '{volume_id}' is 'creating'")
            deleted = super().delete_volume(volume_id)
            copying = self._copying[volume_id]
        if self.real and not copying:
            self.hardware.storage.delete(volume_id)
        return deleted

    # --- attachments ---

    def attach_volume(
        self, volume_id: str, instance_id: str, device_path: str, delete_on_termination: bool = False
    ) -> VolumeAttachment | None:
        """Begin to attach a volume to a running instance."""
        with self.lock:
            self._check_attachable(volume_id, instance_id, device_path)
            attachment = self.record_attachment(volume_id, instance_id, device_path, delete_on_termination)
            attachment.status = "attaching"
            instance = attachment.instance
            instance.block_device_mapping[device_path].status = "attaching"
        after(self.hardware.settings.attachment_delay, self._complete_attachment, attachment)
        return attachment

    def record_attachment(
        self, volume_id: str, instance_id: str, device_path: str, delete_on_termination: bool
    ) -> VolumeAttachment:
        """Enter an attachment into moto's lists."""
        attachment = super().attach_volume(volume_id, instance_id, device_path, delete_on_termination)
        self.get_instance(instance_id).block_device_mapping[device_path].status = "in-use"  # EC2 says "attached"
        return cast("VolumeAttachment", attachment)  # moto finds both, or raises

    def _check_attachable(self, volume_id: str, instance_id: str, device: str) -> None:
        volume, instance = self.get_volume(volume_id), self.get_instance(instance_id)
        if instance.state != "running":
            raise EC2ClientError("IncorrectState", f"Instance '{instance_id}' is not 'running'.")
        if volume.attachment:
            raise EC2ClientError("VolumeInUse", f"{volume_id} is already attached to an instance")
        if volume.status != "available":
            raise EC2ClientError("IncorrectState", f"Volume '{volume_id}' is in the '{volume.status}' state.")
        if volume.availability_zone != instance.availability_zone:
            message = f"The volume '{volume_id}' is not in the same availability zone as instance '{instance_id}'"
            raise EC2ClientError("InvalidVolume.ZoneMismatch", message)
        if len(instance.block_device_mapping) >= self.hardware.settings.attachment_limit:
            message = f"The maximum number of volumes that can be attached to '{instance_id}' is reached."
            raise EC2ClientError("AttachmentLimitExceeded", message)
        if device in instance.block_device_mapping:
            message = f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
            raise EC2ClientError("InvalidParameterValue", message)
        if not _DEVICE_NAME.fullmatch(device or ""):
            message = f"Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name."
            raise EC2ClientError("InvalidParameterValue", message)

    def _complete_attachment(self, attachment: VolumeAttachment) -> None:
        volume, instance = attachment.volume, attachment.instance
        with self.instance_lock(instance.id):
            if attachment.status != "attaching" or instance.state != "running":
                return
            try:
                device = self.hardware.storage.attach(volume.id)
                self.hardware.hypervisor.attach(instance.id, volume.id, device)
            except (VolumeError, OSError):
                log.exception("cannot attach %s to %s", volume.id, instance.id)
                self.release(attachment)
                return
            attachment.status = "attached"
            instance.block_device_mapping[attachment.device].status = "in-use"

    def detach_volume(self, volume_id: str, instance_id: str, device_path: str) -> VolumeAttachment:
        """Begin to detach a volume. It is done when nothing of the instance has it mounted any more."""
        with self.lock:
            volume = self.get_volume(volume_id)
            attachment = volume.attachment
            if attachment is None:
                raise EC2ClientError("IncorrectState", f"Volume '{volume_id}' is in the '{volume.status}' state.")
            if (instance_id or attachment.instance_id) != attachment.instance_id or (
                device_path or attachment.device
            ) != attachment.device:
                message = f"The volume '{volume_id}' is not attached to '{instance_id}' as device '{device_path}'."
                raise EC2ClientError("InvalidAttachment.NotFound", message)
            if attachment.device == attachment.instance.root_device_name:
                message = f"Unable to detach root volume '{volume_id}' from instance '{attachment.instance_id}'"
                raise EC2ClientError("OperationNotPermitted", message)
            if attachment.status != "detaching":
                attachment.status = "detaching"
                after(self.hardware.settings.attachment_delay, self._complete_detachment, attachment)
        return attachment

    def _complete_detachment(self, attachment: VolumeAttachment) -> None:
        with self.instance_lock(attachment.instance_id):
            done = self.release(attachment)
        if not done:
            after(BUSY_POLL, self._complete_detachment, attachment)

    def release(self, attachment: VolumeAttachment) -> bool:
        """Take a volume from its instance, if its device is free; return whether it is gone from there."""
        self.hardware.hypervisor.detach(attachment.instance_id, attachment.volume_id)
        if not self.hardware.storage.detach(attachment.volume_id):
            return False
        with self.lock:
            if attachment.volume.attachment is attachment:
                EBSBackend.detach_volume(self, attachment.volume_id, attachment.instance_id, attachment.device)
        return True

    # --- snapshots ---

    def get_snapshot(self, snapshot_id: str) -> Snapshot:
        """Return a snapshot, or say which does not exist."""
        if snapshot_id not in self.snapshots:
            raise EC2ClientError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
        return super().get_snapshot(snapshot_id)

    def describe_snapshots(self, snapshot_ids: list[str] | None = None, filters: Any = None) -> list[Snapshot]:
        """Return snapshots; an unknown ID is named in the error."""
        for snapshot_id in snapshot_ids or []:
            self.get_snapshot(snapshot_id)
        return super().describe_snapshots(snapshot_ids, filters)

    def create_snapshot(
        self, volume_id: str, description: str, owner_id: str | None = None, from_ami: str | None = None
    ) -> Snapshot:
        """Begin to copy a volume into a snapshot."""
        if self.get_volume(volume_id).status == "creating":
            raise EC2ClientError("IncorrectState", f"Volume '{volume_id}' is in the 'creating' state.")
        snapshot = super().create_snapshot(volume_id, description, owner_id, from_ami)
        if self.real:
            snapshot.status = "pending"
            with self.lock:
                self._copying[volume_id] += 1
            after(0, self._copy_volume, snapshot)
        return snapshot

    def _copy_volume(self, snapshot: Snapshot) -> None:
        self._copy(snapshot)
        with self.lock:
            self._copying[snapshot.volume_id] -= 1
            unused = not self._copying[snapshot.volume_id] and snapshot.volume_id not in self.volumes
        if unused:
            self.hardware.storage.delete(snapshot.volume_id)

    def _copy(self, snapshot: Snapshot) -> None:
        try:
            self.hardware.storage.snapshot(snapshot.volume_id, snapshot.id)
        except (VolumeError, OSError):
            log.exception("cannot copy %s into %s", snapshot.volume_id, snapshot.id)
            snapshot.status = "error"
        else:
            after(self.hardware.settings.snapshot_delay, setattr, snapshot, "status", "completed")

    def add_create_volume_permission(self, snapshot_id: str, user_ids: list[str], groups: list[str]) -> None:
        """Share a snapshot; the key that EC2 has made for the account can be used by no other."""
        if self.get_snapshot(snapshot_id).encrypted:
            message = "Encrypted snapshots with EBS default key cannot be shared"
            raise EC2ClientError("OperationNotPermitted", message)
        super().add_create_volume_permission(snapshot_id, user_ids, groups)

    def delete_snapshot(self, snapshot_id: str) -> Snapshot:
        """Delete a snapshot and what it holds. Volumes made from it stay."""
        self.get_snapshot(snapshot_id)
        deleted = super().delete_snapshot(snapshot_id)
        if self.real:
            self.hardware.storage.delete_snapshot(snapshot_id)
        return deleted

    def import_folder(self, source: Path, description: str) -> Snapshot:
        """Return a completed snapshot that holds what a folder holds."""
        size = size_for(source)
        with self.lock:
            volume = EBSBackend.create_volume(self, size, f"{self.region_name}a")
        try:
            self.hardware.storage.fill(volume.id, source, size=size)
            with self.lock:
                snapshot = EBSBackend.create_snapshot(self, volume.id, description)
                snapshot.status = "pending"
            self.hardware.storage.snapshot(volume.id, snapshot.id)
            snapshot.status = "completed"
        finally:
            del self.volumes[volume.id]
            self.hardware.storage.delete(volume.id)
        return snapshot
