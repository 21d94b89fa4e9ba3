"""What ``getresults`` speaks of: a session's saved objects, whose they are, and the file that each becomes.

Owns which objects become files. A key is somebody's text: no name in the bucket leads out of the folder, becomes
another's file, or keeps another from arriving.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from awsac_async.client.results.spelling import folded, spell
from awsac_async.cloud.objects import ObjectInfo
from awsac_async.cloud.parts import NOTE_SUFFIX, PART_SUFFIX
from awsac_async.session.model import SessionRecord
from awsac_async.session.names import agent_logs_prefix, output_key, results_key, session_prefix


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


OWN_PREFIX = ".awsac-"  # of the names of awsac's own files in the folder
STAGING_PREFIX = f"{OWN_PREFIX}unpacking-"  # of folders that are filled, and then moved
_UNFINISHED = (PART_SUFFIX, NOTE_SUFFIX)
_PARTS = {Only.RESULTS: {Kind.RESULTS}, Only.LOGS: {Kind.OUTPUT, Kind.AGENT_LOG}, None: set(Kind)}


@dataclass(frozen=True, kw_only=True)
class Target:
    """An object and the file that it becomes; ``job`` is None if it is no job's, ``spelled``: its name is another."""

    path: Path
    info: ObjectInfo
    kind: Kind
    job: int | None
    spelled: bool = False


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
    """Return the files that the wanted objects become, and the keys that can become none: two may, of too long names.

    A file has its key's base name, as in 2008, where no other object has that too; else the name that follows the
    session's prefix, as ``spelling`` writes it. What else is wanted changes neither. Folder markers, which end in
    ``/``, become none.
    """
    known = _keys_of_jobs(record)
    names = _Names(record)
    bases = Counter(folded(info.key.rpartition("/")[2]) for info in objects)
    targets, refused = [], []
    # A job's own object has its name first, and a file the one under which it grows.
    for info in sorted(objects, key=lambda info: (info.key not in known, info.key)):
        kind, job = known.get(info.key) or (_kind_of_no_job(info.key, record), None)
        name = info.key.removeprefix(session_prefix(record.session_id))
        if name.endswith("/") and info.size == 0:
            continue
        base = name.rpartition("/")[2]
        if bases[folded(base)] == 1 and not {"", ".", ".."}.intersection(name.split("/")):
            name = base
        file = names.take(name)
        if not selection.wants(kind, job):
            continue
        if file is None:
            refused.append(info.key)
        else:
            targets.append(Target(path=folder / file, info=info, kind=kind, job=job, spelled=file != name))
    return targets, tuple(refused)


class _Names:
    """The names of files that were given away, and those that never are."""

    def __init__(self, record: SessionRecord) -> None:
        self._jobs = record.n_jobs
        self._taken: set[str] = set()

    def take(self, name: str) -> str | None:
        """Return the name of the file for a name from a key, which is nobody else's; None if there is none."""
        file = spell(name, is_taken=self._is_taken, is_reserved=self._is_reserved)
        if file:
            self._taken.add(folded(file))
        return file

    def _is_taken(self, name: str) -> bool:
        return name in self._taken or self._is_part(name)

    def _is_part(self, name: str) -> bool:
        """Whether it is the name under which another one's file grows."""
        return any(name.endswith(suffix) and name.removesuffix(suffix) in self._taken for suffix in _UNFINISHED)

    def _is_reserved(self, name: str) -> bool:
        """Whether it is that of our own files, or of a folder into which a job's archives are unpacked."""
        number = name.removeprefix("job_")
        is_of_job = number != name and number.isdecimal() and len(number) < 10 and 1 <= int(number) <= self._jobs
        return is_of_job or name.startswith(OWN_PREFIX) or self._is_part(folded(name))


def _keys_of_jobs(record: SessionRecord) -> dict[str, tuple[Kind, int]]:
    jobs = range(1, record.n_jobs + 1)
    results = {results_key(record.session_id, job): (Kind.RESULTS, job) for job in jobs}
    return results | {output_key(record.session_id, job): (Kind.OUTPUT, job) for job in jobs}


def _kind_of_no_job(key: str, record: SessionRecord) -> Kind:
    return Kind.AGENT_LOG if key.startswith(agent_logs_prefix(record.session_id)) else Kind.OTHER
