"""A session and all that is done about it, by people and instances who may do what `awsac policy` prints, and no more.

What each of them asked for is known afterwards: an action that nobody asked for would be in its policy for nothing,
and the call that asked for one would have been refused without it.
"""

import dataclasses
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from awsac_async.cli.local import enforcing
from awsac_async.local import cloud
from awsac_async.local.settings import ROLE, USER, Settings
from awsac_async.session.policies import TRUST, Holder, Scope, compact, policy
from tests.cli.conftest import BUCKET, Account, Awsac, environment_for, write_ini, write_jobs
from tests.conftest import Embedded, embedded_cloud
from tests.waiting import wait_until

STATEMENTS = [
    (holder, statement["Sid"], action)
    for holder in Holder
    for statement in policy(holder, Scope(releases=("b/*",)))["Statement"]
    for action in statement["Action"]
]
NAMES = {Holder.CLIENT: USER, Holder.AGENT: ROLE}
# Both wait to be killed, and job 2 leaves nothing when it is run again.
JOB = """
[ "$AWSAC_ATTEMPT" = 1 ] || exit 0
mkdir results && cat "$ATLASDir/version" >results/version
echo "job $AWSAC_JOB"
exec sleep 1000
"""
# An answer that somebody mends: the agent then looks for parts that it may have left.
MENDED = """
[[fault]]
service = "s3"
operation = "PutObject"
resource = "*/results_job_1.tar.bz2"
kind = "error"
code = "AccessDenied"
status = 403
count = 1
"""
OF_2008, WITHOUT_ROLE, LEFT = (f"081215_1646--{word}--1816" for word in ("old", "norole", "left"))


@dataclass(frozen=True, kw_only=True)
class Enforced:
    """A cloud with policies, after a session; ``access`` is what was asked for meanwhile."""

    cloud: Embedded
    awsac: Awsac
    account: Account  # of who may do everything
    session_id: str
    access: list[dict[str, Any]]
    said: dict[str, str]

    def asked(self, holder: Holder, *, allowed: bool) -> set[tuple[str, str]]:
        """Return what somebody has asked for, as the ID of the statement that allows it and the action."""
        theirs = [each for each in self.access if (each["who"], each["allowed"]) == (NAMES[holder], allowed)]
        return {(each["statement"], each["action"]) for each in theirs}


@pytest.fixture(scope="module")
def enforced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enforced]:
    with (
        tempfile.TemporaryDirectory(prefix="awsac-test-") as parent,
        embedded_cloud(Path(parent) / "cloud", Settings(**enforcing(), instance_delay=0.1)) as running,
    ):
        awsac = Awsac(folder=tmp_path_factory.mktemp("workstation"), environment=environment_for(running))
        may_all = cloud.environment(running.directory, administrator=True)
        account = Account(dataclasses.replace(running, environment=may_all))
        session_id, said = whole_session(running, awsac, account)
        access = cloud.access(running.directory)
        yield Enforced(cloud=running, awsac=awsac, account=account, session_id=session_id, access=access, said=said)
        awsac.end()
        for client in (account.ec2, account.s3, account.sdb):
            client.close()


def whole_session(running: Embedded, awsac: Awsac, account: Account) -> tuple[str, dict[str, str]]:
    """Go through all that may happen to a session; return its ID, and what the verbs have printed."""
    release = awsac.folder / "release"
    release.mkdir()
    (release / "version").write_text("1\n")
    tags = {"awsac:release": "a release"}
    snapshot_id = cloud.import_snapshot(running.directory, release, description="a release", tags=tags)
    with tarfile.open(awsac.folder / "r.tar.gz", "w:gz") as packed:
        packed.add(release / "version", "version")
    account.s3.upload_file(str(awsac.folder / "r.tar.gz"), BUCKET, "releases/r.tar.gz")
    build = begin_to_build(awsac)
    definitions = f"{snapshot_id};job.sh;1\ns3://{BUCKET}/releases/r.tar.gz;job.sh;1\n"
    write_jobs(awsac.folder, definitions, job=JOB)
    said = {"plan": awsac.ok("plan", "-i", write_ini(awsac.folder, more="market = spot\n"), "-a", "jobs")}
    said["start"] = awsac.ok("start", "--yes", "-i", write_ini(awsac.folder), "-a", "jobs")
    (file,) = awsac.folder.glob("session-*.cfg")
    session_id = file.stem.removeprefix("session-")
    start_of_2008(account)
    leave_behind(account)
    share = begin_to_share(awsac)
    wait_until(lambda: {job["status"] for job in account.items(session_id).values()} == {"running"})
    check_defaults(account, session_id)
    said["console"] = awsac.ok("console", "0")
    account.sdb.delete_domain(DomainName=session_id)  # as if the client had made none
    begin_upload(account, f"{session_id}/results_job_1.tar.bz2")
    cloud.set_faults(running.directory, MENDED)
    awsac.ok("kill", "1-2")
    wait_until(lambda: over(account, session_id))
    built = build.communicate()[0].strip()
    share()
    said["share"] = awsac.ok("release", "share", built, "--with", "111122223333")
    said["delete"] = awsac.ok("release", "delete", built, "--yes")
    with limited_to(running, session_id):
        said["check"] = awsac("check").stdout
        awsac.ok("retry", "--yes", "--jobs", "2")
        wait_until(lambda: over(account, session_id))
        said["logs"] = awsac.ok("logs")
        said["getresults"] = awsac.ok("getresults")
    said["ls"] = awsac.ok("ls")
    said["gc"] = awsac.ok("gc", "--yes", "--older-than", "1s")
    begin_upload(account, f"{session_id}/of-nobody")
    said["cleanup"] = awsac.ok("cleanup", "--yes")
    wait_until(lambda: over(account, OF_2008))
    return session_id, said


def begin_to_build(awsac: Awsac) -> "subprocess.Popen[str]":
    """Begin to build a release, in a folder of its own."""
    folder = awsac.folder / "build"
    folder.mkdir()
    ini = write_ini(folder, more="encrypted = no\n")
    (folder / "install.sh").write_text('echo 1 >"$ATLASDir/version"\n')
    words = ("--script", folder / "install.sh", "--size", "1", "--name", "built-1", "-i", ini)
    within = dataclasses.replace(awsac, folder=folder)  # ends what it began with all the others
    return within.begin("release", "build", "--yes", *words)


def begin_to_share(awsac: Awsac) -> Callable[[], None]:
    """Start a session of one job that whoever is free claims, in a folder of its own; return what waits for its end."""
    folder = awsac.folder / "shared"
    folder.mkdir()
    within = dataclasses.replace(awsac, folder=folder)
    write_jobs(folder, "-;job.sh;1\n")
    within.ok("start", "--yes", "-i", write_ini(folder, n_jobs="1", more="schedule = shared\n"), "-a", "jobs")

    def end() -> None:
        within.ok("wait", "--timeout", "2m")
        within.ok("cleanup", "--yes")

    return end


def check_defaults(account: Account, session_id: str) -> None:
    """Look at what a session has if its session.ini says nothing of it."""
    volumes = account.ec2.describe_volumes(Filters=[{"Name": "tag:awsac:session", "Values": [session_id]}])["Volumes"]
    (instance,) = account.instances(session_id)
    assert [(each["Encrypted"], bool(each.get("SnapshotId"))) for each in volumes] == [(True, False), (True, True)]
    assert (instance["MetadataOptions"]["HttpTokens"], instance["MetadataOptions"]["HttpPutResponseHopLimit"]) == (
        "required",
        1,
    )
    assert "KeyName" not in instance


@contextmanager
def limited_to(running: Embedded, session_id: str) -> Iterator[None]:
    """Let client and agent have the policies for one session for a while."""
    scope = Scope(
        bucket=BUCKET,
        session_id=session_id,
        region="us-east-1",
        account="123456789012",
        releases=(f"{BUCKET}/releases/*",),
    )
    with iam_of(running) as iam:
        before = iam.get_role_policy(RoleName=ROLE, PolicyName="rights")["PolicyDocument"]
        iam.put_role_policy(RoleName=ROLE, PolicyName="rights", PolicyDocument=compact(policy(Holder.AGENT, scope)))
        with instead(iam, policy(Holder.CLIENT, scope)):
            yield
        iam.put_role_policy(RoleName=ROLE, PolicyName="rights", PolicyDocument=compact(before))


def over(account: Account, session_id: str) -> bool:
    return all(each["State"]["Name"] == "terminated" for each in account.instances(session_id))


def begin_upload(account: Account, key: str) -> None:
    account.s3.create_multipart_upload(Bucket=BUCKET, Key=key)


def launch(account: Account, session_id: str, user_data: str, **options: Any) -> None:
    account.ec2.run_instances(
        ImageId="ami-0a35ac00000000001",
        InstanceType="c1.medium",
        MinCount=1,
        MaxCount=1,
        UserData=user_data,
        InstanceInitiatedShutdownBehavior="terminate",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "awsac:session", "Value": session_id}]}],
        **options,
    )


def start_of_2008(account: Account) -> None:
    """Start an instance whose archive cannot be read and whose user data do not say how many jobs there are."""
    account.s3.put_object(Bucket=BUCKET, Key=f"{OF_2008}/jobs.tar.bz2", Body=b"no archive")
    launch(account, OF_2008, f"{OF_2008};{BUCKET};jobs.tar.bz2;2", IamInstanceProfile={"Name": ROLE})


def leave_behind(account: Account) -> None:
    """Leave a volume of a session that is gone, and an instance of one that never was: its agent can do nothing."""
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "awsac:session", "Value": LEFT}]}]
    account.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=tags)
    launch(account, WITHOUT_ROLE, f"{WITHOUT_ROLE};{BUCKET};jobs.tar.bz2;2;n_jobs=2")


def test_a_session_from_plan_to_cleanup_gets_along_with_the_policies(enforced: Enforced) -> None:
    said = enforced.said
    assert "0.013 USD" in said["plan"]
    assert "killed" in said["check"]
    assert "job 2 | job 2" in said["logs"]
    assert "account 111122223333 may use it" in said["share"]
    assert "deleted built-1" in said["delete"]
    assert "verified by SHA-256" in said["getresults"]
    assert enforced.session_id in said["ls"]
    assert WITHOUT_ROLE in said["gc"]
    assert LEFT in said["gc"]
    assert f"nothing is left of session {enforced.session_id}" in said["cleanup"]
    wait_until(lambda: over(enforced.account, WITHOUT_ROLE))


@pytest.mark.parametrize("holder", Holder)
def test_nobody_asks_for_what_the_policy_lacks(enforced: Enforced, holder: Holder) -> None:
    assert enforced.asked(holder, allowed=False) == set()


@pytest.mark.parametrize(("holder", "statement", "action"), STATEMENTS)
def test_without_this_action_in_this_statement_a_call_of_the_session_would_be_refused(
    enforced: Enforced, holder: Holder, statement: str, action: str
) -> None:
    assert (statement, action) in enforced.asked(holder, allowed=True)


@contextmanager
def without(running: Embedded, action: str) -> Iterator[None]:
    """Take an action out of the user's policy for a while."""
    document = json.loads(enforcing()["user_policy"])
    for statement in document["Statement"]:
        statement["Action"] = [each for each in statement["Action"] if each != action] or ["none:none"]
    with iam_of(running) as iam, instead(iam, document):
        yield


@contextmanager
def iam_of(running: Embedded) -> Iterator[Any]:
    keys = cloud.environment(running.directory, administrator=True)
    iam = boto3.client(
        "iam",
        endpoint_url=running.endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    )
    yield iam
    iam.close()


@contextmanager
def instead(iam: Any, document: dict[str, Any]) -> Iterator[None]:
    """Let the user have this policy instead of its own for a while."""
    (attached,) = iam.list_attached_user_policies(UserName=USER)["AttachedPolicies"]
    iam.put_user_policy(UserName=USER, PolicyName="instead", PolicyDocument=compact(document))
    iam.detach_user_policy(UserName=USER, PolicyArn=attached["PolicyArn"])
    try:
        yield
    finally:
        iam.attach_user_policy(UserName=USER, PolicyArn=attached["PolicyArn"])
        iam.delete_user_policy(UserName=USER, PolicyName="instead")


@pytest.mark.parametrize(
    ("action", "command", "says"),
    [
        ("ec2:RunInstances", ("plan", "-i", "session.ini", "-a", "jobs"), "RunInstances ami-0a35ac00000000001 failed"),
        ("s3:ListBucket", ("gc", "--bucket", BUCKET), f"HeadBucket {BUCKET} failed"),
        ("sdb:CreateDomain", ("start", "-i", "session.ini", "-a", "jobs"), "CreateDomain "),
    ],
)
def test_an_action_that_is_taken_out_of_the_policy_is_named_in_one_sentence(
    enforced: Enforced, action: str, command: tuple[str, ...], says: str
) -> None:
    with without(enforced.cloud, action):
        refused = enforced.awsac(*command, answers="n\n")
    again = enforced.awsac(*command, answers="n\n")

    assert refused.returncode == 3
    assert [says in line for line in refused.stderr.splitlines()] == [True]
    assert again.returncode == 0, again.stderr


def test_an_account_is_set_up_by_an_administrator_alone(enforced: Enforced) -> None:
    done = enforced.awsac("setup", "--bucket", BUCKET)
    may_all = cloud.environment(enforced.cloud.directory, administrator=True)
    planned = enforced.awsac("setup", "--bucket", BUCKET, "--dry-run", **may_all)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "s3:GetBucketPublicAccessBlock" in done.stderr
    assert "awsac policy client prints the rights" in done.stderr
    assert planned.returncode == 0


def rights_of_setup() -> set[str]:
    """Return the actions that the documentation names for an administrator."""
    page = (Path(__file__).parents[2] / "docs" / "permissions.md").read_text()
    section = page.partition("## An administrator")[2].partition("\n## ")[0]
    return set(re.findall(r"`((?:s3|iam|ec2):\w+)`", section))


def test_setup_gets_along_with_the_rights_that_are_documented_for_it_and_needs_each(enforced: Enforced) -> None:
    statement = {"Effect": "Allow", "Action": sorted(rights_of_setup()), "Resource": "*"}
    command = ("setup", "--bucket", "new-sessions", "--role", "new-agent")
    s3, ec2 = enforced.account.s3, enforced.account.ec2
    with iam_of(enforced.cloud) as iam:
        iam.create_user(UserName="setter")
        document = compact({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="setter", PolicyName="setup", PolicyDocument=document)
        key = iam.create_access_key(UserName="setter")["AccessKey"]
        setter = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        ini = json.loads(enforced.awsac.ok(*command, "--json", **setter))["ini"]
        open_door = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ec2.authorize_security_group_ingress(GroupId=ini["security_group_ids"], IpPermissions=[open_door])
        trust = json.dumps(TRUST).replace("ec2.amazonaws.com", "lambda.amazonaws.com")
        iam.update_assume_role_policy(RoleName="new-agent", PolicyDocument=trust)
        mended = json.loads(enforced.awsac.ok(*command, "--json", **setter))["parts"]
        enforced.awsac.ok(*command, "--remove", "--yes", **setter)

    asked = {each["action"] for each in cloud.access(enforced.cloud.directory) if each["who"] == "setter"}
    assert {part["kind"] for part in mended if part["state"] == "mended"} == {"role", "security group"}
    assert "new-sessions" not in {each["Name"] for each in s3.list_buckets()["Buckets"]}
    assert asked - {"sts:GetCallerIdentity"} == rights_of_setup()
