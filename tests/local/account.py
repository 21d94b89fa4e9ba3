"""A user of an embedded cloud: clients, and the few calls that most tests make."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from botocore.exceptions import ClientError

from awsac_async.local import cloud, processes
from tests.conftest import Embedded
from tests.waiting import looks

IMAGE = "ami-0a35ac00000000001"
STOCK = "ami-0a35ac00000000002"
BOOT = Path(__file__).with_name("boot-user-data")
T = TypeVar("T")


def eventually(ask: Callable[[], T], good: Callable[[T], Any]) -> T:
    """Ask until the answer is good, and return it; fail with the last answer."""
    for pause in looks():
        if good(answer := ask()):
            return answer
        time.sleep(pause)
    pytest.fail(f"it never came; the last answer was {ask()!r}")


def error_code(call: Callable[..., Any], **parameters: Any) -> str:
    """Return the code of the error that a call ends with."""
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    return str(raised.value.response["Error"]["Code"])


@dataclass(kw_only=True)
class Account:
    """The account of an embedded cloud, seen through boto3."""

    cloud: Embedded
    isolation: str
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str, **credentials: str) -> Any:
        environment = self.cloud.environment
        keys = credentials or {
            "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
        }
        return boto3.client(service, endpoint_url=self.cloud.endpoint, region_name="us-east-1", **keys)

    @property
    def ec2(self) -> Any:
        return self.clients.setdefault("ec2", self.clients.get("ec2") or self.client("ec2"))

    def launch(self, script: str = "", **options: Any) -> str:
        """Launch an instance that runs a script; return its ID."""
        parameters = {"ImageId": IMAGE, "InstanceType": "c1.medium", "MinCount": 1, "MaxCount": 1, "UserData": script}
        reservation = self.ec2.run_instances(**parameters | options)
        return str(reservation["Instances"][0]["InstanceId"])

    def instance(self, instance_id: str) -> dict[str, Any]:
        answer = self.ec2.describe_instances(InstanceIds=[instance_id])
        return dict(answer["Reservations"][0]["Instances"][0])

    def reached(self, instance_id: str, state: str) -> dict[str, Any]:
        """Wait until an instance has a state."""
        return eventually(lambda: self.instance(instance_id), lambda found: found["State"]["Name"] == state)

    def console(self, instance_id: str) -> str:
        return str(self.ec2.get_console_output(InstanceId=instance_id)["Output"])

    def printed(self, instance_id: str, text: str) -> str:
        """Wait until an instance has printed a text; return all that it printed."""
        return eventually(lambda: self.console(instance_id), lambda console: text in console)

    def terminate(self, *instance_ids: str) -> None:
        self.ec2.terminate_instances(InstanceIds=list(instance_ids))
        for instance_id in instance_ids:
            self.reached(instance_id, "terminated")

    def suffers(self, instance_id: str, event: str) -> None:
        """Let something happen to an instance."""
        cloud.instance_event(self.cloud.directory, instance_id, event)

    def volume(self, volume_id: str) -> dict[str, Any]:
        return dict(self.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0])

    def volume_reached(self, volume_id: str, state: str) -> dict[str, Any]:
        return eventually(lambda: self.volume(volume_id), lambda found: found["State"] == state)

    def processes(self, instance_id: str) -> list[int]:
        """Return the instance's processes, as the machine sees them."""
        return processes.belonging_to(self.cloud.directory / "instances" / instance_id)
