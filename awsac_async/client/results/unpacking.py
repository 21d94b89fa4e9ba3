"""Unpacking what ``getresults`` has brought: each archive into a folder beside it.

Owns where an archive goes: those of job 3 into ``job_3``, any other into a folder of its own name. The archives were
made by jobs, so they are unpacked by the rules for foreign ones, and one that breaks them is named and left as it is.
"""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from awsac_async.client.results.files import Target
from awsac_async.client.results.record import ResultsRecord
from awsac_async.cloud.waiting import for_each
from awsac_async.session.archive import UNFINISHED, unpack
from awsac_async.session.errors import FormatError, InputError
from awsac_async.session.members import Bounds
from awsac_async.session.names import ARCHIVE_SUFFIX

_MOST_MEMBERS = 1_000_000  # a job can well make as many files, and their names have room in memory


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """The folders that were filled, and why an archive was not unpacked, by its path."""

    folders: tuple[Path, ...]
    faults: Mapping[Path, str]


async def unpack_all(targets: Sequence[Target], record: ResultsRecord) -> Unpacked:
    """Unpack the archives that are complete, unless they were unpacked before and have not changed since."""
    waiting = [target for target in targets if _is_to_be_unpacked(target, record)]
    faults: dict[Path, str] = {}
    folders: set[Path] = set()

    async def act(targets: Sequence[Target]) -> None:
        for target in targets:
            try:
                await asyncio.to_thread(_unpack, target)
            except FormatError as error:
                faults[target.path] = f"found {error.found}, expected {error.expected}"
                continue
            folders.add(folder_of(target))
            name = target.path.name
            record.note({name: replace(record.entries[name], unpacked=True)})

    # One after the other into one folder: the archives of a job share it.
    by_folder: dict[Path, list[Target]] = {}
    for target in waiting:
        by_folder.setdefault(folder_of(target), []).append(target)
    await for_each(by_folder.values(), act, at_once=len(os.sched_getaffinity(0)), name="unpack")
    return Unpacked(folders=tuple(sorted(folders)), faults=faults)


def folder_of(target: Target) -> Path:
    """Return the folder into which an archive is unpacked."""
    name = target.path.name.removesuffix(ARCHIVE_SUFFIX) if target.job is None else f"job_{target.job}"
    return target.path.parent / name


def _is_to_be_unpacked(target: Target, record: ResultsRecord) -> bool:
    entry = record.entries.get(target.path.name)
    if entry is None or not target.path.name.endswith(ARCHIVE_SUFFIX):
        return False
    if folder_of(target).name in {"", ".."} or folder_of(target) == target.path.parent:
        return False  # "..tar.bz2" and the like, by which an archive would leave its folder
    return not (entry.unpacked and folder_of(target).is_dir())


def _unpack(target: Target) -> None:
    folder = folder_of(target)
    try:
        folder.mkdir(exist_ok=True)
        for left in folder.glob(UNFINISHED):  # by a run that was killed: this one has the folder alone
            shutil.rmtree(left)
        bounds = Bounds(
            members=_MOST_MEMBERS,
            unpacked=shutil.disk_usage(folder.parent).free,
            reserved=(),
            remedy="(no more is free here)",
        )
        unpack(target.path, folder, bounds=bounds)
    except FileExistsError as error:
        raise FormatError(file=str(target.path), found=f"{folder}", expected="a folder there, or nothing") from error
    except OSError as error:
        raise InputError(f"cannot unpack {target.path} into {folder}: {error.strerror or error}") from error
