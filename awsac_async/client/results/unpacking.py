"""Unpacking what ``getresults`` has brought: each archive into a folder beside it.

Owns where an archive goes: those of job 3 into ``job_3``, any other into a folder of its own name. The archives were
made by jobs. What may become of their members is said in ``tree``; each has a fate of its own, and whatever was left
out is named with the reason. All of an archive is made in a new folder first, and then moved to its place.
"""

import asyncio
import bz2
import hashlib
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from awsac_async.client.results.files import STAGING_PREFIX, Target
from awsac_async.client.results.record import ResultsRecord
from awsac_async.client.results.tree import FATAL, LeftOut, Tree, remove
from awsac_async.client.tarreader import MemberKind, TarError, TarMember, TarReader
from awsac_async.cloud.waiting import for_each
from awsac_async.session.names import ARCHIVE_SUFFIX
from awsac_async.session.wording import printable, shown_size

_MOST_MEMBERS = 1_000_000  # a job can well make as many files; more are an attack on the file system
_SPARE_MEMBERS = 10_000
_MOST_NAMED = 1000  # of what was left out of one archive
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True)
class MemberLeftOut:
    """A member of an archive that was not unpacked, by its name as a terminal can show it."""

    name: str
    reason: str


@dataclass(kw_only=True)
class Unpacked:
    """The folders that were filled; why an archive was not unpacked, or not to its end; and what was left out of which.

    Of one archive no more than the first thousand are named; ``left_out_count`` has how many there are.
    """

    folders: tuple[Path, ...] = ()
    faults: dict[Path, str] = field(default_factory=dict)
    left_out: dict[Path, list[MemberLeftOut]] = field(default_factory=dict)
    left_out_count: dict[Path, int] = field(default_factory=dict)


async def unpack_all(targets: Sequence[Target], record: ResultsRecord) -> Unpacked:
    """Unpack the archives that are complete, unless they were unpacked before and have not changed since."""
    waiting = [target for target in targets if _is_to_be_unpacked(target, record)]
    folders: set[Path] = set()
    done = Unpacked()
    stop = threading.Event()

    async def act(targets: Sequence[Target]) -> None:
        for target in targets:
            archive = _Archive(target.path, folder_of(target), stop)
            await asyncio.to_thread(archive.unpack)
            if archive.fault:
                done.faults[target.path] = archive.fault
            if archive.left_out:
                done.left_out[target.path] = archive.left_out
                done.left_out_count[target.path] = archive.left_out_count
            if archive.placed:
                folders.add(folder_of(target))
            if archive.whole:
                name = target.path.name
                record.note({name: replace(record.entries[name], unpacked=True)})

    # One after the other into one folder: the archives of a job share it.
    by_folder: dict[Path, list[Target]] = {}
    for target in waiting:
        by_folder.setdefault(folder_of(target), []).append(target)
    try:
        await for_each(by_folder.values(), act, at_once=len(os.sched_getaffinity(0)), name="unpack")
    finally:
        stop.set()
    return replace(done, folders=tuple(sorted(folders)))


def folder_of(target: Target) -> Path:
    """Return the folder into which an archive is unpacked."""
    name = target.path.name.removesuffix(ARCHIVE_SUFFIX)
    if target.job is not None:
        name = f"job_{target.job}"
    elif re.fullmatch(r"job_[0-9]+", name):  # which only a job's own archives fill
        name = f"%6A{name[1:]}"
    return target.path.parent / name


def _is_to_be_unpacked(target: Target, record: ResultsRecord) -> bool:
    entry = record.entries.get(target.path.name)
    if entry is None or not target.path.name.endswith(ARCHIVE_SUFFIX):
        return False
    if folder_of(target).name in {"", ".."} or folder_of(target) == target.path.parent:
        return False  # "..tar.bz2" and the like, by which an archive would leave its folder
    return not (entry.unpacked and folder_of(target).is_dir())


class _StoppedError(Exception):
    """The user wants an end."""


class _Archive:
    """One archive on its way into its folder; what came of it is in the public attributes."""

    def __init__(self, path: Path, folder: Path, stop: threading.Event) -> None:
        self._path, self._folder, self._stop = path, folder, stop
        self._staging = STAGING_PREFIX + hashlib.sha256(os.fsencode(folder.name)).hexdigest()[:16]
        self.fault = ""
        self.left_out: list[MemberLeftOut] = []
        self.left_out_count = 0
        self.placed = False

    @property
    def whole(self) -> bool:
        """Whether all of it is in the folder."""
        return self.placed and not self.fault and not self.left_out_count

    def unpack(self) -> None:
        """Do all of it. Raises nothing: what goes wrong is ``fault``."""
        try:
            with _opened(self._path.parent) as results:
                self._make(results)
        except _StoppedError:
            self.fault = "it was interrupted"
        except OSError as error:
            self.fault = f"{printable(self._folder.name)}: {(error.strerror or str(error)).lower()}"

    def _make(self, results: int) -> None:
        with suppress(FileExistsError):
            os.mkdir(self._folder.name, 0o777, dir_fd=results)
        try:
            place = os.open(self._folder.name, _FOLDER, dir_fd=results)
        except NotADirectoryError:
            self.fault = f"{printable(self._folder.name)} is there, and no folder"
            return
        try:
            remove(self._staging, folder=results)  # of a run that was killed: this one has the folder alone
            os.mkdir(self._staging, 0o700, dir_fd=results)
            staging = os.open(self._staging, _FOLDER, dir_fd=results)
            try:
                self._read(staging)
                for name in os.listdir(staging):  # noqa: PTH208  of a descriptor
                    _move(name, staging, place)
                self.placed = True
            finally:
                os.close(staging)
        finally:
            os.close(place)
            remove(self._staging, folder=results)

    def _read(self, staging: int) -> None:
        """Read the archive into a new folder; what is there when it turns out to be damaged stays."""
        tree = Tree(staging, most_folders=_MOST_MEMBERS)
        try:
            with self._path.open("rb") as compressed, bz2.open(compressed) as stream:
                self._members(TarReader(stream), tree, staging)
        except TarError as error:
            self.fault = f"the archive {error}"
        except OSError as error:
            if error.errno not in FATAL:
                raise
            self.fault = (error.strerror or str(error)).lower()
        finally:
            with closing(tree):
                for name, reason in tree.remove_dangling():
                    self._leave_out(name, reason)

    def _members(self, reader: TarReader, tree: Tree, staging: int) -> None:
        status = os.fstatvfs(staging)
        room = status.f_bavail * status.f_frsize
        # No honest member takes less than two bytes of an archive, also not after a thousand that are like it.
        members = most_members = min(_MOST_MEMBERS, _SPARE_MEMBERS + self._path.stat().st_size)
        while member := reader.next():
            if self._stop.is_set():
                raise _StoppedError
            members -= 1
            room -= member.stored
            if members < 0 or room < 0:
                much = f"more than {most_members} members" if members < 0 else self._too_large(member, room)
                self.fault = f"it has {much}: what comes then was not unpacked"
                return
            try:
                self._add(member, reader, tree)
            except LeftOut as error:
                self._leave_out(member.name, str(error))

    def _too_large(self, member: TarMember, room: int) -> str:
        name = printable(os.fsdecode(member.name))[:100]
        return f"{shown_size(member.stored)} of {name}, and {shown_size(room + member.stored)} are free here"

    def _add(self, member: TarMember, reader: TarReader, tree: Tree) -> None:
        if member.fault:
            raise LeftOut(member.fault)
        match member.kind:
            case MemberKind.FILE:
                pieces = self._until_stopped(reader.pieces())
                tree.file(member.name, member.size, pieces, executable=member.executable)
            case MemberKind.FOLDER:
                tree.folder(member.name)
            case MemberKind.SYMBOLIC_LINK:
                tree.symbolic_link(member.name, member.link)
            case MemberKind.HARD_LINK:
                tree.hard_link(member.name, member.link)
            case MemberKind.OTHER:
                raise LeftOut("it is a device or a special file")

    def _until_stopped(self, pieces: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        for piece in pieces:
            if self._stop.is_set():
                raise _StoppedError
            yield piece

    def _leave_out(self, name: bytes, reason: str) -> None:
        self.left_out_count += 1
        if len(self.left_out) < _MOST_NAMED:
            self.left_out.append(MemberLeftOut(name=printable(os.fsdecode(name)), reason=reason))


def _move(name: str, staging: int, place: int) -> None:
    """Let an entry replace what stands under its name."""
    try:
        os.rename(name, name, src_dir_fd=staging, dst_dir_fd=place)
    except OSError:  # a folder is there, or comes in place of a file
        remove(name, folder=place)
        os.rename(name, name, src_dir_fd=staging, dst_dir_fd=place)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
