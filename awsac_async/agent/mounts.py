"""Three ways for a volume to become a directory: mounted, bound, linked; and its way back.

Owns every mount and unmount of the agent, and the making of file systems. Looks at one before it is mounted, and never
repairs one.
"""

import asyncio
import logging
import re
import shutil
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from awsac_async.agent.process import ToolError, run_tool
from awsac_async.agent.retry import pauses

_log = logging.getLogger(__name__)
_UNMOUNT_SECONDS = 15.0
# https://docs.kernel.org/filesystems/ext4/super.html: s_magic and s_state, two bytes each, of the superblock at 1024
_EXT_MAGIC, _EXT_ERRORS = b"\x53\xef", 0x2
_EXT_MAGIC_PLACE = 1024 + 0x38

# How an empty file system is made, without a question, and which option gives its label of how many bytes at most.
_MAKE = {
    "ext4": (["mkfs.ext4", "-q", "-F", "-m", "0", "-L"], 16),
    "xfs": (["mkfs.xfs", "-q", "-f", "-L"], 12),
}


class DeviceError(Exception):
    """A device is not there, is another volume's, or cannot be mounted; or what is mounted somewhere is not ours."""


class MountKind(Enum):
    """How a volume became a directory."""

    DEVICE = "block device mounted"
    BIND = "directory bound"
    LINK = "directory linked"


async def make_file_system(device: Path, kind: str, *, label: str) -> None:
    """Make an empty file system on a block device, whatever is on it; of the label as much as it takes.

    Raises:
        DeviceError: this machine has no program that makes one.
        ToolError: it could not be made, or the device is in use.
    """
    command, most = _MAKE[kind]
    if await asyncio.to_thread(shutil.which, command[0]) is None:
        raise DeviceError(f"the image has no {command[0]}, which makes the file system {kind}")
    await run_tool(*command, label[:most], str(device))


async def mount(device: Path, target: Path, *, read_only: bool) -> MountKind:
    """Mount a block device, or bind a directory, at ``target``; what is mounted there already stays.

    Raises:
        DeviceError: the device has no file system that can be used, or ``target`` shows another one.
        ToolError: mount refused.
    """
    kind = await asyncio.to_thread(_prepare, device, target)
    if await asyncio.to_thread(_shows_device, device, target, kind):
        return kind
    options = ["ro" if read_only else "rw"]
    command = ["mount", "--bind"]
    if kind is MountKind.DEVICE:
        system = await _file_system(device)
        command = ["mount", "-t", system]
        if system == "xfs":
            options.append("nouuid")  # two releases may come from one volume; xfs takes them for one
    try:
        await run_tool(*command, "-o", ",".join(options), str(device), str(target))
    except ToolError:
        # A mount that a predecessor began may have been completed meanwhile.
        if not await asyncio.to_thread(_shows_device, device, target, kind):
            raise
    return kind


def link(device: Path, target: Path, *, read_only: bool) -> MountKind:
    """Let a link stand for the mount, where this machine shares its mounts with others."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_symlink():
        target.symlink_to(device.resolve())
    if read_only:
        _log.warning("%s can be written to: a link cannot be read-only", target)
    return MountKind.LINK


def shows(target: Path) -> bool:
    """Whether something was made to appear at ``target``."""
    return target.is_symlink() or _mounted(target) is not None


def mount_within(directory: Path) -> Path | None:
    """Return where something is mounted at ``directory`` or below it, the first such place; None if there is none."""
    whole = directory.resolve()
    return next((Path(point) for point, _ in _mounts() if Path(point).is_relative_to(whole)), None)


async def unmount(target: Path) -> None:
    """Undo :func:`mount` or :func:`link`, however far it came; waits a little for processes that are just ending.

    Raises:
        ToolError: it is still in use.
    """
    while await asyncio.to_thread(_mounted, target) is not None:
        await _unmount_when_idle(target)
    await asyncio.to_thread(_remove_place, target)


def _prepare(device: Path, target: Path) -> MountKind:
    target.mkdir(parents=True, exist_ok=True)
    return MountKind.DEVICE if device.is_block_device() else MountKind.BIND


def _shows_device(device: Path, target: Path, kind: MountKind) -> bool:
    """Say whether the device is mounted at ``target`` already; another one there is an error."""
    source = _mounted(target)
    if source and kind is MountKind.DEVICE and Path(source).resolve() != device.resolve():
        raise DeviceError(f"{target} shows {source}, and not {device}")
    return source is not None


def _mounted(target: Path) -> str | None:
    """Return what is mounted at ``target`` (a device, or for a directory that of its file system), or None.

    Asks the kernel: unlike ``os.path.ismount``, it also knows a directory bound from the same file system.
    """
    # The last mount on a point hides those before.
    return next((source for point, source in reversed(list(_mounts())) if point == str(target)), None)


def _mounts() -> Iterator[tuple[str, str]]:
    """Return the mount point and the source of each mount that this process sees, in the kernel's order."""
    # A job may have mounted something under any name: only what the kernel separates by is a separator.
    text = Path("/proc/self/mountinfo").read_bytes().decode(errors="surrogateescape")
    for line in text.split("\n")[:-1]:
        # proc_pid_mountinfo(5): the fifth field is the mount point; the source is the second after a single hyphen.
        fields = line.split(" ")
        yield _plain(fields[4]), _plain(fields[fields.index("-") + 2])


def _plain(field: str) -> str:
    r"""Return a name without the kernel's escapes: a space is ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda escape: chr(int(escape[1], 8)), field)


async def _file_system(device: Path) -> str:
    """Return the type of a device's file system, as mount(8) would find it, after a look at its state.

    Raises:
        DeviceError: there is none, or it is damaged.
    """
    is_ext, has_errors = await asyncio.to_thread(_ext_state, device)
    try:
        found = await run_tool("blkid", "--probe", "--output", "export", str(device))
    except ToolError as error:
        if is_ext:  # from version 2.41 on blkid overlooks one whose checksum is wrong
            raise _damaged(device, has_errors=has_errors) from error
        raise DeviceError(f"{device} has no file system that is known: {error}") from error
    values = dict(line.split("=", 1) for line in found.splitlines() if "=" in line)
    if values.get("USAGE") != "filesystem":
        what = values.get("TYPE") or f"{values.get('PTTYPE', 'unknown')} partitions"
        raise DeviceError(f"{device} has no file system: what is on it is {what}")
    if values["TYPE"].startswith("ext") and has_errors:
        raise _damaged(device, has_errors=True)
    return values["TYPE"]


def _damaged(device: Path, *, has_errors: bool) -> DeviceError:
    what = "has recorded errors" if has_errors else "is damaged: the checksum of its superblock is wrong"
    return DeviceError(f"the file system of {device} {what}; mend it, and make another snapshot")


def _ext_state(device: Path) -> tuple[bool, bool]:
    """Return whether a device has the superblock of an ext file system, and whether that has recorded errors."""
    try:
        with device.open("rb") as file:
            file.seek(_EXT_MAGIC_PLACE)
            magic, state = file.read(2), int.from_bytes(file.read(2), "little")
    except OSError:  # blkid tells why
        return False, False
    return magic == _EXT_MAGIC, bool(state & _EXT_ERRORS)


def _remove_place(target: Path) -> None:
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        target.rmdir()


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
