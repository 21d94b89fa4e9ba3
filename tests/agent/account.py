"""The embedded cloud as a plain AWS client sees it: starts instances with user data, and looks at what is left."""

import io
import json
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3

from tests.conftest import Embedded
from tests.waiting import wait_until

BUCKET = "awsac-sessions"
ARCHIVE = "archive.tar.bz2"


@dataclass(frozen=True, kw_only=True)
class Item:
    """What the domain says of a job."""

    attributes: Mapping[str, str]

    def __getattr__(self, name: str) -> str:
        return self.attributes[name]


class Account:
    """A client of the embedded cloud that knows nothing of AWSAC but its names."""

    def __init__(self, embedded: Embedded) -> None:
        keys = {
            "aws_access_key_id": embedded.environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": embedded.environment["AWS_SECRET_ACCESS_KEY"],
        }
        session = boto3.Session(region_name="us-east-1", **keys)
        self.ec2, self.s3, self.sdb = (
            session.client(name, endpoint_url=embedded.endpoint) for name in ("ec2", "s3", "sdb")
        )

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    def launch(self, session_id: str, user_data: str, *, instances: int) -> list[str]:
        options = {"UserData": user_data} if user_data else {}
        answer = self.ec2.run_instances(
            ImageId="ami-0a35ac00000000001",
            InstanceType="c5.large",
            MinCount=instances,
            MaxCount=instances,
            InstanceInitiatedShutdownBehavior="terminate",
            IamInstanceProfile={"Name": "awsac-agent"},
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "awsac:session", "Value": session_id}]}],
            **options,
        )
        return [instance["InstanceId"] for instance in answer["Instances"]]

    def states(self, instance_ids: list[str]) -> set[str]:
        answer = self.ec2.describe_instances(InstanceIds=instance_ids)
        return {one["State"]["Name"] for group in answer["Reservations"] for one in group["Instances"]}

    def console(self, instance_id: str) -> str:
        return str(self.ec2.get_console_output(InstanceId=instance_id).get("Output", ""))


class Session:
    """One session's traces: what it is started with, and, when its instances are gone, what it left."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.id = f"261122_1500--test--{uuid.uuid4().hex[:4]}"
        self.instance_ids: list[str] = []

    def upload_archive(self, files: Mapping[str, str]) -> None:
        """Pack files as ``tar -cj`` does, unchecked."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:bz2") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
        self.account.put(f"{self.id}/{ARCHIVE}", archive.getvalue())

    def start(self, *, instances: int = 1, cores: int = 2, more: str = "") -> None:
        """Start the instances with the user data of the session."""
        user_data = f"{self.id};{BUCKET};{ARCHIVE};{cores}{more}"
        self.instance_ids = self.account.launch(self.id, user_data, instances=instances)

    def run(self, *, instances: int = 1, cores: int = 2, more: str = "") -> None:
        """Start the instances, and wait until they have terminated themselves."""
        self.start(instances=instances, cores=cores, more=more)
        wait_until(lambda: self.account.states(self.instance_ids) == {"terminated"})

    def items(self) -> dict[str, Item]:
        """The items by name, of the domain or of the agents' documents; all values are strings."""
        if documents := self._status_documents():
            items = [item for document in documents for item in document["items"].items()]
            return {name: Item(attributes={"returncode": ""} | attributes) for name, attributes in items}
        found = self.account.sdb.select(SelectExpression=f"select * from `{self.id}`")  # noqa: S608  SimpleDB's language
        return {
            item["Name"]: Item(attributes={each["Name"]: each["Value"] for each in item["Attributes"]})
            for item in found.get("Items", [])
        }

    def _status_documents(self) -> list[Any]:
        prefix = f"awsac/{self.id}/status/"
        found = self.account.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [json.loads(self.account.s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()) for one in found]

    def objects(self) -> set[str]:
        """The names of the objects that a client of 2008 would fetch, without the archive."""
        answer = self.account.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.id}/")
        return {one["Key"].removeprefix(f"{self.id}/") for one in answer.get("Contents", [])} - {ARCHIVE}

    def members(self, name: str) -> dict[str, str]:
        """The files in one of the archives it left."""
        body = self.account.s3.get_object(Bucket=BUCKET, Key=f"{self.id}/{name}")["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:bz2") as tar:
            return {member.name: _text(tar, member) for member in tar.getmembers()}

    def output(self, job: int) -> str:
        """What a job printed."""
        return self.members(f"stdouterr_job_{job}.tar.bz2")[f"stdouterr_job_{job}.log"]

    def chunks(self, job: int) -> str:
        """What was shipped of a job's output; each chunk is named by where in it that begins."""
        prefix = f"awsac/{self.id}/logs/job_{job}/"
        found = self.account.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        text = b""
        for key in sorted((one["Key"] for one in found), key=lambda key: int(key.removeprefix(prefix))):
            assert int(key.removeprefix(prefix)) == len(text)
            text += self.account.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return text.decode()

    def log(self, launch_index: int) -> str:
        """An agent's own log."""
        return self.members(f"processjobslog_LI_{launch_index}.tar.bz2")["processjobs.log"]

    def console(self, launch_index: int = 0) -> str:
        """What an instance printed."""
        return self.account.console(self.instance_ids[launch_index])

    def volumes(self) -> list[Any]:
        """What is left of its volumes."""
        tag = {"Name": "tag:awsac:session", "Values": [self.id]}
        return list(self.account.ec2.describe_volumes(Filters=[tag])["Volumes"])


@contextmanager
def session_of(account: Account) -> Iterator[Session]:
    """A session whose instances are gone afterwards, also when they would not go by themselves."""
    session = Session(account)
    try:
        yield session
    finally:
        if session.instance_ids and account.states(session.instance_ids) != {"terminated"}:
            for index in range(len(session.instance_ids)):
                print(session.console(index))  # pytest shows this beside the failure
            account.ec2.terminate_instances(InstanceIds=session.instance_ids)
            wait_until(lambda: account.states(session.instance_ids) == {"terminated"})


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    return file.read().decode() if file else ""
