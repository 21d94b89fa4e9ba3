"""From a job's exit to ``finished`` seen by a client that watches, with 40 ms a call and a small result."""

import io
import statistics
import tarfile
from pathlib import Path

from awsac_async import client
from awsac_async.local.settings import BUCKET
from awsac_async.session.model import JobState
from awsac_async.session.names import output_file, output_key
from awsac_async.session.record import read_record
from awsac_async.session.times import now
from benchmarks.sessions import Bench, embedded
from benchmarks.slow import slow

JOBS = 4
# The jobs end one after another, so that each finds the agent at rest and the client at its longest pause.
SCRIPT = """
sleep $((15 * AWSAC_JOB))
echo result > result
python3 -m tarfile -c results.tar.bz2 result
date +%s.%N
"""


async def run() -> list[tuple[str, ...]]:
    """Return the table."""
    with embedded(slow()) as bench:
        session = await bench.start([f"-;job.sh;{JOBS}"], {"job.sh": SCRIPT})
        seen: dict[int, float] = {}
        async for status in client.watch(session):
            for job in status.jobs:
                if job.state is JobState.FINISHED:
                    seen.setdefault(job.number, now().timestamp())
        delays = [at - _exit_time(bench, session, job) for job, at in sorted(seen.items())]
    assert len(delays) == JOBS
    return [
        (f"{JOBS} jobs, one after another", "median", "longest", "goal"),
        (
            "from exit to finished seen",
            f"{statistics.median(delays):.2f} s",
            f"{max(delays):.2f} s",
            "below 2 s",
        ),
    ]


def _exit_time(bench: Bench, session: Path, job: int) -> float:
    key = output_key(read_record(session).session_id, job)
    body = bench.aws("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        file = tar.extractfile(output_file(job))
        assert file is not None
        return float(file.read())
