"""AWS's clock: what AWS says of times is compared with it, and not with that of the workstation.

Reads only. A workstation whose clock is wrong by hours or days must not take a living session for an old one.
"""

from datetime import datetime
from email.utils import parsedate_to_datetime

from awsac_async.cloud.aws import Aws, translated
from awsac_async.session.names import SESSION_TAG
from awsac_async.session.times import now


async def aws_time(aws: Aws) -> datetime:
    """Return the time (UTC) at which EC2 answers; our own if the server, which is not AWS's then, does not say it."""
    ec2 = await aws.client("ec2")
    with translated("DescribeInstances", "for the time"):
        # The least that may be asked for, by a right that whoever looks at sessions has.
        answer = await ec2.describe_instances(Filters=[{"Name": "tag-key", "Values": [SESSION_TAG]}], MaxResults=5)
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else now()
