"""All releases of an instance: each becomes a directory that jobs see at ``ATLASDir``; and goes again.

Owns when a release is provided and removed: concurrently with all others, as early as it can be, and no sooner than
the last job that needs it has ended, or later, if others may come that need it too. A release that fails is a value: it
concerns its own jobs only. Whatever an earlier agent on this instance made is taken over, or removed if no job needs it
any more.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from awsac_async.agent.log import describe
from awsac_async.agent.mounts import DeviceError
from awsac_async.agent.newrelease import NewRelease
from awsac_async.agent.process import ToolError
from awsac_async.agent.release import Place, Provided, Release
from awsac_async.agent.treerecord import TreeRecord, read_tree_records
from awsac_async.agent.unpacked import UnpackedRelease
from awsac_async.agent.unpacking import ArchiveError
from awsac_async.agent.volumerecord import VolumeRecord, read_records
from awsac_async.cloud.volumes import VolumeInfo
from awsac_async.session.errors import CloudError
from awsac_async.session.releases import archive_of, is_snapshot, parse_address

__all__ = ["Place", "Provided", "ReleaseError", "Releases"]

_log = logging.getLogger(__name__)
_ASKED_SECONDS = 1.0


class ReleaseError(Exception):
    """A release could not be provided; the text is the reason its jobs report."""


class Releases:
    """The releases that an instance's jobs still need, provided concurrently by tasks of the given group."""

    def __init__(
        self, place: Place, needed: Iterable[str | None], *, possible: Iterable[str | None] = (), most_idle: int = 0
    ) -> None:
        """Name what is needed; nothing is done before :meth:`start` or :meth:`remove_all`.

        Args:
            place: what they share.
            needed: for each job whose run has not ended, adopted ones too, the release it needs, or None. Each of
                these calls :meth:`leave` once. What an earlier agent provided for others is removed.
            possible: what jobs may :meth:`need` that come later.
            most_idle: so many releases stay though no job needs them, those that were used last.
        """
        self._place = place
        self._users = Counter(name for name in needed if name)
        self._users.update(dict.fromkeys(filter(None, possible), 0))
        self._idle, self._most_idle = dict[str, None](), most_idle
        self._removals: dict[str, asyncio.Task[None]] = {}
        self._new = NewRelease(place, place.building) if place.building else None
        self._volumes = {name: self._volume(name) for name in self._users if is_snapshot(name)}
        self._trees = {
            name: UnpackedRelease(place, archive) for name in self._users if (archive := archive_of(name)) is not None
        }
        self._ready: dict[str, asyncio.Task[Provided | ReleaseError]] = {}
        self._found: asyncio.Task[None] | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to provide all of them, and to remove what no job needs any more."""
        self._group = group
        self._found = found = group.create_task(self._begin(), name="find volumes")
        for name in self._releases():
            if self._users[name]:
                self._provide_soon(name, after=found)

    async def asked(self) -> None:
        """Wait until EC2 was asked for all volumes, for a second at most.

        They are what takes the time until the first job: whoever else needs the processor to begin with, as one does
        who makes a client of a service, better does so while they are being made.
        """
        asking = [asyncio.create_task(release.asked.wait(), name="asked") for release in self._volumes.values()]
        if asking:
            await asyncio.wait(asking, timeout=_ASKED_SECONDS)
        for each in asking:
            each.cancel()

    async def ready(self, name: str) -> Provided:
        """Wait until a release is there; at once, if an earlier agent had mounted it.

        Raises:
            ReleaseError: it will not be, and why.
        """
        outcome = await asyncio.shield(self._ready[name])
        if isinstance(outcome, ReleaseError):
            raise outcome
        return outcome

    def need(self, name: str | None) -> None:
        """One more job needs a release, one of those that are possible, and will :meth:`leave` it."""
        if name is None:
            return
        self._users[name] += 1
        self._idle.pop(name, None)
        if name not in self._ready and self._found is not None:
            self._provide_soon(name, after=self._removals.get(name, self._found))

    def leave(self, name: str | None) -> None:
        """One of the jobs that need a release has ended; after the last one, it is removed meanwhile."""
        if name is None:
            return
        self._users[name] -= 1
        if self._users[name]:
            return
        if _failed(self._ready[name]):  # whoever needs it next is to try again
            self._remove_soon(name)
        else:
            self._idle[name] = None
        while len(self._idle) > self._most_idle:
            self._remove_soon(next(iter(self._idle)))

    async def remove_all(self) -> None:
        """Remove whatever is still there, also what only an earlier agent knew of."""
        if self._found is None or self._found.cancelled():
            await self._take_over()
        async with asyncio.TaskGroup() as group:
            for name, release in self._releases().items():
                group.create_task(release.remove(), name=f"remove {name}")

    def _volume(self, name: str) -> Release:
        return self._new if self._new and name == self._new.name else Release(self._place, name)

    async def snapshot(self) -> str:
        """Make the snapshot of the release that is built here, whose job has ended, and return its ID.

        Raises:
            ReleaseError: there will be none, and why.
        """
        if self._new is None:
            raise ReleaseError("no release is built here")
        try:
            if made := await self._new.made():
                return made
            await self.ready(self._new.name)
            return await self._new.snapshot()
        except (CloudError, ToolError, OSError) as error:
            raise ReleaseError(f"no snapshot of the release could be made: {error}") from error

    def _releases(self) -> Mapping[str, "Release | UnpackedRelease"]:
        return {**self._volumes, **self._trees}

    # --- what was there before ---

    async def _begin(self) -> None:
        await self._take_over()
        for name, release in self._releases().items():
            if name not in self._users:
                self._remove_soon(name)
            elif release.inherited and not self._users[name]:  # nobody has needed it so far
                self._idle[name] = None

    async def _take_over(self) -> None:
        """Find what the launch, or an earlier agent, has made; asks EC2 only if there can be anything."""
        place = self._place
        place.names.exclude(place.instance.devices)
        await self._inherit_trees(await asyncio.to_thread(read_tree_records, place.directory))
        records = await asyncio.to_thread(read_records, place.directory)
        if not records and not (place.instance.devices and self._volumes):
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
            release = self._volumes.setdefault(snapshot, self._volume(snapshot))
            await release.inherit(record, attached.get(record.volume_id))

    async def _inherit_trees(self, records: dict[str, TreeRecord]) -> None:
        for address, record in records.items():
            release = self._trees.setdefault(address, UnpackedRelease(self._place, parse_address(address)))
            await release.inherit(record)

    def _use_launched(self, foreign: list[VolumeInfo]) -> None:
        for volume in foreign:
            if volume.snapshot_id in self._users:
                _log.info("%s: the launch attached %s as %s", volume.snapshot_id, volume.volume_id, volume.device)
                self._volumes[volume.snapshot_id].use(volume)

    # --- providing and removing ---

    def _provide_soon(self, name: str, *, after: asyncio.Task[None]) -> None:
        providing = _provide(self._releases()[name], after=after)
        self._ready[name] = self._group.create_task(providing, name=f"release {name}")

    def _remove_soon(self, name: str) -> None:
        self._idle.pop(name, None)
        removal = _remove(self._releases()[name], after=self._ready.pop(name, None))
        try:
            self._removals[name] = self._group.create_task(removal, name=f"remove {name}")
        except RuntimeError:  # the group is shutting down, and takes no more tasks: remove_all does it
            removal.close()


async def _provide(release: Release | UnpackedRelease, *, after: asyncio.Task[None]) -> Provided | ReleaseError:
    """Provide a release, or undo what was done and return why it cannot be provided."""
    began = time.monotonic()
    try:
        await asyncio.shield(after)
        provided = await release.provide()
    except (CloudError, DeviceError, ToolError, ArchiveError, OSError) as error:
        _log.error("release %s: %s", release.name, describe(error))
        if not release.inherited:  # else a job that runs may be using it; it goes when that has ended
            await release.remove()
        return ReleaseError(f"release {release.name}: {error}")
    _log_ready(release.name, provided, seconds=time.monotonic() - began)
    return provided


def _failed(providing: asyncio.Task[Provided | ReleaseError]) -> bool:
    return providing.done() and not providing.cancelled() and isinstance(providing.result(), ReleaseError)


def _log_ready(name: str, provided: Provided, *, seconds: float) -> None:
    """Say how long a release took; of a volume nobody knows the bytes, which EC2 loads as they are read."""
    facts: dict[str, object] = {"step": f"release {name}", "event": "ready", "seconds": round(seconds, 3)}
    said = f"ready after {seconds:.3f} s"
    if provided.size is not None:
        facts["bytes"] = provided.size
        said += f", {provided.size} bytes, {provided.size / max(seconds, 0.001) / 1e6:.1f} MB/s"
    _log.info("release %s: %s", name, said, extra={"facts": {**facts, "resources": {"release": name}}})


async def _remove(release: Release | UnpackedRelease, *, after: asyncio.Task[Provided | ReleaseError] | None) -> None:
    if after is not None:
        after.cancel()  # nobody waits for it any more, if it is still being provided
        await asyncio.wait({after})
    await release.remove()
    release.inherited = False
