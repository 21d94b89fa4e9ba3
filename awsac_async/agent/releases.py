"""All releases of an instance: each EBS snapshot becomes a directory that jobs see at ``ATLASDir``; and goes again.

Owns when a release is provided and removed: concurrently with all others, as early as it can be, and no sooner than
the last job that needs it has ended. A release that fails is a value: it concerns its own jobs only. Whatever an
earlier agent on this instance made is taken over, or removed if no job needs it any more.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable

from awsac_async.agent.log import describe
from awsac_async.agent.mounts import DeviceError
from awsac_async.agent.process import ToolError
from awsac_async.agent.release import Place, Provided, Release
from awsac_async.agent.volumerecord import VolumeRecord, read_records
from awsac_async.cloud.volumes import VolumeInfo
from awsac_async.session.errors import CloudError

__all__ = ["Place", "Provided", "ReleaseError", "Releases"]

_log = logging.getLogger(__name__)
_ASKED_SECONDS = 1.0


class ReleaseError(Exception):
    """A release could not be provided; the text is the reason its jobs report."""


class Releases:
    """The releases that an instance's jobs still need, provided concurrently by tasks of the given group."""

    def __init__(self, place: Place, needed: Iterable[str | None]) -> None:
        """Name what is needed; nothing is done before :meth:`start` or :meth:`remove_all`.

        Args:
            place: what they share.
            needed: for each job whose run has not ended, adopted ones too, the snapshot it needs, or None. Each of
                these calls :meth:`leave` once. What an earlier agent provided for others is removed.
        """
        self._place = place
        self._users = Counter(snapshot for snapshot in needed if snapshot)
        self._releases = {snapshot: Release(place, snapshot) for snapshot in self._users}
        self._ready: dict[str, asyncio.Task[Provided | ReleaseError]] = {}
        self._found: asyncio.Task[None] | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to provide all of them, and to remove what no job needs any more."""
        self._group = group
        self._found = found = group.create_task(self._begin(), name="find volumes")
        for snapshot, release in self._releases.items():
            self._ready[snapshot] = group.create_task(_provide(release, after=found), name=f"release {snapshot}")

    async def asked(self) -> None:
        """Wait until EC2 was asked for all volumes, for a second at most.

        They are what takes the time until the first job: whoever else needs the processor to begin with, as one does
        who makes a client of a service, better does so while they are being made.
        """
        asking = [asyncio.create_task(release.asked.wait(), name="asked") for release in self._releases.values()]
        if asking:
            await asyncio.wait(asking, timeout=_ASKED_SECONDS)
        for each in asking:
            each.cancel()

    async def ready(self, snapshot: str) -> Provided:
        """Wait until a release is there; at once, if an earlier agent had mounted it.

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
            self._remove_soon(self._releases[snapshot], after=self._ready[snapshot])

    async def remove_all(self) -> None:
        """Remove whatever is still there, also what only an earlier agent knew of."""
        if self._found is None or self._found.cancelled():
            await self._take_over()
        async with asyncio.TaskGroup() as group:
            for snapshot, release in self._releases.items():
                group.create_task(release.remove(), name=f"remove {snapshot}")

    # --- what was there before ---

    async def _begin(self) -> None:
        await self._take_over()
        for snapshot in self._releases.keys() - self._users.keys():
            self._remove_soon(self._releases[snapshot])

    async def _take_over(self) -> None:
        """Find what the launch, or an earlier agent, has made; asks EC2 only if there can be anything."""
        place = self._place
        place.names.exclude(place.instance.devices)
        records = await asyncio.to_thread(read_records, place.directory)
        if not records and not place.instance.devices:
            return
        attached = await self._attached()
        place.names.exclude(each.device for each in attached)
        await self._inherit(records, {each.volume_id: each for each in attached})
        ours = {record.volume_id for record in records.values()}
        self._use_launched([each for each in attached if each.volume_id not in ours])

    async def _attached(self) -> list[VolumeInfo]:
        """Return what is attached to the instance. What cannot be learned is no error: refusals tell it."""
        try:
            return await self._place.volumes.of_instance(self._place.instance.instance_id)
        except CloudError as error:
            _log.warning("volumes of this instance: %s", describe(error))
            return []

    async def _inherit(self, records: dict[str, VolumeRecord], attached: dict[str, VolumeInfo]) -> None:
        for snapshot, record in records.items():
            release = self._releases.setdefault(snapshot, Release(self._place, snapshot))
            await release.inherit(record, attached.get(record.volume_id))

    def _use_launched(self, foreign: list[VolumeInfo]) -> None:
        for volume in foreign:
            if volume.snapshot_id in self._users:
                _log.info("%s: the launch attached %s as %s", volume.snapshot_id, volume.volume_id, volume.device)
                self._releases[volume.snapshot_id].use(volume)

    # --- removing ---

    def _remove_soon(self, release: Release, *, after: asyncio.Task[Provided | ReleaseError] | None = None) -> None:
        removal = _remove(release, after=after)
        try:
            self._group.create_task(removal, name=f"remove {release.snapshot_id}")
        except RuntimeError:  # the group is shutting down, and takes no more tasks: remove_all does it
            removal.close()


async def _provide(release: Release, *, after: asyncio.Task[None]) -> Provided | ReleaseError:
    """Provide a release, or undo what was done and return why it cannot be provided."""
    try:
        await asyncio.shield(after)
        return await release.provide()
    except (CloudError, DeviceError, ToolError, OSError) as error:
        _log.error("release %s: %s", release.snapshot_id, describe(error))
        if not release.inherited:  # else a job that runs may be using it; it goes when that has ended
            await release.remove()
        return ReleaseError(f"release {release.snapshot_id}: {error}")


async def _remove(release: Release, *, after: asyncio.Task[Provided | ReleaseError] | None) -> None:
    if after is not None:
        after.cancel()  # nobody waits for it any more, if it is still being provided
        await asyncio.wait({after})
    await release.remove()
