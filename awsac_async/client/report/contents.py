"""All that can be known of a session for its report, read and put together.

Owns what is put together and when it was so; the page itself is ``page``'s. Reads only.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from awsac_async.client.check import SessionStatus, check
from awsac_async.client.costs import InstanceTime, cost_so_far, instance_times, unknown_instances
from awsac_async.client.report.sharedtimeline import shared_timeline
from awsac_async.client.report.timeline import Core, timeline
from awsac_async.session.errors import InputError
from awsac_async.session.model import JobRecord
from awsac_async.session.names import results_directory
from awsac_async.session.times import now

_USUAL_FOLDERS = ("", "results")  # beside the session file


@dataclass(frozen=True, kw_only=True)
class Report:
    """A session as it stood ``at`` a time (UTC).

    ``cost`` is what its instances have cost in USD, None if the price is unknown; it lacks ``unknown_instances``, of
    which nothing is known any more. ``files`` are the paths of what ``getresults`` has brought, in ``results``.
    """

    status: SessionStatus
    at: datetime
    times: tuple[InstanceTime, ...]
    cores: tuple[Core, ...]
    unknown_instances: int
    cost: float | None
    results: Path | None = None
    files: frozenset[str] = frozenset()

    @cached_property
    def _ends(self) -> dict[str, datetime | None]:
        return {each.instance_id: each.end for each in self.times if each.end is None or not each.estimated}

    def run_seconds(self, job: JobRecord) -> float | None:
        """Return for how long the latest attempt at a job ran, or has been running; None if it never did.

        None also of a lost one, if it is not known when its instance ended.
        """
        if job.run_start is None or (job.run_end is None and job.instance_id not in self._ends):
            return None
        end = job.run_end or self._ends[job.instance_id] or self.at
        return max(0.0, (end - job.run_start).total_seconds())


async def report(session: Path, *, results: Path | None = None) -> Report:
    """Return how the session stands, with what each of its cores did and what it has cost.

    Args:
        session: the session file.
        results: the folder that ``getresults`` was told or made; None: if the usual one is there, that.

    Raises:
        InputError: the session file is not one, or the folder is not there.
        CloudError: the cloud could not be asked.
    """
    status = await check(session)
    folder = await asyncio.to_thread(_find_results, session, results, results_directory(status.record.session_id))
    files = await asyncio.to_thread(_files, folder) if folder else frozenset[str]()
    return make_report(status, at=now(), results=folder, files=files)


def make_report(
    status: SessionStatus, *, at: datetime, results: Path | None = None, files: frozenset[str] = frozenset()
) -> Report:
    """Return the report of a status that was read at this time."""
    times = instance_times(status, at=at)
    return Report(
        status=status,
        at=at,
        times=times,
        cores=shared_timeline(status, times) if status.shared else timeline(status, times),
        unknown_instances=unknown_instances(status, times),
        cost=cost_so_far(status, at=at),
        results=results,
        files=files,
    )


def _find_results(session: Path, told: Path | None, name: str) -> Path | None:
    if told is not None and not told.is_dir():
        raise InputError(f"there is no folder {told}: name the one that awsac getresults -o was told")
    places = [told / name, told] if told else [session.parent / folder / name for folder in _USUAL_FOLDERS]
    return next((place.resolve() for place in places if place.is_dir()), None)


def _files(folder: Path) -> frozenset[str]:
    # Not all that was unpacked: a job may have left a million files.
    found = [*folder.glob("*"), *folder.glob("job_*/stdouterr_job_*.log")]
    return frozenset(path.relative_to(folder).as_posix() for path in found if path.is_file())
