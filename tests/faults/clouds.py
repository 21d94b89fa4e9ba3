"""The clouds in which the rows happen: all rows at once, each with a session of its own and faults of its own.

There are two: the instances of one are small, so that nothing that jobs do there reaches the machine.
"""

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from awsac_async.local import cloud
from awsac_async.local.settings import Settings
from tests.agent.account import ARCHIVE, BUCKET, Account, Session
from tests.conftest import Embedded, embedded_cloud
from tests.faults.rows import Row

IMAGE = "ami-0a35ac00000000001"
SMALL_DISK, SMALL_MEMORY = 64 << 20, 640 << 20  # bytes
FEW_PROCESSES = 400
SPOT_WARNING = 40.0  # s
CLOCK = Path(__file__).with_name("clock.c")
WRAPPER = """\
#!/bin/sh
export LD_PRELOAD={library} CLOCK_OFFSET_FILE="${{AWSACworkingDir:-/mnt/awsac}}/clock-offset"
exec "$(dirname "$0")/awsac-autorun-with-the-real-clock"
"""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A row while it happens."""

    row: Row
    session: Session
    cloud: Embedded
    faults: range  # the numbers of its faults in the cloud's file, from 0
    events: range

    def happened(self) -> list[int]:
        """Return how often each of its faults has happened, and how many instances each event has struck."""
        found = cloud.faults(self.cloud.directory)
        return [found["faults"][number]["happened"] for number in self.faults] + [
            len(found["events"][number]["instances"]) for number in self.events
        ]


@contextmanager
def all_begun(rows: Sequence[Row]) -> Iterator[dict[str, Running]]:
    """Bring the clouds up, begin all rows at once, and give them by name."""
    with ExitStack() as stack:
        parent = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="awsac-test-")))
        boot = boot_with_clock(parent / "boot")
        usual = Settings(boot=boot, spot_warning=SPOT_WARNING)
        small = replace(usual, disk_size=SMALL_DISK, instance_memory=SMALL_MEMORY, instance_processes=FEW_PROCESSES)
        begun: dict[str, Running] = {}
        for name, settings in (("usual", usual), ("small", small)):
            wanted = [row for row in rows if row.small == (name == "small")]
            embedded = stack.enter_context(embedded_cloud(parent / name, settings))
            begun |= {running.row.name: running for running in _begin(embedded, wanted)}
        yield begun


def boot_with_clock(folder: Path) -> Path:
    """Make a boot script that lets the clock of its instance be moved: the product's own, with a library loaded.

    Its unit loses patience with an agent that stands still within a row's time.
    """
    library = folder / "clock.so"
    shutil.copytree(Settings().boot.parent, folder)
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, CLOCK], check=True)
    script = folder / "awsac-autorun"
    unit = folder / "awsac-agent.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=300", "WatchdogSec=20"))
    script.rename(folder / "awsac-autorun-with-the-real-clock")
    script.write_text(WRAPPER.format(library=library))
    script.chmod(0o755)
    return script


def _begin(embedded: Embedded, rows: Sequence[Row]) -> list[Running]:
    """Upload what the sessions need, put their faults in force, and launch them."""
    account = Account(embedded)
    releases = {"good": _release(embedded), "blank": _blank(account), **_archives(account)}
    running, documents = [], []
    counted = {"fault": 0, "event": 0}
    for row in rows:
        session = Session(account)
        session.upload_archive(_archive(row, releases))
        document = tomllib.loads(row.faults)
        numbers = {}
        for kind, before in counted.items():
            tables = document.get(kind, [])
            numbers[kind] = range(before, before + len(tables))
            counted[kind] = before + len(tables)
            documents += [_confined(kind, table, _mark(session)) for table in tables]
        running.append(
            Running(row=row, session=session, cloud=embedded, faults=numbers["fault"], events=numbers["event"])
        )
    cloud.set_faults(embedded.directory, "\n".join(documents))
    for each in running:
        _launch(account, each)
    return running


def _mark(session: Session) -> str:
    """Return the value of a tag that only the session's instances have: the test's own calls name the session too."""
    return f"instance of {session.id}"


def _confined(kind: str, table: dict[str, Any], mark: str) -> str:
    """Write a table that concerns only what the instances with this tag ask, and what happens to them."""
    resource = [mark, *([table["resource"]] if "resource" in table else [])]
    values = {"resource": resource} | {name: value for name, value in table.items() if name != "resource"}
    return "\n".join([f"[[{kind}]]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())])


def _archive(row: Row, releases: dict[str, str]) -> dict[str, str]:
    lines = [f"{releases.get(job.release, '-')};job{number}.sh;1" for number, job in enumerate(row.jobs, 1)]
    scripts = {f"job{number}.sh": job.script for number, job in enumerate(row.jobs, 1)}
    return {"jobs.cfg": "\n".join(lines) + "\n", **scripts}


def _launch(account: Account, running: Running) -> None:
    row, session = running.row, running.session
    cores = len(row.jobs) // row.instances
    options: dict[str, Any] = {"InstanceMarketOptions": {"MarketType": "spot"}} if row.spot else {}
    tags = [{"Key": "awsac:session", "Value": session.id}, {"Key": "mark", "Value": _mark(session)}]
    hours = "" if "max_hours" in row.fields else ";max_hours=1"
    answer = account.ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="c5.large",
        MinCount=row.instances,
        MaxCount=row.instances,
        UserData=f"{session.id};{BUCKET};{ARCHIVE};{cores};n_jobs={len(row.jobs)}{hours}{row.fields}",
        IamInstanceProfile={"Name": "awsac-agent"},
        InstanceInitiatedShutdownBehavior="terminate",
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        **options,
    )
    session.instance_ids[:] = [instance["InstanceId"] for instance in answer["Instances"]]


def _release(embedded: Embedded) -> str:
    with tempfile.TemporaryDirectory(prefix="awsac-test-") as folder:
        Path(folder, "version").write_text("release 1\n")
        return cloud.import_snapshot(embedded.directory, Path(folder), description="a release")


def _archives(account: Account) -> dict[str, str]:
    """Return the addresses of releases in S3: one is right, one cut off, and one larger than a small disk."""
    whole = _packed(os.urandom(10 << 20))
    contents = {"whole": whole, "cut": whole[:-100_000], "huge": _packed(bytes(2 * SMALL_DISK))}
    for name, content in contents.items():
        account.put(f"releases/{name}.tgz", content)
    return {name: f"s3://{BUCKET}/releases/{name}.tgz" for name in contents}


def _packed(data: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for name, content in (("version", b"release 1\n"), ("data", data)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def _blank(account: Account) -> str:
    """Return a snapshot that holds no file system."""
    volume_id = account.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    account.ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id], WaiterConfig={"Delay": 1})
    snapshot_id = str(account.ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"])
    account.ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot_id], WaiterConfig={"Delay": 1})
    account.ec2.delete_volume(VolumeId=volume_id)
    return snapshot_id
