"""Where the device of a volume is: by its ID where the kernel shows it (NVMe), by the name it was attached under (Xen).

On EC2 a volume is a block device. In the embedded cloud without root it is a directory, and where there are no mount
namespaces either, a link stands in for the mount. Looks and never writes, except through ``mounts``.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from awsac_async.agent import mounts
from awsac_async.agent.mounts import DeviceError, MountKind
from awsac_async.agent.retry import pauses
from awsac_async.session.names import DEVICE_DIRECTORY

_NVME_PREFIX = "nvme-Amazon_Elastic_Block_Store_"  # as udev names it; the volume ID follows, without its dash


class Devices:
    """The devices of this machine, and whether it can mount them.

    ``AWSACDeviceDir``, if set, replaces ``/dev/disk/by-id`` and says that this machine shares its mounts with others:
    nothing is mounted then, only linked.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        dev: Path = Path("/dev"),
        sys: Path = Path("/sys"),
        patience: float = 60.0,
    ) -> None:
        """``patience``: the seconds within which the device of an attached volume must appear."""
        self._by_id = Path(environment.get(DEVICE_DIRECTORY, dev / "disk" / "by-id"))
        self._links_only = DEVICE_DIRECTORY in environment
        self._dev, self._sys, self._patience = dev, sys, patience

    async def find(self, volume_id: str, name: str) -> Path:
        """Wait until the device of an attached volume is there.

        Args:
            volume_id: the volume; on NVMe the device is found by it, since the kernel ignores ``name``.
            name: what EC2 was asked to attach it as; Xen calls ``/dev/sdf`` ``/dev/xvdf``.

        Raises:
            DeviceError: it did not appear, or what is in its place is another volume.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        for pause in pauses(first=0.05, longest=2.0):
            found, others = await asyncio.to_thread(self._look, volume_id, name)
            if found is not None:
                return found
            if loop.time() + pause > until:
                reason = "; ".join(others) or f"it did not appear within {self._patience:g} s"
                raise DeviceError(f"the device of {volume_id}, attached as {name}, cannot be used: {reason}")
            await asyncio.sleep(pause)
        raise AssertionError("pauses() never ends")

    async def mount(self, device: Path, target: Path, *, read_only: bool) -> MountKind:
        """Make the content of ``device`` appear at ``target``; it may have been made so already.

        Raises:
            DeviceError: the device has no file system that can be used, or ``target`` shows another one.
            ToolError: mount refused.
        """
        if self._links_only:
            return await asyncio.to_thread(mounts.link, device, target, read_only=read_only)
        return await mounts.mount(device, target, read_only=read_only)

    async def format(self, device: Path, file_system: str, *, label: str) -> None:
        """Make an empty file system (``ext4`` or ``xfs``) on ``device``; a directory needs none.

        Raises:
            DeviceError: this machine has no program that makes one.
            ToolError: it could not be made, or somebody else has the device.
        """
        if await asyncio.to_thread(device.is_block_device):
            await mounts.make_file_system(device, file_system, label=label)

    async def mounted(self, target: Path) -> bool:
        """Whether something was made to appear at ``target``."""
        return await asyncio.to_thread(mounts.shows, target)

    async def unmount(self, target: Path) -> None:
        """Undo :meth:`mount`, however far it came; waits a little for processes that are just ending.

        Raises:
            ToolError: it is still in use.
        """
        await mounts.unmount(target)

    def _look(self, volume_id: str, name: str) -> tuple[Path | None, list[str]]:
        """Return the volume's device, if it is there, and which devices in its place are another volume's."""
        serial, others = volume_id.replace("-", ""), []
        for device in self._candidates(serial, name):
            if not device.exists():
                continue
            if (found := self._serial(device)) in {serial, None}:
                return device, []
            others.append(f"{device} is {found}")
        return None, others

    def _candidates(self, serial: str, name: str) -> Iterator[Path]:
        yield self._by_id / (_NVME_PREFIX + serial)
        if self._links_only:
            return
        for disk in sorted((self._sys / "block").glob("nvme*")):  # udev may have made no link
            if _read(disk / "device" / "serial") == serial:
                yield self._dev / disk.name
        plain = name.removeprefix("/dev/")
        yield self._dev / plain.replace("sd", "xvd", 1)
        # On a machine that is no Xen guest, a disk called so is somebody else's.
        if (self._sys / "block" / plain).resolve().match("vbd-*/block/*"):
            yield self._dev / plain

    def _serial(self, device: Path) -> str | None:
        """Return a device's serial, on EC2 the volume's ID without its dash; None if it has none."""
        node = device.resolve()
        disk, number = self._sys / "block" / node.name, node.stat().st_rdev
        # By number, too: what is called nvme1n1 here need not be what the kernel calls so.
        same = _read(disk / "dev") == f"{os.major(number)}:{os.minor(number)}"
        return _read(disk / "device" / "serial") if same else None


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:  # the device has none, or is just going
        return None
