"""What a session's instances have cost so far, from when each of them was there.

Owns the reading of these times: EC2's, or an estimate from the jobs' records where EC2 shows the instance no longer.
Pure: the time of the question is an argument. Volumes, requests and traffic are not in it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from awsac_async.client.check import SessionStatus
from awsac_async.cloud.instances import InstanceInfo
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.places import price_at
from awsac_async.session.timings import read_seconds

# EC2 bills Linux by the second, and at least a minute: https://aws.amazon.com/ec2/pricing/on-demand/
_LEAST_SECONDS = 60.0
_SECONDS_PER_HOUR = 3600.0
_ON = frozenset({"pending", "running"})
# A job in one of these states has not added the seconds of the attempt under way to those of its record.
_UNCOUNTED = frozenset({JobState.RUNNING, JobState.WAITFORSAVE})


@dataclass(frozen=True, kw_only=True)
class InstanceTime:
    """When one instance was there; ``end`` is None as long as it is. Times are in UTC.

    ``estimated``: a time is not EC2's, but concluded from the records of its jobs: it began some seconds before, and
    may have ended later.
    """

    launch_index: int
    instance_id: str
    begin: datetime
    end: datetime | None
    estimated: bool = False

    def seconds(self, *, at: datetime) -> float:
        """Return for how long it has been there at this time."""
        return max(0.0, ((self.end or at) - self.begin).total_seconds())


def instance_times(status: SessionStatus, *, at: datetime) -> tuple[InstanceTime, ...]:
    """Return when the instances of a session were there, by launch index.

    One that EC2 has forgotten (an hour after its end) is in it if a job's record still names it: the record of a job
    that was run again on another instance names only that. ``unknown_instances`` counts those that are not in it.

    Args:
        status: how the session stands.
        at: the time of that; nothing ended later.
    """
    jobs = _jobs_by_instance(status.jobs)
    shown = [_from_ec2(each, jobs.get(each.instance_id, ()), at=at) for each in status.instances]
    gone = jobs.keys() - {each.instance_id for each in status.instances}
    told = [_from_jobs(jobs[instance_id]) for instance_id in gone]
    return tuple(sorted(shown + [each for each in told if each], key=lambda each: each.launch_index))


def unknown_instances(status: SessionStatus, times: Sequence[InstanceTime]) -> int:
    """Return how many instances there must have been of which nothing is known any more.

    Launch indexes are continuous, so it is those that are missing. Before EC2 shows the first there is none.
    """
    known = {each.launch_index for each in times}
    if not known and not status.over:
        return 0
    return max(status.record.n_instances, *(index + 1 for index in known), 0) - len(known)


def cost_so_far(status: SessionStatus, *, at: datetime) -> float | None:
    """Return what the instances of a session, of all its launches, have cost in USD; None if the price is not known.

    That is the price at the start, by the second, at least a minute for each instance. Not in it: volumes, storage,
    requests, traffic, and the instances that ``unknown_instances`` counts.
    """
    if status.record.price_per_hour is None:
        return None
    total = 0.0
    for each in instance_times(status, at=at):
        price = price_at(status.record, each.launch_index)
        if price is None:
            return None
        total += price / _SECONDS_PER_HOUR * billed_seconds([each], at=at)
    return total


def billed_seconds(times: Iterable[InstanceTime], *, at: datetime) -> float:
    """Return the seconds that are billed for these instances."""
    return sum(max(_LEAST_SECONDS, each.seconds(at=at)) for each in times)


def _jobs_by_instance(jobs: Iterable[JobRecord]) -> dict[str, list[JobRecord]]:
    found = defaultdict(list)
    for job in jobs:
        if job.instance_id and job.launch_index is not None:
            found[job.instance_id].append(job)
    return found


def _from_ec2(instance: InstanceInfo, jobs: Iterable[JobRecord], *, at: datetime) -> InstanceTime:
    on = instance.state in _ON
    end = instance.ended or _last_time(jobs) or instance.launched
    return InstanceTime(
        launch_index=instance.launch_index,
        instance_id=instance.instance_id,
        begin=instance.launched,
        end=None if on else min(at, max(end, instance.launched)),
        estimated=not on and instance.ended is None,
    )


def _from_jobs(jobs: Sequence[JobRecord]) -> InstanceTime | None:
    begins = [begin for job in jobs if (begin := _agent_began(job))]
    if not begins:
        return None
    return InstanceTime(
        launch_index=jobs[0].launch_index or 0,
        instance_id=jobs[0].instance_id,
        begin=min(begins),
        end=_last_time(jobs) or min(begins),
        estimated=True,
    )


def _agent_began(job: JobRecord) -> datetime | None:
    """Return when the job's instance booted, as far as its record tells: its latest start or end minus what was before.

    Without the seconds, which agents of 2008 do not tell, that is the start of its run. None: it never ran.
    """
    known = job.run_start if job.state in _UNCOUNTED else job.run_end or job.run_start
    if known is None or job.run_start is None:
        return known
    seconds = read_seconds(job)
    before = sum(spent for part, spent in seconds.items() if part != "save")
    return min(job.run_start, known - timedelta(seconds=before))


def _last_time(jobs: Iterable[JobRecord]) -> datetime | None:
    times = [time for job in jobs for time in (job.run_start, job.run_end, job.save_start, job.save_end) if time]
    return max(times, default=None)
