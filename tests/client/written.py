"""Sessions written by hand as ``check`` returns them: at 12:00, times in seconds from there, 0.001 USD a second."""

from datetime import UTC, datetime, timedelta
from typing import Any

from awsac_async.client import SessionStatus
from awsac_async.cloud.instances import InstanceInfo
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.timings import timing_attributes
from tests.client.statuses import record

TIMES = ("run_start", "run_end", "save_start", "save_end")


def at(seconds: float) -> datetime:
    """Return the time so many seconds after noon."""
    return datetime(2026, 11, 22, 12, tzinfo=UTC) + timedelta(seconds=seconds)


def job(number: int, *, attempt: int = 1, seconds: dict[str, float] | None = None, **values: Any) -> JobRecord:
    """Return a job, finished with 0 unless told; its instance is ``i-<launch index>``."""
    times = {name: at(values.pop(name)) for name in TIMES if name in values}
    values = {"state": JobState.FINISHED, "return_code": 0, "launch_index": 0, "script": "/mnt/awsac/job.sh"} | values
    extra = {} if seconds is None else timing_attributes(seconds, attempt=attempt)
    if values["launch_index"] is not None:
        values.setdefault("instance_id", f"i-{values['launch_index']}")
    return JobRecord(number=number, extra=extra, **times, **values)


def instance(launch_index: int, *, begin: float = 0, end: float | None = None, **values: Any) -> InstanceInfo:
    """Return an instance as EC2 shows it: running, or terminated at ``end``."""
    values = {"state": "running" if end is None else "terminated", "reason": ""} | values
    return InstanceInfo(
        instance_id=f"i-{launch_index}",
        session_id=record().session_id,
        reservation_id="r-1",
        launch_index=launch_index,
        host="",
        instance_type="c1.medium",
        zone="us-east-1a",
        launched=at(begin),
        ended=None if end is None else at(end),
        **values,
    )


def status(
    *jobs: JobRecord, instances: tuple[InstanceInfo, ...] = (), over: bool = True, **values: Any
) -> SessionStatus:
    """Return how a session with these jobs and instances stands."""
    kept = record(len(jobs) or 1, **{"price_per_hour": 3.6} | values)
    return SessionStatus(record=kept, jobs=jobs, instances=instances, over=over)
