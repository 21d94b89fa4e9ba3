"""What the role of the instances can do, call by call: whoever is root on an instance can do it.

Asked with the credentials of one instance, in a cloud that enforces policies; the instances of another session, of the
same one, and what belongs to nobody are there to be reached. Whether EC2 then finds a call possible is not asked.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from awsac_async.cli.local import enforcing
from awsac_async.local import cloud
from awsac_async.local.settings import ROLE, Settings
from awsac_async.session.policies import Holder, Scope, compact, policy
from tests.cli.conftest import BUCKET
from tests.conftest import Embedded, embedded_cloud

MINE, YOURS = "081215_1646--eventgen--1816", "081215_1646--eventgen--1817"
REFUSED = {"UnauthorizedOperation", "AccessDenied", "AuthorizationFailure"}
ZONE = "us-east-1a"
OWN, SIBLING, FOREIGN = "own", "sibling", "foreign"  # the instance that asks, one of its session, one of another


@dataclass(kw_only=True)
class Walk:
    """A cloud with instances, volumes and snapshots that belong to several, and who asks."""

    cloud: Embedded
    admin: Callable[[str], Any]
    instances: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, str] = field(default_factory=dict)

    def arn(self, whose: str) -> str:
        return f"arn:aws:ec2:us-east-1:123456789012:instance/{self.instances[whose]}"

    def owned(self, whose: str, session_id: str) -> list[dict[str, Any]]:
        """The tags that a volume has, or gets."""
        tags = {"awsac:session": session_id, "awsac:instance": self.arn(whose)}
        return [{"ResourceType": "volume", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]

    def role(self) -> Callable[[str], Any]:
        """Return what makes clients with the credentials that the instance has."""
        sts = self.admin("sts")
        answer = sts.assume_role(RoleArn=f"arn:aws:iam::123456789012:role/{ROLE}", RoleSessionName=self.instances[OWN])[
            "Credentials"
        ]
        return clients(
            self.cloud,
            aws_access_key_id=answer["AccessKeyId"],
            aws_secret_access_key=answer["SecretAccessKey"],
            aws_session_token=answer["SessionToken"],
        )

    def give(self, scope: Scope) -> None:
        """Let the role have the policy of a scope."""
        document = compact(policy(Holder.AGENT, scope))
        self.admin("iam").put_role_policy(RoleName=ROLE, PolicyName="rights", PolicyDocument=document)


def clients(running: Embedded, **keys: str) -> Callable[[str], Any]:
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = boto3.client(service, endpoint_url=running.endpoint, region_name="us-east-1", **keys)
        return made[service]

    return client


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    with (
        tempfile.TemporaryDirectory(prefix="awsac-test-") as parent,
        embedded_cloud(Path(parent) / "cloud", Settings(**enforcing(), instance_delay=3600.0)) as running,
    ):
        keys = cloud.environment(running.directory, administrator=True)
        names = ("aws_access_key_id", "aws_secret_access_key")
        walk = Walk(cloud=running, admin=clients(running, **{name: keys[name.upper()] for name in names}))
        furnish(walk, tmp_path_factory.mktemp("release"))
        yield walk


def furnish(walk: Walk, folder: Path) -> None:
    ec2 = walk.admin("ec2")
    for whose, session_id in ((OWN, MINE), (SIBLING, MINE), (FOREIGN, YOURS)):
        answer = ec2.run_instances(
            ImageId="ami-0a35ac00000000001",
            InstanceType="c5.large",
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Name": ROLE},
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": "awsac:session", "Value": session_id}]},
            ],
        )
        walk.instances[whose] = answer["Instances"][0]["InstanceId"]
        tags = walk.owned(whose, session_id)
        walk.volumes[whose] = ec2.create_volume(AvailabilityZone=ZONE, Size=1, TagSpecifications=tags)["VolumeId"]
    walk.volumes["nobody's"] = ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    directory = walk.cloud.directory
    for name, tags in (("released", {"awsac:release": "tools"}), ("private", {}), ("named", {})):
        walk.snapshots[name] = cloud.import_snapshot(directory, folder, description=name, tags=tags)
    s3 = walk.admin("s3")
    s3.create_bucket(Bucket="of-others")
    for key in (f"{MINE}/jobs.tar.bz2", f"{YOURS}/jobs.tar.bz2", "thesis.tex"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")


def scope_of(walk: Walk) -> Scope:
    """What ``awsac setup --release`` gives."""
    return Scope(
        bucket=BUCKET,
        role=ROLE,
        region="us-east-1",
        account="123456789012",
        releases=(f"{BUCKET}/releases/*",),
        snapshots=(walk.snapshots["named"],),
    )


def allowed(call: Callable[..., Any], **options: Any) -> bool:
    """Whether the policy allows a call; what EC2 says of it otherwise does not count."""
    try:
        call(**options)
    except ClientError as error:
        return error.response["Error"]["Code"] not in REFUSED
    return True


def ec2_calls(walk: Walk, ec2: Any) -> Iterator[tuple[str, bool]]:
    """Yield calls by what they would do, and whether they are allowed."""
    instance, volume, snapshot = walk.instances, walk.volumes, walk.snapshots
    mine = walk.owned(OWN, MINE)
    for whose in volume:
        attach = {"VolumeId": volume[whose], "InstanceId": instance[OWN], "Device": "/dev/sdf"}
        yield f"attach {whose} volume", allowed(ec2.attach_volume, **attach)
        yield f"detach {whose} volume", allowed(ec2.detach_volume, VolumeId=volume[whose])
        made = {"VolumeId": volume[whose], "TagSpecifications": [session_tag("snapshot", MINE)]}
        yield f"snapshot of {whose} volume", allowed(ec2.create_snapshot, **made)
        yield (
            f"tag {whose} volume",
            allowed(
                ec2.create_tags, Resources=[volume[whose]], Tags=[{"Key": "awsac:instance", "Value": walk.arn(OWN)}]
            ),
        )
    for whose in (SIBLING, FOREIGN):
        attach = {"VolumeId": volume[OWN], "InstanceId": instance[whose], "Device": "/dev/sdf"}
        yield f"attach own volume to {whose}", allowed(ec2.attach_volume, **attach)
    for name, snapshot_id in snapshot.items():
        options = {"AvailabilityZone": ZONE, "SnapshotId": snapshot_id, "TagSpecifications": mine}
        yield f"volume of {name} snapshot", allowed(ec2.create_volume, **options)
        yield (
            f"tag {name} snapshot",
            allowed(ec2.create_tags, Resources=[snapshot_id], Tags=[{"Key": "awsac:release", "Value": "x"}]),
        )
        yield f"delete {name} snapshot", allowed(ec2.delete_snapshot, SnapshotId=snapshot_id)
        yield (
            f"share {name} snapshot",
            allowed(
                ec2.modify_snapshot_attribute,
                SnapshotId=snapshot_id,
                CreateVolumePermission={"Add": [{"UserId": "111122223333"}]},
            ),
        )
    released = {"AvailabilityZone": ZONE, "SnapshotId": snapshot["released"]}
    yield "volume without tags", allowed(ec2.create_volume, **released)
    yield "volume for sibling", allowed(ec2.create_volume, **released, TagSpecifications=walk.owned(SIBLING, MINE))
    yield (
        "volume of no instance",
        allowed(ec2.create_volume, **released, TagSpecifications=[session_tag("volume", MINE)]),
    )
    yield "empty volume", allowed(ec2.create_volume, AvailabilityZone=ZONE, Size=1, TagSpecifications=mine)
    mapping = [{"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": True}}]
    changes: dict[str, dict[str, Any]] = {
        "mappings": {"BlockDeviceMappings": mapping},
        "user data": {"UserData": {"Value": b"x"}},
        "termination": {"DisableApiTermination": {"Value": True}},
        "shutdown": {"InstanceInitiatedShutdownBehavior": {"Value": "stop"}},
        "groups": {"Groups": ["sg-0123456789abcdef0"]},
        "mappings and more": {"BlockDeviceMappings": mapping, "DisableApiTermination": {"Value": True}},
    }
    for whose, instance_id in instance.items():
        for what, change in changes.items():
            yield f"{what} of {whose}", allowed(ec2.modify_instance_attribute, InstanceId=instance_id, **change)
        for verb in ("stop_instances", "start_instances", "reboot_instances"):
            yield f"{verb} {whose}", allowed(getattr(ec2, verb), InstanceIds=[instance_id])
        yield f"console of {whose}", allowed(ec2.get_console_output, InstanceId=instance_id)
        yield (
            f"attribute of {whose}",
            allowed(ec2.describe_instance_attribute, InstanceId=instance_id, Attribute="userData"),
        )
        yield (
            f"tag {whose}",
            allowed(ec2.create_tags, Resources=[instance_id], Tags=[{"Key": "awsac:session", "Value": MINE}]),
        )
    yield "run", allowed(ec2.run_instances, ImageId="ami-0a35ac00000000001", MinCount=1, MaxCount=1)
    for whose, volume_id in volume.items():
        yield f"delete {whose} volume", allowed(ec2.delete_volume, VolumeId=volume_id)
    for whose in (FOREIGN, SIBLING, OWN):
        yield f"terminate {whose}", allowed(ec2.terminate_instances, InstanceIds=[instance[whose]])


def session_tag(kind: str, session_id: str) -> dict[str, Any]:
    return {"ResourceType": kind, "Tags": [{"Key": "awsac:session", "Value": session_id}]}


def other_calls(role: Callable[[str], Any]) -> Iterator[tuple[str, bool]]:
    s3, sdb, iam = role("s3"), role("sdb"), role("iam")
    for key in (f"{MINE}/jobs.tar.bz2", f"{YOURS}/jobs.tar.bz2", "thesis.tex"):
        yield f"read {key}", allowed(s3.get_object, Bucket=BUCKET, Key=key)
        yield f"write {key}", allowed(s3.put_object, Bucket=BUCKET, Key=key, Body=b"y")
    yield "list others", allowed(s3.list_objects_v2, Bucket="of-others")
    yield "write others", allowed(s3.put_object, Bucket="of-others", Key="x", Body=b"y")
    yield "policy of the bucket", allowed(s3.put_bucket_policy, Bucket=BUCKET, Policy="{}")
    item = {"ItemName": "job1", "Attributes": [{"Name": "status", "Value": "finished"}]}
    for session_id in (MINE, YOURS):
        yield f"status of {session_id}", allowed(sdb.put_attributes, DomainName=session_id, **item)
    yield "own rights", allowed(iam.put_role_policy, RoleName=ROLE, PolicyName="more", PolicyDocument="{}")
    yield (
        "the role for others",
        allowed(role("sts").assume_role, RoleArn="arn:aws:iam::123456789012:role/x", RoleSessionName="i-1"),
    )


def test_root_on_an_instance_reaches_nothing_of_ec2_but_the_instance_itself_and_releases(walk: Walk) -> None:
    walk.give(scope_of(walk))
    found = dict(ec2_calls(walk, walk.role()("ec2")))
    assert {call for call, granted in found.items() if granted} == {
        "attach own volume",
        "detach own volume",
        "snapshot of own volume",
        "delete own volume",
        "volume of released snapshot",
        "volume of named snapshot",
        "empty volume",
        "mappings of own",
        "terminate own",
    }


def test_of_the_bucket_it_reaches_sessions_and_with_a_role_of_its_own_only_its_own(walk: Walk) -> None:
    of_mine = {f"read {MINE}/jobs.tar.bz2", f"write {MINE}/jobs.tar.bz2", f"status of {MINE}"}
    of_yours = {call.replace(MINE, YOURS) for call in of_mine}
    for scope, expected in (
        (scope_of(walk), of_mine | of_yours),
        (replace(scope_of(walk), session_id=MINE), of_mine),
    ):
        walk.give(scope)
        assert {call for call, granted in other_calls(walk.role()) if granted} == expected
