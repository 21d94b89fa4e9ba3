"""What an agent keeps on disk about the tree of a release from S3, so that its successor takes no half one for whole.

Owns the file ``<name>.tree`` of a release. Each change is written before what it allows is done, and ``READY`` when all
is unpacked::

    UNPACKING -> READY -> REMOVING -> (no file)
        |  `----------------^
        `-> UNPACKING, of the next generation, in another directory

An agent that died may leave its unpacker behind for a moment, so a tree is begun anew in a directory of its own. What
was ready counts on the same boot only: nothing was synchronized with the disk.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from awsac_async.agent import procfs
from awsac_async.agent.kept import natural, read_kept
from awsac_async.session.atomic import replacing

_SUFFIX = ".tree"


class TreeStage(StrEnum):
    """How far a tree has come, as far as an agent can know it for certain."""

    UNPACKING = "unpacking"
    READY = "ready"
    REMOVING = "removing"


@dataclass(frozen=True, kw_only=True)
class TreeRecord:
    """The tree of one release. ``size`` is that of the archive in bytes, ``boot`` the ID of the machine's boot."""

    address: str
    stage: TreeStage
    generation: int
    boot: str
    size: int = 0

    @classmethod
    def unpacking(cls, address: str, *, generation: int) -> "TreeRecord":
        """Return the record to keep before a tree is begun."""
        return cls(address=address, stage=TreeStage.UNPACKING, generation=generation, boot=procfs.boot_id())

    def ready(self, size: int) -> "TreeRecord":
        """Return the record of a whole tree."""
        return replace(self, stage=TreeStage.READY, size=size)

    def removing(self) -> "TreeRecord":
        """Return the record to keep before a tree is removed."""
        return replace(self, stage=TreeStage.REMOVING)

    @property
    def whole(self) -> bool:
        """Whether all of the tree is there."""
        return self.stage is TreeStage.READY and self.boot == procfs.boot_id()

    def write(self, directory: Path) -> None:
        """Keep the record. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        with replacing(_file(directory, self.address), mode=0o600) as part:
            part.write_text(json.dumps(asdict(self)))

    def forget(self, directory: Path) -> None:
        """Remove the record of a tree that is gone. Raises OSError."""
        _file(directory, self.address).unlink(missing_ok=True)


def tree_name(address: str) -> str:
    """Return the name by which a release from S3 goes in a file system."""
    return f"s3-{hashlib.sha256(address.encode()).hexdigest()[:16]}"


def read_tree_records(directory: Path) -> dict[str, TreeRecord]:
    """Return what a predecessor kept that can be read, by address. Blocks."""
    return dict(_read(directory))


def _read(directory: Path) -> Iterator[tuple[str, TreeRecord]]:
    for file in sorted(directory.glob(f"*{_SUFFIX}")):
        if record := read_kept(file, partial(_of_json, file.stem)):
            yield record.address, record


def _of_json(name: str, values: Mapping[str, Any]) -> TreeRecord:
    if tree_name(str(values["address"])) != name:
        raise ValueError("it is of another release")
    return TreeRecord(
        address=str(values["address"]),
        stage=TreeStage(values["stage"]),
        generation=natural(values["generation"]),
        boot=str(values["boot"]),
        size=natural(values["size"]),
    )


def _file(directory: Path, address: str) -> Path:
    return directory / f"{tree_name(address)}{_SUFFIX}"
