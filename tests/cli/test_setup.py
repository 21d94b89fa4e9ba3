"""`awsac setup`: an empty account becomes one with which a session can be started, and is as it was afterwards."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from awsac_async.session.policies import Holder, Scope, policy
from tests.cli.conftest import Account, Awsac, write_ini, write_jobs
from tests.conftest import Embedded
from tests.local.account import IMAGE

BUCKET, ROLE = "setup-sessions", "setup-agent"
SETUP = ("setup", "--bucket", BUCKET, "--role", ROLE)
LEAVING = (
    "security group awsac",
    f"policy awsac-{BUCKET}",
    f"instance profile {ROLE}",
    f"role {ROLE}",
    f"bucket {BUCKET}",
)
ANYTHING = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
DRY_RUN = """\
bucket setup-sessions (in us-east-1): would be made
public access setup-sessions (blocked): would be made
encryption setup-sessions (SSE-S3): would be made
uploads setup-sessions (given up after 7 days): would be made
role setup-agent (for EC2): would be made
policy awsac-setup-sessions (as awsac policy agent prints it): would be made
instance profile setup-agent (with the role setup-agent): would be made
security group awsac (in VPC, nothing may come in): would be made

in session.ini:
sessionsbucket = setup-sessions
region = us-east-1
instance_profile = setup-agent
"""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What there is of a setup, as any AWS client sees it."""

    account: Account
    iam: Any

    def group(self) -> dict[str, Any] | None:
        filters = [{"Name": "group-name", "Values": ["awsac"]}]
        return next(iter(self.account.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]), None)

    def all(self) -> tuple[list[str], list[str], list[str], bool]:
        """Return the names of buckets, roles and profiles, and whether there is a group of ours."""
        buckets = [each["Name"] for each in self.account.s3.list_buckets()["Buckets"]]
        roles = [each["RoleName"] for each in self.iam.list_roles()["Roles"]]
        profiles = [each["InstanceProfileName"] for each in self.iam.list_instance_profiles()["InstanceProfiles"]]
        return buckets, roles, profiles, self.group() is not None


@pytest.fixture
def made(account: Account, embedded: Embedded) -> Iterator[Made]:
    iam = boto3.client(
        "iam",
        endpoint_url=embedded.endpoint,
        region_name="us-east-1",
        aws_access_key_id=embedded.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=embedded.environment["AWS_SECRET_ACCESS_KEY"],
    )
    yield Made(account=account, iam=iam)
    iam.close()


@pytest.fixture(autouse=True)
def cleared(awsac: Awsac, made: Made) -> Iterator[None]:
    """Leave the account as it was."""
    before = made.all()
    yield
    for key in (
        [each["Key"] for each in made.account.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        if BUCKET in made.all()[0]
        else []
    ):
        made.account.s3.delete_object(Bucket=BUCKET, Key=key)
    awsac.ok(*SETUP, "--remove", "--yes")
    assert made.all() == before


def states(awsac: Awsac, *more: str) -> dict[str, str]:
    done = json.loads(awsac.ok(*SETUP, *more, "--json"))
    return {part["kind"]: part["state"] for part in done["parts"]}


def test_a_dry_run_lists_what_would_be_made_and_makes_nothing(awsac: Awsac, made: Made) -> None:
    before = made.all()
    said = awsac.ok(*SETUP, "--dry-run")

    assert re.sub(r"vpc-[0-9a-f]+", "VPC", said) == DRY_RUN
    assert made.all() == before


def test_what_is_made_is_private_encrypted_tagged_and_limited_and_a_second_run_changes_nothing(
    awsac: Awsac, made: Made
) -> None:
    first = json.loads(awsac.ok(*SETUP, "--json"))
    s3, group = made.account.s3, made.group()
    again = states(awsac)

    assert {part["state"] for part in first["parts"]} == {"made"}
    assert set(again.values()) == {"there"}
    assert group is not None
    assert first["ini"]["security_group_ids"] == group["GroupId"]
    assert group["IpPermissions"] == []
    assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())
    rules = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert [each["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] for each in rules] == ["AES256"]
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert (rule["Status"], rule["AbortIncompleteMultipartUpload"]) == ("Enabled", {"DaysAfterInitiation": 7})
    document = made.iam.get_role_policy(RoleName=ROLE, PolicyName=f"awsac-{BUCKET}")["PolicyDocument"]
    assert document == policy(Holder.AGENT, Scope(bucket=BUCKET, role=ROLE, region="us-east-1", account="123456789012"))
    profile = made.iam.get_instance_profile(InstanceProfileName=ROLE)["InstanceProfile"]
    tags = [
        s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"],
        made.iam.get_role(RoleName=ROLE)["Role"]["Tags"],
        profile["Tags"],
        group["Tags"],
    ]
    assert tags == [[{"Key": "awsac", "Value": "setup"}]] * 4
    assert [role["RoleName"] for role in profile["Roles"]] == [ROLE]


def test_the_keys_that_it_prints_are_those_of_a_session_that_can_be_started(awsac: Awsac) -> None:
    ini = json.loads(awsac.ok(*SETUP, "--json"))["ini"]
    more = "".join(f"{key} = {value}\n" for key, value in ini.items() if key != "sessionsbucket")
    write_jobs(awsac.folder)

    planned = awsac("plan", "-i", write_ini(awsac.folder, sessionsbucket=BUCKET, more=more), "-a", "jobs")

    assert (planned.returncode, planned.stderr) == (0, "")


def test_what_somebody_has_changed_of_it_is_put_right(awsac: Awsac, made: Made) -> None:
    awsac.ok(*SETUP)
    group = made.group()
    assert group is not None
    s3, iam, ec2 = made.account.s3, made.iam, made.account.ec2
    s3.delete_public_access_block(Bucket=BUCKET)
    mine = {"ID": "mine", "Status": "Enabled", "Filter": {"Prefix": "x"}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [mine]})
    iam.put_role_policy(RoleName=ROLE, PolicyName=f"awsac-{BUCKET}", PolicyDocument=ANYTHING)
    iam.remove_role_from_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[ssh])

    would_be = states(awsac, "--dry-run")
    is_now = states(awsac)

    changed = {"public access", "uploads", "policy", "instance profile", "security group"}
    assert {kind for kind, state in would_be.items() if state == "differs"} == changed
    assert {kind for kind, state in is_now.items() if state == "mended"} == changed
    assert set(states(awsac).values()) == {"there"}
    assert len(s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]) == 2


SNAPSHOT, NAMING = "snap-0123456789abcdef0", {"Releases", "Snapshots"}  # what names releases in a policy


def test_a_later_setup_keeps_the_releases_unless_it_names_others(awsac: Awsac, made: Made) -> None:
    def readable() -> list[object]:
        document = made.iam.get_role_policy(RoleName=ROLE, PolicyName=f"awsac-{BUCKET}")["PolicyDocument"]
        return [each["Resource"] for each in document["Statement"] if each["Sid"] in NAMING]

    def policy_line(*more: str) -> str:
        return next(line for line in awsac.ok(*SETUP, *more).splitlines() if line.startswith("policy "))

    two = ("--release", "s3://software/atlas/*", "--release", "s3://software/r.tar.zst", "--release", SNAPSHOT)
    begin = f"policy awsac-{BUCKET} (as awsac policy agent prints it"
    assert policy_line(*two) == f"{begin}): made"
    first = readable()
    again = policy_line()
    statements = made.iam.get_role_policy(RoleName=ROLE, PolicyName=f"awsac-{BUCKET}")["PolicyDocument"]["Statement"]
    theirs = {"Version": "2012-10-17", "Statement": [each for each in statements if each["Sid"] in NAMING]}
    made.iam.put_role_policy(RoleName=ROLE, PolicyName=f"awsac-{BUCKET}", PolicyDocument=json.dumps(theirs))
    mended = policy_line()
    kept = readable()
    policy_line("--release", "s3://software/other.tar.zst")

    still = f"{begin}, still with the releases s3://software/atlas/*, s3://software/r.tar.zst, {SNAPSHOT})"
    assert (again, mended) == (f"{still}: is there", f"{still}: put right")
    in_s3 = ["arn:aws:s3:::software/atlas/*", "arn:aws:s3:::software/r.tar.zst"]
    assert first == kept == [in_s3, f"arn:aws:ec2:us-east-1:*:snapshot/{SNAPSHOT}"]
    assert readable() == ["arn:aws:s3:::software/other.tar.zst"]


def test_what_somebody_else_has_made_is_used_and_never_changed_or_removed(awsac: Awsac, made: Made) -> None:
    before = made.all()
    theirs = ("setup", "--bucket", "awsac-sessions")
    said = awsac.ok(*theirs)
    removed = awsac.ok(*theirs, "--remove", "--yes")

    assert "role awsac-agent (for EC2): is there\n" in said
    assert "public access awsac-sessions (blocked): is not so, and stays as it is: awsac setup has not made" in said
    assert "bucket awsac-sessions (awsac setup has not made it): kept\n" in removed
    assert "role awsac-agent (awsac setup has not made it): kept\n" in removed
    assert made.all() == before
    assert made.iam.list_role_policies(RoleName="awsac-agent")["PolicyNames"] == ["rights"]


def test_a_bucket_that_holds_something_is_never_removed_and_nothing_is_without_a_yes(awsac: Awsac, made: Made) -> None:
    awsac.ok(*SETUP)
    made.account.s3.put_object(Bucket=BUCKET, Key="thesis.tex", Body=b"x")
    refused = awsac(*SETUP, "--remove", answers="n\n")
    kept = made.all()
    removed = awsac(*SETUP, "--remove", answers="y\n")

    assert refused.returncode == removed.returncode == 0
    assert (
        f"remove security group awsac, policy awsac-{BUCKET}, instance profile {ROLE}, role {ROLE}? (y/n)"
        in refused.stderr
    )
    assert (BUCKET in kept[0], ROLE in kept[1], kept[3]) == (True, True, True)
    assert f"bucket {BUCKET} (it holds objects): kept\n" in removed.stdout
    assert (BUCKET in made.all()[0], ROLE in made.all()[1], ROLE in made.all()[2]) == (True, False, False)
    assert made.account.s3.get_object(Bucket=BUCKET, Key="thesis.tex")["Body"].read() == b"x"


def test_a_role_that_serves_another_bucket_too_stays_with_its_group_until_that_is_removed(
    awsac: Awsac, made: Made
) -> None:
    other = ("setup", "--bucket", "other-sessions", "--role", ROLE)
    awsac.ok(*SETUP)
    awsac.ok(*other)
    removed = awsac.ok(*SETUP, "--remove", "--yes")
    policies = made.iam.list_role_policies(RoleName=ROLE)["PolicyNames"]
    awsac.ok(*other, "--remove", "--yes")

    assert f"role {ROLE} (the role has other policies: awsac-other-sessions): kept\n" in removed
    assert policies == ["awsac-other-sessions"]


@pytest.mark.parametrize("has", ["profile", "group"])
def test_nothing_is_removed_while_an_instance_has_the_profile_or_the_group(awsac: Awsac, made: Made, has: str) -> None:
    group_id = json.loads(awsac.ok(*SETUP, "--json"))["ini"]["security_group_ids"]
    before = made.all()
    options = {"profile": {"IamInstanceProfile": {"Name": ROLE}}, "group": {"SecurityGroupIds": [group_id]}}[has]
    launch = {"ImageId": IMAGE, "InstanceType": "c1.medium", "MinCount": 1, "MaxCount": 1, **options}
    instance_id = made.account.ec2.run_instances(**launch)["Instances"][0]["InstanceId"]
    try:
        looked = awsac(*SETUP, "--remove", "--dry-run")
        refused = awsac(*SETUP, "--remove", "--yes")
        after = made.all(), made.iam.list_role_policies(RoleName=ROLE)["PolicyNames"]
    finally:
        made.account.ec2.terminate_instances(InstanceIds=[instance_id])
        made.account.ec2.get_waiter("instance_terminated").wait(
            InstanceIds=[instance_id], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    kept = [f"{line} (instances use it: {instance_id}): kept" for line in LEAVING]
    assert (looked.returncode, looked.stdout.splitlines()) == (0, kept)
    assert (refused.returncode, refused.stdout.splitlines()) == (3, kept)
    assert f"instances use it: {instance_id}; run awsac setup --remove again" in refused.stderr
    assert after == (before, [f"awsac-{BUCKET}"])


def test_what_follows_a_part_that_cannot_be_removed_is_kept_with_it(awsac: Awsac, made: Made) -> None:
    awsac.ok(*SETUP)
    made.iam.create_instance_profile(InstanceProfileName="theirs")
    made.iam.add_role_to_instance_profile(InstanceProfileName="theirs", RoleName=ROLE)
    refused = awsac(*SETUP, "--remove", "--yes")
    left = made.all()
    made.iam.remove_role_from_instance_profile(InstanceProfileName="theirs", RoleName=ROLE)
    made.iam.delete_instance_profile(InstanceProfileName="theirs")

    assert refused.returncode == 3
    assert f"bucket {BUCKET} (as is the role {ROLE}): kept\n" in refused.stdout
    assert (BUCKET in left[0], ROLE in left[1], ROLE in left[2]) == (True, True, False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--bucket", "no bucket"), "--bucket: found 'no bucket', expected the name of an S3 bucket"),
        (("--bucket", BUCKET, "--vpc", "mine"), "--vpc: found 'mine', expected a VPC ID like vpc-0123abcd"),
        (("--bucket", BUCKET, "--yes"), "--yes answers the question of --remove"),
        (("--bucket", "awsac-sessions", "--region", "eu-west-1"), "the bucket awsac-sessions is in us-east-1"),
    ],
)
def test_bad_input_is_one_sentence(awsac: Awsac, options: tuple[str, ...], says: str) -> None:
    done = awsac("setup", *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert says in done.stderr
