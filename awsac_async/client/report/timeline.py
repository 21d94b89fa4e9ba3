"""What every core of a session did when: spans of time, from what the jobs' records and EC2 tell.

Owns the rules by which seconds and times become spans. Pure; draws nothing. An instance has one job a core, and a
record tells of the job's latest instance: where it ran before, nothing is known but that the instance was there. Where
jobs are shared, ``sharedtimeline`` has other rules.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from awsac_async.client.check import SessionStatus
from awsac_async.client.costs import InstanceTime
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.places import cores_at, jobs_at, started_indexes
from awsac_async.session.timings import read_attempt, read_seconds

# Of an attempt before the latest: what is shorter comes from times that are written in whole seconds.
_LEAST_SECONDS = 1.0


class Phase(StrEnum):
    """What a core does, in the order of a job's life."""

    BOOTING = "booting"
    FETCHING = "fetching"
    PROVIDING = "providing"
    QUEUEING = "queueing"
    RUNNING = "running"
    SAVING = "saving"
    IDLE = "idle"
    UNKNOWN = "unknown"  # its instance was there; nothing else is told


# What is in the seconds of a record, between the boot and the run.
_AFTER_THE_BOOT = {
    "fetch": Phase.FETCHING,
    "provide": Phase.PROVIDING,
    "queue": Phase.QUEUEING,
}


@dataclass(frozen=True, kw_only=True)
class Span:
    """One phase of one core. ``end`` is None as long as it lasts; ``attempts`` are the first and last of a run.

    ``job`` is the one that it is about; None: none is known.
    """

    phase: Phase
    begin: datetime
    end: datetime | None
    attempts: tuple[int, int] | None = None
    job: JobRecord | None = None


@dataclass(frozen=True, kw_only=True)
class Core:
    """One core of an instance of the session, with its spans in order.

    ``jobs`` are those whose records name it, in order, more than one only where they are shared. Without any, it had
    none, or that was run again elsewhere, and ``moved`` is its number.
    """

    launch_index: int
    core: int
    jobs: tuple[JobRecord, ...]
    moved: int | None
    spans: tuple[Span, ...]


def timeline(status: SessionStatus, times: Sequence[InstanceTime]) -> tuple[Core, ...]:
    """Return the cores of these instances, by launch index.

    Args:
        status: how the session stands.
        times: when its instances were there, as ``instance_times`` returns it.
    """
    jobs = _jobs_by_core(status)
    return tuple(
        Core(
            launch_index=instance.launch_index,
            core=core,
            jobs=(job,) if (job := jobs.get((instance.launch_index, core))) else (),
            moved=None if job else _job_of_first_launch(status, instance.launch_index, core),
            spans=tuple(_spans(job, instance) if job else _without_job(status, instance, core)),
        )
        for instance in times
        for core in range(cores_at(status.record, instance.launch_index))
    )


def _jobs_by_core(status: SessionStatus) -> Mapping[tuple[int, int], JobRecord]:
    """Return the jobs by launch index and core; where a later launch runs one, only their order tells the core."""
    started = started_indexes(status.record)
    by_instance = defaultdict(list)
    for job in status.jobs:
        # Without a launch index no agent has written its record: it waits for its instance of the first launch.
        first = started.get(job.number, job.launch_index or 0)
        by_instance[first if job.launch_index is None else job.launch_index].append(job)
    return {
        (index, own.index(job.number) if job.number in own else place): job
        for index, jobs in by_instance.items()
        for own in [jobs_at(status.record, index)]
        for place, job in enumerate(jobs)
    }


def _job_of_first_launch(status: SessionStatus, launch_index: int, core: int) -> int | None:
    """Return the job that this core had in the first launch, though its record now names another; None if none."""
    jobs = jobs_at(status.record, launch_index)
    return jobs[core] if core < len(jobs) else None


def _without_job(status: SessionStatus, instance: InstanceTime, core: int) -> Iterable[Span]:
    moved = _job_of_first_launch(status, instance.launch_index, core) is not None
    if instance.end is None or instance.end > instance.begin:
        yield Span(phase=Phase.UNKNOWN if moved else Phase.IDLE, begin=instance.begin, end=instance.end)


def _spans(job: JobRecord, instance: InstanceTime) -> Iterable[Span]:
    """Yield the spans of a core and its job; none begins before its instance or ends after it."""
    latest = instance.begin
    for span in (*_before_the_run(job, instance), *runs(job), *saving(job)):
        begin = max(span.begin, latest)
        end = min((time for time in (span.end, instance.end) if time), default=None)
        if end is None or end > begin:
            yield replace(span, begin=begin, end=end, job=job)
            latest = end or begin
    if job.state.final and (instance.end is None or instance.end > latest):
        yield Span(phase=Phase.IDLE, begin=latest, end=instance.end, job=job)


def _before_the_run(job: JobRecord, instance: InstanceTime) -> Iterable[Span]:
    seconds = read_seconds(job)
    ran = next(iter(runs(job)), None)
    if not seconds:
        if ran:
            yield Span(phase=Phase.UNKNOWN, begin=instance.begin, end=ran.begin)
        elif job.state is JobState.PENDING:
            yield Span(phase=Phase.BOOTING, begin=instance.begin, end=None)
        return
    parts = [(phase, timedelta(seconds=seconds.get(part, 0.0))) for part, phase in _AFTER_THE_BOOT.items()]
    booted = instance.begin + timedelta(seconds=seconds.get("boot", 0.0))
    if ran:  # The agent measures from its machine's boot, which is some seconds after the launch.
        booted = ran.begin - sum((length for _, length in parts), timedelta())
    yield Span(phase=Phase.BOOTING, begin=instance.begin, end=booted)
    begin = booted
    for phase, length in parts:
        yield Span(phase=phase, begin=begin, end=begin + length)
        begin += length
    if job.state is JobState.PENDING:
        yield Span(phase=Phase.PROVIDING, begin=begin, end=None)


def runs(job: JobRecord) -> Iterable[Span]:
    """Yield the attempts before the latest as one span, since only their sum is told, and the latest."""
    if job.run_start is None:
        return
    latest = read_attempt(job) or 1
    if latest > 1 and (earlier := _seconds_of_earlier_attempts(job)) >= _LEAST_SECONDS:
        begin = job.run_start - timedelta(seconds=earlier)
        yield Span(phase=Phase.RUNNING, begin=begin, end=job.run_start, attempts=(1, latest - 1))
    yield Span(phase=Phase.RUNNING, begin=job.run_start, end=job.run_end, attempts=(latest, latest))


def _seconds_of_earlier_attempts(job: JobRecord) -> float:
    told = read_seconds(job).get("run", 0.0)
    if job.state in {JobState.RUNNING, JobState.WAITFORSAVE} or job.run_start is None or job.run_end is None:
        return told
    return told - (job.run_end - job.run_start).total_seconds()


def saving(job: JobRecord) -> Iterable[Span]:
    """Yield when what a job has left was saved, if it was."""
    begin = job.run_end or job.save_start
    if begin and not (job.state.final and job.save_end is None):
        yield Span(phase=Phase.SAVING, begin=begin, end=job.save_end)
