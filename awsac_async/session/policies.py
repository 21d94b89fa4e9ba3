"""The rights that awsac needs on AWS, and the IAM policies made of them.

The one list of them: ``awsac policy`` prints it as documents, ``awsac setup`` gives it to the agent's role, the tables
of docs/permissions.md are written from it, and the tests run a session under it. A call that needs a further right has
a row here, or it is refused.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from awsac_async.session.names import (
    ANY_SESSION,
    DEFAULT_INSTANCE_PROFILE,
    INSTANCE_TAG,
    INTERNAL_PREFIX,
    RELEASE_TAG,
    SESSION_TAG,
    STATUS_CHECK_DOMAIN,
    WRITE_CHECK_KEY,
    prefixes,
)

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: characters, white space not counted
INLINE_LIMIT, MANAGED_LIMIT = 10_240, 6_144
_ANY = "*"


_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
    "eusc-": "aws-eusc",
}
# An instance that asks with the credentials of its role, and no other one: no other key says which instance asks.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
_SOURCE, _ITSELF = "ec2:SourceInstanceARN", "${ec2:SourceInstanceARN}"
# As EC2 has written the attribute; which of the two it tells a policy is not documented.
_MAPPINGS = ["BlockDeviceMapping", "BlockDeviceMappings"]


def partition_of(region: str) -> str:
    """Return the part of AWS that a region is in."""
    return next((partition for begin, partition in _PARTITIONS.items() if region.startswith(begin)), "aws")


class Holder(StrEnum):
    """Who has a policy."""

    CLIENT = "client"  # whoever runs awsac
    AGENT = "agent"  # the role of the instances


@dataclass(frozen=True, kw_only=True)
class Scope:
    """To what a policy is limited; what is "*" is not.

    ``session_id`` is that of one session, or the pattern of all. ``role`` is the name of the agent's role, and of its
    instance profile. ``releases`` are patterns of ``bucket/key`` for the releases in S3, ``packed`` of those that
    ``release to-s3`` may write; ``snapshots`` are the IDs of releases that have not the tag of one.
    """

    bucket: str = _ANY
    session_id: str = ANY_SESSION
    role: str = DEFAULT_INSTANCE_PROFILE
    region: str = _ANY
    account: str = _ANY
    releases: tuple[str, ...] = ()
    packed: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()

    @property
    def partition(self) -> str:
        """The part of AWS that the region is in."""
        return partition_of(self.region)

    def arn(self, service: str, resource: str, *, region: str | None = None, account: str | None = None) -> str:
        """Return the name of something by which a policy knows it."""
        region, account = self.region if region is None else region, self.account if account is None else account
        return f"arn:{self.partition}:{service}:{region}:{account}:{resource}"

    def ec2(self, kind: str) -> str:
        """Return the name of everything of a kind; images and snapshots are of no account, or of another one."""
        return self.arn("ec2", f"{kind}/*", account=_ANY if kind in {"image", "snapshot"} else None)

    def s3(self, path: str = "") -> str:
        """Return the name of the bucket, or of its objects of a pattern."""
        return self.arn("s3", f"{self.bucket}/{path}" if path else self.bucket, region="", account="")


@dataclass(frozen=True, kw_only=True)
class On:
    """What a right is limited to. ``shown`` names it for people."""

    sid: str
    shown: str
    resources: Callable[[Scope], tuple[str, ...]]
    condition: Callable[[Scope], Mapping[str, Any]] = lambda _: {}


@dataclass(frozen=True, kw_only=True)
class Right:
    """Some actions, on what, and what for; ``verbs`` are those of the client that need it.

    Optional: what needs it goes on without it.
    """

    actions: tuple[str, ...]
    on: tuple[On, ...]
    why: str
    verbs: str = ""
    optional: bool = False


def _tagged(key: str) -> Callable[[Scope], Mapping[str, Any]]:
    return lambda scope: {"StringLike": {f"{key}/{SESSION_TAG}": scope.session_id}}


def _own_instance(scope: Scope) -> Mapping[str, Any]:
    return {**_tagged("aws:ResourceTag")(scope), "ArnLike": {_SOURCE: scope.arn("ec2", "instance/${ec2:InstanceID}")}}


def _own_volume(key: str) -> Callable[[Scope], Mapping[str, Any]]:
    return lambda scope: {**_tagged(key)(scope), "StringEquals": {f"{key}/{INSTANCE_TAG}": _ITSELF}}


def _listed(scope: Scope, *more: str) -> Mapping[str, Any]:
    """Limit lists to the session's prefixes, and to others.

    "IfExists", since there is no prefix where S3 asks for this right otherwise: whether the bucket is there, and
    whether it may say 404 of an object that is not.
    """
    return {"StringLikeIfExists": {"s3:prefix": [*(f"{prefix}*" for prefix in prefixes(scope.session_id)), *more]}}


def _listed_by_client(scope: Scope) -> Mapping[str, Any]:
    """Limit lists likewise; who has to do with all sessions finds them by their folders."""
    return _listed(scope, *([INTERNAL_PREFIX] if scope.session_id == ANY_SESSION else []))


def _created_by(operation: str) -> Callable[[Scope], Mapping[str, Any]]:
    return lambda _: {"StringEquals": {"ec2:CreateAction": operation}}


def _objects(scope: Scope) -> tuple[str, ...]:
    return tuple(scope.s3(f"{prefix}*") for prefix in prefixes(scope.session_id))


def _named(scope: Scope, patterns: Sequence[str]) -> tuple[str, ...]:
    return tuple(scope.arn("s3", each, region="", account="") for each in patterns)


def _ec2(*kinds: str) -> Callable[[Scope], tuple[str, ...]]:
    return lambda scope: tuple(map(scope.ec2, kinds))


def _domain(scope: Scope) -> str:
    return scope.arn("sdb", f"domain/{scope.session_id}")


def _tags_set_by(operation: str, sid: str, kind: str) -> On:
    shown = f"{kind}s, as `{operation}` makes them"
    return On(sid=sid, shown=shown, resources=_ec2(kind), condition=_created_by(operation))


EVERYTHING = On(sid="Account", shown="`*`", resources=lambda _: (_ANY,))
BUCKET = On(sid="Bucket", shown="`BUCKET`", resources=lambda scope: (scope.s3(),))
LISTS = On(
    sid="Lists", shown="`BUCKET`, `s3:prefix` below the session", resources=lambda s: (s.s3(),), condition=_listed
)
CLIENT_LISTS = replace(LISTS, condition=_listed_by_client)
OBJECTS = On(sid="Objects", shown="`BUCKET/SESSION/*`, `BUCKET/awsac/SESSION/*`", resources=_objects)
WRITE_CHECK = On(sid="WriteCheck", shown=f"`BUCKET/{WRITE_CHECK_KEY}`", resources=lambda s: (s.s3(WRITE_CHECK_KEY),))
RELEASES = On(sid="Releases", shown="what `--release` names", resources=lambda scope: _named(scope, scope.releases))
PACKED = On(sid="Packed", shown="what `--packed` names", resources=lambda scope: _named(scope, scope.packed))
DOMAIN = On(sid="Domain", shown="the domain `SESSION`", resources=lambda scope: (_domain(scope),))
STATUS_CHECK = On(
    sid="StatusCheck",
    shown=f"the domain `{STATUS_CHECK_DOMAIN}`",
    resources=lambda scope: (scope.arn("sdb", f"domain/{STATUS_CHECK_DOMAIN}"),),
)
TAGGED = On(
    sid="Tagged",
    shown=f"instances and volumes with the tag `{SESSION_TAG}`",
    resources=_ec2("instance", "volume"),
    condition=_tagged("aws:ResourceTag"),
)
NEW_INSTANCES = On(
    sid="NewInstances",
    shown=f"instances and volumes that get the tag `{SESSION_TAG}`",
    resources=_ec2("instance", "volume"),
    condition=_tagged("aws:RequestTag"),
)
INSTANCE_PARTS = On(
    sid="InstanceParts",
    shown="image, network interfaces, subnet, security groups, key pair",
    resources=_ec2("image", "network-interface", "subnet", "security-group", "key-pair"),
)
INSTANCE_TAGS = On(
    sid="InstanceTags",
    shown="instances and volumes, as `RunInstances` makes them",
    resources=_ec2("instance", "volume"),
    condition=_created_by("RunInstances"),
)
OWN_INSTANCE = On(
    sid="OwnInstance",
    shown=f"the instance that asks, with the tag `{SESSION_TAG}`",
    resources=_ec2("instance"),
    condition=_own_instance,
)
OWN_MAPPINGS = On(
    sid="OwnMappings",
    shown=f"the instance that asks, with the tag `{SESSION_TAG}`: its block device mappings (`ec2:Attribute`)",
    resources=_ec2("instance"),
    condition=lambda scope: {**_own_instance(scope), "StringEqualsIgnoreCase": {"ec2:Attribute": _MAPPINGS}},
)
OWN_VOLUMES = On(
    sid="OwnVolumes",
    shown=f"volumes with the tag `{SESSION_TAG}`, and the instance that asks as `{INSTANCE_TAG}`",
    resources=_ec2("volume"),
    condition=_own_volume("aws:ResourceTag"),
)
NEW_VOLUMES = On(
    sid="NewVolumes",
    shown=f"volumes that get the tag `{SESSION_TAG}`, and the instance that asks as `{INSTANCE_TAG}`",
    resources=_ec2("volume"),
    condition=_own_volume("aws:RequestTag"),
)
RELEASED = On(
    sid="Released",
    shown=f"snapshots with the tag `{RELEASE_TAG}`",
    resources=_ec2("snapshot"),
    condition=lambda _: {"StringLike": {f"aws:ResourceTag/{RELEASE_TAG}": "*"}},
)
SNAPSHOTS = On(
    sid="Snapshots",
    shown="snapshots that `--release` names",
    resources=lambda scope: tuple(scope.arn("ec2", f"snapshot/{each}", account=_ANY) for each in scope.snapshots),
)
VOLUME_TAGS = _tags_set_by("CreateVolume", "VolumeTags", "volume")
NEW_SNAPSHOTS = On(
    sid="NewSnapshots",
    shown=f"snapshots that get the tag `{SESSION_TAG}`",
    resources=_ec2("snapshot"),
    condition=_tagged("aws:RequestTag"),
)
SNAPSHOT_TAGS = _tags_set_by("CreateSnapshot", "SnapshotTags", "snapshot")
BUILT = On(
    sid="Built",
    shown=f"snapshots with the tag `{SESSION_TAG}`",
    resources=_ec2("snapshot"),
    condition=_tagged("aws:ResourceTag"),
)
ROLE = On(
    sid="Role",
    shown="the agent's role, for EC2",
    resources=lambda scope: (scope.arn("iam", f"role/{scope.role}", region=""),),
    condition=lambda scope: {"StringEquals": {"iam:PassedToService": _ec2_service(scope)}},
)
PROFILE = On(
    sid="Profile",
    shown="the instance profile",
    resources=lambda scope: (scope.arn("iam", f"instance-profile/{scope.role}", region=""),),
)


def _ec2_service(scope: Scope) -> list[str]:
    services = ["ec2.amazonaws.com"]
    return [*services, "ec2.amazonaws.com.cn"] if scope.partition == "aws-cn" else services


def _right(actions: str, on: On | tuple[On, ...], why: str, verbs: str = "", *, optional: bool = False) -> Right:
    places = on if isinstance(on, tuple) else (on,)
    return Right(actions=tuple(actions.split()), on=places, why=why, verbs=verbs, optional=optional)


AGENT: Sequence[Right] = (
    _right(
        "s3:GetObject",
        OBJECTS,
        "the archive, input data, control and launch documents, on a stock image the agent; claims on shared jobs",
    ),
    _right("s3:GetObject", RELEASES, "releases in S3"),
    _right("s3:PutObject", OBJECTS, "results, outputs, logs, manifests, parts of a large object; claims and leases"),
    _right(
        "s3:ListBucket",
        LISTS,
        "input data, the archive's size, claims, leases; without it S3 answers 403, not 404, for what is not there yet",
    ),
    _right("s3:ListBucketMultipartUploads", BUCKET, "to find uploads that were given up, whose parts cost"),
    _right("s3:AbortMultipartUpload", OBJECTS, "to remove those"),
    _right(
        "s3:DeleteObject",
        OBJECTS,
        "of a retry or a job taken over only: what the attempt before has saved, and this one does not replace; "
        "where it is missing, the job says so; of shared jobs, the lease that has ended",
    ),
    _right("sdb:BatchPutAttributes", DOMAIN, "the status of the jobs"),
    _right("sdb:PutAttributes", DOMAIN, "claims on shared jobs: what is written only if nobody else has"),
    _right("sdb:CreateDomain sdb:DomainMetadata", DOMAIN, "where the client made none, as in 2008"),
    _right("sdb:Select", DOMAIN, "which jobs are pending, when neither archive nor user data say it; claims"),
    _right("ec2:DescribeVolumes", EVERYTHING, "how far its volumes have come"),
    _right("ec2:CreateVolume", (NEW_VOLUMES, RELEASED, SNAPSHOTS), "a volume of each release"),
    _right("ec2:CreateTags", VOLUME_TAGS, "their tags, set as they are made"),
    _right("ec2:AttachVolume ec2:DetachVolume", (OWN_INSTANCE, OWN_VOLUMES), "to use them, and to give them back"),
    _right(
        "ec2:ModifyInstanceAttribute",
        (OWN_MAPPINGS, OWN_VOLUMES),
        "the volumes go with the instance, whatever happens to the agent; without it they stay where that dies",
    ),
    _right("ec2:DeleteVolume", OWN_VOLUMES, "when no job needs it any more"),
    _right("ec2:TerminateInstances", OWN_INSTANCE, "itself, when all is done"),
    _right("ec2:CreateSnapshot", (OWN_VOLUMES, NEW_SNAPSHOTS), "of `release build` only: the snapshot of its volume"),
    _right("ec2:CreateTags", SNAPSHOT_TAGS, "its tags, set as it is made"),
    _right("ec2:DescribeSnapshots", EVERYTHING, "whether an agent that died has begun it already"),
    _right("s3:PutObject", PACKED, "of `release to-s3` only: the archive"),
)

CLIENT: Sequence[Right] = (
    _right(
        "s3:ListBucket",
        CLIENT_LISTS,
        "whether the bucket is there; which objects are (403 instead of 404 without it)",
        "all but `console`, `attach` and, as a rule, `check`, `wait`, `ssh` and `report`, which need it for the last "
        "lines of logs (`check --watch` at a terminal) and right after a `retry`, while EC2 shows no instances of it",
    ),
    _right(
        "s3:PutObject",
        OBJECTS,
        "the archive, input data and the copy of the session file; the control document; the launch document",
        "`start`, `attach`; `kill`, `stop`, `logs --follow`; `retry`",
    ),
    _right(
        "s3:GetObject",
        OBJECTS,
        "results; logs; the control document; launch documents; the copy of the session file",
        "`getresults`; `logs`; `kill`, `stop`; `retry`, `check`; `attach`, `ls`, `gc`",
    ),
    _right(
        "s3:GetObject", RELEASES, "whether releases in S3 are there, and how large (`HeadObject`)", "`plan`, `start`"
    ),
    _right(
        "s3:PutObject s3:GetObject",
        WRITE_CHECK,
        "whether the bucket can be written, which is asked on a condition that nothing fulfils",
        "`plan`, `start`",
    ),
    _right(
        "s3:DeleteObject",
        OBJECTS,
        "what a session left, or a start or retry that is undone",
        "`cleanup`, `start`, `retry`",
    ),
    _right("s3:ListBucketMultipartUploads", BUCKET, "uploads that were given up", "`start`, `cleanup`, `gc`"),
    _right("s3:AbortMultipartUpload", OBJECTS, "to remove those", "`start`, `cleanup`, `gc`"),
    _right("sdb:CreateDomain sdb:BatchPutAttributes", DOMAIN, "the jobs, as pending", "`start`, `retry`"),
    _right(
        "s3:ListAllMyBuckets",
        EVERYTHING,
        "in which buckets there are sessions",
        "`ls`, where only without `--bucket` it must be there; `gc`",
    ),
    _right(
        "sdb:Select",
        DOMAIN,
        "the status of the jobs; for `getresults`, why something is missing",
        "all but `plan`, `console` and `attach`",
    ),
    _right("sdb:DomainMetadata", DOMAIN, "whether it is there", "`retry`, `cleanup`, `gc`"),
    _right("sdb:DomainMetadata", STATUS_CHECK, "whether SimpleDB answers", "`plan`, `start`"),
    _right("sdb:DeleteDomain", DOMAIN, "as `s3:DeleteObject`", "`cleanup`, `start`, `gc`"),
    _right("sdb:ListDomains", EVERYTHING, "sessions of older clients; domains that are left over", "`ls`, `gc`"),
    _right(
        "ec2:DescribeImages ec2:DescribeInstanceTypes ec2:DescribeSnapshots",
        EVERYTHING,
        "to check what the files name; which releases were built",
        "`plan`, `start`; `release`",
    ),
    _right("iam:GetInstanceProfile", PROFILE, "whether it is there", "`plan`, `start`", optional=True),
    _right(
        "servicequotas:GetServiceQuota",
        EVERYTHING,
        "whether the account may have so many vCPUs",
        "`plan`, `start`",
        optional=True,
    ),
    _right("pricing:GetProducts", EVERYTHING, "what instances and volumes cost", "`plan`, `start`", optional=True),
    _right(
        "ec2:DescribeSpotPriceHistory", EVERYTHING, "what spot instances cost now", "`plan`, `start`", optional=True
    ),
    _right(
        "ec2:RunInstances",
        (NEW_INSTANCES, INSTANCE_PARTS),
        "the instances; for `plan`, whether they could be started (`DryRun`)",
        "`plan`, `start`, `retry`",
    ),
    _right("ec2:CreateTags", INSTANCE_TAGS, "their tags", "`plan` (the right alone), `start`, `retry`"),
    _right("iam:PassRole", ROLE, "to give it to the instances", "`plan` (the right alone), `start`, `retry`"),
    _right("ec2:DescribeInstances", EVERYTHING, "how the session stands", "all"),
    _right(
        "ec2:DescribeInstanceAttribute",
        TAGGED,
        "bucket and deadline of an instance whose session file is nowhere",
        "`gc`",
    ),
    _right("ec2:GetConsoleOutput", TAGGED, "what an instance has printed", "`console`"),
    _right(
        "ec2:TerminateInstances", TAGGED, "`--force`; what nobody owns, or a start gives up", "`cleanup`, `gc`, `start`"
    ),
    _right("ec2:DescribeVolumes", EVERYTHING, "volumes that nobody holds", "`cleanup`, `gc`, such a `start`"),
    _right("ec2:DeleteVolume", TAGGED, "volumes that nobody holds", "`cleanup`, `gc`, such a `start`"),
    _right("ec2:DeleteSnapshot", BUILT, "releases that were built", "`release delete`"),
    _right("ec2:ModifySnapshotAttribute", BUILT, "who may use them", "`release share`"),
)

RIGHTS: Mapping[Holder, Sequence[Right]] = {Holder.CLIENT: CLIENT, Holder.AGENT: AGENT}
# Who may be given a role: EC2, for the instances that are started with its profile.
TRUST: Mapping[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def actions(holder: Holder) -> tuple[str, ...]:
    """Return all actions of a policy, each once, in the order of the table."""
    return tuple(dict.fromkeys(action for right in RIGHTS[holder] for action in right.actions))


def policy(holder: Holder, scope: Scope) -> dict[str, Any]:
    """Return the document of a policy: a statement for each thing that rights are limited to.

    What is optional has statements of its own, which may be left out; there is none where nothing is named.
    """
    grouped: dict[str, tuple[On, list[str]]] = {}
    for right in RIGHTS[holder]:
        for on in right.on:
            _, found = grouped.setdefault(f"Optional{on.sid}" if right.optional else on.sid, (on, []))
            found.extend(action for action in right.actions if action not in found)
    return {
        "Version": "2012-10-17",
        "Statement": [_statement(sid, on, found, scope) for sid, (on, found) in grouped.items() if on.resources(scope)],
    }


def _statement(sid: str, on: On, found: Sequence[str], scope: Scope) -> dict[str, Any]:
    resources, condition = on.resources(scope), on.condition(scope)
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(found),
        "Resource": resources[0] if len(resources) == 1 else list(resources),
    } | ({"Condition": condition} if condition else {})


def compact(document: Mapping[str, Any]) -> str:
    """Return a document as short as it can be: IAM counts its characters."""
    return json.dumps(document, separators=(",", ":"))
