"""``awsac check`` of 10,000 jobs on 625 instances: seconds, requests and memory, near and with 40 ms a call.

The instances stay pending, so that none of them boots; the items are as agents write them. Requests are counted by the
cloud. One page of a Select is 1 MB at most, as on AWS.
"""

import os
import statistics
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from awsac_async.cloud.aws import connect
from awsac_async.cloud.simpledb import SimpleDbStatus
from awsac_async.local import cloud
from awsac_async.local.settings import BUCKET, IMAGE, Settings
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.names import PARTS, SESSION_TAG
from awsac_async.session.record import write_record
from awsac_async.session.times import now
from awsac_async.session.timings import timing_attributes
from benchmarks import commands
from benchmarks.commands import Run
from benchmarks.records import record
from benchmarks.sessions import Bench, embedded
from benchmarks.slow import CALL

SESSION_ID = "261122_2200--large--0001"
JOBS, CORES = 10_000, 16
_N = JOBS // CORES
ROUNDS = 5
_SERVICES = ("ec2", "sdb", "s3", "iam", "sts")


async def run() -> list[tuple[str, ...]]:
    """Return the table."""
    with embedded(Settings(instance_delay=float("inf"))) as bench:
        session = await _make(bench)
        near, _ = _measure(bench, session, 0.0)
        far, requests = _measure(bench, session, CALL)
    runs = [*near, *far]
    return [
        (f"{JOBS:,} jobs on {_N} instances", "measured", "goal"),
        ("awsac check", f"{_median(near):.2f} s", "below 3 s"),
        ("awsac check, with 40 ms a call", f"{_median(far):.2f} s", "below 4 s"),
        ("of it, processor time of awsac itself", f"{statistics.median(run.processor for run in far):.2f} s", ""),
        ("requests", f"{requests}", "at most 12"),
        ("peak of resident memory", f"{max(run.memory for run in runs):.0f} MB", "below 200 MB"),
    ]


def _measure(bench: Bench, session: Path, seconds: float) -> tuple[list[Run], int]:
    """Run ``awsac check`` some times, and count the requests of one."""
    faults = (f'[[fault]]\nservice = "{each}"\nkind = "delay"\nseconds = {seconds}\n' for each in _SERVICES)
    cloud.set_faults(bench.directory, "\n".join(faults))
    command = [str(Path(sys.executable).with_name("awsac")), "check", "-c", str(session)]
    runs = [commands.run(command, dict(os.environ)) for _ in range(ROUNDS)]
    counted = sum(fault["happened"] for fault in cloud.faults(bench.directory)["faults"])
    return runs, counted // ROUNDS


def _median(runs: Sequence[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


async def _make(bench: Bench) -> Path:
    """Make the session as it stands in the middle: half of the jobs have run."""
    tags = {"ResourceType": "instance", "Tags": [{"Key": SESSION_TAG, "Value": SESSION_ID}]}
    launched = bench.aws("ec2").run_instances(
        ImageId=IMAGE, InstanceType="c5.4xlarge", MinCount=_N, MaxCount=_N, TagSpecifications=[tags]
    )
    ids = [instance["InstanceId"] for instance in launched["Instances"]]
    async with connect() as aws:
        store = SimpleDbStatus(aws, SESSION_ID)
        await store.create()
        await store.write([_job(number, ids) for number in range(1, JOBS + 1)])
    return write_record(bench.folder, record(SESSION_ID, BUCKET, n_jobs=JOBS, cores=CORES))


def _job(number: int, ids: Sequence[str]) -> JobRecord:
    launch_index = (number - 1) // CORES
    finished, begin = number % 2 == 0, now() - timedelta(hours=1)
    end = begin + timedelta(seconds=1800 + number % 60) if finished else None
    return JobRecord(
        number=number,
        state=JobState.FINISHED if finished else JobState.RUNNING,
        script="/mnt/awsac/simulate.sh",
        instance_id=ids[launch_index],
        launch_index=launch_index,
        run_start=begin,
        run_end=end,
        return_code=0 if finished else None,
        save_start=end,
        save_end=end,
        extra=timing_attributes(dict.fromkeys(PARTS, 10.123 + number % 60), attempt=1),
    )
