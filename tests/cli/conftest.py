"""The real ``awsac``, and what an account holds as any AWS client sees it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.cli.forkserver import forks
from tests.cli.proxy import PATIENCE
from tests.conftest import Embedded

AWSAC = str(Path(sys.executable).with_name("awsac"))
BUCKET = "awsac-sessions"


@dataclass(frozen=True, kw_only=True)
class Awsac:
    """Runs ``awsac`` in a folder against an endpoint; whoever makes one has to ``end`` what it began.

    What it calls is a fork of a process that has imported awsac, what it begins is a process of its own.
    """

    folder: Path
    environment: dict[str, str] = field(repr=False)
    begun: "list[subprocess.Popen[str]]" = field(default_factory=list, repr=False)

    def __call__(self, *arguments: str | Path, answers: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return forks().run(
            [AWSAC, *map(str, arguments)],
            folder=self.folder,
            environment=self.environment | variables,
            answers=answers,
            timeout=2 * PATIENCE,
        )

    def ok(self, *arguments: str | Path, **options: Any) -> str:
        """Run what must succeed, and return its standard output."""
        done = self(*arguments, **options)
        assert (done.returncode, done.stderr) == (0, done.stderr), done.stdout + done.stderr
        return done.stdout

    def begin(self, *arguments: str | Path, **variables: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [AWSAC, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.begun.append(process)
        return process

    def end(self) -> None:
        """Kill what was begun and still runs, as after a test that failed."""
        for process in self.begun:
            if process.poll() is None:
                process.kill()
                process.communicate()


def interrupt(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """Press Ctrl-C, and return what the process printed until its end."""
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=PATIENCE)


def environment_for(embedded: Embedded) -> dict[str, str]:
    """Return the variables of a workstation whose AWS is the embedded cloud.

    Its temporary files go with the cloud: a process that a test kills removes nothing.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    no_files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return (
        ours
        | no_files
        | embedded.environment
        | {
            "AWSAC_LOCAL_DIR": str(embedded.directory),
            "TMPDIR": str(embedded.directory.parent),
        }
    )


@pytest.fixture
def awsac(embedded: Embedded, tmp_path: Path) -> Iterator[Awsac]:
    awsac = Awsac(folder=tmp_path, environment=environment_for(embedded))
    yield awsac
    awsac.end()


class Account:
    """What is in the embedded account, read with boto3 as any program could."""

    def __init__(self, embedded: Embedded) -> None:
        keys = {
            "endpoint_url": embedded.endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": embedded.environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": embedded.environment["AWS_SECRET_ACCESS_KEY"],
        }
        self.ec2, self.s3, self.sdb = (boto3.client(service, **keys) for service in ("ec2", "s3", "sdb"))

    def instances(self, session_id: str = "*") -> list[dict[str, Any]]:
        filters = [{"Name": "tag:awsac:session", "Values": [session_id]}]
        groups = self.ec2.describe_instances(Filters=filters)["Reservations"]
        return [
            instance | {"Reservation": group["ReservationId"]} for group in groups for instance in group["Instances"]
        ]

    def keys(self, prefix: str = "") -> list[str]:
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]

    def content(self, key: str) -> bytes:
        content: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def domains(self) -> list[str]:
        return list(self.sdb.list_domains().get("DomainNames", []))

    def items(self, domain: str) -> dict[str, dict[str, str]]:
        """Read a domain as boto 2.49 did: ``select * from`` it, page by page."""
        expression = f"select * from `{domain}`"  # noqa: S608  not SQL, and a domain that the test has made
        pages = self.sdb.get_paginator("select").paginate(SelectExpression=expression)
        items = [item for page in pages for item in page.get("Items", [])]
        return {item["Name"]: {each["Name"]: each["Value"] for each in item["Attributes"]} for item in items}

    def everything(self) -> tuple[set[str], set[str], set[str]]:
        """Return the IDs of all instances ever started, all keys and all domains."""
        return {each["InstanceId"] for each in self.instances()}, set(self.keys()), set(self.domains())


@pytest.fixture(scope="module")
def account(embedded: Embedded) -> Iterator[Account]:
    account = Account(embedded)
    yield account
    for client in (account.ec2, account.s3, account.sdb):
        client.close()


INI = """[startinfo]
instance_type = {instance_type}
ami_id = {ami_id}
sessionsbucket = {sessionsbucket}
ec2_uid = 123456789012
shortdescr = test
n_jobs = {n_jobs}
"""
GOOD: dict[str, str] = {
    "instance_type": "c1.medium",
    "ami_id": "ami-0a35ac00000000001",
    "sessionsbucket": BUCKET,
    "n_jobs": "2",
}


def write_ini(folder: Path, *, more: str = "", **values: str) -> Path:
    """Write a session.ini for two jobs, or as told; ``more`` are further lines."""
    ini = folder / "session.ini"
    ini.write_text(INI.format(**(GOOD | values)) + more)
    return ini


def write_jobs(folder: Path, definitions: str = "-;job.sh;2\n", **scripts: str) -> Path:
    """Write a folder to be packed: jobs.cfg, and a script for each ``name="content"`` (``job`` is ``job.sh``)."""
    jobs = folder / "jobs"
    jobs.mkdir(exist_ok=True)
    (jobs / "jobs.cfg").write_text(definitions)
    for name, content in (scripts or {"job": "exit 0\n"}).items():
        (jobs / f"{name}.sh").write_text(content)
    return jobs
