"""The release that is being built: an empty volume with a file system, which becomes a snapshot when its job is done.

Owns what differs from a release that there is already: formatting, and the one snapshot. What was done is noted beside
the record of the volume: a successor formats no volume that a job has written to, makes no second snapshot, and never
gives a job another volume than the one that it has begun to fill.
"""

import asyncio
import os
from pathlib import Path

from awsac_async import __version__
from awsac_async.agent.mounts import DeviceError
from awsac_async.agent.process import ToolError
from awsac_async.agent.release import Building, Place, Release
from awsac_async.agent.retry import keep_trying, pauses
from awsac_async.cloud.waiting import attempts
from awsac_async.session.atomic import replacing
from awsac_async.session.names import NAME_TAG, NEW_RELEASE, RELEASE_TAG, SESSION_TAG, VERSION_TAG

_FORMAT_SECONDS = 60.0  # how long the mkfs of an agent that was killed may still have the device
_SNAPSHOT_SECONDS = 300.0  # how long EC2 may refuse for now to begin a snapshot
_SHOWN_SECONDS = 30.0  # after which a snapshot that EC2 does not show was never begun


class NewRelease(Release):
    """The one release that is built on this instance."""

    def __init__(self, place: Place, building: Building) -> None:
        super().__init__(place, NEW_RELEASE)
        self._build, self._snapshots = building.build, building.snapshots
        self._formatted = place.directory / f"{NEW_RELEASE}.formatted"
        self._asked = place.directory / f"{NEW_RELEASE}.asked"
        self._made = place.directory / f"{NEW_RELEASE}.snapshot"

    async def _ask_for_volume(self) -> str:
        place = self._place
        return await place.volumes.create_empty(
            gib=self._build.gib,
            zone=place.instance.zone,
            client_token=self._client_token(),
            session_id=place.session_id,
            instance_id=place.instance.instance_id,
            instance_arn=place.instance.arn,
            encrypted=place.encrypted,
        )

    async def _prepare(self, device: Path, volume_id: str) -> None:
        """Make the file system, unless it was made: from then on there may be files in it."""
        formatted = await _noted(self._formatted)
        if formatted == volume_id:
            return
        if formatted:
            raise DeviceError(f"{formatted}, on which the release was being built, is gone")
        with self._step("ask whether a snapshot may be made"):  # hours of a script would be for nothing
            await self._snapshots.check(volume_id, description=self._description, tags=self._tags)
        with self._step(f"make {self._build.file_system} on {device}"):
            await self._format(device)
            await _note(self._formatted, volume_id)

    async def _format(self, device: Path) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _FORMAT_SECONDS
        for pause in pauses(first=0.5, longest=5.0):
            try:
                await self._place.devices.format(device, self._build.file_system, label=self._build.name)
                return
            except ToolError:
                if loop.time() + pause > until:
                    raise
            await asyncio.sleep(pause)

    async def made(self) -> str:
        """Return the ID of the snapshot, if it is known to have been made, or ""."""
        return await _noted(self._made)

    async def snapshot(self) -> str:
        """Unmount the volume, begin the snapshot of it, and return its ID; as often as it is called, there is one.

        Raises:
            CloudError, ToolError, OSError: there is none, as far as can be known.
        """
        volume_id = self._record.volume_id
        with self._step("unmount"):
            await self._place.devices.unmount(self._directory)
            await asyncio.to_thread(os.sync)
        with self._step(f"begin the snapshot of {volume_id}"):
            snapshot_id = await keep_trying(
                f"CreateSnapshot of {volume_id}",
                lambda: self._begin_snapshot(volume_id),
                until=asyncio.get_running_loop().time() + _SNAPSHOT_SECONDS,
            )
            await _note(self._made, snapshot_id)
        return snapshot_id

    async def _begin_snapshot(self, volume_id: str) -> str:
        """Make one try, unless there is a snapshot; one that an earlier try has begun may not be shown at once."""
        within = _SHOWN_SECONDS if await _noted(self._asked) else 0.0
        if there := await self._find(volume_id, within=within):
            return there
        await _note(self._asked, volume_id)
        return await self._snapshots.create(volume_id, description=self._description, tags=self._tags)

    @property
    def _description(self) -> str:
        return f"{self._build.name}, built by awsac {self._place.session_id}"

    @property
    def _tags(self) -> dict[str, str]:
        name = self._build.name
        return {NAME_TAG: name, RELEASE_TAG: name, SESSION_TAG: self._place.session_id, VERSION_TAG: __version__}

    async def _find(self, volume_id: str, *, within: float) -> str | None:
        async for _ in attempts(within=within):
            for found in await self._snapshots.of_volume(volume_id):
                return found.snapshot_id
        return None


async def _noted(file: Path) -> str:
    """Return the ID that was noted, or ""."""
    try:
        return (await asyncio.to_thread(file.read_text)).strip()
    except FileNotFoundError:
        return ""


async def _note(file: Path, resource_id: str) -> None:
    await asyncio.to_thread(_write, file, resource_id)


def _write(file: Path, text: str) -> None:
    with replacing(file, mode=0o600) as part:
        part.write_text(text + "\n")
