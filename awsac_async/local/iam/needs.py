"""Which rights a call needs, on what, and what conditions may ask of it, as AWS's own reference lists them.

Reads calls and the tags of what they name; decides nothing. An operation that is not told here needs the right of its
own name.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote
from xml.etree import ElementTree

from awsac_async.local.facts import PARTITION
from awsac_async.local.faults.calls import Call
from awsac_async.local.iam.documents import Context, Need
from awsac_async.local.settings import ACCOUNT, REGION

Tags = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A call as far as its rights depend on it; ``body`` is that of a ``DeleteObjects``."""

    call: Call
    headers: Mapping[str, str]  # by their names in small letters
    body: bytes = b""

    @property
    def path(self) -> tuple[str, str]:
        """Bucket and key of a request to S3, or ""."""
        bucket, _, key = self.call.names[0].partition("/")
        return bucket, key

    def key_of(self, need: Need) -> str:
        """Return the key of the object that a need of a request to S3 is about."""
        return need.resource.removeprefix(f"{s3_arn(self.path[0])}/")


class Needs:
    """The rights that calls need.

    Args:
        tags_of: returns the tags of something of EC2 by its ID, None if there is no such thing.
        mapped_to: returns the IDs of an instance's volumes by the names of their devices.
        default_subnet: returns the ID of the subnet where an instance is started if the call names none, or "".
        role_of: returns the name of the role in an instance profile, or "".
    """

    def __init__(
        self,
        tags_of: Callable[[str], Tags | None],
        mapped_to: Callable[[str], Mapping[str, str]],
        default_subnet: Callable[[], str],
        role_of: Callable[[str], str],
    ) -> None:
        self._tags_of, self._mapped_to = tags_of, mapped_to
        self._default_subnet, self._role_of = default_subnet, role_of

    def of(self, request: Request) -> list[Need]:
        """Return all rights that a call needs: it is refused if one of them is missing."""
        call = request.call
        match call.service:
            case "s3":
                return list(_s3(request))
            case "sdb":
                return [Need(action=f"sdb:{call.operation}", resource=_domain(call))]
            case "ec2":
                return list(self._ec2(call))
            case "iam":
                return list(_iam(call))
            case "sts":
                resource = call.parameters.get("RoleArn", "*")
                return [] if call.operation in _FREE else [Need(action=f"sts:{call.operation}", resource=resource)]
        return [Need(action=f"{call.service}:{call.operation}")]

    def _ec2(self, call: Call) -> Iterator[Need]:
        action = f"ec2:{call.operation}"
        if call.operation.startswith("Describe") and call.operation not in _ONE_RESOURCE:
            yield Need(action=action)
            return
        new = _new_tags(call.parameters)
        created = [Need(action=action, resource=_ec2_arn(f"{kind}/*"), context=_asked(new.get(kind, {})))
                   for kind in _CREATES.get(call.operation, ())]  # fmt: skip
        named = _named(call)
        yield from created
        yield from self._on(named, call, action)
        if not created and not named:
            yield Need(action=action)
        for kind, tags in new.items():
            context = {**_asked(tags), "ec2:CreateAction": (call.operation,)}
            yield Need(action="ec2:CreateTags", resource=_ec2_arn(f"{kind}/*"), context=context)
        if call.operation == "RunInstances":
            yield from self._run_instances(call.parameters, action)

    def _on(self, named: Mapping[str, str], call: Call, action: str) -> Iterator[Need]:
        """Yield the right on each thing that is named; what is not there is left to EC2, which says so."""
        asked = _asked(_pairs(call.parameters, "Tag.")) if call.operation in {"CreateTags", "DeleteTags"} else {}
        for resource_id, kind in named.items():
            tags = self._tags_of(resource_id)
            if tags is not None:
                context = {**_tagged(tags), **asked, **_attributes(call)}
                if kind == "instance":
                    context["ec2:InstanceID"] = (resource_id,)
                yield Need(action=action, resource=_ec2_arn(f"{kind}/{resource_id}"), context=context)
        if call.operation == "ModifyInstanceAttribute":
            yield from self._on_mapped(call, action)

    def _on_mapped(self, call: Call, action: str) -> Iterator[Need]:
        """Yield the right on each volume whose mapping is changed."""
        mapped = self._mapped_to(call.parameters.get("InstanceId", ""))
        for name, device in call.parameters.items():
            if name.startswith("BlockDeviceMapping.") and name.endswith(".DeviceName") and device in mapped:
                tags = self._tags_of(mapped[device]) or {}
                yield Need(action=action, resource=_ec2_arn(f"volume/{mapped[device]}"), context=_tagged(tags))

    def _run_instances(self, parameters: Mapping[str, str], action: str) -> Iterator[Need]:
        if not any(name.endswith("SubnetId") for name in parameters):
            yield Need(action=action, resource=_ec2_arn(f"subnet/{self._default_subnet() or '*'}"))
        if key := parameters.get("KeyName"):
            yield Need(action=action, resource=_ec2_arn(f"key-pair/{key}"))
        profile = parameters.get("IamInstanceProfile.Arn") or parameters.get("IamInstanceProfile.Name", "")
        if role := self._role_of(profile.rpartition("/")[2]):
            context = {"iam:PassedToService": ("ec2.amazonaws.com",)}
            yield Need(action="iam:PassRole", resource=role, context=context)


# --- EC2 ---

_FREE = {"GetCallerIdentity", "GetSessionToken"}
_ONE_RESOURCE = {"DescribeInstanceAttribute", "DescribeImageAttribute", "DescribeVolumeAttribute"}
_CREATES: Mapping[str, tuple[str, ...]] = {
    "RunInstances": ("instance", "volume", "network-interface"),
    "CreateVolume": ("volume",),
    "CreateSnapshot": ("snapshot",),
    "CreateImage": ("image",),
    "CopySnapshot": ("snapshot",),
    "CreateSecurityGroup": ("security-group",),
    "CreateKeyPair": ("key-pair",),
}
_KINDS: Mapping[str, str] = {
    "i": "instance",
    "vol": "volume",
    "snap": "snapshot",
    "ami": "image",
    "sg": "security-group",
    "subnet": "subnet",
    "eni": "network-interface",
    "vpc": "vpc",
}
_ID = re.compile(r"[a-z]+-[0-9a-f]{8,17}")
_NOT_NAMED = ("Filter.", "Tag.", "TagSpecification.", "UserData", "ClientToken", "Description")


def _named(call: Call) -> dict[str, str]:
    """Return the kind of each thing that a call names by its ID."""
    given = [
        value for name, value in call.parameters.items() if not name.startswith(_NOT_NAMED) and _ID.fullmatch(value)
    ]
    kinds = {value: _KINDS.get(value.partition("-")[0]) for value in given}
    return {value: kind for value, kind in kinds.items() if kind}


def _ec2_arn(resource: str) -> str:
    account = "" if resource.startswith(("image/", "snapshot/")) else ACCOUNT
    return f"arn:{PARTITION}:ec2:{REGION}:{account}:{resource}"


def _tagged(tags: Tags) -> dict[str, tuple[str, ...]]:
    return {f"{service}:ResourceTag/{key}": (value,) for key, value in tags.items() for service in ("aws", "ec2")}


def _attributes(call: Call) -> dict[str, tuple[str, ...]]:
    """Return which attributes a call changes; EC2 takes one at a time, ``Attribute`` and ``Value`` or by its name."""
    if call.operation != "ModifyInstanceAttribute":
        return {}
    begins = (name.partition(".")[0] for name in call.parameters)
    names = {name for name in begins if name not in {"InstanceId", "Attribute", "Value", "DryRun", "Action", "Version"}}
    named = call.parameters.get("Attribute", "")
    return {"ec2:Attribute": tuple(sorted(names | ({named} if named else set())))}


def _asked(tags: Tags) -> Context:
    keys: Context = {"aws:TagKeys": tuple(tags)} if tags else {}
    return {**keys, **{f"aws:RequestTag/{key}": (value,) for key, value in tags.items()}}


def _new_tags(parameters: Mapping[str, str]) -> dict[str, Tags]:
    """Return the tags that a call gives to what it makes, by kind."""
    numbers = {name.split(".")[1] for name in parameters if name.startswith("TagSpecification.")}
    found = {}
    for number in sorted(numbers):
        prefix = f"TagSpecification.{number}."
        found[parameters.get(f"{prefix}ResourceType", "")] = _pairs(parameters, f"{prefix}Tag.")
    return found


def _pairs(parameters: Mapping[str, str], prefix: str) -> Tags:
    keys = {name: value for name, value in parameters.items() if name.startswith(prefix) and name.endswith(".Key")}
    return {key: parameters.get(f"{name.removesuffix('Key')}Value", "") for name, key in keys.items()}


# --- SimpleDB and IAM ---


def _domain(call: Call) -> str:
    if call.operation == "ListDomains":
        return "*"
    name = call.parameters.get("DomainName") or _selected(call.parameters.get("SelectExpression", ""))
    return f"arn:{PARTITION}:sdb:{REGION}:{ACCOUNT}:domain/{name}"


def _selected(expression: str) -> str:
    """Return the domain that an expression names, in backticks if it is no plain word."""
    found = re.search(r"\bfrom\s+(?:`((?:[^`]|``)+)`|([\w$]+))", expression, re.IGNORECASE)
    return (found[1] or found[2]).replace("``", "`") if found else ""


def _iam(call: Call) -> Iterator[Need]:
    resource, asked = _identity(call.parameters), call.parameters
    yield Need(action=f"iam:{call.operation}", resource=resource)
    if call.operation in _TAGS and any(name.startswith("Tags.member.") for name in asked):
        yield Need(action=f"iam:{_TAGS[call.operation]}", resource=resource)
    if call.operation == "AddRoleToInstanceProfile":
        yield Need(action="iam:PassRole", resource=f"arn:{PARTITION}:iam::{ACCOUNT}:role/{asked.get('RoleName', '')}")


_TAGS = {"CreateRole": "TagRole", "CreateInstanceProfile": "TagInstanceProfile", "CreateUser": "TagUser"}


def _identity(parameters: Mapping[str, str]) -> str:
    """Return what a call to IAM is about; a profile comes before the role that is added to it."""
    if arn := parameters.get("PolicyArn", "") if "RoleName" not in parameters and "UserName" not in parameters else "":
        return arn
    for field, kind in [("InstanceProfileName", "instance-profile"), ("RoleName", "role"), ("UserName", "user"),
                        ("GroupName", "group"), ("PolicyName", "policy")]:  # fmt: skip
        if name := parameters.get(field):
            return f"arn:{PARTITION}:iam::{ACCOUNT}:{kind}/{name}"
    return "*"


# --- S3 ---

# Operations whose right has another name, or that are about the bucket although no name says so.
_S3_ACTIONS: Mapping[str, str] = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "HeadObject": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    # Its old and its new form look alike.
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
}
_S3_KEYS = {"prefix": "s3:prefix", "delimiter": "s3:delimiter", "max-keys": "s3:max-keys"}
READS_OBJECT = {"GetObject", "HeadObject"}


def s3_arn(bucket: str, key: str = "") -> str:
    """Return the name of a bucket, or of an object."""
    return f"arn:{PARTITION}:s3:::{bucket}/{key}" if key else f"arn:{PARTITION}:s3:::{bucket}"


def _s3(request: Request) -> Iterator[Need]:
    operation, (bucket, key) = request.call.operation, request.path
    action = f"s3:{_S3_ACTIONS.get(operation, operation)}"
    if operation == "ListBuckets":
        yield Need(action=action)
    elif operation == "DeleteObjects":
        for each in keys_to_delete(request.body):
            yield Need(action="s3:DeleteObject", resource=s3_arn(bucket, each))
    elif action == "s3:ListBucket":
        given = request.call.parameters
        context = {name: (given[field],) for field, name in _S3_KEYS.items() if field in given}
        yield Need(action=action, resource=s3_arn(bucket), context=context)
    else:
        yield Need(action=action, resource=s3_arn(bucket, key))
    if operation == "PutObject" and "if-match" in request.headers:
        yield Need(action="s3:GetObject", resource=s3_arn(bucket, key))
    if source := unquote(request.headers.get("x-amz-copy-source", "")).lstrip("/"):
        yield Need(action="s3:GetObject", resource=s3_arn(*source.partition("?")[0].split("/", 1)))


def keys_to_delete(body: bytes) -> list[str]:
    """Return the keys that a DeleteObjects names; none if it cannot be read, which S3 then says."""
    try:
        document = ElementTree.fromstring(body)  # noqa: S314  from a client on this machine
    except ElementTree.ParseError:
        return []
    return [each.text or "" for each in document.iter() if each.tag.rpartition("}")[2] == "Key"]
