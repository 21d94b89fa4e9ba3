"""64 jobs on one instance: what the agent costs while they write and sleep, and whether their logs are complete."""

import asyncio
import contextlib
import hashlib
import statistics
from pathlib import Path

from awsac_async import client
from awsac_async.local.settings import BUCKET, Settings
from awsac_async.session.model import JobState
from awsac_async.session.names import job_log_prefix
from awsac_async.session.record import read_record
from benchmarks.commands import processor_seconds
from benchmarks.sessions import Bench, embedded, finish

JOBS = 64
SECONDS = 20
# One megabyte a second, in lines of 100 bytes that tell where they belong.
WRITE = f"""exec python3 -S -c '
import os, sys, time
job, began = int(os.environ["AWSAC_JOB"]), time.monotonic()
for second in range({SECONDS}):
    block = b"".join(b"job %2d second %2d line %5d %s\\n" % (job, second, line, b"x" * 71) for line in range(10000))
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
    time.sleep(max(0, began + second + 1 - time.monotonic()))
'
"""
SLEEP = "sleep 60\n"


async def run() -> list[tuple[str, ...]]:
    """Return the table."""
    with embedded(Settings()) as bench:
        busy, peak, complete = await _while_writing(bench)
        idle = await _while_sleeping(bench)
    return [
        ("64 jobs on one instance", "measured", "goal"),
        ("agent's processor time, each writing 1 MB/s", f"{busy:.1%} of a core", "below 15 %"),
        ("agent's resident memory at its peak, to the end of the session", f"{peak:.0f} MB", "below 120 MB"),
        ("logs that are complete in S3, byte for byte", f"{complete} of {JOBS}", f"{JOBS}"),
        ("agent's processor time, all sleeping", f"{idle:.2%} of a core", "below 1 %"),
    ]


async def _while_writing(bench: Bench) -> tuple[float, float, int]:
    session = await bench.start([f"-;write.sh;{JOBS}"], {"write.sh": WRITE})
    agent = await _all_running(bench, session)
    share = await _share_of_a_core(agent, SECONDS - 5)
    peak, _ = await asyncio.gather(_peak_megabytes(agent), finish(session))
    return share, peak, sum(_is_complete(bench, session, job) for job in range(1, JOBS + 1))


async def _while_sleeping(bench: Bench) -> float:
    session = await bench.start([f"-;sleep.sh;{JOBS}"], {"sleep.sh": SLEEP})
    agent = await _all_running(bench, session)
    await asyncio.sleep(5)  # the last of what starting them cost
    shares = [await _share_of_a_core(agent, 10) for _ in range(3)]
    await finish(session)
    return statistics.median(shares)


async def _all_running(bench: Bench, session: Path) -> int:
    """Wait until all jobs run; returns the agent's process."""
    async for status in client.watch(session):
        if all(job.state is not JobState.PENDING for job in status.jobs):
            break
    (agent,) = bench.agents()
    return agent


async def _share_of_a_core(process: int, seconds: float) -> float:
    before = processor_seconds(process)
    await asyncio.sleep(seconds)
    return (processor_seconds(process) - before) / seconds


async def _peak_megabytes(process: int) -> float:
    """Return the most memory a process has ever had, asked until it ends: it still ships and packs what jobs wrote."""
    peak = 0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        while True:
            peak = await asyncio.to_thread(_kilobytes, process, "VmHWM")
            await asyncio.sleep(0.1)
    return peak / 1000


def _kilobytes(process: int, field: str) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    found = [int(line.split()[1]) for line in lines if line.startswith(f"{field}:")]
    if not found:
        raise ProcessLookupError(process)
    return found[0]


def _is_complete(bench: Bench, session: Path, job: int) -> bool:
    s3, prefix = bench.aws("s3"), job_log_prefix(read_record(session).session_id, job)
    chunks = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(s3.get_object(Bucket=BUCKET, Key=chunk["Key"])["Body"].read())
    return found.hexdigest() == _expected(job)


def _expected(job: int) -> str:
    whole = hashlib.sha256()
    for second in range(SECONDS):
        lines = (b"job %2d second %2d line %5d %s\n" % (job, second, line, b"x" * 71) for line in range(10000))
        whole.update(b"".join(lines))
    return whole.hexdigest()
