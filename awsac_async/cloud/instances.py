"""EC2 instances of a session: starting, finding, and terminating them.

Owns every EC2 call that starts or ends an instance. Starts instances only in the one form that cannot be left
behind: tagged, idempotent by client token, terminated when they shut down.
"""

import base64
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.waiting import attempts, retried
from awsac_async.session.errors import CloudError, NotFoundError
from awsac_async.session.names import FIRST_LAUNCH_INDEX_TAG, NAME_TAG, SESSION_TAG

_PROFILE_USABLE_WITHIN = 20.0  # seconds; a fresh instance profile is refused for about 10
_GONE_WITHIN = 600.0  # seconds; EC2 takes minutes at most to terminate an instance
_REASON_TIME = re.compile(r"\((\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}) GMT\)")
_LIVE_STATES = ("pending", "running", "stopping", "stopped", "shutting-down")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One RunInstances call: ``count`` instances or none, with the same user data, in one reservation.

    ``any_number``: of them as many as there is room for, or none.
    ``client_token`` (at most 64 ASCII characters) makes it idempotent: the same token gives the same instances.
    ``first_launch_index`` is that of the first of them in the session: 0 unless it is a further launch. ``public_ip``:
    whether they get a public address, None: as the subnet has it. ``root_device``: that of the image's root volume, if
    it is to be encrypted.
    """

    image_id: str
    instance_type: str
    count: int
    user_data: str
    client_token: str
    session_id: str
    instance_profile: str = ""
    key_name: str | None = None
    security_group_ids: tuple[str, ...] = ()
    subnet_id: str | None = None
    public_ip: bool | None = None
    root_device: str = ""
    market: str = "on-demand"
    first_launch_index: int = 0
    any_number: bool = False


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """What RunInstances returned; ``instance_ids`` are in the order of their launch index."""

    reservation_id: str
    instance_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class InstanceInfo:
    """An instance as EC2 sees it. ``reason`` says why it is in its state, or is empty. ``launched`` is in UTC.

    ``launch_index`` is that in its session, also over several launches. ``host`` is its public name, or its private
    one, or "". ``ended`` is when its end was asked for, in UTC, if EC2 says that.
    """

    instance_id: str
    session_id: str
    reservation_id: str
    state: str
    reason: str
    launch_index: int
    host: str
    instance_type: str
    zone: str
    launched: datetime
    ended: datetime | None = None

    @property
    def live(self) -> bool:
        """Whether it still exists, and may still cost money."""
        return self.state in _LIVE_STATES


class Instances:
    """The EC2 instances that one account may have in a region."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    async def run(self, launch: Launch) -> Reservation:
        """Start the instances of a launch, or none; the same client token starts nothing twice."""
        ec2 = await self._aws.client("ec2")

        async def call() -> dict[str, Any]:
            with translated("RunInstances", launch.image_id):
                answer: dict[str, Any] = await ec2.run_instances(**_request(launch))
            return answer

        answer = await retried(call, again=_profile_is_fresh, within=_PROFILE_USABLE_WITHIN)
        ordered = sorted(answer["Instances"], key=lambda instance: instance["AmiLaunchIndex"])
        return Reservation(
            reservation_id=answer["ReservationId"],
            instance_ids=tuple(instance["InstanceId"] for instance in ordered),
        )

    async def dry_run(self, launch: Launch, *, profile_exists: bool = False) -> None:
        """Return if EC2 would start this; starts nothing. Quotas and capacity are not looked at.

        ``profile_exists``: IAM knows the instance profile, so if EC2 does not, it is fresh, and is waited for.

        Raises:
            CloudError: what ``run`` would raise: a right is missing, or a name in the launch is not known.
        """
        ec2 = await self._aws.client("ec2")

        async def call() -> None:
            with translated("RunInstances", launch.image_id):
                await ec2.run_instances(**_request(launch), DryRun=True)

        try:
            await retried(call, again=_profile_is_fresh if profile_exists else _never, within=_PROFILE_USABLE_WITHIN)
        except CloudError as error:
            if error.code != "DryRunOperation":
                raise

    async def of_session(self, session_id: str) -> list[InstanceInfo]:
        """Return a session's instances by launch index, terminated ones too as long as EC2 shows them (an hour)."""
        return await self._infos(session_id, {"Name": f"tag:{SESSION_TAG}", "Values": [session_id]})

    async def of_all_sessions(self) -> list[InstanceInfo]:
        """Return the instances of all sessions in this region, as ``of_session`` does."""
        return await self._infos("of all sessions", {"Name": "tag-key", "Values": [SESSION_TAG]})

    async def live_with(self, *, profile: str | None, group_id: str | None) -> list[str]:
        """Return the IDs of all live instances, of whatever, that have this instance profile or security group.

        ``profile`` is a name; None: no matter which.
        """
        live = {"Name": "instance-state-name", "Values": list(_LIVE_STATES)}
        found = [instance for _, instance in await self._described("that use the setup", live)]
        return sorted(
            each["InstanceId"]
            for each in found
            if (profile is not None and _profile_of(each) == profile) or group_id in _groups_of(each)
        )

    async def user_data(self, instance_id: str) -> str:
        """Return the text with which an instance was started, or "". Raises NotFoundError."""
        ec2 = await self._aws.client("ec2")
        with translated("DescribeInstanceAttribute", instance_id):
            answer = await ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
        return base64.b64decode(answer.get("UserData", {}).get("Value", "")).decode(errors="replace")

    async def _infos(self, resource: str, condition: dict[str, Any]) -> list[InstanceInfo]:
        found = [_info(group, instance) for group, instance in await self._described(resource, condition)]
        return sorted(found, key=lambda instance: (instance.session_id, instance.launch_index, instance.instance_id))

    async def _described(self, resource: str, condition: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Return each reservation with each of its instances, as EC2 describes them."""
        ec2 = await self._aws.client("ec2")
        pages, found = ec2.get_paginator("describe_instances"), []
        with translated("DescribeInstances", resource):
            async for page in pages.paginate(Filters=[condition]):
                found += [(group, instance) for group in page["Reservations"] for instance in group["Instances"]]
        return found

    async def until_gone(self, session_id: str) -> None:
        """Return when all instances of a session are terminated. Raises CloudError after ten minutes."""
        async for _ in self._while_left(session_id):
            pass

    async def end(self, session_id: str, launched: Sequence[str]) -> None:
        """Terminate all instances of a session, and return when they are gone.

        Args:
            session_id: whose they are.
            launched: IDs that RunInstances has answered: EC2 may not show them yet, and not know them by their ID.

        Raises:
            CloudError: the cloud refused or failed, or after ten minutes one was not terminated, or never shown.
        """
        async for left in self._while_left(session_id, launched):
            await self.terminate(left)  # again each time: one that EC2 did not know has not heard of it

    async def _while_left(self, session_id: str, launched: Sequence[str] = ()) -> AsyncIterator[list[str]]:
        """Yield, with growing pauses, which instances are live, or not shown yet, until there is none."""
        async for last in attempts(within=_GONE_WITHIN):
            shown = await self.of_session(session_id)
            left = [each.instance_id for each in shown if each.live]
            left += sorted(set(launched) - {each.instance_id for each in shown})
            if not left:
                return
            if last:
                cause = f"not terminated after {_GONE_WITHIN:g} s"
                raise CloudError("TerminateInstances", " ".join(left), cause, temporary=True)
            yield left

    async def terminate(self, ids: Sequence[str]) -> None:
        """Terminate instances; those that are gone are terminated already."""
        if not ids:
            return
        ec2 = await self._aws.client("ec2")
        try:
            with translated("TerminateInstances", " ".join(ids)):
                await ec2.terminate_instances(InstanceIds=list(ids))
        except NotFoundError:
            # One ID that is gone makes EC2 refuse the call for all of them.
            for instance_id in ids if len(ids) > 1 else ():
                await self.terminate([instance_id])


def _request(launch: Launch) -> dict[str, Any]:
    named = {SESSION_TAG: launch.session_id, NAME_TAG: f"awsac {launch.session_id}"}
    if launch.first_launch_index:
        named[FIRST_LAUNCH_INDEX_TAG] = str(launch.first_launch_index)
    tags = [{"Key": key, "Value": value} for key, value in named.items()]
    request: dict[str, Any] = {
        "ImageId": launch.image_id,
        "InstanceType": launch.instance_type,
        "MinCount": 1 if launch.any_number else launch.count,
        "MaxCount": launch.count,
        "ClientToken": launch.client_token,
        "UserData": launch.user_data,  # the SDK encodes it
        "InstanceInitiatedShutdownBehavior": "terminate",
        # Version 2 only, and out of reach for whatever is routed through the instance.
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
    }
    return request | _optional(launch)


def _optional(launch: Launch) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if launch.instance_profile:
        field = "Arn" if launch.instance_profile.startswith("arn:") else "Name"
        options["IamInstanceProfile"] = {field: launch.instance_profile}
    if launch.key_name:
        options["KeyName"] = launch.key_name
    if launch.root_device:  # size, type and content stay those of the image; the key is the account's for EBS
        options["BlockDeviceMappings"] = [{"DeviceName": launch.root_device, "Ebs": {"Encrypted": True}}]
    if launch.market == "spot":
        options["InstanceMarketOptions"] = {"MarketType": "spot"}
    return options | _network(launch)


def _network(launch: Launch) -> dict[str, Any]:
    """Return where the instances are in the network; a public address can be asked for only with their interface."""
    groups, subnet = list(launch.security_group_ids), {"SubnetId": launch.subnet_id} if launch.subnet_id else {}
    if launch.public_ip is None:
        return subnet | ({"SecurityGroupIds": groups} if groups else {})
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": launch.public_ip, "DeleteOnTermination": True}
    return {"NetworkInterfaces": [interface | subnet | ({"Groups": groups} if groups else {})]}


def _profile_is_fresh(error: Exception) -> bool:
    """Whether EC2 does not know a profile yet, or not the role in it."""
    said = error.cause if isinstance(error, CloudError) else ""
    return "Invalid IAM Instance Profile" in said or "has no associated IAM Roles" in said


def _never(_: Exception) -> bool:
    return False


def _info(group: dict[str, Any], instance: dict[str, Any]) -> InstanceInfo:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    first = tags.get(FIRST_LAUNCH_INDEX_TAG, "")
    return InstanceInfo(
        instance_id=instance["InstanceId"],
        session_id=tags.get(SESSION_TAG, ""),
        reservation_id=group["ReservationId"],
        state=instance["State"]["Name"],
        reason=instance.get("StateReason", {}).get("Message") or instance.get("StateTransitionReason", ""),
        launch_index=instance.get("AmiLaunchIndex", 0) + (int(first) if first.isdecimal() and len(first) < 10 else 0),
        host=instance.get("PublicDnsName") or instance.get("PrivateDnsName") or "",
        instance_type=instance["InstanceType"],
        zone=instance["Placement"]["AvailabilityZone"],
        launched=instance["LaunchTime"].astimezone(UTC),
        ended=_time_in(instance.get("StateTransitionReason", "")),
    )


def _profile_of(instance: dict[str, Any]) -> str:
    arn: str = instance.get("IamInstanceProfile", {}).get("Arn", "")
    return arn.rpartition("/")[2]


def _groups_of(instance: dict[str, Any]) -> set[str]:
    """Return the IDs of its groups, also of those that only one of its network interfaces has."""
    interfaces = [group for each in instance.get("NetworkInterfaces", []) for group in each.get("Groups", [])]
    return {group["GroupId"] for group in [*instance.get("SecurityGroups", []), *interfaces]}


def _time_in(reason: str) -> datetime | None:
    """Return the time in a reason like "User initiated (2026-11-22 15:50:39 GMT)": EC2 says it nowhere else."""
    found = _REASON_TIME.search(reason)
    try:
        return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None
