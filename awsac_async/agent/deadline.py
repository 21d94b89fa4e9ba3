"""The session's deadline as the agent sees it: how long it is until this machine is powered off from outside.

Owns the time that is left, and the stop of the jobs shortly before. The machine's end itself is set by ``boot/`` and
comes without the agent. Spans are measured by CLOCK_BOOTTIME: setting the clock changes nothing.
"""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from awsac_async.agent import procfs
from awsac_async.agent.stopping import GRACE_SECONDS, Stop
from awsac_async.agent.timings import uptime
from awsac_async.session.atomic import replacing
from awsac_async.session.durations import warning_seconds
from awsac_async.session.model import JobState, UserData
from awsac_async.session.names import InstancePaths
from awsac_async.session.times import now
from awsac_async.session.userdata import max_hours

_log = logging.getLogger(__name__)
_GRACE_SHARE = 0.25  # of the time before the end: the rest is for saving
_EARLY_SECONDS = 1.0  # the power-off's timer is set in whole seconds, rounded down
_LONGEST_SLEEP = 60.0  # the loop's clock stands still while a machine is suspended


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """The end of this machine: ``hours`` after its boot, which was at ``booted`` by CLOCK_BOOTTIME.

    That is below 0 on a machine that was rebooted: its first boot counts.
    """

    hours: float
    booted: float

    @classmethod
    def read(cls, user_data: UserData, paths: InstancePaths) -> "Deadline":
        """Read when this instance booted, as ``awsac-autorun`` wrote it; without it, it has just done so.

        Raises:
            OSError: the state directory cannot be read or written.
        """
        return cls(hours=max_hours(user_data), booted=uptime() - _since_boot(paths.state / "booted"))

    def left(self) -> float:
        """Return the seconds until the end."""
        return self.booted + self.hours * 3600 - uptime()

    def warning(self) -> float:
        """Return how many seconds before the end jobs are stopped."""
        return warning_seconds(self.hours)

    def may_be_now(self) -> bool:
        """Say whether who stops the agent may be the power-off, which can come before the jobs have been stopped."""
        return self.left() < self.warning() + _EARLY_SECONDS

    def stop_jobs(self, stop: Stop) -> None:
        """Ask for the end of the jobs, because this is near."""
        _log.warning("this machine is powered off in %.0f s: stopping the jobs", max(0.0, self.left()))
        reason = f"the session's deadline, {self.hours:g} hours after boot, is near"
        stop.request(JobState.TIMEDOUT, reason, grace=min(GRACE_SECONDS, _GRACE_SHARE * self.warning()))


async def watch_deadline(deadline: Deadline, stop: Stop) -> None:
    """Wait until the deadline is near, and stop the jobs then."""
    while (seconds := deadline.left() - deadline.warning()) > 0:  # noqa: ASYNC110  time is what is waited for
        await asyncio.sleep(min(seconds, _LONGEST_SLEEP))
    deadline.stop_jobs(stop)


def _since_boot(file: Path) -> float:
    """Return how many seconds ago this instance booted first."""
    boot_id, epoch_now = procfs.boot_id(), now().timestamp()
    try:
        written_by, then, epoch = file.read_text().split()
        # After a reboot the machine's uptime has begun anew, and only the clock can tell.
        return uptime() - float(then) if written_by == boot_id else max(0.0, epoch_now - float(epoch))
    except FileNotFoundError:
        _log.info("the deadline counts from now, since the boot script did not say when this instance booted")
    except ValueError:
        _log.warning("%s is damaged: the deadline counts from now", file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file, mode=0o644) as part:
        part.write_text(f"{boot_id} {uptime():.2f} {epoch_now:.0f}\n")
    return 0.0
