"""From an attached volume to a mounted directory: device names, the device of a volume, and three ways to mount it.

On EC2 a volume is a block device. In the embedded cloud without root it is a directory, and where there are no mount
namespaces either, a link stands in for the mount. This module alone knows the difference.
"""

import asyncio
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from awsac_async.agent.process import ToolError, run_tool
from awsac_async.agent.retry import pauses
from awsac_async.session.names import DEVICE_DIRECTORY

_NVME_PREFIX = "nvme-Amazon_Elastic_Block_Store_"  # as udev names it; the volume ID follows, without its dash
_APPEARS_SECONDS = 60.0
_UNMOUNT_SECONDS = 15.0


class DeviceError(Exception):
    """A volume's device did not appear."""


class DeviceNames:
    """The names EC2 allows for data volumes, ``/dev/sd[f-p]``, each given to one attachment at a time.

    Names in flight are remembered, so that two attachments never race for one; a name goes back to the end, so that
    one that EC2 may still hold is tried last.
    """

    def __init__(self) -> None:
        self._free: asyncio.Queue[str] = asyncio.Queue()
        for letter in "fghijklmnop":
            self._free.put_nowait(f"/dev/sd{letter}")

    async def take(self) -> str:
        """Return a name that nobody uses, as soon as there is one: an instance holds at most 11 releases at a time."""
        return await self._free.get()

    def give_back(self, name: str) -> None:
        """Let others have a name again."""
        self._free.put_nowait(name)


class MountKind(Enum):
    """How a volume became a directory."""

    DEVICE = "block device mounted"
    BIND = "directory bound"
    LINK = "directory linked"


class Devices:
    """Where the devices of this machine appear, and whether it can mount them.

    ``AWSACDeviceDir``, if set, replaces ``/dev/disk/by-id`` and says that this machine shares its mounts with others:
    nothing is mounted then, only linked.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._directory = Path(environment.get(DEVICE_DIRECTORY, "/dev/disk/by-id"))
        self._links_only = DEVICE_DIRECTORY in environment

    async def find(self, volume_id: str, name: str) -> Path:
        """Wait until the device of an attached volume is there.

        Args:
            volume_id: the volume; on NVMe the device is found by it, since the kernel ignores ``name``.
            name: what EC2 was asked to attach it as; Xen calls ``/dev/sdf`` ``/dev/xvdf``.

        Raises:
            DeviceError: it did not appear within a minute.
        """
        by_id = self._directory / (_NVME_PREFIX + volume_id.replace("-", ""))
        candidates = [by_id] if self._links_only else [by_id, Path(name.replace("/dev/sd", "/dev/xvd"))]
        try:
            async with asyncio.timeout(_APPEARS_SECONDS):
                return await _first_existing(candidates)
        except TimeoutError:
            raise DeviceError(f"the device of {volume_id} did not appear within {_APPEARS_SECONDS:.0f} s") from None

    async def mount(self, device: Path, target: Path) -> MountKind:
        """Make the content of ``device`` appear at ``target``, which must not exist.

        Raises:
            ToolError: mount refused.
        """
        kind = await asyncio.to_thread(self._prepare, device, target)
        if kind is MountKind.DEVICE:
            await run_tool("mount", str(device), str(target))
        elif kind is MountKind.BIND:
            # mount(8) itself follows the link that stands for the device.
            await run_tool("mount", "--bind", str(device), str(target))
        return kind

    def _prepare(self, device: Path, target: Path) -> MountKind:
        """Make the place that is mounted on, or the link that is all there is to do."""
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._links_only:
            target.symlink_to(device.resolve())
            return MountKind.LINK
        target.mkdir()
        return MountKind.DEVICE if device.is_block_device() else MountKind.BIND

    async def unmount(self, target: Path) -> None:
        """Undo :meth:`mount`, however far it came; waits a little for processes that are just ending.

        Raises:
            ToolError: it is still in use.
        """
        if await asyncio.to_thread(_is_mounted, target):
            await _unmount_when_idle(target)
        await asyncio.to_thread(_remove_place, target)


def _is_mounted(target: Path) -> bool:
    """Ask the kernel: unlike ``os.path.ismount``, it also knows a directory bound from the same file system."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()  # proc(5): the fifth field is the mount point
    return str(target).replace(" ", r"\040") in (line.split()[4] for line in mounts)


def _remove_place(target: Path) -> None:
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        target.rmdir()


async def _first_existing(candidates: list[Path]) -> Path:
    for pause in pauses(first=0.05, longest=2.0):
        for candidate in candidates:
            if await asyncio.to_thread(candidate.exists):
                return candidate
        await asyncio.sleep(pause)
    raise AssertionError("pauses() never ends")


async def _unmount_when_idle(target: Path) -> None:
    """Unmount; while it is busy, try again for some seconds, then report the last refusal."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _UNMOUNT_SECONDS
    for pause in pauses(first=0.1, longest=2.0):
        try:
            await run_tool("umount", str(target))
            return
        except ToolError:
            if loop.time() + pause > until:
                raise
        await asyncio.sleep(pause)
