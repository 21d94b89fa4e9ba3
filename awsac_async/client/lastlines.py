"""The last line that each of some running jobs has written, as far as its agent has sent it.

Owns how often that is asked, which is paid for (``docs/logs.md``): a few jobs at a look, each job not too often. Never
asks the agents to send more: who wants to read a log follows it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.session.names import job_log_prefix, log_chunk_offset
from awsac_async.session.record import read_record

LAST_LINES_SECONDS = 5.0  # between two looks
_JOBS_A_LOOK = 6
_AGAIN_SECONDS = 20.0  # between two looks at the same job, whose agent sends once a minute
_CONTROL_SEQUENCE = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]")  # of ECMA-48: colours, movements
_READ_BYTES = 2048  # from the end of a chunk: a longer line is shown from there


@dataclass(kw_only=True)
class _Log:
    last_key: str = ""
    looked_at: float | None = None
    line: str = ""


class LastLines:
    """The last lines of one session's jobs. Made by :func:`last_lines`."""

    def __init__(self, bucket: Bucket, session_id: str) -> None:
        self._bucket, self._session_id = bucket, session_id
        self._logs: dict[int, _Log] = {}

    def of(self, job: int) -> str:
        """Return the last line that is known of a job, without control characters; "" if none is."""
        log = self._logs.get(job)
        return log.line if log else ""

    async def look(self, jobs: Sequence[int]) -> None:
        """Look at those of the jobs whose turn it is: at most six, one LIST and at most one GET for each.

        Call it every ``LAST_LINES_SECONDS``.

        Raises:
            CloudError: the bucket could not be read.
        """
        now = asyncio.get_running_loop().time()
        logs = [(number, self._logs.setdefault(number, _Log())) for number in jobs]
        due = [each for each in logs if each[1].looked_at is None or now - each[1].looked_at >= _AGAIN_SECONDS]
        due.sort(key=lambda each: each[1].looked_at or 0.0)
        for _, log in due[:_JOBS_A_LOOK]:
            log.looked_at = now
        await asyncio.gather(*(self._look_at(number, log) for number, log in due[:_JOBS_A_LOOK]))

    async def _look_at(self, number: int, log: _Log) -> None:
        prefix = job_log_prefix(self._session_id, number)
        listed = await self._bucket.list(prefix, after=log.last_key)
        found = [each for each in listed if log_chunk_offset(prefix, each.key) is not None]
        if not found:
            return
        newest = found[-1]
        data = await self._bucket.read_part(newest.key, start=max(0, newest.size - _READ_BYTES), end=newest.size)
        log.last_key, log.line = newest.key, last_line(data) or log.line


def last_line(data: bytes) -> str:
    """Return the last line of some bytes that a terminal would show something of, without control characters."""
    text = _CONTROL_SEQUENCE.sub("", data.decode(errors="replace"))
    for line in reversed(text.replace("\r", "\n").split("\n")):
        printable = "".join(each if each.isprintable() else " " for each in line).strip()
        if printable:
            return printable
    return ""


@asynccontextmanager
async def last_lines(session: Path) -> AsyncIterator[LastLines]:
    """Give what knows the last lines of a session's jobs; raises InputError if the session file is not one."""
    record = await asyncio.to_thread(read_record, session)
    async with connect(region=record.region, access=record) as aws:
        yield LastLines(Bucket(aws, record.bucket), record.session_id)
