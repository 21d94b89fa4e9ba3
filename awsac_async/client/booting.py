"""Which instances of a session have begun none of their jobs yet, and for how long.

Owns what is normal there, so that who waits can be told whether to go on waiting. Pure; asks nobody.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from awsac_async.client.check import SessionStatus
from awsac_async.session.model import JobState

_LIVE = frozenset({"pending", "running"})
SLOW_SECONDS = 600.0  # one to three minutes are normal, with a large release some more


@dataclass(frozen=True, kw_only=True)
class Booting:
    """What a session waits for: ``seconds`` since the launch of the oldest of these instances.

    ``launch_indexes`` are those of the instances none of whose jobs has begun; empty: EC2 shows no instance yet.
    """

    seconds: float
    launch_indexes: tuple[int, ...]

    @property
    def slow(self) -> bool:
        """Whether it takes longer than is normal."""
        return self.seconds >= SLOW_SECONDS


def booting(status: SessionStatus, *, at: datetime) -> Booting | None:
    """Return what a session waits for at this time; None if each of its instances has begun a job, or it is over."""
    if status.over:
        return None
    if not status.instances:
        seconds = (at - status.started).total_seconds() if status.started else 0.0
        return Booting(seconds=max(0.0, seconds), launch_indexes=())
    waiting = dict(_waiting(status))
    if not waiting:
        return None
    oldest = (at - min(waiting.values())).total_seconds()
    slow = [index for index, launched in waiting.items() if (at - launched).total_seconds() >= SLOW_SECONDS]
    return Booting(seconds=max(0.0, oldest), launch_indexes=tuple(slow or waiting))


def _waiting(status: SessionStatus) -> Iterator[tuple[int, datetime]]:
    pending = {job.launch_index for job in status.jobs if job.state is JobState.PENDING}
    begun = {job.launch_index for job in status.jobs if job.state is not JobState.PENDING}
    if None in pending and status.shared:  # any instance may take a job that nobody has
        pending |= {each.launch_index for each in status.instances}
    for each in status.instances:
        if each.state in _LIVE and each.launch_index in pending - begun:
            yield each.launch_index, each.launched
