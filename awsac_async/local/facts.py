"""What an instance is told about itself, from moto's records: identity, place, user data, its role's credentials."""

import base64
from collections.abc import Mapping
from datetime import timedelta

from moto.core.utils import utcnow
from moto.ec2.models.instances import Instance
from moto.iam.models import InstanceProfile, iam_backends
from moto.sts.models import AssumedRole, sts_backends

from awsac_async.local.metadata import Facts

PARTITION = "aws"
CREDENTIALS_LIFE = 6 * 3600  # s: what EC2 gives
RENEW_BEFORE = timedelta(minutes=15)
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def facts_of(instance: Instance) -> Facts:
    """Return what the metadata service of an instance serves."""
    profile = _profile_of(instance)
    role = profile.roles[0] if profile and profile.roles else None
    credentials = RoleCredentials(instance, role.arn) if role else None
    return Facts(
        document=_document(instance),
        values=_values(instance),
        user_data=base64.b64decode(str(instance.user_data)) if instance.user_data else None,
        tokens_required=instance.metadata_options.http_tokens == "required",
        hop_limit=instance.metadata_options.http_put_response_hop_limit,
        role=role.name if role else None,
        profile={
            "Code": "Success",
            "LastUpdated": utcnow().strftime(_TIME),
            "InstanceProfileArn": profile.arn if profile else "",
            "InstanceProfileId": profile.id if profile else "",
        },
        credentials=credentials or dict,
        revoke=credentials.revoke if credentials else lambda: None,
    )


def _profile_of(instance: Instance) -> InstanceProfile | None:
    if not instance.iam_instance_profile:
        return None
    backend = iam_backends[instance.owner_id][PARTITION]
    return backend.get_instance_profile_by_arn(instance.iam_instance_profile["Arn"])


class RoleCredentials:
    """The credentials of a role that one instance is given."""

    def __init__(self, instance: Instance, role_arn: str) -> None:
        self._instance, self._role_arn = instance, role_arn
        self._given: list[AssumedRole] = []

    def __call__(self) -> Mapping[str, str]:
        """Return credentials, new ones when the last are about to end."""
        if not self._given or self._given[-1].expiration - utcnow() < RENEW_BEFORE:
            self._given.append(_assume(self._instance, self._role_arn))
        role = self._given[-1]
        return {
            "Code": "Success",
            "LastUpdated": (role.expiration - timedelta(seconds=CREDENTIALS_LIFE)).strftime(_TIME),
            "Type": "AWS-HMAC",
            "AccessKeyId": role.access_key_id,
            "SecretAccessKey": role.secret_access_key,
            "Token": role.session_token,
            "Expiration": role.expiration.strftime(_TIME),
        }

    def revoke(self) -> None:
        """End all that were given: their instance has ended."""
        for each in self._given:
            each.expiration = min(each.expiration, utcnow())


def _assume(instance: Instance, role_arn: str) -> AssumedRole:
    return sts_backends[instance.owner_id][PARTITION].assume_role(
        region_name=instance.region_name,
        role_session_name=instance.id,
        role_arn=role_arn,
        policy="",
        duration=CREDENTIALS_LIFE,
        external_id="",
    )


def _values(instance: Instance) -> dict[str, str]:
    """Return the values below ``meta-data/``."""
    reservations = instance.ec2_backend.reservations.values()
    devices = {
        "root" if device == instance.root_device_name else f"ebs{number}": device
        for number, (device, _) in enumerate(instance.get_block_device_mapping)
    }
    return {
        "ami-id": instance.image_id,
        "ami-launch-index": str(instance.ami_launch_index),
        "hostname": instance.private_dns_name,
        "instance-id": instance.id,
        "instance-life-cycle": instance.lifecycle or "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": instance.private_dns_name,
        "local-ipv4": str(instance.private_ip_address),
        "placement/availability-zone": str(instance.availability_zone),
        "placement/region": instance.region_name,
        "reservation-id": next(found.id for found in reservations if instance in found.instances),
        "security-groups": "\n".join(group.name for group in instance.security_groups),
    } | {f"block-device-mapping/{name}": device for name, device in {"ami": "/dev/sda1", **devices}.items()}


def _document(instance: Instance) -> dict[str, str]:
    """Return the instance identity document."""
    return {
        "accountId": instance.owner_id,
        "architecture": instance.architecture or "x86_64",
        "availabilityZone": str(instance.availability_zone),
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "pendingTime": instance.launch_time.strftime(_TIME),
        "privateIp": str(instance.private_ip_address),
        "region": instance.region_name,
        "version": "2017-09-30",
    }
