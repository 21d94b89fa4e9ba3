"""One release from S3 on its way to a directory and back, whichever agent began it.

Owns its tree, which lies beside the mount points of the volumes, hidden, and is bound where a volume would be mounted:
from there on a job cannot tell the two apart. Like a volume it is there once, however many jobs need it.
Must never remove what somebody else has mounted in it.
"""

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path

from awsac_async.agent.log import step
from awsac_async.agent.mounts import DeviceError, mount_within
from awsac_async.agent.process import ToolError
from awsac_async.agent.release import Place, Provided
from awsac_async.agent.retry import keep_trying, passing
from awsac_async.agent.treerecord import TreeRecord, TreeStage, tree_name
from awsac_async.agent.unpacking import unpack_object
from awsac_async.session.releases import ReleaseArchive

_PATIENCE_SECONDS = 600.0  # for the first answer about the object
_MOST_SAID = 300  # characters of what a tool says
_REMOVALS = 3  # an unpacker that has lost its agent may still make a file in what is removed


class UnpackedRelease:
    """One archive in S3 on this instance."""

    def __init__(self, place: Place, archive: ReleaseArchive) -> None:
        self._place, self._archive, self.name = place, archive, archive.address
        name = tree_name(archive.address)
        self._directory = place.directory / name
        self._trees = place.directory / f".{name}"
        self._record: TreeRecord | None = None
        self.inherited = False  # bound by a predecessor, whose jobs may use it now

    async def inherit(self, record: TreeRecord) -> None:
        """Take over what a predecessor left."""
        self._record = record
        self.inherited = await self._place.devices.mounted(self._directory)

    # --- providing ---

    async def provide(self) -> Provided:
        """Fetch, unpack and bind the tree, as far as that is left to do; each step is named and timed in the log.

        Raises:
            ArchiveError, CloudError, DeviceError, ToolError, OSError: a step failed; :meth:`remove` is still the
                caller's to call.
        """
        record, fetched = self._record, None
        if record is None or not record.whole:
            record = await self._unpack()
            fetched = record.size
        read_only = self._place.release_mount == "ro"
        with self._step(f"bind {self._tree(record)} to {self._directory}, {self._place.release_mount}"):
            kind = await self._place.devices.mount(self._tree(record), self._directory, read_only=read_only)
        return Provided(directory=self._directory, kind=kind, size=fetched)

    async def _unpack(self) -> TreeRecord:
        """Make the tree, from the beginning."""
        await self._clear()
        archive, bucket = self._archive, self._place.bucket(self._archive.bucket)
        info = await keep_trying(
            f"HeadObject {self.name}",
            lambda: bucket.head(archive.key),
            until=asyncio.get_running_loop().time() + _PATIENCE_SECONDS,
            again=passing,
        )
        async with self._place.fetching:
            record = await self._begin()
            tree = self._tree(record)
            with self._step(f"fetch {info.size} bytes and unpack them into {tree}"):
                await unpack_object(bucket, info, archive.compression, tree)
        return await self._keep(record.ready(info.size))

    async def _clear(self) -> None:
        """Be rid of what a predecessor has made a part of, or removed a part of."""
        if self._record is not None and self._record.stage is not TreeStage.UNPACKING:
            await self.remove()
        if await self._place.devices.mounted(self._directory):
            raise DeviceError(f"{self._directory} shows a tree that is not whole")
        await asyncio.to_thread(_remove_tree, self._trees)

    async def _begin(self) -> TreeRecord:
        generation = self._record.generation + 1 if self._record else 1
        record = await self._keep(TreeRecord.unpacking(self.name, generation=generation))
        await asyncio.to_thread(self._tree(record).mkdir, parents=True)
        return record

    def _tree(self, record: TreeRecord) -> Path:
        return self._trees / str(record.generation)

    async def _keep(self, record: TreeRecord) -> TreeRecord:
        self._record = record
        await asyncio.to_thread(record.write, self._place.directory)
        return record

    # --- removing ---

    async def remove(self) -> None:
        """Unbind and remove the tree, as far as there is anything to undo; one that stays bound stays as it is.

        What is mounted in a release, by a job that is root, keeps it busy, and may appear in the tree as well.
        """
        record = self._record
        if record is None:
            return
        if not await self._undo("unmount", lambda: self._place.devices.unmount(self._directory)):
            return
        await self._undo("note that it is removed", lambda: self._note(record.removing()))
        if await self._undo(f"remove {self._trees}", lambda: asyncio.to_thread(_remove_tree, self._trees)):
            await self._undo("note that it is gone", self._forget)

    async def _note(self, record: TreeRecord) -> None:
        await self._keep(record)

    async def _forget(self) -> None:
        if self._record is not None:
            await asyncio.to_thread(self._record.forget, self._place.directory)
            self._record = None

    async def _undo(self, what: str, undo: Callable[[], Awaitable[None]]) -> bool:
        """Take a step back and return whether that succeeded."""
        try:
            with self._step(what):
                await undo()
        except (DeviceError, ToolError, OSError):
            # Named and logged by step(). What stays goes with the instance's disk.
            return False
        return True

    def _step(self, what: str) -> AbstractContextManager[None]:
        return step(f"{self.name}: {what}", release=self.name, instance=self._place.instance.instance_id)


def _remove_tree(directory: Path) -> None:
    """Remove a directory with all that is in it, if it is there.

    Raises:
        DeviceError: something is mounted in it, which is not ours to remove.
        OSError: not all of it could be removed.
    """
    for last in [False] * (_REMOVALS - 1) + [True]:
        if (point := mount_within(directory)) is not None:
            raise DeviceError(f"{directory} is not removed: something is mounted at {point}")
        try:
            _remove(directory)
            return
        except OSError:
            if last:
                raise


def _remove(directory: Path) -> None:
    """Remove a tree that a job may have made as deep as it liked: Python's own removal goes down a frame a level."""
    if os.geteuid() != 0 and directory.exists():  # in the embedded cloud: folders that nobody may write to
        _tool("chmod", "--recursive", "u+rwX", "--", str(directory))
    _tool("rm", "--recursive", "--force", "--one-file-system", "--", str(directory))


def _tool(*command: str) -> None:
    """Run a tool of which nobody knows how long it takes. Raises OSError."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise OSError(said[-_MOST_SAID:] or f"{command[0]} ended with {done.returncode}")
