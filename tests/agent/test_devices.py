"""Devices are found as each kind of machine shows them, and looked at before they are mounted."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from awsac_async.agent.devicenames import DeviceNames
from awsac_async.agent.devices import Devices
from awsac_async.agent.mounts import DeviceError, MountKind
from awsac_async.agent.process import ToolError
from awsac_async.local.volumes import loop_devices_work

VOLUME, OTHER = "vol-0123456789abcdef0", "vol-0fedcba9876543210"
LINK = "disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"


class Machine:
    """The /dev and /sys of a machine; its disks are files, whose device number is 0:0."""

    def __init__(self, directory: Path) -> None:
        self.dev, self.sys = directory / "dev", directory / "sys"
        (self.dev / "disk/by-id").mkdir(parents=True)
        (self.sys / "block").mkdir(parents=True)
        self.devices = Devices({}, dev=self.dev, sys=self.sys, patience=0.1)

    def nvme(self, name: str, volume: str, *, number: str = "0:0") -> Path:
        disk = self.sys / "block" / name
        (disk / "device").mkdir(parents=True)
        (disk / "device" / "serial").write_text(volume.replace("-", "") + "  \n")
        (disk / "dev").write_text(f"{number}\n")
        return self.node(name)

    def xen(self, name: str) -> Path:
        real = self.sys / "devices/vbd-51792/block" / name
        real.mkdir(parents=True)
        (self.sys / "block" / name).symlink_to(real)
        return self.node(name)

    def node(self, name: str) -> Path:
        (self.dev / name).touch()
        return self.dev / name

    async def find(self) -> Path:
        return await self.devices.find(VOLUME, "/dev/sdf")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def test_an_nvme_device_is_found_by_its_link_and_by_its_serial_without_one(machine: Machine) -> None:
    machine.nvme("nvme1n1", OTHER)
    device = machine.nvme("nvme2n1", VOLUME)
    assert await machine.find() == device
    (machine.dev / LINK).symlink_to("../../nvme2n1")
    assert (await machine.find()).resolve() == device


async def test_a_device_whose_serial_is_another_volumes_is_refused(machine: Machine) -> None:
    machine.nvme("nvme1n1", OTHER)
    (machine.dev / LINK).symlink_to("../../nvme1n1")
    with pytest.raises(DeviceError, match=f"{VOLUME}.*cannot be used.*is vol0fedcba9876543210"):
        await machine.find()


async def test_a_serial_counts_only_for_the_device_that_the_kernel_calls_so(machine: Machine) -> None:
    machine.nvme("nvme1n1", OTHER, number="259:1")  # the node of this name is of another number
    (machine.dev / LINK).symlink_to("../../nvme1n1")
    assert (await machine.find()).resolve() == machine.dev / "nvme1n1"


async def test_a_xen_device_is_found_by_the_name_of_its_attachment(machine: Machine) -> None:
    machine.xen("sdf")
    assert await machine.find() == machine.dev / "sdf"
    machine.node("xvdf")
    assert await machine.find() == machine.dev / "xvdf"
    late = machine.node("xvdba")
    assert await machine.devices.find(VOLUME, "/dev/xvdba") == late


async def test_a_disk_that_is_called_so_on_a_machine_without_xen_is_not_taken(machine: Machine) -> None:
    machine.node("sdf")
    with pytest.raises(DeviceError, match=f"{VOLUME}.* did not appear"):
        await machine.find()


def test_names_that_the_instance_uses_are_never_offered_and_refused_ones_come_last() -> None:
    names = DeviceNames()
    names.exclude(["/dev/sda1", "sdf", "/dev/xvdh"])
    first = names.take()
    assert first == "/dev/sdg"
    names.refuse(first)
    offered = [names.take() for _ in range(len(names))]
    assert offered[:2] == ["/dev/sdi", "/dev/sdj"]
    assert offered[-1] == first
    assert len(set(offered)) == len(offered) == 75
    assert not {"/dev/sdf", "/dev/sdh"} & set(offered)
    with pytest.raises(DeviceError, match="all device names"):
        names.take()


async def test_who_waits_for_room_hears_when_there_is_none_to_come() -> None:
    names = DeviceNames()
    held, other = names.take(), names.take()
    waiting = asyncio.create_task(names.detached_since(0), name="wait")
    names.refuse(other)
    names.give_back(held)
    assert await waiting
    assert not await names.detached_since(1)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that makes a loop device, its content made by a command."""
    if os.geteuid() or not loop_devices_work():
        pytest.skip("this user can have no loop devices")
    with ExitStack() as stack:

        def make(command: str) -> Path:
            file = tmp_path / f"disk{len(list(tmp_path.glob('disk*')))}"
            with file.open("wb") as disk:
                disk.truncate(8 << 20)
            subprocess.run([*command.split(), file], check=True, capture_output=True)
            done = subprocess.run(["losetup", "--find", "--show", file], check=True, capture_output=True, text=True)
            stack.callback(subprocess.run, ["losetup", "--detach", done.stdout.strip()], check=True)
            return Path(done.stdout.strip())

        yield make


@contextmanager
def unmounted(target: Path) -> Iterator[Path]:
    try:
        yield target
    finally:
        while os.path.ismount(target):
            subprocess.run(["umount", target], check=True)


async def test_a_device_is_mounted_once_and_never_over_another(
    disks: Callable[[str], Path], machine: Machine, tmp_path: Path
) -> None:
    first, second = disks("mkfs.ext4 -q"), disks("mkfs.ext4 -q")
    with unmounted(tmp_path / "state" / "snap-1") as target:
        for _ in range(2):  # the second time by a successor
            assert await machine.devices.mount(first, target, read_only=False) is MountKind.DEVICE
        (target / "written").touch()
        with pytest.raises(DeviceError, match=f"shows {first}, and not {second}"):
            await machine.devices.mount(second, target, read_only=False)
        await machine.devices.unmount(target)
        assert not target.exists()
        await machine.devices.mount(first, target, read_only=True)
        with pytest.raises(OSError, match="Read-only"):
            (target / "written").unlink()


def with_errors(disk: Path) -> Path:
    """Write what the kernel does when it finds an error, with the checksum that belongs to it."""
    subprocess.run(["debugfs", "-w", "-R", "set_super_value state 3", disk], check=True, capture_output=True)
    return disk


def overwritten(disk: Path, place: int, content: bytes) -> Path:
    with disk.open("r+b") as file:
        file.seek(place)
        file.write(content)
    return disk


async def test_what_cannot_be_mounted_is_said_before_it_is_tried(
    disks: Callable[[str], Path], machine: Machine, tmp_path: Path
) -> None:
    async def refusal(disk: Path) -> str:
        with unmounted(tmp_path / "state" / "snap-1") as target, pytest.raises((DeviceError, ToolError)) as raised:
            await machine.devices.mount(disk, target, read_only=False)
        return str(raised.value)

    assert "has no file system that is known" in await refusal(disks("true"))
    assert "has no file system: what is on it is swap" in await refusal(disks("mkswap"))
    assert "has recorded errors" in await refusal(with_errors(disks("mkfs.ext4 -q")))
    # The same, and another label, with the checksum that was right before: not every blkid knows such a file system.
    assert "has recorded errors" in await refusal(overwritten(disks("mkfs.ext4 -q"), 0x43A, b"\x03\x00"))
    told = await refusal(overwritten(disks("mkfs.ext4 -q -O metadata_csum"), 0x478, b"label"))
    assert "checksum of its superblock is wrong" in told or told.startswith("mount -t ext4")
