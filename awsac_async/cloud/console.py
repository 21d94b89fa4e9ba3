"""What an EC2 instance has printed on its console.

Owns GetConsoleOutput, which gives the latest output on some hardware only, and elsewhere what EC2 last took.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from awsac_async.cloud.aws import Aws, translated
from awsac_async.session.errors import CloudError

# How EC2 says that an instance is not on the hardware (Nitro) whose latest output can be had.
_NO_LATEST = frozenset({"UnsupportedOperation", "Unsupported", "InvalidParameterCombination"})


@dataclass(frozen=True, kw_only=True)
class ConsoleOutput:
    """The last 64 KB at most, and when EC2 took them, in UTC; empty and None if it has taken nothing yet."""

    text: str
    taken: datetime | None


async def console_output(aws: Aws, instance_id: str) -> ConsoleOutput:
    """Return what there is now, or where that cannot be had, what EC2 took some minutes ago.

    Raises:
        CloudError: EC2 could not be asked, or does not know the instance.
    """
    ec2 = await aws.client("ec2")
    try:
        with translated("GetConsoleOutput", instance_id):
            answer = await ec2.get_console_output(InstanceId=instance_id, Latest=True)
    except CloudError as error:
        if error.code not in _NO_LATEST:
            raise
        with translated("GetConsoleOutput", instance_id):
            answer = await ec2.get_console_output(InstanceId=instance_id)
    taken = answer.get("Timestamp")
    return ConsoleOutput(text=answer.get("Output") or "", taken=taken.astimezone(UTC) if taken else None)
