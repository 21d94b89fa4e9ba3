"""A release, an EBS snapshot, becomes a directory that jobs see at ``ATLASDir``; and goes again.

Owns this instance's volumes from their creation to their deletion: each is removed when the last job that needs it has
ended, and whatever fails, none is left behind. Releases never wait for each other, and a release that fails is a
value: it concerns its own jobs only.
"""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from awsac_async.agent.devices import DeviceError, DeviceNames, Devices, MountKind
from awsac_async.agent.log import describe, step
from awsac_async.agent.metadata import Instance
from awsac_async.agent.process import ToolError
from awsac_async.cloud.volumes import Volumes
from awsac_async.session.errors import CloudError, DeviceNameInUseError

_log = logging.getLogger(__name__)


class ReleaseError(Exception):
    """A release could not be provided; the text is the reason its jobs report."""


@dataclass(frozen=True, kw_only=True)
class Provided:
    """A release that is there: its directory, and how it came to be one."""

    directory: Path
    kind: MountKind

    @property
    def mounted(self) -> bool:
        """Whether a mount namespace can show it elsewhere: a linked one means that this machine has none."""
        return self.kind is not MountKind.LINK


@dataclass(frozen=True, kw_only=True)
class Place:
    """What all releases of an instance share."""

    session_id: str
    instance: Instance
    directory: Path
    volumes: Volumes
    devices: Devices
    names: DeviceNames


class Release:
    """One snapshot on this instance. It remembers how far it came, so that removing it undoes just that."""

    def __init__(self, place: Place, snapshot_id: str) -> None:
        self._place, self.snapshot_id = place, snapshot_id
        self._directory = place.directory / snapshot_id
        self._creation: asyncio.Task[str] | None = None
        self._device_name = ""

    async def provide(self) -> Provided:
        """Create, attach and mount the volume, each step named and timed in the log.

        Raises:
            CloudError, DeviceError, ToolError: a step failed; :meth:`remove` is still the caller's to call.
        """
        volumes, instance = self._place.volumes, self._place.instance
        with step(f"{self.snapshot_id}: create volume in {instance.zone}"):
            volume_id = await self._create()
        with step(f"{self.snapshot_id}: wait for {volume_id} to be available"):
            await volumes.wait_available(volume_id)
        with step(f"{self.snapshot_id}: attach {volume_id} to {instance.instance_id}"):
            await self._attach(volume_id)
        with step(f"{self.snapshot_id}: wait for {volume_id} to be attached as {self._device_name}"):
            await volumes.wait_attached(volume_id)
        with step(f"{self.snapshot_id}: set DeleteOnTermination of {volume_id} on {instance.instance_id}"):
            await volumes.delete_with_instance(instance.instance_id, self._device_name)
        with step(f"{self.snapshot_id}: find the device of {volume_id}"):
            device = await self._place.devices.find(volume_id, self._device_name)
        with step(f"{self.snapshot_id}: mount {device} on {self._directory}"):
            kind = await self._place.devices.mount(device, self._directory)
        return Provided(directory=self._directory, kind=kind)

    async def remove(self) -> None:
        """Unmount, detach and delete, as far as there is anything to undo; every step runs, whatever fails."""
        if self._creation is None:
            return
        volumes, instance_id = self._place.volumes, self._place.instance.instance_id
        volume_id, name = await _created(self._creation), self._device_name
        await self._undo("unmount", lambda: self._place.devices.unmount(self._directory))
        if name:
            await self._undo(f"detach {volume_id}", lambda: volumes.detach(volume_id, instance_id))
            self._place.names.give_back(name)
            self._device_name = ""
        if volume_id:
            await self._undo(f"delete {volume_id}", lambda: volumes.delete(volume_id))
        self._creation = None

    async def _create(self) -> str:
        instance = self._place.instance
        # The same snapshot on the same instance is the same volume, also for an agent that asks again after a crash.
        words = f"{self._place.session_id} {instance.instance_id} {self.snapshot_id}"
        creation = self._place.volumes.create(
            snapshot_id=self.snapshot_id,
            zone=instance.zone,
            client_token=hashlib.sha256(words.encode()).hexdigest(),
            session_id=self._place.session_id,
            instance_id=instance.instance_id,
        )
        # A task of its own: whoever is told to stop meanwhile must still learn which volume there is to delete.
        self._creation = asyncio.create_task(creation, name=f"create volume of {self.snapshot_id}")
        return await asyncio.shield(self._creation)

    async def _attach(self, volume_id: str) -> None:
        """Attach under the first name EC2 accepts: one that it still holds for an earlier volume is passed over."""
        for attempt in range(2, -1, -1):
            self._device_name = await self._place.names.take()
            try:
                await self._place.volumes.attach(volume_id, self._place.instance.instance_id, self._device_name)
                return
            except DeviceNameInUseError:
                if not attempt:
                    raise
                self._place.names.give_back(self._device_name)

    async def _undo(self, what: str, undo: Callable[[], Awaitable[None]]) -> None:
        try:
            with step(f"{self.snapshot_id}: {what}"):
                await undo()
        except (CloudError, ToolError, OSError):
            # Named and logged by step(); the steps after it must run. A volume that stays attached goes with the
            # instance, since DeleteOnTermination was set.
            pass


class Releases:
    """All releases of this instance's jobs, provided concurrently by tasks of the given group."""

    def __init__(self, place: Place, needed: Iterable[str | None]) -> None:
        """``needed`` names, for each job, the snapshot it needs, or None."""
        self._users = Counter(snapshot for snapshot in needed if snapshot)
        self._releases = {snapshot: Release(place, snapshot) for snapshot in self._users}
        self._ready: dict[str, asyncio.Task[Provided | ReleaseError]] = {}

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to provide all of them."""
        self._group = group
        for snapshot, release in self._releases.items():
            self._ready[snapshot] = group.create_task(_provide(release), name=f"release {snapshot}")

    async def ready(self, snapshot: str) -> Provided:
        """Wait until a release is there.

        Raises:
            ReleaseError: it will not be, and why.
        """
        outcome = await asyncio.shield(self._ready[snapshot])
        if isinstance(outcome, ReleaseError):
            raise outcome
        return outcome

    def leave(self, snapshot: str | None) -> None:
        """One of the jobs that need ``snapshot`` has ended; after the last one, its volume is removed meanwhile."""
        if snapshot is None:
            return
        self._users[snapshot] -= 1
        if not self._users[snapshot]:
            removal = _remove(self._releases[snapshot], after=self._ready[snapshot])
            try:
                self._group.create_task(removal, name=f"remove {snapshot}")
            except RuntimeError:  # the group is shutting down, and takes no more tasks: remove_all does it
                removal.close()

    async def remove_all(self) -> None:
        """Remove whatever is still there."""
        async with asyncio.TaskGroup() as group:
            for snapshot, release in self._releases.items():
                group.create_task(release.remove(), name=f"remove {snapshot}")


async def _provide(release: Release) -> Provided | ReleaseError:
    """Provide a release, or undo what was done and return why it cannot be provided."""
    try:
        return await release.provide()
    except (CloudError, DeviceError, ToolError, OSError) as error:
        _log.error("release %s: %s", release.snapshot_id, describe(error))
        await release.remove()
        return ReleaseError(f"release {release.snapshot_id}: {error}")


async def _created(creation: asyncio.Task[str]) -> str:
    """Return the ID of the volume that was created, or "" if none was."""
    await asyncio.wait({creation})
    return "" if creation.exception() else creation.result()


async def _remove(release: Release, *, after: asyncio.Task[Provided | ReleaseError]) -> None:
    after.cancel()  # nobody waits for it any more, if it is still being provided
    await asyncio.wait({after})
    await release.remove()
