"""Builders: instances of stock images that become images, of which one is made and which are then thrown away.

Owns the EC2 calls that start and find them. A builder carries the tag of its build and not that of a session; when it
shuts down it stops, since an image is made of its disk: so whoever starts one has to terminate it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.waiting import retried
from awsac_async.session.durations import parse_hours
from awsac_async.session.errors import CloudError
from awsac_async.session.names import BUILDER_TAG, MAX_HOURS_TAG, NAME_TAG

_PROFILE_USABLE_WITHIN = 20.0  # seconds; a fresh instance profile is refused for about 10
_PARAMETER = "resolve:ssm:"  # how RunInstances is told to look an image up in a parameter of Systems Manager
_LIVE_STATES = ("pending", "running", "stopping", "stopped", "shutting-down")


@dataclass(frozen=True, kw_only=True)
class Build:
    """A builder to be started: ``base`` is an image or a parameter (``/…``), ``build_id`` makes it idempotent."""

    build_id: str
    base: str
    instance_type: str
    user_data: str
    max_hours: float
    instance_profile: str = ""
    security_group_ids: tuple[str, ...] = ()
    subnet_id: str = ""


@dataclass(frozen=True, kw_only=True)
class BuilderInfo:
    """A builder as EC2 sees it; ``reason`` says why it is in its state, or is empty. ``launched`` is in UTC.

    ``max_hours`` after its boot it powers itself off; None if it does not say so.
    """

    instance_id: str
    build_id: str
    state: str
    reason: str
    launched: datetime
    max_hours: float | None = None

    @property
    def live(self) -> bool:
        """Whether it still exists, and may still cost money: a builder that has stopped costs its disk."""
        return self.state in _LIVE_STATES


class Builders:
    """The builders of an account in a region."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    async def run(self, build: Build) -> str:
        """Start a builder; the same build starts nothing twice. Returns its ID."""
        ec2 = await self._aws.client("ec2")

        async def call() -> dict[str, Any]:
            with translated("RunInstances", build.base):
                answer: dict[str, Any] = await ec2.run_instances(**_request(build))
            return answer

        answer = await retried(call, again=_profile_is_fresh, within=_PROFILE_USABLE_WITHIN)
        return str(answer["Instances"][0]["InstanceId"])

    async def of_build(self, build_id: str) -> list[BuilderInfo]:
        """Return the builders of a build: one, as soon as EC2 shows it, and until an hour after its end."""
        return await self._described(build_id, {"Name": f"tag:{BUILDER_TAG}", "Values": [build_id]})

    async def of_all_builds(self) -> list[BuilderInfo]:
        """Return all builders of this region."""
        return await self._described("of all builds", {"Name": "tag-key", "Values": [BUILDER_TAG]})

    async def _described(self, resource: str, condition: dict[str, Any]) -> list[BuilderInfo]:
        ec2 = await self._aws.client("ec2")
        pages, found = ec2.get_paginator("describe_instances"), []
        with translated("DescribeInstances", resource):
            async for page in pages.paginate(Filters=[condition]):
                found += [_info(each) for group in page["Reservations"] for each in group["Instances"]]
        return sorted(found, key=lambda each: (each.launched, each.instance_id))


def _request(build: Build) -> dict[str, Any]:
    named = {
        BUILDER_TAG: build.build_id,
        MAX_HOURS_TAG: f"{build.max_hours:g}",
        NAME_TAG: f"awsac image {build.build_id}",
    }
    tags = [{"Key": key, "Value": value} for key, value in named.items()]
    options: dict[str, Any] = {}
    if build.instance_profile:
        options["IamInstanceProfile"] = {"Name": build.instance_profile}
    if build.security_group_ids:
        options["SecurityGroupIds"] = list(build.security_group_ids)
    if build.subnet_id:
        options["SubnetId"] = build.subnet_id
    return options | {
        "ImageId": _PARAMETER + build.base if build.base.startswith("/") else build.base,
        "InstanceType": build.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": build.build_id,
        "UserData": build.user_data,  # the SDK encodes it
        "InstanceInitiatedShutdownBehavior": "stop",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
    }


def _profile_is_fresh(error: Exception) -> bool:
    return isinstance(error, CloudError) and "Invalid IAM Instance Profile" in error.cause


def _info(instance: dict[str, Any]) -> BuilderInfo:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    return BuilderInfo(
        instance_id=instance["InstanceId"],
        build_id=tags.get(BUILDER_TAG, ""),
        state=instance["State"]["Name"],
        reason=instance.get("StateReason", {}).get("Message") or instance.get("StateTransitionReason", ""),
        launched=instance["LaunchTime"].astimezone(UTC),
        max_hours=_hours(tags.get(MAX_HOURS_TAG, "")),
    )


def _hours(text: str) -> float | None:
    try:
        return parse_hours(text)
    except ValueError:
        return None
