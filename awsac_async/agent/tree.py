"""All processes of one attempt at a job, however far they have wandered off, and nobody else's.

A job's processes are those in its cgroup, where the agent can make one. Beside that, and in its place where it cannot,
they are found by a walk: the descendants of the process that leads the job, of every process whose environment names
the job, and of the orphans that the kernel gave the agent. No signal is ever sent to a number, only through a pidfd.
"""

import asyncio
import ctypes
import functools
import logging
import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from awsac_async.agent import procfs
from awsac_async.agent.bounds import JobBounds
from awsac_async.agent.cgroup import Cgroup, jobs_cgroup
from awsac_async.agent.procfs import ProcessId, Stat
from awsac_async.session import names

_log = logging.getLogger(__name__)
_SET_CHILD_SUBREAPER = 36  # prctl(2)
_LOOK_AGAIN_SECONDS = 0.5  # nothing tells of a process that forks
_KILL_SECONDS = 30.0  # longer than this only the kernel holds a killed process: a disk or a network that hangs
_AT_ONCE = 100  # pidfds open at a time


class ProcessTree:
    """The processes of one attempt at a job; a Unix process group, and even a session, is only a part of it."""

    def __init__(
        self, *, session_id: str, job: int | None, cgroup: Cgroup | None, bounds: JobBounds | None = None
    ) -> None:
        self.cgroup, self._bounds = cgroup, bounds
        marks = {names.JOB_SESSION_ID: session_id} | ({} if job is None else {names.JOB_NUMBER: str(job)})
        self._marks = {f"{name}={value}".encode() for name, value in marks.items()}
        self._leader: ProcessId | None = None

    @classmethod
    def of(cls, *, session_id: str, job: int, attempt: int, jobs: int) -> "ProcessTree":
        """Return the tree of an attempt; an agent and its successors find the same.

        ``jobs``: how many run at the same time, and so share what the machine has.
        """
        parent, name = jobs_cgroup(), f"awsac-{session_id}-{job}-{attempt}"
        cgroup = Cgroup(parent / name) if parent else None
        return cls(session_id=session_id, job=job, cgroup=cgroup, bounds=JobBounds(name, jobs=jobs))

    @classmethod
    def of_all(cls, session_id: str) -> "list[ProcessTree]":
        """Return the trees that together hold all jobs of a session that run on this instance."""
        parent = jobs_cgroup()
        folders = parent.glob(f"awsac-{session_id}-*") if parent else ()
        cgroups: list[Cgroup | None] = [Cgroup(folder) for folder in folders]
        return [cls(session_id=session_id, job=None, cgroup=each) for each in cgroups or [None]]

    def prepare(self) -> list[Path]:
        """Make the cgroup; where there can be none, have orphans of the job come to this process.

        Returns the folders of cgroups that the job is to enter: this one, and those that bound what it may have.
        """
        if self.cgroup is None or not self.cgroup.make():
            self.cgroup = None
            _become_subreaper()
        holding = [self.cgroup.folder] if self.cgroup else []
        bounding = self._bounds.prepare() if self._bounds else []
        return list(dict.fromkeys(holding + bounding))

    def met(self) -> str:
        """Return which bound it has met, or "". Blocks."""
        return self._bounds.reason() if self._bounds else ""

    def lead(self, leader: ProcessId) -> None:
        """Know the process from which the others descend."""
        self._leader = leader

    def members(self) -> frozenset[ProcessId]:
        """Return all that run now. Blocks while it reads ``/proc``."""
        there = procfs.processes()
        found = self._family(there)
        if self.cgroup is not None:
            found |= self.cgroup.pids()
        return frozenset(there[pid].id for pid in found if pid in there and pid != os.getpid() and not there[pid].ended)

    async def terminate(self, *, grace: float) -> None:
        """Ask each process once to end (TERM); returns when all have ended, or after ``grace`` seconds."""
        asked: frozenset[ProcessId] = frozenset()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while members := await asyncio.to_thread(self.members):
                    await asyncio.to_thread(_signal, members - asked, signal.SIGTERM)
                    asked |= members
                    await _wait_for(members)

    async def kill(self, *, as_long_as: Callable[[], bool] = lambda: True) -> None:
        """Kill all, also those that are born meanwhile; returns when none is left, or is to be killed any more."""
        members: frozenset[ProcessId] = frozenset()
        try:
            async with asyncio.timeout(_KILL_SECONDS):
                while as_long_as() and (members := await asyncio.to_thread(self.members)):
                    if self.cgroup is not None:
                        await asyncio.to_thread(self.cgroup.kill)
                    await asyncio.to_thread(_signal, members, signal.SIGKILL)
                    await _wait_for(members)
        except TimeoutError:
            _log.warning("processes that do not end though killed: %s", [member.pid for member in members])

    async def remove(self) -> None:
        """Remove the cgroups."""
        for group in (self.cgroup, self._bounds):
            if group is not None:
                await asyncio.to_thread(group.remove)

    def _family(self, there: Mapping[int, Stat]) -> set[int]:
        family = {pid for pid, one in there.items() if self._is_ours(one)}
        while born := {pid for pid, one in there.items() if one.parent in family} - family:
            family |= born
        return family

    def _is_ours(self, one: Stat) -> bool:
        if one.id == self._leader or self._marks <= procfs.environment(one.id.pid):
            return True
        # An orphan that has cleared its environment, but is still in the session of the job's leader.
        orphaned = _is_subreaper() and one.parent == os.getpid()
        return orphaned and self._leader is not None and one.session == self._leader.pid


async def reap_orphans(spare: Collection[int]) -> None:
    """Collect ended processes that the kernel made this process's children, except its own children in ``spare``.

    Tools are started in this process's session, and jobs are in ``spare``: whoever else has ended was an orphan.
    """
    if not _is_subreaper():
        return
    ended = [one for one in (await asyncio.to_thread(procfs.processes)).values() if one.ended]
    for one in ended:  # on the loop, where processes are started: ``spare`` does not change meanwhile
        if one.parent == os.getpid() and one.session != os.getsid(0) and one.id.pid not in spare:
            _reap(one.id.pid)


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _become_subreaper() -> None:
    if _libc().prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        _log.warning("orphans of jobs are not given to the agent: %s", os.strerror(ctypes.get_errno()))


def _is_subreaper() -> bool:
    answer = ctypes.c_int()
    return _libc().prctl(_SET_CHILD_SUBREAPER + 1, ctypes.byref(answer), 0, 0, 0) == 0 and bool(answer.value)


def _signal(processes: Iterable[ProcessId], number: signal.Signals) -> None:
    # The eldest first: a script that lost its child before it is told itself would go on with its next line.
    for process in sorted(processes, key=lambda process: (process.start, process.pid)):
        with _opened([process]) as opened, suppress(ProcessLookupError, PermissionError):
            for descriptor in opened:
                signal.pidfd_send_signal(descriptor, number)


async def _wait_for(processes: Collection[ProcessId]) -> None:
    """Wait until they have ended, or until it is time to look for others."""
    with _opened(list(processes)[:_AT_ONCE]) as opened, suppress(TimeoutError):
        async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
            for descriptor in opened:
                await procfs.ended(descriptor)


@contextmanager
def _opened(processes: Iterable[ProcessId]) -> Iterator[list[int]]:
    """Give the pidfds of those that are still there."""
    opened: list[int] = []
    try:
        opened.extend(fd for process in processes if (fd := procfs.open_pidfd(process)) is not None)
        yield opened
    finally:
        for descriptor in opened:
            os.close(descriptor)
