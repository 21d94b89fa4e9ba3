"""EC2 requests that moto answers otherwise than AWS does: tokens, counts, limits, console output, owners.

Parses requests and words answers. What is done, is done by the back end in ``ec2`` and ``ebs``.
"""

import base64
import json
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import DependencyViolationError, EC2ClientError, InvalidSecurityGroupNotFoundError
from moto.ec2.responses import EC2Response
from moto.ec2.urls import url_bases as url_bases  # noqa: PLC0414 (moto finds it here, beside url_paths)
from moto.ec2.utils import filter_iam_instance_profiles
from moto.iam.exceptions import NotFoundException

from awsac_async.local.ec2 import launchable
from awsac_async.local.pricing import SPOT
from awsac_async.local.settings import STOCK_IMAGE

USER_DATA_LIMIT = 16 * 1024  # bytes, before base64
TOKEN_LIMIT = 64  # characters
MOST_INSTANCES = 1000  # of one call: what the bucket of its resources holds
ROOT_SIZE = 8  # GiB: what moto gives an instance
PARAMETER, PUBLIC_PARAMETERS = "resolve:ssm:", "/aws/service/"


class EmbeddedEC2Response(EC2Response):
    """Answers the EC2 API, one request at a time: moto's lists do not bear two threads."""

    def call_action(self) -> Any:
        """Answer a request."""
        with self.ec2_backend.lock:
            return super().call_action()

    def describe_instances(self) -> ActionResult:
        """Describe instances, from a page on that there is."""
        try:
            return super().describe_instances()
        except ValueError:
            if self._get_param("NextToken") is None:
                raise
            raise EC2ClientError("InvalidNextToken", "The token in NextToken is not valid.") from None

    def run_instances(self) -> ActionResult:
        """Launch MaxCount instances, once for each client token."""
        self._resolve_image()
        self._check_run_instances()
        return self._once("RunInstances", self._run_instances)

    def _resolve_image(self) -> None:
        """Put in the place of a public parameter of Systems Manager what it names: here always the stock image."""
        name = str(self._get_param("ImageId") or "")
        if not name.startswith(PARAMETER):
            return
        if not name.removeprefix(PARAMETER).startswith(PUBLIC_PARAMETERS):
            raise EC2ClientError("InvalidParameterValue", f"Invalid value '{name}' for ImageId: no such parameter.")
        self.params["ImageId"] = STOCK_IMAGE

    def _check_run_instances(self) -> None:
        least, most = (int(self._get_param(name, 0)) for name in ("MinCount", "MaxCount"))
        if not 1 <= least <= most:
            raise EC2ClientError("InvalidParameterValue", f"MinCount {least} and MaxCount {most} are not valid.")
        if most > MOST_INSTANCES and not self._get_param("DryRun"):
            message = f"A call may ask for {MOST_INSTANCES} instances at most."
            raise EC2ClientError("RequestResourceCountExceeded", message)
        if not self._get_param("ImageId") and not self._get_param("LaunchTemplate"):
            raise EC2ClientError("MissingParameter", "The request must contain the parameter ImageId")
        self._check_instance_profile()
        self._check_place()
        try:
            size = len(base64.b64decode(self._get_param("UserData") or "", validate=True))
        except ValueError:
            raise EC2ClientError("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from None
        if size > USER_DATA_LIMIT:
            raise EC2ClientError("InvalidParameterValue", f"User data is limited to {USER_DATA_LIMIT} bytes")

    def _check_instance_profile(self) -> None:
        name, arn = self._get_param("IamInstanceProfile.Name"), self._get_param("IamInstanceProfile.Arn")
        if not name and not arn:
            return
        try:
            filter_iam_instance_profiles(self.current_account, self.partition, arn, name)
        except NotFoundException:
            field = "arn" if arn else "name"
            message = (
                f"Value ({arn or name}) for parameter iamInstanceProfile.{field} is invalid. "
                f"Invalid IAM Instance Profile {field}"
            )
            raise EC2ClientError("InvalidParameterValue", message) from None

    def _check_place(self) -> None:
        """Refuse an image, a subnet or groups that are not there, also in a dry run."""
        if image_id := self._get_param("ImageId"):
            self.ec2_backend.describe_images(ami_ids=[image_id])
        if subnet_id := self._get_param("SubnetId"):
            self.ec2_backend.get_subnet(subnet_id)
        for group_id in self._get_param("SecurityGroupIds", []):
            if self.ec2_backend.get_security_group_from_id(group_id) is None:
                raise InvalidSecurityGroupNotFoundError(group_id)
        self.ec2_backend.check_type_and_key(self._get_param("InstanceType", "m1.small"), self._get_param("KeyName"))

    def _run_instances(self) -> ActionResult:
        least, most = int(self._get_param("MinCount")), int(self._get_param("MaxCount"))
        # moto launches MinCount. A dry run looks at no room.
        self.params["MinCount"] = str(most if self._get_param("DryRun") else launchable(least, most))
        self._complete_root_volume()
        answer = super().run_instances()
        reservation: Any = answer.result
        for instance in reservation.instances[1:]:  # moto gives the profile to the first only
            name, arn = self._get_param("IamInstanceProfile.Name"), self._get_param("IamInstanceProfile.Arn")
            if name or arn:
                self.ec2_backend.associate_iam_instance_profile(instance.id, name, arn)
        return answer

    def _complete_root_volume(self) -> None:
        """Take from the image what a request leaves open about its root volume, as EC2 does; moto wants to be told."""
        image = self.ec2_backend.amis.get(self._get_param("ImageId"))
        for mapping in self._get_param("BlockDeviceMappings", []):
            if image and mapping.get("DeviceName") == image.root_device_name:
                mapping["Ebs"] = {"VolumeSize": ROOT_SIZE, "DeleteOnTermination": True, **mapping.get("Ebs", {})}

    def create_volume(self) -> ActionResult:
        """Create a volume in a zone that exists, once for each client token."""
        zone = self._get_param("AvailabilityZone")
        if self.ec2_backend.get_zone_by_name(zone) is None:
            raise EC2ClientError("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")
        return self._once("CreateVolume", super().create_volume)

    def _once(self, operation: str, perform: Any) -> ActionResult:
        token = self._get_param("ClientToken")
        if token and (len(token) > TOKEN_LIMIT or not token.isascii()):
            raise EC2ClientError("InvalidParameterValue", f"A client token is at most {TOKEN_LIMIT} ASCII characters.")
        request = json.dumps(self.params, sort_keys=True, default=str)
        answer: ActionResult = self.ec2_backend.once(operation, token, request, perform)
        return answer

    def modify_instance_attribute(self) -> ActionResult:
        """Change an attribute; a device must be one that the instance has."""
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        for mapping in self._get_param("BlockDeviceMappings", []):
            if mapping.get("DeviceName") not in instance.block_device_mapping:
                message = f"No device is currently mapped at {mapping.get('DeviceName')}"
                raise EC2ClientError("InvalidInstanceAttributeValue", message)
        return super().modify_instance_attribute()

    def terminate_instances(self) -> ActionResult:
        """Terminate instances, and tell the state each of them has now."""
        instance_ids = self._get_param("InstanceIds", [])
        self.error_on_dryrun()
        changes = [
            {"InstanceId": instance.id, "CurrentState": instance.instance_state, "PreviousState": previous}
            for instance, previous in self.ec2_backend.terminate_instances(instance_ids)
        ]
        return ActionResult({"TerminatingInstances": changes})

    def delete_security_group(self) -> ActionResult:
        """Delete a group that no instance has which still exists."""
        name_or_id = self._get_param("GroupId") or self._get_param("GroupName") or ""
        group = self.ec2_backend.get_security_group_by_name_or_id(name_or_id)
        if group is not None and any(group.id in groups for groups in map(_groups_of, self._existing())):
            raise DependencyViolationError(f"resource {group.id} has a dependent object")
        return super().delete_security_group()

    def _existing(self) -> list[Any]:
        found = self.ec2_backend.all_instances()
        return [instance for instance in found if instance.instance_state.name != "terminated"]

    def get_console_output(self) -> ActionResult:
        """Return what the instance has printed, the last 64 KB of it."""
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        output = base64.b64encode(self.ec2_backend.hardware.hypervisor.console(instance.id)).decode()
        return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": output})

    def describe_spot_price_history(self) -> ActionResult:
        """Return the prices of now, the same in every zone; moto knows one price for all types."""
        now = utcnow()
        history = [
            {
                "InstanceType": name,
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": SPOT[name],
                "AvailabilityZone": zone.name,
                "Timestamp": now,
            }
            for name in self._get_param("InstanceTypes", SPOT)
            if name in SPOT
            for zone in self.ec2_backend.describe_availability_zones()
        ]
        return ActionResult({"SpotPriceHistory": history})

    def describe_snapshots(self) -> ActionResult:
        """Return snapshots, those of some owners if so asked."""
        answer = super().describe_snapshots()
        owners = {self.current_account if owner == "self" else owner for owner in self._get_param("OwnerIds", [])}
        if not owners:
            return answer
        snapshots: Any = answer.result
        return ActionResult({"Snapshots": [found for found in snapshots["Snapshots"] if found.owner_id in owners]})


def _groups_of(instance: Any) -> set[str]:
    """Return the IDs of its groups, and of those of its network interfaces, which moto keeps apart."""
    interfaces = [group for each in instance.nics.values() for group in each.group_set]
    return {group.id for group in [*instance.security_groups, *interfaces]}


url_paths = {"{0}/": EmbeddedEC2Response.dispatch}
