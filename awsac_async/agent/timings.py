"""How many seconds a job spends in each part of its life, measured also over the death of an agent.

Measured by CLOCK_BOOTTIME, which no change of the date moves and which all processes of a machine share: a successor
counts on where its predecessor was.
"""

import time

from awsac_async.session.model import JobRecord
from awsac_async.session.timings import read_seconds


def uptime() -> float:
    """Return the seconds since the machine booted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Timings:
    """The seconds of one job, by part. At any time it is in one part of its life, or in none.

    Args:
        record: what was kept of the job so far; its seconds are counted on.
        part: the part it is in, one of ``names.PARTS``, or "".
        since: since when it is, by :func:`uptime`.
    """

    def __init__(self, record: JobRecord, *, part: str = "", since: float = 0.0) -> None:
        self.seconds = read_seconds(record)
        self.part, self.since = part, since

    def enter(self, part: str, *, at: float | None = None) -> None:
        """From now on, or since the uptime ``at``, the job is in this part ("": in none); the one before has ended."""
        if part == self.part:
            return
        start = uptime() if at is None else at
        if self.part:
            # Never below 0: after a reboot the clock has begun anew.
            self.seconds[self.part] = self.seconds.get(self.part, 0.0) + max(0.0, start - self.since)
        self.part, self.since = part, start
