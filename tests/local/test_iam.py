"""Policies in an embedded cloud that enforces them, as any AWS client meets them."""

import json
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from awsac_async.local import cloud
from awsac_async.local.settings import BUCKET, Isolation, Settings
from tests.conftest import Embedded, embedded_cloud

from .account import BOOT, IMAGE, error_code
from .conftest import QUICK


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A cloud that enforces policies; its user may do nothing but what a test allows."""

    running: Embedded
    stack: ExitStack

    def client(self, service: str, **credentials: str) -> Any:
        environment = self.running.environment
        return self._made(service, environment, **credentials)

    def administrator(self, service: str) -> Any:
        return self._made(service, cloud.environment(self.running.directory, administrator=True))

    def allow(self, *statements: dict[str, Any]) -> None:
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}
        iam = self.administrator("iam")
        iam.put_user_policy(UserName="user", PolicyName="test", PolicyDocument=json.dumps(document))

    def _made(self, service: str, environment: dict[str, str], **credentials: str) -> Any:
        keys = {
            "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
        }
        client = boto3.client(
            service, endpoint_url=self.running.endpoint, region_name="us-east-1", **{**keys, **credentials}
        )
        self.stack.callback(client.close)
        return client


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Cloud]:
    nothing = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:TagSession", "Resource": "*"}]}
    )
    settings = Settings(boot=BOOT, isolation=Isolation.PLAIN, iam=True, user_policy=nothing, **QUICK)
    with (
        tempfile.TemporaryDirectory(prefix="awsac-test-") as parent,
        embedded_cloud(Path(parent) / "cloud", settings) as running,
        ExitStack() as stack,
    ):
        yield Cloud(running=running, stack=stack)


ACCOUNT = "123456789012"
REFUSED: list[tuple[str, str, dict[str, str], str, str]] = [
    ("ec2", "describe_instances", {}, "UnauthorizedOperation", "ec2:DescribeInstances on resource: *"),
    ("s3", "list_objects_v2", {"Bucket": BUCKET}, "AccessDenied", f"s3:ListBucket on resource: arn:aws:s3:::{BUCKET}"),
    (
        "sdb",
        "create_domain",
        {"DomainName": "d-1"},
        "AuthorizationFailure",
        f"(arn:aws:sdb:us-east-1:{ACCOUNT}:domain/d-1)",
    ),
    ("sdb", "select", {"SelectExpression": "select * from `d-1`"}, "AuthorizationFailure", "domain/d-1)"),
    ("iam", "get_role", {"RoleName": "awsac-agent"}, "AccessDenied", f"arn:aws:iam::{ACCOUNT}:role/awsac-agent"),
    ("pricing", "get_products", {"ServiceCode": "AmazonEC2"}, "AccessDeniedException", "pricing:GetProducts"),
]


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: f"{refused[0]} {refused[1]}")
def test_who_has_no_right_is_told_so_as_by_aws(
    enforcing: Cloud, refused: tuple[str, str, dict[str, str], str, str]
) -> None:
    service, operation, asked, code, says = refused
    client = enforcing.client(service)
    with pytest.raises(client.exceptions.ClientError) as raised:
        getattr(client, operation)(**asked)
    answer = raised.value.response
    status = 400 if service == "pricing" else 403
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert says in answer["Error"]["Message"]


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [("ec2", "describe_instances", "AuthFailure"), ("s3", "list_buckets", "SignatureDoesNotMatch"),
     ("sdb", "list_domains", "SignatureDoesNotMatch"), ("iam", "list_users", "SignatureDoesNotMatch")],
)  # fmt: skip
def test_a_wrong_secret_and_a_key_of_nobody_are_refused_by_every_service(
    enforcing: Cloud, service: str, operation: str, code: str
) -> None:
    unknown = {"ec2": "AuthFailure", "s3": "InvalidAccessKeyId", "sdb": "AuthFailure", "iam": "InvalidClientTokenId"}
    wrong = enforcing.client(service, aws_secret_access_key="wrong")
    nobody = enforcing.client(service, aws_access_key_id="AKIANOBODY")
    assert error_code(getattr(wrong, operation)) == code
    assert error_code(getattr(nobody, operation)) == unknown[service]


def test_an_address_that_is_signed_works_until_it_is_changed_and_nobody_gets_in_without(
    enforcing: Cloud,
) -> None:
    enforcing.administrator("s3").put_object(Bucket=BUCKET, Key="a b/ü", Body=b"content")
    enforcing.allow({"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"})
    address = enforcing.client("s3").generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "a b/ü"})

    with urllib.request.urlopen(address) as answer:  # noqa: S310  of this machine
        assert answer.read() == b"content"
    for wrong in (address.replace("a%20b", "a%20c"), address.partition("?")[0]):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(wrong)  # noqa: S310
        assert refused.value.code == 403
        refused.value.close()


def test_a_list_is_limited_to_a_prefix_and_404_is_for_who_may_list(enforcing: Cloud) -> None:
    bucket = f"arn:aws:s3:::{BUCKET}"
    objects = {"Action": "s3:GetObject", "Resource": f"{bucket}/*"}
    s3 = enforcing.client("s3")
    enforcing.allow(objects)
    hidden = error_code(s3.get_object, Bucket=BUCKET, Key="nothing")
    condition = {"StringLikeIfExists": {"s3:prefix": ["mine/*"]}}
    enforcing.allow(objects, {"Action": "s3:ListBucket", "Resource": bucket, "Condition": condition})

    assert hidden == "AccessDenied"
    assert error_code(s3.get_object, Bucket=BUCKET, Key="nothing") == "NoSuchKey"
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="mine/")["KeyCount"] == 0
    assert error_code(s3.list_objects_v2, Bucket=BUCKET, Prefix="yours/") == "AccessDenied"
    assert error_code(s3.list_objects_v2, Bucket=BUCKET, Prefix="") == "AccessDenied"
    s3.head_bucket(Bucket=BUCKET)


def test_of_objects_that_are_deleted_together_those_that_may_not_be_stay_and_are_named(enforcing: Cloud) -> None:
    for key in ("mine/1", "yours/1", "yours/<2>"):
        enforcing.administrator("s3").put_object(Bucket=BUCKET, Key=key, Body=b"x")
    enforcing.allow({"Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{BUCKET}/mine/*"})
    s3 = enforcing.client("s3")

    def delete(*keys: str) -> tuple[set[str], set[str]]:
        answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})
        assert {each["Code"] for each in answer["Errors"]} == {"AccessDenied"}
        return {each["Key"] for each in answer.get("Deleted", [])}, {each["Key"] for each in answer["Errors"]}

    assert delete("mine/1", "yours/1", "yours/<2>") == ({"mine/1"}, {"yours/1", "yours/<2>"})
    assert delete("yours/1") == (set(), {"yours/1"})
    kept = enforcing.administrator("s3").list_objects_v2(Bucket=BUCKET, Prefix="yours/")["Contents"]
    assert [each["Key"] for each in kept] == ["yours/1", "yours/<2>"]


def launching(tags: dict[str, str]) -> dict[str, Any]:
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {
        "ImageId": IMAGE,
        "InstanceType": "c1.medium",
        "MinCount": 1,
        "MaxCount": 1,
        "DryRun": True,
        "IamInstanceProfile": {"Name": "awsac-agent"},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": listed}],
    }


def test_instances_are_started_only_with_the_tags_the_role_and_all_the_parts_that_are_allowed(enforcing: Cloud) -> None:
    ec2 = enforcing.client("ec2")
    run = {"Action": "ec2:RunInstances", "Resource": "*"}
    tagged = {**run, "Condition": {"StringEquals": {"aws:RequestTag/project": "mine"}}}
    kinds = ("image", "subnet", "network-interface", "volume")
    parts = {**run, "Resource": [f"arn:aws:ec2:*:*:{kind}/*" for kind in kinds]}
    instances = {**tagged, "Resource": "arn:aws:ec2:*:*:instance/*"}
    created = {"StringEquals": {"ec2:CreateAction": "RunInstances"}}
    tags = {"Action": "ec2:CreateTags", "Resource": "*", "Condition": created}
    passed = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    role = {"Action": "iam:PassRole", "Resource": "arn:aws:iam::*:role/awsac-agent", "Condition": passed}
    mine, yours = launching({"project": "mine"}), launching({"project": "yours"})

    outcomes = []
    for rights in ([run], [run, tags], [run, role], [tagged, tags, role], [instances, parts, tags, role]):
        enforcing.allow(*rights)
        outcomes.append((error_code(ec2.run_instances, **mine), error_code(ec2.run_instances, **yours)))

    refused, right = "UnauthorizedOperation", "DryRunOperation"
    assert outcomes == [(refused, refused)] * 4 + [(right, refused)]


def test_only_what_carries_a_tag_can_be_deleted_and_what_is_not_there_is_not_found(enforcing: Cloud) -> None:
    administrator, ec2 = enforcing.administrator("ec2"), enforcing.client("ec2")
    specification = [{"ResourceType": "volume", "Tags": [{"Key": "project", "Value": "mine"}]}]
    zone = {"AvailabilityZone": "us-east-1a", "Size": 1}
    mine = administrator.create_volume(**zone, TagSpecifications=specification)["VolumeId"]
    yours = administrator.create_volume(**zone)["VolumeId"]
    condition = {"StringEquals": {"aws:ResourceTag/project": "mine"}}
    enforcing.allow({"Action": "ec2:DeleteVolume", "Resource": "*", "Condition": condition})
    administrator.get_waiter("volume_available").wait(VolumeIds=[mine, yours], WaiterConfig={"Delay": 1})

    assert error_code(ec2.delete_volume, VolumeId=yours) == "UnauthorizedOperation"
    ec2.delete_volume(VolumeId=mine)
    assert error_code(ec2.delete_volume, VolumeId="vol-0123456789abcdef0") == "InvalidVolume.NotFound"
    administrator.delete_volume(VolumeId=yours)


def test_a_role_is_put_into_a_profile_only_by_who_may_pass_it_on(enforcing: Cloud) -> None:
    iam = enforcing.client("iam")
    profiles = {"Action": ["iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile"], "Resource": "*"}
    tags = [{"Key": "project", "Value": "mine"}]
    names = {"InstanceProfileName": "profile", "RoleName": "awsac-agent"}
    enforcing.allow(profiles)
    tagging = error_code(iam.create_instance_profile, InstanceProfileName="profile", Tags=tags)
    iam.create_instance_profile(InstanceProfileName="profile")
    passing = error_code(iam.add_role_to_instance_profile, **names)
    enforcing.allow(profiles, {"Action": "iam:PassRole", "Resource": "arn:aws:iam::*:role/awsac-agent"})
    iam.add_role_to_instance_profile(**names)

    assert (tagging, passing) == ("AccessDenied", "AccessDenied")


def test_rights_of_groups_count_and_a_key_that_is_switched_off_has_none(enforcing: Cloud) -> None:
    iam = enforcing.administrator("iam")
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sdb:ListDomains", "Resource": "*"}}
    iam.create_user(UserName="other")
    key = iam.create_access_key(UserName="other")["AccessKey"]
    names = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    sdb = enforcing.client("sdb", **names)
    before = error_code(sdb.list_domains)
    iam.create_group(GroupName="readers")
    iam.put_group_policy(GroupName="readers", PolicyName="p", PolicyDocument=json.dumps(document))
    iam.add_user_to_group(GroupName="readers", UserName="other")
    sdb.list_domains()
    iam.update_access_key(UserName="other", AccessKeyId=key["AccessKeyId"], Status="Inactive")

    assert before == "AuthorizationFailure"
    assert error_code(sdb.list_domains) == "AuthFailure"
