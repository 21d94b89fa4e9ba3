"""What volumes and snapshots hold: ext4 images on loop devices where root may, directories elsewhere.

Owns the folders ``volumes/`` and ``snapshots/`` of an embedded cloud and every loop device on a file in there. Knows no
AWS state: when something may be copied, attached or deleted is said by ``ebs``.
"""

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

from awsac_async.local import trees
from awsac_async.local.settings import Isolation, StorageKind

GIB = 1 << 30


class VolumeError(Exception):
    """A command that makes, copies or attaches a volume failed."""


class Storage(Protocol):
    """Where volumes and snapshots are kept. Sizes are GiB. All methods block."""

    kind: StorageKind

    def create(self, volume_id: str, *, size: int, snapshot_id: str | None = None) -> None:
        """Make a volume, blank or with what the snapshot holds."""

    def fill(self, volume_id: str, source: Path, *, size: int) -> None:
        """Make a volume that holds what a folder holds."""

    def delete(self, volume_id: str) -> None:
        """Remove a volume that is not attached."""

    def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Copy what a volume holds."""

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Remove a snapshot."""

    def attach(self, volume_id: str) -> Path:
        """Return the block device or the folder through which the volume is read and written."""

    def detach(self, volume_id: str) -> bool:
        """Give the device back; return whether it is free. It stays busy while it is mounted: ask again later."""


class Images:
    """Volumes as sparse files with an ext4 file system, attached through loop devices. Needs root."""

    kind = StorageKind.IMAGES

    def __init__(self, directory: Path) -> None:
        self._volumes, self._snapshots = _make_folders(directory)

    def create(self, volume_id: str, *, size: int, snapshot_id: str | None = None) -> None:
        """Make a volume; a blank one has no file system, as on EC2."""
        image = self._volumes / volume_id
        if snapshot_id:
            _run("cp", "--reflink=auto", "--sparse=always", self._snapshots / snapshot_id, image)
        with image.open("ab") as file:
            file.truncate(size * GIB)

    def fill(self, volume_id: str, source: Path, *, size: int) -> None:
        """Make a file system from a folder."""
        image = self._volumes / volume_id
        options = ("-q", "-m", "0", "-i", "4096", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard")
        _run("mkfs.ext4", *options, "-d", source, image, f"{size}G")

    def delete(self, volume_id: str) -> None:
        """Remove the file."""
        (self._volumes / volume_id).unlink(missing_ok=True)

    def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Copy the file. What is attached is flushed first, so the copy is what a crash would leave."""
        image = self._volumes / volume_id
        if loop_devices(image):
            os.sync()
        _run("cp", "--reflink=auto", "--sparse=always", image, self._snapshots / snapshot_id)

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Remove the copy."""
        (self._snapshots / snapshot_id).unlink(missing_ok=True)

    def attach(self, volume_id: str) -> Path:
        """Put the file on a loop device."""
        return Path(_run("losetup", "--find", "--show", self._volumes / volume_id).strip())

    def detach(self, volume_id: str) -> bool:
        """Take the file off its loop device, which the kernel does at the last unmount."""
        release_loop_devices(self._volumes / volume_id)
        return not loop_devices(self._volumes / volume_id)


class Directories:
    """Volumes as folders: for who may not mount a device."""

    kind = StorageKind.DIRECTORIES

    def __init__(self, directory: Path) -> None:
        self._volumes, self._snapshots = _make_folders(directory)

    def create(self, volume_id: str, *, size: int, snapshot_id: str | None = None) -> None:  # noqa: ARG002 (a folder has no size)
        """Make an empty folder, or copy one."""
        if snapshot_id:
            trees.copy(self._snapshots / snapshot_id, self._volumes / volume_id)
        else:
            (self._volumes / volume_id).mkdir()

    def fill(self, volume_id: str, source: Path, *, size: int) -> None:  # noqa: ARG002 (a folder has no size)
        """Copy a folder."""
        trees.copy(source, self._volumes / volume_id, forced=False)

    def delete(self, volume_id: str) -> None:
        """Remove the folder."""
        trees.remove(self._volumes / volume_id)

    def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Copy the folder."""
        trees.copy(self._volumes / volume_id, self._snapshots / snapshot_id)

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Remove the copy."""
        trees.remove(self._snapshots / snapshot_id)

    def attach(self, volume_id: str) -> Path:
        """Return the folder."""
        return self._volumes / volume_id

    def detach(self, volume_id: str) -> bool:  # noqa: ARG002 (a folder holds no device)
        """Nothing is held."""
        return True


def open_storage(directory: Path, isolation: Isolation) -> Storage:
    """Return images where instances can have devices and loop devices work, else directories."""
    if isolation is Isolation.NAMESPACES and loop_devices_work():
        return Images(directory)
    return Directories(directory)


def size_for(source: Path) -> int:
    """Return the GiB that a file system needs to hold a folder, with room for its own tables."""
    total = sum(max(found.st_size, 4096) for _, _, found in trees.walk(source))
    return 1 + int(total * 1.2 + 128 * 1024 * 1024) // GIB


def loop_devices(place: Path) -> list[Path]:
    """Return the loop devices whose file is this one, or is below this folder."""
    found = []
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # released meanwhile
            file = Path(os.fsdecode(entry.read_bytes().rstrip(b"\n").removesuffix(b" (deleted)")))
            if file.is_relative_to(place):
                found.append(Path("/dev", entry.parts[3]))
    return found


def release_loop_devices(place: Path) -> None:
    """Release the loop devices on this file or below this folder; a busy one goes when its last user does."""
    for device in loop_devices(place):
        subprocess.run(["losetup", "--detach", device], capture_output=True, check=False)  # noqa: S607 (PATH is ours)


def _make_folders(directory: Path) -> tuple[Path, Path]:
    folders = directory / "volumes", directory / "snapshots"
    for folder in folders:
        folder.mkdir(mode=0o700)
    return folders


def loop_devices_work() -> bool:
    """Say whether this user can make loop devices and file systems on them, by trying."""
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(1 << 20)
        try:
            _run("mkfs.ext4", "-V")
            device = _run("losetup", "--find", "--show", file.name).strip()
        except VolumeError:
            return False
        _run("losetup", "--detach", device)
        return True


def _run(*command: str | Path) -> str:
    try:
        result = subprocess.run(list(command), capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise VolumeError(f"{command[0]}: not installed") from error
    except subprocess.CalledProcessError as error:
        raise VolumeError(f"{' '.join(map(str, command))}: {error.stderr.strip()}") from error
    return result.stdout
