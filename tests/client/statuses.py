"""Statuses of sessions that nobody started, for what is shown and decided of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from awsac_async.client import SessionStatus
from awsac_async.cloud.instances import InstanceInfo
from awsac_async.session.model import JobRecord, JobState, SessionRecord

SHARED = "261122_1200--test--0a1b;awsac-sessions;jobs.tar.bz2;2;schedule=shared"  # user data
STARTED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def record(n_jobs: int = 1, **more: Any) -> SessionRecord:
    values: dict[str, Any] = {
        "session_id": "261122_1200--test--0a1b",
        "ec2_reservation_id": "r-0123456789abcdef0",
        "n_instances": 1,
        "unused_cores": 0,
        "cores_per_instance": 2,
        "user_data": "",
        "shortdescr": "test",
        "bucket": "awsac-sessions",
        "n_jobs": n_jobs,
        "ami_id": "ami-0a35ac00000000001",
        "ec2_uid": "123456789012",
        "instance_type": "c1.medium",
        "client_token": "token",
        "input_digest": "",
        "region": "us-east-1",
        "started": "2026-11-22T12:00:00Z",
    }
    return SessionRecord(**values | more)


def instance(launch_index: int, state: str, *, reason: str = "", **more: Any) -> InstanceInfo:
    values: dict[str, Any] = {
        "instance_id": f"i-{launch_index:017x}",
        "session_id": "261122_1200--test--0a1b",
        "reservation_id": "r-0123456789abcdef0",
        "state": state,
        "reason": reason,
        "launch_index": launch_index,
        "host": f"ec2-{launch_index}.compute.amazonaws.com",
        "instance_type": "c1.medium",
        "zone": "us-east-1a",
        "launched": STARTED,
    }
    return InstanceInfo(**values | more)


def job(number: int, state: JobState, *, launch_index: int | None = 0, **more: Any) -> JobRecord:
    return JobRecord(number=number, state=state, launch_index=launch_index, **more)


def status_of(
    jobs: Sequence[JobRecord], *, instances: Sequence[InstanceInfo] = (), over: bool = False, **more: Any
) -> SessionStatus:
    return SessionStatus(
        record=record(max(1, len(jobs)), **more), jobs=tuple(jobs), instances=tuple(instances), over=over
    )
