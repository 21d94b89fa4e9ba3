"""The role of the agents and its instance profile, as `awsac setup` makes them, and whose account this is.

Owns the calls to IAM that change something. Looks at rights, and judges none.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.waiting import retried
from awsac_async.session.errors import NotFoundError
from awsac_async.session.names import SETUP_TAG

_KNOWN_WITHIN = 20.0  # seconds; IAM takes some until all of it knows what was just made
_TAGS = [{"Key": SETUP_TAG, "Value": "setup"}]


@dataclass(frozen=True, kw_only=True)
class RoleFacts:
    """A role; ``policies`` are the names of its inline policies, ``trust`` says who may be given it."""

    ours: bool
    trust: Mapping[str, Any]
    policies: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ProfileFacts:
    """An instance profile; ``roles`` are the names of those in it: one, or none."""

    ours: bool
    roles: tuple[str, ...]


async def account_number(aws: Aws) -> str:
    """Return the number of the account whose credentials these are."""
    sts = await aws.client("sts")
    with translated("GetCallerIdentity"):
        return str((await sts.get_caller_identity())["Account"])


class AgentRole:
    """A role and the instance profile of the same name."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws, self._name = aws, name

    async def read(self) -> RoleFacts | None:
        """Return the role, or None if there is none."""
        iam = await self._aws.client("iam")
        try:
            with translated("GetRole", self._name):
                role = (await iam.get_role(RoleName=self._name))["Role"]
        except NotFoundError:
            return None
        with translated("ListRolePolicies", self._name):
            names = (await iam.list_role_policies(RoleName=self._name))["PolicyNames"]
        return RoleFacts(ours=_ours(role), trust=role["AssumeRolePolicyDocument"], policies=tuple(sorted(names)))

    async def read_profile(self) -> ProfileFacts | None:
        """Return the instance profile, or None if there is none."""
        iam = await self._aws.client("iam")
        try:
            with translated("GetInstanceProfile", self._name):
                profile = (await iam.get_instance_profile(InstanceProfileName=self._name))["InstanceProfile"]
        except NotFoundError:
            return None
        return ProfileFacts(ours=_ours(profile), roles=tuple(role["RoleName"] for role in profile["Roles"]))

    async def read_policy(self, name: str) -> Mapping[str, Any] | None:
        """Return the document of an inline policy, or None if the role has none of this name."""
        iam = await self._aws.client("iam")
        try:
            with translated("GetRolePolicy", f"{self._name} {name}"):
                answer = await iam.get_role_policy(RoleName=self._name, PolicyName=name)
        except NotFoundError:
            return None
        document: Mapping[str, Any] = answer["PolicyDocument"]
        return document

    async def create(self, trust: Mapping[str, Any]) -> None:
        """Make the role, with our tag."""
        iam = await self._aws.client("iam")
        with translated("CreateRole", self._name):
            await iam.create_role(
                RoleName=self._name,
                AssumeRolePolicyDocument=json.dumps(trust),
                Description="Instances of awsac sessions",
                Tags=_TAGS,
            )

    async def put_trust(self, trust: Mapping[str, Any]) -> None:
        """Say who may be given the role."""
        iam = await self._aws.client("iam")
        with translated("UpdateAssumeRolePolicy", self._name):
            await iam.update_assume_role_policy(RoleName=self._name, PolicyDocument=json.dumps(trust))

    async def put_policy(self, name: str, document: str) -> None:
        """Give the role an inline policy, instead of the one of this name."""
        iam = await self._aws.client("iam")

        async def call() -> None:
            with translated("PutRolePolicy", f"{self._name} {name}"):
                await iam.put_role_policy(RoleName=self._name, PolicyName=name, PolicyDocument=document)

        await retried(call, again=_is_unknown, within=_KNOWN_WITHIN)

    async def create_profile(self) -> None:
        """Make the instance profile, with our tag and the role in it."""
        iam = await self._aws.client("iam")
        with translated("CreateInstanceProfile", self._name):
            await iam.create_instance_profile(InstanceProfileName=self._name, Tags=_TAGS)
        await self.fill_profile()

    async def fill_profile(self) -> None:
        """Put the role into the profile, which has none."""
        iam = await self._aws.client("iam")

        async def call() -> None:
            with translated("AddRoleToInstanceProfile", self._name):
                await iam.add_role_to_instance_profile(InstanceProfileName=self._name, RoleName=self._name)

        await retried(call, again=_is_unknown, within=_KNOWN_WITHIN)

    async def delete_profile(self) -> None:
        """Delete the profile, if it is there, with whatever role is in it."""
        iam, profile = await self._aws.client("iam"), await self.read_profile()
        if profile is None:
            return
        for role in profile.roles:
            with translated("RemoveRoleFromInstanceProfile", self._name):
                await iam.remove_role_from_instance_profile(InstanceProfileName=self._name, RoleName=role)
        with translated("DeleteInstanceProfile", self._name):
            await iam.delete_instance_profile(InstanceProfileName=self._name)

    async def delete_policy(self, name: str) -> None:
        """Delete an inline policy of the role."""
        iam = await self._aws.client("iam")
        with translated("DeleteRolePolicy", f"{self._name} {name}"):
            await iam.delete_role_policy(RoleName=self._name, PolicyName=name)

    async def delete(self) -> None:
        """Delete the role, which has no policies and is in no profile. Raises ConflictError else."""
        iam = await self._aws.client("iam")
        with translated("DeleteRole", self._name):
            await iam.delete_role(RoleName=self._name)


def _is_unknown(error: Exception) -> bool:
    return isinstance(error, NotFoundError)


def _ours(found: Mapping[str, Any]) -> bool:
    return any(tag["Key"] == SETUP_TAG for tag in found.get("Tags", []))
