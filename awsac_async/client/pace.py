"""How long who watches a session waits before the next look.

Owns the rule: short after a change, longer while nothing changes, a fifth of the time at most, longer yet while AWS
asks for fewer calls. Decides only; it neither waits nor looks.
"""

from collections.abc import Iterable

from awsac_async.cloud.waiting import jittered
from awsac_async.session.model import JobRecord

_FIRST, _GROWTH = 0.5, 1.3  # seconds after a change, and by how much each further pause is longer
# Seconds at most while a job runs, since its end is to be seen within two; and while instances boot or go.
_LONGEST_ACTIVE, _LONGEST_CALM = 1.1, 3.0
_REST = 4  # times as long as the last look took: looking at a large session takes seconds
_THROTTLED_FIRST, _THROTTLED_LONGEST, _THROTTLED_DECAY = 2.0, 60.0, 0.7


class Pace:
    """The pauses of one watcher, in seconds."""

    def __init__(self) -> None:
        self._pause, self._least = _FIRST, 0.0

    def after(self, jobs: Iterable[JobRecord], *, changed: bool, took: float, throttled: bool = False) -> float:
        """Return how long to wait after a look that took so many seconds.

        Args:
            jobs: how the jobs stood.
            changed: whether that has changed since the look before.
            took: how long it took until the answer came, in seconds.
            throttled: whether AWS refused a call of it since there were too many.
        """
        longest = _LONGEST_ACTIVE if any(job.state.active for job in jobs) else _LONGEST_CALM
        self._pause = _FIRST if changed else min(self._pause * _GROWTH, longest)
        if throttled:
            self._least = min(max(2 * self._least, _THROTTLED_FIRST), _THROTTLED_LONGEST)
        else:
            self._least *= _THROTTLED_DECAY
        return max(jittered(self._pause), _REST * took, self._least)
