"""What an agent keeps on disk about the volume of a release, so that its successor neither doubles nor leaks it.

Owns the file ``<snapshot>.json`` of a release. Each change is written before what it allows is done::

    NONE -> CREATING -> CREATED -> REMOVING -> NONE, of the next generation
              `------> NONE   (EC2 has refused it)

A volume is created with a client token that its generation is a part of: who finds ``CREATING`` asks for the same
volume again, and nobody is ever given one that was deleted.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from awsac_async.agent.kept import natural, read_kept
from awsac_async.session.atomic import replacing


class Stage(StrEnum):
    """How far a volume has come, as far as an agent can know it for certain."""

    NONE = "none"
    CREATING = "creating"
    CREATED = "created"
    REMOVING = "removing"


@dataclass(frozen=True, kw_only=True)
class VolumeRecord:
    """The volume of one release; ``volume_id`` is known when it is ``CREATED`` or ``REMOVING``."""

    stage: Stage = Stage.NONE
    generation: int = 0
    volume_id: str = ""

    def creating(self) -> "VolumeRecord":
        """Return the record to keep before the volume is asked for."""
        return replace(self, stage=Stage.CREATING)

    def created(self, volume_id: str) -> "VolumeRecord":
        """Return the record of a volume that exists."""
        return replace(self, stage=Stage.CREATED, volume_id=volume_id)

    def refused(self) -> "VolumeRecord":
        """Return the record of a volume that never was."""
        return replace(self, stage=Stage.NONE)

    def removing(self) -> "VolumeRecord":
        """Return the record to keep before the volume is taken apart."""
        return replace(self, stage=Stage.REMOVING)

    def removed(self) -> "VolumeRecord":
        """Return the record of a volume that is gone: the next one is another."""
        return VolumeRecord(generation=self.generation + 1)

    def client_token(self, *words: str) -> str:
        """Return the token that makes this volume only once; ``words`` say whose it is."""
        return hashlib.sha256(" ".join([*words, str(self.generation)]).encode()).hexdigest()

    def write(self, directory: Path, snapshot_id: str) -> None:
        """Keep the record of a release. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        with replacing(_file(directory, snapshot_id), mode=0o600) as part:
            part.write_text(json.dumps(asdict(self)))


def read_records(directory: Path) -> dict[str, VolumeRecord]:
    """Return what a predecessor kept that can be read, by snapshot. Blocks."""
    return dict(_read(directory))


def _read(directory: Path) -> Iterator[tuple[str, VolumeRecord]]:
    for file in sorted(directory.glob("*.json")):
        if record := read_kept(file, _of_json):
            yield file.stem, record


def _of_json(values: Mapping[str, Any]) -> VolumeRecord:
    generation, volume_id = natural(values["generation"]), str(values["volume_id"])
    return VolumeRecord(stage=Stage(values["stage"]), generation=generation, volume_id=volume_id)


def _file(directory: Path, snapshot_id: str) -> Path:
    return directory / f"{snapshot_id}.json"
