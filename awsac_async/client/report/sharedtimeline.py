"""What every core of a session did when whose jobs are shared: a core runs one after another, and no record names it.

Owns the rule by which the jobs of an instance are laid on its cores, as they can have been by their times. What lies
between them is idleness only if no job has ever been run again: else a record that is there no more may tell of it.
Pure; draws nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from awsac_async.client.check import SessionStatus
from awsac_async.client.costs import InstanceTime
from awsac_async.client.report.timeline import Core, Phase, Span, runs, saving
from awsac_async.session.claims import FIRST_POOL, claim_of
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.places import cores_at
from awsac_async.session.timings import read_seconds

_ROUNDING = timedelta(seconds=1)  # times are written in whole seconds
_LONG_AGO, _NEVER = (time.replace(tzinfo=UTC) for time in (datetime.min, datetime.max))
_JUST_BEFORE = {"provide": Phase.PROVIDING, "queue": Phase.QUEUEING}


def shared_timeline(status: SessionStatus, times: Sequence[InstanceTime]) -> tuple[Core, ...]:
    """Return the cores of these instances, by launch index; the arguments are those of ``timeline``."""
    by_instance = defaultdict(list)
    for job in status.jobs:
        if job.instance_id:
            by_instance[job.instance_id].append(job)
    between = Phase.IDLE if all(map(_only_run, status.jobs)) else Phase.UNKNOWN
    return tuple(
        Core(
            launch_index=instance.launch_index,
            core=core,
            jobs=tuple(jobs),
            moved=None,
            spans=tuple(_spans(jobs, instance, between)),
        )
        for instance in times
        for core, jobs in enumerate(
            _laid(by_instance[instance.instance_id], cores_at(status.record, instance.launch_index))
        )
    )


def _only_run(job: JobRecord) -> bool:
    """Whether the record of a job tells of all that was ever run of it: nobody took it over, and no retry did."""
    claim = claim_of(job)
    return claim is None or (claim.pool == FIRST_POOL and claim.count <= 1)


def _laid(jobs: Iterable[JobRecord], n_cores: int) -> list[list[JobRecord]]:
    """Lay jobs on cores: each, in order of their begin, on the first that is free then, or will be first.

    What has not run comes last: it is on its way, or could not be run.
    """
    cores: list[list[JobRecord]] = [[] for _ in range(n_cores)]
    free = [_LONG_AGO] * n_cores
    for job in sorted(jobs, key=lambda job: (_begin(job) or _NEVER, job.number)):
        begin = _begin(job)
        fits = (core for core in range(n_cores) if begin and free[core] <= begin + _ROUNDING)
        core = next(fits, min(range(n_cores), key=lambda core: free[core]))
        cores[core].append(job)
        free[core] = job.run_end or (free[core] if job.state.final else _NEVER)  # while it is saved another one runs
    return cores


def _begin(job: JobRecord) -> datetime | None:
    """Return when a core began with a job, as far as its record tells; None if it has not run."""
    ran = next(iter(runs(job)), None)
    return (
        ran.begin - timedelta(seconds=sum(read_seconds(job).get(part, 0.0) for part in _JUST_BEFORE)) if ran else None
    )


def _spans(jobs: Sequence[JobRecord], instance: InstanceTime, between: Phase) -> Iterator[Span]:
    """Yield the spans of a core, none of which begins before its instance or ends after it."""
    latest = instance.begin
    for place, job in enumerate(jobs):
        following = _begin(jobs[place + 1]) if place + 1 < len(jobs) else None
        until = min((time for time in (following, instance.end) if time), default=None)
        own = [*(_after_the_launch(job, instance) if place == 0 else ()), *_of_job(job, latest)]
        for span in own:
            begin, end = max(span.begin, latest), min((time for time in (span.end, until) if time), default=None)
            if end is not None and end <= begin:
                continue
            if begin > latest + _ROUNDING:
                yield Span(phase=between, begin=latest, end=begin)
            yield replace(span, begin=begin, end=end, job=job)
            if end is None:
                return
            latest = end
    if instance.end is None or instance.end > latest:
        yield Span(phase=between, begin=latest, end=instance.end)


def _after_the_launch(job: JobRecord, instance: InstanceTime) -> Iterator[Span]:
    """Yield the boot of the instance, and what follows, if a job tells of it: one that was the first on its core."""
    seconds, begin, claim = read_seconds(job), _begin(job), claim_of(job)
    # In SimpleDB a job that was taken over may still have the seconds of the instance before.
    if "boot" not in seconds or (claim and claim.count > 1):
        return
    booted = instance.begin + timedelta(seconds=seconds["boot"])
    fetching = timedelta(seconds=seconds.get("fetch", 0.0))
    if begin:  # The agent measures from its machine's boot, which is some seconds after the launch.
        booted = begin - fetching
    yield Span(phase=Phase.BOOTING, begin=instance.begin, end=booted)
    yield Span(phase=Phase.FETCHING, begin=booted, end=booted + fetching)


def _of_job(job: JobRecord, latest: datetime) -> Iterator[Span]:
    """Yield what a core did for a job, which has come to it after ``latest``."""
    begin, seconds = _begin(job), read_seconds(job)
    if begin is None:
        if job.state is JobState.PENDING:
            yield Span(phase=Phase.PROVIDING, begin=latest, end=None)
        return
    for part, phase in _JUST_BEFORE.items():
        end = begin + timedelta(seconds=seconds.get(part, 0.0))
        yield Span(phase=phase, begin=begin, end=end)
        begin = end
    yield from runs(job)
    yield from saving(job)
