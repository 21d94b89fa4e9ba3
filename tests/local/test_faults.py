"""The embedded cloud misbehaves as a file says: what the file may say, which calls it befalls, and what they see."""

import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from awsac_async.local import cloud
from awsac_async.local.faults.calls import Call, Caller
from awsac_async.local.faults.engine import Engine
from awsac_async.local.faults.file import FaultsError, read_plan
from awsac_async.local.faults.operations import s3_operation

from .account import IMAGE, Account

BUCKET = "awsac-sessions"

FAULT = '[[fault]]\nservice = "s3"\n'
EVENT = '[[event]]\nkind = "lost"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("fault =", "it is not TOML that can be read"),
        ("faults = 1", "the file: faults: there is no such key, only event, fault, latency, seed"),
        ("seed = -1", "the file: seed: -1 is not a whole number from 0"),
        ("fault = 1", "fault: it is written as tables, [[fault]]"),
        ("latency = 1", "latency: it is written as a table, [latency]"),
        ("[latency]\ns3 = true", "latency: s3: True is not a number of seconds"),
        ("[[fault]]\nkind = 'drop'", "fault 1: service: it is missing"),
        (FAULT, "fault 1: kind: it is missing"),
        (FAULT + "kind = 'drop'\n" + FAULT + "kind = 'fire'", "fault 2: kind: 'fire' is not one of error, throttle, "),
        ("[[fault]]\nservice = 's4'\nkind = 'drop'", "fault 1: service: 's4' is not one of ec2, s3, sdb, iam, sts, "),
        (FAULT + "kind = 'drop'\nprobability = 1.5", "fault 1: probability: 1.5 is not a number from 0 to 1"),
        (FAULT + "kind = 'drop'\ncount = 0", "fault 1: count: 0 is not a whole number from 1"),
        (FAULT + "kind = 'drop'\nfor = inf", "fault 1: for: inf is not a number of seconds"),
        (FAULT + "kind = 'drop'\nresource = []", "fault 1: resource: [] is not a text or a list of texts"),
        (FAULT + "kind = 'drop'\nseconds = 1", "fault 1: seconds: a fault of the kind drop has none"),
        (FAULT + "kind = 'delay'", "fault 1: seconds: it is missing"),
        (FAULT + "kind = 'error'\nstatus = 503", "fault 1: code: it is missing"),
        (FAULT + "kind = 'stale'\nseconds = 1", "fault 1: kind: stale is for ec2, not for s3"),
        (FAULT + "kind = 'drop'\noperation = 'PutObjct'", "fault 1: operation: s3 has no operation 'PutObjct'"),
        (
            "[[fault]]\nservice = 'ec2'\nkind = 'room'\nroom = 1",
            "fault 1: operation: room is for RunInstances, not for *",
        ),
        (FAULT + "kind = 'drop'\nroom = 1", "fault 1: room: a fault of the kind drop has none"),
        (EVENT, "event 1: it needs one of after, on and console, and has none"),
        (EVENT + "after = 1\nconsole = 'x'", "event 1: it needs one of after, on and console, and has after and con"),
        (EVENT + "after = 1\nnth = 2", "event 1: nth: it belongs to on, which is not there"),
        (EVENT + "on = 'Fly'", "event 1: on: no service has an operation 'Fly'"),
        (EVENT + "on = 'Select'\norder = 'never'", "event 1: order: 'never' is not one of before, after"),
    ],
)
def test_a_file_that_does_not_say_what_to_do_is_refused_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(FaultsError) as refused:
        read_plan(text)
    assert str(refused.value).startswith(sentence)


def test_the_latency_of_a_service_goes_before_that_of_all() -> None:
    latency = read_plan("[latency]\nseconds = 0.04\nsdb = 0.2").latency
    assert (latency["ec2"], latency["metadata"], latency["sdb"]) == (0.04, 0.04, 0.2)


INSTANCE = Caller(instance_id="i-1", launch_index=1, names=("i-1", "my-session"))
PUT = Call(service="s3", operation="PutObject", names=("bucket/my-session/result",), caller=INSTANCE)


def happens(text: str, calls: list[tuple[float, Call]]) -> list[bool]:
    """Ask at these times about these calls, and say to which something happens."""
    now = 0.0
    engine = Engine(plan=read_plan(f'[[fault]]\nservice = "s3"\nkind = "drop"\n{text}'), clock=lambda: now)
    answers = []
    for now, call in calls:  # noqa: B007  the clock reads it
        answers.append(engine.befalling(call).fault is not None)
    assert engine.happened() == [sum(answers)]
    return answers


@pytest.mark.parametrize(
    ("text", "concerned"),
    [
        ("", True),
        ("operation = 'Put*'", True),
        ("operation = 'GetObject'", False),
        ("resource = 'my-session/res'", True),
        ("resource = '*/result'", True),
        ("resource = ['my-session', 'result']", True),
        ("resource = ['my-session', 'log']", False),
        ("resource = 'i-1'", True),
        ("resource = 'i-2'", False),
        ("instance = 1", True),
        ("instance = 0", False),
    ],
)
def test_a_fault_concerns_calls_by_operation_by_what_they_name_and_by_who_makes_them(
    text: str, concerned: bool
) -> None:
    assert happens(text, [(0, PUT)]) == [concerned]
    assert happens(text, [(0, replace(PUT, service="sdb"))]) == [False]


def test_a_fault_happens_after_some_calls_so_often_and_for_so_long() -> None:
    times = [(float(second), PUT) for second in range(6)]
    assert happens("after = 2", times) == [False, False, True, True, True, True]
    assert happens("after = 1\ncount = 2", times) == [False, True, True, False, False, False]
    assert happens("after = 1\nfor = 2", times) == [False, True, True, False, False, False]


def test_chance_is_the_same_in_every_run_of_a_file_and_another_with_another_seed() -> None:
    calls = [(0.0, PUT)] * 1000
    first = happens("probability = 0.3", calls)
    assert first == happens("probability = 0.3", calls)
    assert 200 < sum(first) < 400
    engine = Engine(plan=read_plan('seed = 7\n[[fault]]\nservice = "s3"\nkind = "drop"\nprobability = 0.3'))
    assert [engine.befalling(PUT).fault is not None for _ in range(1000)] != first


def test_delays_add_up_before_the_first_other_fault() -> None:
    slow = f'{FAULT}kind = "delay"\nseconds = 2\n'
    befallen = Engine(plan=read_plan(f'[latency]\ns3 = 0.5\n{slow}{slow}{FAULT}kind = "half"\n{slow}')).befalling(PUT)
    assert befallen.seconds == 4.5
    assert befallen.fault is not None
    assert befallen.fault.kind == "half"


@pytest.mark.parametrize(
    ("request_line", "headers", "operation"),
    [
        ("GET 0", "", "ListBuckets"),
        ("GET 1", "", "ListObjects"),
        ("GET 1 list-type=2", "", "ListObjectsV2"),
        ("GET 1 uploads=", "", "ListMultipartUploads"),
        ("POST 1 delete=", "", "DeleteObjects"),
        ("GET 2", "", "GetObject"),
        ("GET 2 uploadId=u", "", "ListParts"),
        ("HEAD 2", "", "HeadObject"),
        ("PUT 2 x-id=PutObject", "", "PutObject"),
        ("PUT 2", "x-amz-copy-source", "CopyObject"),
        ("PUT 2 partNumber=1 uploadId=u", "", "UploadPart"),
        ("PUT 2 partNumber=1 uploadId=u", "x-amz-copy-source", "UploadPartCopy"),
        ("POST 2 uploads=", "", "CreateMultipartUpload"),
        ("POST 2 uploadId=u", "", "CompleteMultipartUpload"),
        ("DELETE 2 uploadId=u", "", "AbortMultipartUpload"),
        ("PATCH 2", "", ""),
    ],
)
def test_s3_requests_are_known_by_their_api_names(request_line: str, headers: str, operation: str) -> None:
    method, depth, *query = request_line.split()
    parameters = dict(word.split("=") for word in query)
    assert s3_operation(method=method, depth=int(depth), query=parameters, headers=set(headers.split())) == operation


# --- on a cloud ---


@pytest.fixture
def account(any_account: Account) -> Iterator[Account]:
    """Give an account in which nothing goes wrong any more afterwards."""
    yield any_account
    cloud.set_faults(any_account.cloud.directory, "")


def misbehave(account: Account, text: str) -> None:
    cloud.set_faults(account.cloud.directory, text)


def happened(account: Account) -> list[int]:
    return [fault["happened"] for fault in cloud.faults(account.cloud.directory)["faults"]]


def impatient(account: Account, service: str, keys: dict[str, str] | None = None) -> Any:
    """Return a client that asks once, with these keys or the user's."""
    environment = account.cloud.environment
    return boto3.client(
        service,
        endpoint_url=account.cloud.endpoint,
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}),
        **keys
        or {
            "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
        },
    )


def refusal(call: Callable[[], Any]) -> tuple[str, int]:
    """Return the code and the status with which a call is refused."""
    with pytest.raises(ClientError) as raised:
        call()
    answer = raised.value.response
    return str(answer["Error"]["Code"]), int(answer["ResponseMetadata"]["HTTPStatusCode"])


def test_every_service_refuses_in_its_own_words(account: Account) -> None:
    throttles = "".join(
        f'[[fault]]\nservice = "{service}"\noperation = "{operation}"\nkind = "throttle"\n'
        for service, operation in (
            ("s3", "GetObject"),
            ("s3", "HeadObject"),
            ("ec2", "DescribeImages"),
            ("sdb", "ListDomains"),
            ("iam", "ListRoles"),
            ("sts", "*"),
        )
    )
    capacity = 'code = "InsufficientVolumeCapacity"\nstatus = 500\nmessage = "There is no room & no <space>"\n'
    misbehave(account, f'{throttles}[[fault]]\nservice="ec2"\noperation = "CreateVolume"\nkind = "error"\n{capacity}')
    s3, ec2, sdb, iam, sts = (impatient(account, name) for name in ("s3", "ec2", "sdb", "iam", "sts"))

    assert refusal(lambda: s3.get_object(Bucket=BUCKET, Key="a b/c&d")) == ("SlowDown", 503)
    assert refusal(lambda: s3.head_object(Bucket=BUCKET, Key="x")) == ("503", 503)
    assert refusal(ec2.describe_images) == ("RequestLimitExceeded", 503)
    assert refusal(sdb.list_domains) == ("ServiceUnavailable", 503)
    assert refusal(iam.list_roles) == ("Throttling", 400)
    assert refusal(sts.get_caller_identity) == ("Throttling", 400)
    with pytest.raises(ClientError, match="There is no room & no <space>"):
        ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)
    assert ec2.describe_volumes()["Volumes"] == []
    assert happened(account) == [1] * 7


def test_there_is_room_for_so_many_instances_only_at_the_place_that_a_call_names(account: Account) -> None:
    first, second, *_ = (each["SubnetId"] for each in impatient(account, "ec2").describe_subnets()["Subnets"])
    room = '[[fault]]\nservice = "ec2"\noperation = "RunInstances"\nkind = "room"\nroom = 1\n'
    misbehave(account, f'{room}resource = ["c1.medium", "{first}"]\n')
    ec2 = impatient(account, "ec2")

    def run(subnet_id: str, least: int, most: int, name: str = "c1.medium", **options: Any) -> list[str]:
        answer = ec2.run_instances(
            ImageId=IMAGE, InstanceType=name, SubnetId=subnet_id, MinCount=least, MaxCount=most, **options
        )
        return [each["InstanceId"] for each in answer["Instances"]]

    assert refusal(lambda: run(first, 2, 3)) == ("InsufficientInstanceCapacity", 400)
    assert refusal(lambda: run(first, 2, 3, DryRun=True))[0] == "DryRunOperation"
    few = run(first, 1, 3, ClientToken="few")
    launched = [few, run(second, 2, 2), run(first, 2, 2, "m1.small")]
    assert [len(each) for each in launched] == [1, 2, 2]
    misbehave(account, "")
    assert run(first, 1, 3, ClientToken="few") == few
    ec2.terminate_instances(InstanceIds=[instance_id for each in launched for instance_id in each])


def test_a_connection_is_cut_before_in_the_middle_of_and_after_a_call(account: Account) -> None:
    s3 = impatient(account, "s3")
    whole = b"0123456789" * 20000
    s3.put_object(Bucket=BUCKET, Key="faults/read", Body=whole)
    misbehave(
        account,
        """
        [[fault]]
        service = "s3"
        resource = "faults/dropped"
        kind = "drop"
        [[fault]]
        service = "s3"
        resource = "faults/unanswered"
        operation = "PutObject"
        kind = "lost-answer"
        [[fault]]
        service = "s3"
        resource = "faults/written"
        operation = "PutObject"
        kind = "half"
        [[fault]]
        service = "s3"
        operation = "GetObject"
        resource = "faults/read"
        kind = "half"
        count = 1
        """,
    )
    for name in ("dropped", "unanswered", "written"):
        with pytest.raises(BotoCoreError):
            s3.put_object(Bucket=BUCKET, Key=f"faults/{name}", Body=io.BytesIO(whole))
    body = s3.get_object(Bucket=BUCKET, Key="faults/read")["Body"]
    with pytest.raises(BotoCoreError):
        body.read()

    assert s3.get_object(Bucket=BUCKET, Key="faults/read")["Body"].read() == whole
    assert s3.get_object(Bucket=BUCKET, Key="faults/unanswered")["Body"].read() == whole
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix="faults/")["Contents"]
    assert [one["Key"] for one in found] == ["faults/read", "faults/unanswered"]
    assert happened(account) == [1, 1, 1, 1]
    for one in found:
        s3.delete_object(Bucket=BUCKET, Key=one["Key"])


def test_what_ec2_has_made_is_not_known_at_first_and_a_state_may_not_change(account: Account) -> None:
    ec2 = impatient(account, "ec2")
    old = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    instance_id = account.launch("sleep 60")
    account.volume_reached(old, "available")
    account.reached(instance_id, "running")
    misbehave(
        account,
        """
        [[fault]]
        service = "ec2"
        operation = "AttachVolume"
        kind = "stuck"
        [[fault]]
        service = "ec2"
        operation = "Describe*"
        kind = "stale"
        seconds = 3600
        """,
    )
    assert refusal(lambda: ec2.describe_volumes(VolumeIds=[old])) == ("InvalidVolume.NotFound", 400)
    assert refusal(lambda: ec2.describe_instances(InstanceIds=[instance_id])) == ("InvalidInstanceID.NotFound", 400)
    assert ec2.describe_volumes()["Volumes"] == []
    assert ec2.describe_instances()["Reservations"] == []
    of_instance = [{"Name": "attachment.instance-id", "Values": [instance_id]}]
    assert ec2.describe_volumes(Filters=of_instance)["Volumes"] == []
    ec2.attach_volume(VolumeId=old, InstanceId=instance_id, Device="/dev/sdf")
    misbehave(account, "")
    (attachment,) = account.volume(old)["Attachments"]
    assert attachment["State"] == "attaching"
    assert [one["InstanceId"] for one in account.ec2.describe_instances()["Reservations"][-1]["Instances"]] == [
        instance_id
    ]
    account.ec2.detach_volume(VolumeId=old)
    account.volume_reached(old, "available")
    account.ec2.delete_volume(VolumeId=old)
    account.terminate(instance_id)


def test_an_instance_is_given_new_credentials_when_the_old_ones_are_refused(account: Account) -> None:
    instance_id = account.launch(
        "echo metadata $AWS_EC2_METADATA_SERVICE_ENDPOINT ready; sleep 60",
        IamInstanceProfile={"Name": "awsac-agent"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "any", "Value": "session-1"}]}],
    )
    endpoint = account.printed(instance_id, "ready").split()[1]
    path = endpoint + "latest/meta-data/iam/security-credentials/awsac-agent"

    def given() -> dict[str, str]:
        with urllib.request.urlopen(path) as answer:  # noqa: S310 (loopback)
            found = json.load(answer)
        return {
            "aws_access_key_id": found["AccessKeyId"],
            "aws_secret_access_key": found["SecretAccessKey"],
            "aws_session_token": found["Token"],
        }

    first = given()
    misbehave(
        account,
        """
        [[fault]]
        service = "s3"
        resource = "session-1"
        instance = 0
        kind = "expired"
        [[fault]]
        service = "metadata"
        resource = "session-1"
        operation = "meta-data/instance-id"
        kind = "throttle"
        """,
    )
    impatient(account, "s3").list_buckets()
    assert refusal(impatient(account, "s3", first).list_buckets) == ("ExpiredToken", 400)
    assert refusal(impatient(account, "ec2", first).describe_volumes) == ("RequestExpired", 400)
    assert refusal(impatient(account, "sdb", first).list_domains) == ("ExpiredToken", 403)
    assert given() != first
    impatient(account, "s3", given()).list_buckets()
    with pytest.raises(urllib.error.HTTPError, match="503") as refused:
        urllib.request.urlopen(endpoint + "latest/meta-data/instance-id")  # noqa: S310 (loopback)
    refused.value.close()
    assert happened(account) == [1, 1]
    account.terminate(instance_id)


def test_events_strike_the_instances_that_they_name_once(account: Account) -> None:
    misbehave(
        account,
        """
        [[event]]
        kind = "lost"
        console = "I am here"
        resource = "doomed"
        [[event]]
        kind = "agent-killed"
        after = 0
        resource = "headless"
        """,
    )

    def launched(name: str) -> str:
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "any", "Value": name}]}]
        return account.launch("(sleep 1; echo I am left) & echo I am here; sleep 60", TagSpecifications=tags)

    doomed, headless, spared = (launched(name) for name in ("doomed", "headless", "spared"))
    account.reached(doomed, "terminated")
    assert account.instance(doomed)["StateReason"]["Code"] == "Server.InternalError"
    assert "the boot script ended with status -9" in account.printed(headless, "ended with")
    account.printed(spared, "I am left")
    assert account.instance(headless)["State"]["Name"] == account.instance(spared)["State"]["Name"] == "running"
    struck = [event["instances"] for event in cloud.faults(account.cloud.directory)["events"]]
    assert struck == [[doomed], [headless]]
    account.terminate(headless, spared)
