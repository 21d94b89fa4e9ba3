"""Who makes a call: the user of an access key, or the role whose temporary credentials it is signed with.

Reads the account's IAM and STS back ends; what they hold counts from the next call on.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.iam.models import IAMBackend, iam_backends
from moto.sts.models import sts_backends

from awsac_async.local.facts import PARTITION
from awsac_async.local.settings import REGION


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who asks: ``name`` is that of the user or role, ``token`` that of temporary credentials, else "".

    ``instance_arn`` is that of the instance to which the credentials of a role were given, else "".
    """

    arn: str
    name: str
    secret: str
    token: str
    end: datetime | None = None  # of temporary credentials
    policies: tuple[str, ...]  # documents, as JSON
    instance_arn: str = ""


class Principals:
    """The users and roles of one account."""

    def __init__(self, account: str) -> None:
        self._account = account

    def find(self, access_key: str) -> Principal | None:
        """Return whose key this is; None: nobody's."""
        iam: IAMBackend = iam_backends[self._account][PARTITION]
        role = sts_backends[self._account][PARTITION].get_assumed_role_from_access_key(access_key)
        if role is not None:
            name = role.role_arn.rpartition("/")[2]
            return Principal(
                arn=role.arn,
                name=name,
                secret=role.secret_access_key,
                token=role.session_token,
                end=role.expiration.replace(tzinfo=UTC),
                policies=tuple(_of_role(iam, name)),
                instance_arn=self._instance_arn(role.session_name),
            )
        for user in list(iam.users.values()):
            for key in list(user.access_keys):
                if key.access_key_id == access_key and key.status == "Active":
                    secret = key.secret_access_key
                    return Principal(
                        arn=user.arn, name=user.name, secret=secret, token="", policies=tuple(_of_user(iam, user))
                    )
        return None

    def _instance_arn(self, session_name: str) -> str:
        """Return the ARN of an instance: the sessions of what EC2 gives to one have its ID as their name."""
        known = session_name.startswith("i-")
        return f"arn:{PARTITION}:ec2:{REGION}:{self._account}:instance/{session_name}" if known else ""

    def role_of(self, profile: str) -> str:
        """Return the ARN of the role in an instance profile, by the profile's name, or ""."""
        found = iam_backends[self._account][PARTITION].instance_profiles.values()
        roles = [role.arn for each in list(found) if each.name == profile for role in each.roles]
        return roles[0] if roles else ""


def _of_role(iam: IAMBackend, name: str) -> Iterator[str]:
    found = [role for role in list(iam.roles.values()) if role.name == name]
    for role in found:  # none, if it was deleted after its credentials were given
        yield from list(role.policies.values())
        yield from map(_document, list(role.managed_policies.values()))


def _of_user(iam: IAMBackend, user: Any) -> Iterator[str]:
    groups = [group for group in list(iam.groups.values()) if user in group.users]
    for holder in (user, *groups):
        yield from map(_text, list(holder.policies.values()))
        yield from map(_document, list(holder.managed_policies.values()))


def _document(managed: Any) -> str:
    return _text(next(version.document for version in managed.versions if version.is_default))


def _text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)
