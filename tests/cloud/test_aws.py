"""The way to AWS: where region, endpoint and credentials come from, and what its errors are called."""

import asyncio
import json
import socket
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from awsac_async.cloud.aws import connect, translated
from awsac_async.cloud.bucket import Bucket, Upload
from awsac_async.cloud.instances import Instances
from awsac_async.cloud.status import status_store
from awsac_async.session import errors
from awsac_async.session.model import Access
from tests.cloud.faults import query_error


@pytest.fixture
def nobody() -> str:
    """An address at which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_client_is_made_once_however_many_ask_for_it_at_once(aws):
    clients = await asyncio.gather(*(aws.client(service) for service in ["s3", "ec2"] * 5))
    assert len({id(client) for client in clients}) == 2


async def test_requests_say_that_they_come_from_awsac(proxied, proxy):
    await (await proxied.client("ec2")).describe_regions()
    await Bucket(proxied, "awsac-sessions").check()
    assert ["awsac/" in asked.headers["user-agent"] for asked in proxy.asked] == [True, True]


async def test_the_endpoint_of_one_service_wins_over_that_of_all(monkeypatch, proxy, nobody):
    monkeypatch.setenv("AWS_ENDPOINT_URL", nobody)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
    async with connect() as aws:
        bucket = Bucket(aws, "awsac-sessions")
        await bucket.check()
        await bucket.upload([Upload(source=b"content", key="endpoint-test")])
        await bucket.delete(["endpoint-test"])
    assert [asked.method for asked in proxy.asked] == ["HEAD", "PUT", "POST"]


async def test_an_endpoint_with_a_host_name_is_not_asked_for_a_bucket_by_name_of_host(proxy):
    by_name = proxy.endpoint.replace("127.0.0.1", "localhost")
    async with connect(endpoint_url=by_name) as aws:
        bucket = Bucket(aws, "awsac-sessions")
        await bucket.upload([Upload(source=b"content", key="name-test")])
        await bucket.delete(["name-test"])
    assert [asked.path for asked in proxy.asked] == ["/awsac-sessions/name-test", "/awsac-sessions?delete"]
    assert {asked.headers["host"] for asked in proxy.asked} == {by_name.removeprefix("http://")}


async def test_region_credentials_and_endpoint_can_come_from_a_profile(monkeypatch, tmp_path: Path, proxy, embedded):
    place = {"Bucket": "profile-test", "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    embedded.client("s3").create_bucket(**place)
    given = embedded.temporary()
    (tmp_path / "config").write_text(
        f"[profile mine]\nregion = eu-west-1\nendpoint_url = {proxy.endpoint}\n"
        f"credential_process = {sys.executable} {tmp_path}/process.py\n"
    )
    (tmp_path / "process.py").write_text(f"print({json.dumps({'Version': 1, **given})!r})")
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    async with connect() as aws:
        bucket = Bucket(aws, "profile-test")
        await bucket.upload([Upload(source=b"content", key="profile-test")])  # the other library
        await bucket.delete(["profile-test"])
        assert aws.region == "eu-west-1"
    embedded.client("s3").delete_bucket(Bucket="profile-test")
    assert len(proxy.asked) == 2
    assert all(f"{given['AccessKeyId']}/" in asked.headers["authorization"] for asked in proxy.asked)
    assert {asked.headers["x-amz-security-token"] for asked in proxy.asked} == {given["Token"]}
    assert all("/eu-west-1/s3/" in asked.headers["authorization"] for asked in proxy.asked)


async def test_what_the_tools_are_set_to_goes_before_what_a_session_says_but_not_on_an_instance(monkeypatch, nobody):
    says = Access(endpoint_url="http://127.0.0.1:9", endpoint_url_s3="http://127.0.0.1:10")
    monkeypatch.setenv("AWS_ENDPOINT_URL", nobody)
    async with connect(access=says) as client, connect(access=says, instance_role_only=True) as agent:
        assert [client.endpoint_of(service) for service in ("ec2", "s3")] == [nobody, nobody]
        assert [agent.endpoint_of(service) for service in ("ec2", "s3")] == [
            "http://127.0.0.1:9",
            "http://127.0.0.1:10",
        ]
        assert client.access_in_use == Access(endpoint_url=nobody)
        assert agent.access_in_use == Access(
            endpoint_url_ec2="http://127.0.0.1:9",
            endpoint_url_s3="http://127.0.0.1:10",
            endpoint_url_sdb="http://127.0.0.1:9",
        )


async def test_checksums_are_sent_by_both_libraries_where_a_session_asks_for_them(proxy):
    sums = {}
    for calculation in ("when_required", "when_supported"):
        proxy.reset()
        access = Access(endpoint_url=proxy.endpoint, request_checksum_calculation=calculation)
        async with connect(access=access) as aws:
            await Bucket(aws, "awsac-sessions").put("checksum-test", b"content")
            await Bucket(aws, "awsac-sessions").upload([Upload(source=b"content", key="checksum-test")])
        sums[calculation] = [sum(name.startswith("x-amz-checksum-") for name in asked.headers) for asked in proxy.asked]
    assert sums == {"when_required": [0, 0], "when_supported": [1, 1]}


async def test_a_region_that_nobody_set_is_asked_for(monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(errors.InputError, match=r"no AWS region is set: .* in AWS_DEFAULT_REGION.*--local"):
        async with connect():
            pass


async def test_a_profile_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nosuch")
    with pytest.raises(errors.InputError, match="nosuch"):
        async with connect():
            pass


async def test_an_endpoint_that_is_no_address_is_named():
    async with connect(endpoint_url="nonsense") as aws:
        with pytest.raises(errors.InputError, match="nonsense"):
            await aws.client("s3")


async def test_missing_credentials_are_said_in_one_sentence_by_both_libraries(monkeypatch, endpoint):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with connect(endpoint_url=endpoint) as aws:
        bucket = Bucket(aws, "awsac-sessions")
        with pytest.raises(errors.CredentialsError, match="no AWS credentials were found"):
            await bucket.check()
        with pytest.raises(errors.CredentialsError, match="no AWS credentials were found"):
            await bucket.upload([Upload(source=b"", key="x")])


async def test_an_address_where_nobody_listens_is_said_in_one_sentence_by_both_libraries(monkeypatch, nobody, endpoint):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    async with connect(endpoint_url=nobody) as aws:
        with pytest.raises(errors.EndpointError, match=nobody):
            await Instances(aws).of_session("s")
        with pytest.raises(errors.EndpointError, match=f"PutObject s3://b-b-b/x failed: could not connect to {nobody}"):
            await Bucket(aws, "b-b-b").upload([Upload(source=b"", key="x")])


async def test_a_region_without_simpledb_is_said_before_anything_is_sent():
    async with connect(region="eu-central-1") as aws:
        with pytest.raises(errors.InputError, match=r"no SimpleDB in eu-central-1.*us-east-1"):
            await status_store(aws, "s").exists()


async def test_each_code_of_ec2_is_the_error_that_it_means(proxied, proxy):
    expected = [
        ("InvalidInstanceID.NotFound", 400, errors.NotFoundError, False),
        ("InvalidVolume.NotFound", 400, errors.NotFoundError, False),
        ("InvalidAMIID.Malformed", 400, errors.NotFoundError, False),
        ("InvalidSnapshot.NotFound", 400, errors.NotFoundError, False),
        ("UnauthorizedOperation", 403, errors.DeniedError, False),
        ("OptInRequired", 401, errors.DeniedError, False),
        ("AuthFailure", 401, errors.CredentialsError, False),
        ("ExpiredToken", 400, errors.CredentialsError, False),
        ("InsufficientInstanceCapacity", 400, errors.CapacityError, False),
        ("VcpuLimitExceeded", 400, errors.CapacityError, False),
        ("IdempotentParameterMismatch", 400, errors.ConflictError, False),
        ("IncorrectState", 400, errors.ConflictError, False),
        ("RequestLimitExceeded", 503, errors.ThrottledError, True),
        ("InternalError", 500, errors.UnavailableError, True),
        ("SomethingNew", 502, errors.UnavailableError, True),
        ("SomethingNew", 400, errors.CloudError, False),
    ]
    actual = []
    for code, status, _, _ in expected:
        proxy.reset()
        proxy.fail(lambda asked: asked.action == "DescribeInstances", query_error(status, code, "the service's reason"))
        with pytest.raises(errors.CloudError) as raised:
            await Instances(proxied).of_session("s")
        assert str(raised.value) == f"DescribeInstances s failed: the service's reason ({code})"
        actual.append((raised.value.code, status, type(raised.value), raised.value.temporary))
    assert actual == expected


def test_a_long_encoded_message_of_ec2_is_not_shown():
    response = {
        "Error": {
            "Code": "UnauthorizedOperation",
            "Message": "You may not. Encoded authorization failure message: Zm9v",
        }
    }
    with pytest.raises(errors.DeniedError) as raised, translated("RunInstances", "ami-1"):
        raise ClientError(response, "RunInstances")
    assert str(raised.value) == "RunInstances ami-1 failed: You may not. (UnauthorizedOperation)"


def test_an_error_of_our_own_making_is_not_taken_for_one_of_the_cloud(tmp_path):
    with pytest.raises(FileNotFoundError), translated("PutObject", "x"):
        (tmp_path / "missing").read_bytes()


async def test_a_number_of_attempts_that_is_none_is_bad_input(monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "many")
    with pytest.raises(errors.InputError, match="AWS_MAX_ATTEMPTS"):
        async with connect():
            raise AssertionError("connected")
