"""An embedded cloud of the benchmark's own, sessions on it, and what their agents' logs say.

Owns a temporary folder and all that is in it. Every number comes from what the session itself wrote or from the kernel.
"""

import asyncio
import dataclasses
import io
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3

from awsac_async import client
from awsac_async.client import Plan
from awsac_async.local import cloud
from awsac_async.local.settings import BUCKET, IMAGE, Network, Settings
from awsac_async.session.names import AGENT_LOG_FILE, agent_log_key, session_file
from awsac_async.session.record import read_record

INI = """[startinfo]
instance_type = c5.large
ami_id = {image}
sessionsbucket = {bucket}
ec2_uid = 123456789012
shortdescr = bench
n_jobs = {jobs}
cores_per_instance = {jobs}
max_hours = 1
"""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A running cloud, and a folder to work in."""

    folder: Path
    directory: Path

    def snapshot(self, name: str) -> str:
        """Return a new snapshot that holds one small file."""
        source = self.folder / name
        source.mkdir()
        (source / "name").write_text(name)
        return cloud.import_snapshot(self.directory, source, description=name)

    def aws(self, service: str) -> Any:
        """Return a plain client of the cloud's AWS."""
        return boto3.client(service)

    def agents(self) -> list[int]:
        """Return the processes that are agents at work."""
        found = []
        for pid in cloud.status(self.directory).processes:
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except FileNotFoundError:
                continue
            if any(word.endswith(b"awsac-agent") for word in words):
                found.append(pid)
        return found

    async def start(self, lines: Sequence[str], scripts: Mapping[str, str]) -> Path:
        """Start a session of one instance with a core for each job, and return its session file."""
        jobs = Path(tempfile.mkdtemp(dir=self.folder))
        (jobs / "jobs.cfg").write_text("".join(f"{line}\n" for line in lines))
        for name, text in scripts.items():
            (jobs / name).write_text(text)
        n_jobs = sum(int(line.split(";")[2]) for line in lines)
        ini, archive = jobs.with_suffix(".ini"), jobs.with_suffix(".tar.bz2")
        ini.write_text(INI.format(image=IMAGE, bucket=BUCKET, jobs=n_jobs))
        await asyncio.to_thread(client.pack, jobs, archive)
        record = await client.start(ini=ini, archive=archive, directory=self.folder, proceed=_yes)
        assert record is not None
        return self.folder / session_file(record.session_id)

    def agent_log(self, session: Path) -> list[tuple[datetime, str]]:
        """Return the lines of the agent's log with their times."""
        key = agent_log_key(read_record(session).session_id, 0)
        body = self.aws("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            file = tar.extractfile(AGENT_LOG_FILE)
            assert file is not None
            lines = [line.partition(" ") for line in file.read().decode().splitlines()]
        return [(datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%fZ"), text) for time, _, text in lines]


def first(log: Sequence[tuple[datetime, str]], pattern: str) -> datetime:
    """Return when the first line that matches was written."""
    return next(time for time, text in log if re.search(pattern, text))


async def finish(session: Path) -> client.SessionStatus:
    """Wait for the end of a session, in which every job must succeed."""
    async for status in client.watch(session):  # noqa: B007  the last one counts
        pass
    assert not status.failed, status.failed
    return status


@contextmanager
def embedded(settings: Settings) -> Iterator[Bench]:
    """Bring a cloud up for this process, and take it down with all it holds."""
    with tempfile.TemporaryDirectory(prefix="awsac-bench-") as folder:
        directory = Path(folder) / "cloud"
        before = dict(os.environ)
        try:
            environment = cloud.up(directory, dataclasses.replace(settings, network=Network.NONE))
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                del os.environ[name]  # a token or a profile of the real AWS
            os.environ |= environment
            yield Bench(folder=Path(folder), directory=directory)
        finally:
            cloud.down(directory)
            os.environ.clear()
            os.environ |= before


async def _yes(_: Plan) -> bool:
    return True
