"""What ``getresults`` speaks of: a session's saved objects, whose they are, and the file that each becomes.

Owns which names become files. A key is somebody's text: no name in the bucket leads out of the folder.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from awsac_async.client.results.record import RECORD_NAMES
from awsac_async.cloud.objects import ObjectInfo
from awsac_async.cloud.parts import NOTE_SUFFIX, PART_SUFFIX
from awsac_async.session.model import SessionRecord
from awsac_async.session.names import agent_logs_prefix, output_key, results_key


class Only(StrEnum):
    """A part of what a session saved: the results of its jobs, or the outputs of jobs and the logs of agents."""

    RESULTS = "results"
    LOGS = "logs"


class Kind(StrEnum):
    """What an object holds."""

    RESULTS = "results"
    OUTPUT = "output"
    AGENT_LOG = "agent log"
    OTHER = "other"  # the session archive, and what somebody else has put there


_UNFINISHED = (PART_SUFFIX, NOTE_SUFFIX)
_PARTS = {Only.RESULTS: {Kind.RESULTS}, Only.LOGS: {Kind.OUTPUT, Kind.AGENT_LOG}, None: set(Kind)}


@dataclass(frozen=True, kw_only=True)
class Target:
    """An object and the file that it becomes; ``job`` is None if it is no job's."""

    path: Path
    info: ObjectInfo
    kind: Kind
    job: int | None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which objects are wanted; ``jobs`` None: those of all jobs, and what is no job's."""

    jobs: Collection[int] | None
    only: Only | None

    @property
    def kinds(self) -> set[Kind]:
        """What is wanted of a job that is wanted."""
        return _PARTS[self.only] & {Kind.RESULTS, Kind.OUTPUT}

    def wants(self, kind: Kind, job: int | None) -> bool:
        """Whether an object is wanted."""
        return kind in _PARTS[self.only] and (self.jobs is None or job in self.jobs)


def find_targets(
    objects: Sequence[ObjectInfo], record: SessionRecord, folder: Path, selection: Selection
) -> tuple[list[Target], tuple[str, ...]]:
    """Return the files that the wanted objects become, and the keys that cannot be files of their own.

    Folder markers, which end in ``/``, become none.
    """
    known = _keys_of_jobs(record)
    targets: dict[str, Target] = {}
    refused = []
    for info in sorted(objects, key=lambda info: info.key not in known):  # a job's own object has its name first
        kind, job = known.get(info.key) or (_kind_of_no_job(info.key, record), None)
        base = info.key.rpartition("/")[2]
        if (not base and info.size == 0) or not selection.wants(kind, job):
            continue
        if base in {"", ".", ".."} or base in RECORD_NAMES or "\0" in base or base in targets:
            refused.append(info.key)
        else:
            targets[base] = Target(path=folder / base, info=info, kind=kind, job=job)
    in_the_way = [target for base, target in targets.items() if _is_part_of_another(base, targets)]
    refused += [target.info.key for target in in_the_way]
    return [target for target in targets.values() if target not in in_the_way], tuple(refused)


def _keys_of_jobs(record: SessionRecord) -> dict[str, tuple[Kind, int]]:
    jobs = range(1, record.n_jobs + 1)
    results = {results_key(record.session_id, job): (Kind.RESULTS, job) for job in jobs}
    return results | {output_key(record.session_id, job): (Kind.OUTPUT, job) for job in jobs}


def _kind_of_no_job(key: str, record: SessionRecord) -> Kind:
    return Kind.AGENT_LOG if key.startswith(agent_logs_prefix(record.session_id)) else Kind.OTHER


def _is_part_of_another(base: str, targets: Mapping[str, Target]) -> bool:
    """Whether a file has the name under which another one grows."""
    return any(base.endswith(suffix) and base.removesuffix(suffix) in targets for suffix in _UNFINISHED)
