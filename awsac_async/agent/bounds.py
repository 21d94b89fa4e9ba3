"""How much memory and how many processes jobs may have, so that agent and system survive what they do.

All jobs together may have what the instance has but for a reserve. Of that, one job may have whatever the others leave,
but for a quarter of the share of each of them: so a greedy one is ended before it ends the others' work. Owns the
groups of the controllers ``memory`` and ``pids``, in either version of control groups; where there are none, the log
says so once, and only the processes of users who are not root are bounded (RLIMIT_NPROC).
"""

import functools
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from awsac_async.agent.cgroup import Cgroup, jobs_cgroup, own_cgroup
from awsac_async.session.wording import counted, shown_size

_log = logging.getLogger(__name__)
_MEMORY, _PIDS = "memory", "pids"
_NOUNS = {_MEMORY: "the memory of jobs", _PIDS: "the number of their processes"}
_LEAST_RESERVE = {_MEMORY: 256 << 20, _PIDS: 256}
_RESERVE = 0.1
_KEPT_FOR_OTHERS = 0.25  # of the share of each


@dataclass(frozen=True, kw_only=True)
class Bound:
    """How much of something all jobs, and one of them, may have."""

    all: int
    each: int

    @classmethod
    def of(cls, total: int, *, least_reserve: int, jobs: int, shared: bool) -> "Bound":
        """Divide what a machine has.

        Args:
            total: what there is.
            least_reserve: what is kept for the system at least, but never more than half.
            jobs: how many run at the same time.
            shared: one job may have more than its share.
        """
        rest = total - min(max(least_reserve, int(_RESERVE * total)), total // 2)
        share = rest // jobs
        return cls(all=rest, each=max(1, rest - int((jobs - 1) * _KEPT_FOR_OTHERS * share) if shared else share))


@functools.cache
def bounds(jobs: int) -> dict[str, Bound]:
    """Return the bounds by controller, for an instance on which so many jobs run at the same time."""
    totals = {_MEMORY: min(_memory()), _PIDS: min(_processes())}
    return {
        name: Bound.of(total, least_reserve=_LEAST_RESERVE[name], jobs=jobs, shared=name == _MEMORY)
        for name, total in totals.items()
    }


def process_limit(jobs: int) -> int | None:
    """Return how many processes the user of a job may have, where no group bounds them; else None. Blocks at first."""
    return None if _PIDS in _parents(jobs) else bounds(jobs)[_PIDS].each


class JobBounds:
    """The bounds of one attempt at a job: its group for each controller that this machine has."""

    def __init__(self, name: str, *, jobs: int) -> None:
        self._name, self._jobs = name, jobs

    def prepare(self) -> list[Path]:
        """Make the groups, as far as they can be had; returns the folders that the job is to enter. Blocks."""
        made = []
        for controller, parent in _parents(self._jobs).items():
            group = Cgroup(parent.folder / self._name)
            if group.make():
                group.write(parent.limit, str(bounds(self._jobs)[controller].each))
                group.write("memory.oom.group", "1")  # all of a job ends, or nothing (version 2)
                made.append(group.folder)
        return made

    def reason(self) -> str:
        """Return which bound the job has met, or "". Blocks."""
        if ended := self._met(_MEMORY):
            bound = bounds(self._jobs)[_MEMORY]
            return (
                f"out of memory: the kernel ended {counted(ended, 'process', 'processes')} of the job, which may have "
                f"{shown_size(bound.each)}, and all jobs together {shown_size(bound.all)}"
            )
        if self._met(_PIDS):
            return f"too many processes: the job may have {bounds(self._jobs)[_PIDS].each} at the same time"
        return ""

    def remove(self) -> None:
        """Remove the groups, whose processes have ended. Blocks."""
        for parent in _parents(self._jobs).values():
            Cgroup(parent.folder / self._name).remove()

    def _met(self, controller: str) -> int:
        """Return how often a bound was met."""
        parent = _parents(self._jobs).get(controller)
        return Cgroup(parent.folder / self._name).counts(parent.events).get(parent.event, 0) if parent else 0


@dataclass(frozen=True, kw_only=True)
class _Parent:
    """The group of all jobs for a controller: its file that bounds, and the file and word that count what met it."""

    folder: Path
    limit: str
    events: str
    event: str


# By controller and version.
_FILES = {
    (_MEMORY, 2): ("memory.max", "memory.events", "oom_kill"),
    (_MEMORY, 1): ("memory.limit_in_bytes", "memory.oom_control", "oom_kill"),
    (_PIDS, 2): ("pids.max", "pids.events", "max"),
    (_PIDS, 1): ("pids.max", "pids.events", "max"),
}


@functools.cache
def _parents(jobs: int) -> dict[str, _Parent]:
    """Make the group of all jobs for each controller that this machine has, and bound it. Blocks."""
    found = {}
    for controller, bound in bounds(jobs).items():
        for version, folder in ((2, _of_version_2(controller)), (1, jobs_cgroup(controller))):
            limit, events, event = _FILES[controller, version]
            if folder and Cgroup(folder).make() and Cgroup(folder).write(limit, str(bound.all)):
                found[controller] = _Parent(folder=folder, limit=limit, events=events, event=event)
                break
    if missing := [_NOUNS[controller] for controller in bounds(jobs) if controller not in found]:
        _log.warning("no control group here can bound %s", " and ".join(missing))
    return found


def _of_version_2(controller: str) -> Path | None:
    """Return the group of all jobs if those below it can have the controller: none above may hold a process itself."""
    folder = jobs_cgroup()
    if folder is None or not Cgroup(folder).make():
        return None
    enabled = [Cgroup(each).write("cgroup.subtree_control", f"+{controller}") for each in (folder.parent, folder)]
    return folder if all(enabled) else None


def _memory() -> Iterator[int]:
    """Return all that bounds the memory of this machine, in bytes."""
    yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if (own := own_cgroup(_MEMORY)) is not None:
        counts = Cgroup(own).counts("memory.stat")
        if "hierarchical_memory_limit" in counts:
            yield counts["hierarchical_memory_limit"]
    yield from _limits("memory.max")


def _processes() -> Iterator[int]:
    """Return all that bounds the number of processes and threads of this machine."""
    for name in ("pid_max", "threads-max"):
        yield int(Path("/proc/sys/kernel", name).read_text())
    yield from _limits("pids.max")


def _limits(name: str) -> Iterator[int]:
    """Return what a file says in the agent's groups and in those above."""
    for own in (own_cgroup(), own_cgroup(_PIDS)):
        for folder in (own, *own.parents) if own else ():
            try:
                text = (folder / name).read_text().strip()
            except OSError:
                continue
            if text.isdigit():
                yield int(text)
