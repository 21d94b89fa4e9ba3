"""The security group of the instances, as `awsac setup` makes it: nothing may come in.

Owns the calls to EC2 about security groups and the VPC that they are in.
"""

from dataclasses import dataclass
from typing import Any

from awsac_async.cloud.aws import Aws, translated
from awsac_async.session.errors import InputError
from awsac_async.session.names import SETUP_TAG

_DESCRIPTION = "Instances of awsac sessions: nothing may come in"


@dataclass(frozen=True, kw_only=True)
class GroupFacts:
    """A security group; ``inbound`` are its rules for what may come in, as EC2 has them."""

    group_id: str
    ours: bool
    inbound: tuple[dict[str, Any], ...]


class SecurityGroup:
    """A security group of one VPC, by its name."""

    def __init__(self, aws: Aws, vpc_id: str, name: str) -> None:
        self._aws, self._vpc_id, self._name = aws, vpc_id, name

    async def read(self) -> GroupFacts | None:
        """Return the group, or None if there is none."""
        ec2 = await self._aws.client("ec2")
        filters = [{"Name": "vpc-id", "Values": [self._vpc_id]}, {"Name": "group-name", "Values": [self._name]}]
        with translated("DescribeSecurityGroups", self._name):
            groups = (await ec2.describe_security_groups(Filters=filters))["SecurityGroups"]
        for group in groups:
            ours = any(tag["Key"] == SETUP_TAG for tag in group.get("Tags", []))
            return GroupFacts(group_id=group["GroupId"], ours=ours, inbound=tuple(group["IpPermissions"]))
        return None

    async def create(self) -> str:
        """Make the group, with our tag, and return its ID; a new group lets nothing in and everything out."""
        ec2 = await self._aws.client("ec2")
        tags = [{"Key": SETUP_TAG, "Value": "setup"}]
        with translated("CreateSecurityGroup", self._name):
            answer = await ec2.create_security_group(
                GroupName=self._name,
                Description=_DESCRIPTION,
                VpcId=self._vpc_id,
                TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
            )
        return str(answer["GroupId"])

    async def close(self, group: GroupFacts) -> None:
        """Take all rules away by which something may come in."""
        ec2 = await self._aws.client("ec2")
        with translated("RevokeSecurityGroupIngress", group.group_id):
            await ec2.revoke_security_group_ingress(GroupId=group.group_id, IpPermissions=list(group.inbound))

    async def delete(self) -> None:
        """Delete the group, if it is there. Raises ConflictError while something is in it."""
        group = await self.read()
        if group is not None:
            ec2 = await self._aws.client("ec2")
            with translated("DeleteSecurityGroup", group.group_id):
                await ec2.delete_security_group(GroupId=group.group_id)


async def default_vpc(aws: Aws) -> str:
    """Return the ID of the region's default VPC. Raises InputError if there is none."""
    ec2 = await aws.client("ec2")
    with translated("DescribeVpcs"):
        vpcs = (await ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}]))["Vpcs"]
    if not vpcs:
        raise InputError(f"there is no default VPC in {aws.region}: name one with --vpc, and its subnet in session.ini")
    return str(vpcs[0]["VpcId"])
