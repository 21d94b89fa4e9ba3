"""One release from an EBS snapshot on its way to a directory and back, whichever agent began it.

Owns one volume from its creation to its deletion. Each step finds out how far it came, so that a successor goes on
where its predecessor died, and removing undoes just what there is. A volume that the launch of the instance brought
along is used, and left to EC2 to delete.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from awsac_async.agent.devicenames import DeviceNames
from awsac_async.agent.devices import Devices
from awsac_async.agent.log import step
from awsac_async.agent.metadata import Instance
from awsac_async.agent.mounts import DeviceError, MountKind
from awsac_async.agent.process import ToolError
from awsac_async.agent.volumerecord import Stage, VolumeRecord
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.snapshots import Snapshots
from awsac_async.cloud.volumes import VolumeInfo, Volumes
from awsac_async.session.errors import AttachmentLimitError, CloudError, DeniedError, DeviceNameInUseError
from awsac_async.session.purpose import Build

_log = logging.getLogger(__name__)

_FETCHED_AT_ONCE = 2  # releases from S3: each has 24 MiB on the way, and they share one line


@dataclass(frozen=True, kw_only=True)
class Provided:
    """A release that is there: its directory, how it came to be one, and of one from S3 how many bytes were fetched."""

    directory: Path
    kind: MountKind
    size: int | None = None

    @property
    def mounted(self) -> bool:
        """Whether a mount namespace can show it elsewhere: a linked one means that this machine has none."""
        return self.kind is not MountKind.LINK


@dataclass(frozen=True, kw_only=True)
class Building:
    """What is built on this instance, and where snapshots are made of it."""

    build: Build
    snapshots: Snapshots


@dataclass(frozen=True, kw_only=True)
class Place:
    """What all releases of an instance share.

    ``directory`` holds a folder and a record for each of them, and outlives the agent. ``bucket`` opens a bucket by its
    name. ``release_mount`` is ``rw`` or ``ro``; ``encrypted``: volumes are, whatever their snapshots are. ``fetching``
    is held while a release is fetched from S3, which takes memory. ``building`` is there if a release is built here.
    """

    session_id: str
    instance: Instance
    directory: Path
    volumes: Volumes
    devices: Devices
    bucket: Callable[[str], Bucket]
    release_mount: str = "rw"
    encrypted: bool = False
    building: Building | None = None
    names: DeviceNames = field(default_factory=DeviceNames)
    fetching: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_FETCHED_AT_ONCE))


class Release:
    """One snapshot on this instance."""

    def __init__(self, place: Place, snapshot_id: str) -> None:
        self._place, self.snapshot_id, self.name = place, snapshot_id, snapshot_id
        self._directory = place.directory / snapshot_id
        self._record = VolumeRecord()
        self._launched = ""  # the volume that the launch attached
        self._device_name = ""  # known when the volume is attached, or being so
        self._call: asyncio.Task[None] | None = None
        self.asked = asyncio.Event()  # EC2 has been asked for the volume, if it had to be
        self.inherited = False  # mounted by a predecessor, whose jobs may use it now

    # --- what was there before ---

    async def inherit(self, record: VolumeRecord, attached: VolumeInfo | None) -> None:
        """Take over what a predecessor left: its record, and the volume if it is attached."""
        self._record = record
        self.inherited = await self._place.devices.mounted(self._directory)
        if record.stage is Stage.CREATED:
            self._place.volumes.expect(record.volume_id)
        if attached:
            self._place.names.hold(attached.device)
            self._device_name = attached.device

    def use(self, launched: VolumeInfo) -> None:
        """Use a volume that the launch of the instance made from this snapshot."""
        self._launched, self._device_name = launched.volume_id, launched.device

    # --- providing ---

    async def provide(self) -> Provided:
        """Create, attach and mount the volume, as far as that is left to do; each step is named and timed in the log.

        Raises:
            CloudError, DeviceError, ToolError, OSError: a step failed; :meth:`remove` is still the caller's to call.
        """
        if self._record.stage is Stage.REMOVING:
            await self.remove()
        try:
            volume_id = self._launched or await self._existing()
        finally:
            self.asked.set()
        if not self._device_name:
            await self._attach(volume_id)
        with self._step(f"wait for {volume_id} to be attached as {self._device_name}"):
            await self._place.volumes.wait_attached(volume_id)
        try:
            async with asyncio.TaskGroup() as group:
                # Nobody waits for EC2 to note this, but a release is there only when it is done.
                group.create_task(self._protect(volume_id), name=f"protect {volume_id}")
                mounting = group.create_task(self._mount(volume_id), name=f"mount {volume_id}")
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return Provided(directory=self._directory, kind=mounting.result())

    async def _existing(self) -> str:
        """Return the ID of the release's own volume, made if it is not."""
        if not self._record.volume_id:
            with self._step(f"create volume in {self._place.instance.zone}"):
                await self._to_its_end(self._create(), name="create volume")
        return self._record.volume_id

    async def _create(self) -> None:
        await self._keep(self._record.creating())
        try:
            volume_id = await self._ask_for_volume()
        except CloudError as error:
            if not error.temporary:  # else it may have been made, and only the answer was lost
                await self._keep(self._record.refused())
            raise
        await self._keep(self._record.created(volume_id))

    async def _ask_for_volume(self) -> str:
        """Ask EC2 for the volume, and return its ID: the same one, however often it is asked for."""
        place = self._place
        return await place.volumes.create(
            snapshot_id=self.snapshot_id,
            zone=place.instance.zone,
            client_token=self._client_token(),
            session_id=place.session_id,
            instance_id=place.instance.instance_id,
            instance_arn=place.instance.arn,
            encrypted=place.encrypted,
        )

    def _client_token(self) -> str:
        place = self._place
        return self._record.client_token(place.session_id, place.instance.instance_id, self.snapshot_id)

    async def _attach(self, volume_id: str) -> None:
        """Attach the volume; if the instance holds as many as it can, as soon as another one of ours has gone."""
        volumes, names, instance_id = self._place.volumes, self._place.names, self._place.instance.instance_id
        with self._step(f"wait for {volume_id} to be available"):
            await volumes.wait_available(volume_id)
        while not self._device_name:
            detached = names.detached
            try:
                with self._step(f"attach {volume_id} to {instance_id}"):
                    await self._to_its_end(self._attach_by_name(volume_id), name="attach volume")
            except AttachmentLimitError:
                with self._step(f"wait for another volume to leave {instance_id}"):
                    if not await names.detached_since(detached):
                        raise

    async def _attach_by_name(self, volume_id: str) -> None:
        """Attach under the first name that EC2 accepts; each is tried at most once."""
        names = self._place.names
        refusal: CloudError | None = None
        for _ in range(len(names)):
            name = names.take()
            try:
                given = await self._place.volumes.attach(volume_id, self._place.instance.instance_id, name)
            except DeviceNameInUseError as error:
                names.refuse(name)
                refusal = error
                continue
            except BaseException:
                names.refuse(name)
                raise
            if given != name:  # a predecessor had asked for it already
                names.refuse(name)
                names.hold(given)
            self._device_name = given
            return
        raise refusal or DeviceError("all device names that EC2 allows are in use")

    async def _protect(self, volume_id: str) -> None:
        """See to it that the volume goes with the instance, however that ends."""
        if self._launched:
            return
        instance_id = self._place.instance.instance_id
        try:
            with self._step(f"set DeleteOnTermination of {volume_id} on {instance_id}"):
                await self._place.volumes.delete_with_instance(instance_id, self._device_name)
        except DeniedError:  # a role without this right: the departure deletes the volume, and else awsac gc
            _log.warning("%s stays if this instance ends before its agent has deleted it", volume_id)

    async def _mount(self, volume_id: str) -> MountKind:
        devices, read_only = self._place.devices, self._place.release_mount == "ro"
        with self._step(f"find the device of {volume_id}"):
            device = await devices.find(volume_id, self._device_name)
        await self._prepare(device, volume_id)
        with self._step(f"mount {device} on {self._directory}, {self._place.release_mount}"):
            return await devices.mount(device, self._directory, read_only=read_only)

    async def _prepare(self, device: Path, volume_id: str) -> None:
        """Do with the device what has to be done before it can be mounted: with that of a snapshot nothing."""

    # --- removing ---

    async def remove(self) -> None:
        """Unmount, detach and delete, as far as there is anything to undo; every step runs, whatever fails."""
        await self._end_of_call()
        if self._record.stage is Stage.NONE and not self._launched:
            return
        if await self._undo("unmount", lambda: self._place.devices.unmount(self._directory)):
            self._launched = ""
        if self._record.stage is Stage.CREATING:
            await self._undo("find the volume that was asked for", self._create)
        if self._record.volume_id:
            await self._remove_volume(self._record.volume_id)

    async def _remove_volume(self, volume_id: str) -> None:
        volumes, names, instance_id = self._place.volumes, self._place.names, self._place.instance.instance_id
        await self._undo("note that it is removed", lambda: self._keep(self._record.removing()))
        detached = await self._undo(f"detach {volume_id}", lambda: volumes.detach(volume_id, instance_id))
        if self._device_name and detached:
            names.give_back(self._device_name)
        elif self._device_name:
            names.refuse(self._device_name)
        self._device_name = ""
        if await self._undo(f"delete {volume_id}", lambda: volumes.delete(volume_id)):
            await self._undo("note that it is gone", lambda: self._keep(self._record.removed()))

    async def _undo(self, what: str, undo: Callable[[], Awaitable[None]]) -> bool:
        """Take a step back and return whether that succeeded."""
        try:
            with self._step(what):
                await undo()
        except (CloudError, ToolError, OSError):
            # Named and logged by step(); the steps after it must run. A volume that stays attached goes with the
            # instance, since DeleteOnTermination was set; of what else stays, the departure tries to be rid again.
            return False
        return True

    # --- calls that must be known to the end ---

    async def _to_its_end(self, call: Coroutine[Any, Any, None], *, name: str) -> None:
        """Await a call that changes what there is at EC2; it goes on if we are told to stop, and remove() awaits it."""
        self._call = asyncio.create_task(call, name=f"{name} of {self.snapshot_id}")
        await asyncio.shield(self._call)

    async def _end_of_call(self) -> None:
        if self._call is not None:
            await asyncio.wait({self._call})
            self._call.exception()  # told to whoever asked; it is not news any more
            self._call = None

    async def _keep(self, record: VolumeRecord) -> None:
        self._record = record
        await asyncio.to_thread(record.write, self._place.directory, self.snapshot_id)

    def _step(self, what: str) -> AbstractContextManager[None]:
        return step(f"{self.snapshot_id}: {what}", **self._resources())

    def _resources(self) -> dict[str, str]:
        """Return the IDs of what its steps touch, as far as they are known."""
        found = {"snapshot": self.snapshot_id, "instance": self._place.instance.instance_id}
        return found | ({"volume": self._record.volume_id} if self._record.volume_id else {})
