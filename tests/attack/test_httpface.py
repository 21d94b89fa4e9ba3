"""The embedded cloud answers what is signed and wrong with an error of its service, and its log stays small."""

import json
import socket
from pathlib import Path

import pytest

from awsac_async.local import cloud
from awsac_async.local.settings import BUCKET, CONTROL_PREFIX, SECRET_HEADER
from tests.attack import httpface
from tests.conftest import Embedded
from tests.local.signing import Ask, query, send, signed

SEED, REQUESTS = 20261201, 300


def test_no_signed_request_that_was_never_meant_is_a_fault_of_the_cloud() -> None:
    tally = httpface.run(seed=SEED, requests=REQUESTS)
    assert tally.findings == []
    assert tally.requests == REQUESTS
    assert tally.refused > REQUESTS // 4


LAUNCH = {"ImageId": "ami-0a35ac00000000001", "InstanceType": "c1.medium", "MinCount": "1", "MaxCount": "1"}
NAMED = {
    "max keys": (Ask(target=f"/{BUCKET}?list-type=2&max-keys=-1"), "InvalidArgument"),
    "more keys": (Ask(target=f"/{BUCKET}?list-type=2&max-keys={10**20}"), "InvalidArgument"),
    "some keys": (Ask(target=f"/{BUCKET}?max-keys=many"), "InvalidArgument"),
    "part": (Ask(method="PUT", target=f"/{BUCKET}/k?partNumber=10001&uploadId=x"), "InvalidArgument"),
    "upload": (Ask(method="PUT", target=f"/{BUCKET}/k?partNumber=1&uploadId=x"), "NoSuchUpload"),
    "parts": (Ask(target=f"/{BUCKET}/k?uploadId=x"), "NoSuchUpload"),
    "completion": (Ask(method="POST", target=f"/{BUCKET}/k?uploadId=x", body=b"<a/>"), "NoSuchUpload"),
    "deletion": (Ask(method="POST", target=f"/{BUCKET}?delete", body=b"<Delete><Object>"), "MalformedXML"),
    "no deletion": (Ask(method="POST", target=f"/{BUCKET}?delete", body=b"<Delete/>"), "MalformedXML"),
    "key": (Ask(method="PUT", target=f"/{BUCKET}/{'k' * 1025}"), "KeyTooLongError"),
    "no text": (Ask(target=f"/{BUCKET}?prefix=%FF"), "InvalidURI"),
    "method": (Ask(method="PATCH", target=f"/{BUCKET}/k"), "MethodNotAllowed"),
    "EC2 token": (query("ec2", "DescribeInstances", NextToken="x", MaxResults="5"), "InvalidNextToken"),
    "results": (query("ec2", "DescribeInstances", MaxResults="many"), "InvalidParameterValue"),
    "missing ID": (query("ec2", "GetConsoleOutput"), "MissingParameter"),
    "unknown ID": (query("ec2", "GetConsoleOutput", InstanceId="i-0123456789abcdef0"), "InvalidInstanceID.NotFound"),
    "user data": (query("ec2", "RunInstances", **LAUNCH, UserData="!"), "InvalidUserData.Malformed"),
    "instances": (query("ec2", "RunInstances", **LAUNCH | {"MaxCount": "1000000000"}), "RequestResourceCountExceeded"),
    "action": (query("ec2", "Nothing"), "InvalidAction"),
    "no action": (query("iam", ""), "InvalidAction"),
    "SimpleDB token": (query("sdb", "ListDomains", NextToken="x"), "InvalidNextToken"),
    "no JSON": (httpface.asking("pricing", "AWSPriceListService.GetProducts", b"{"), "SerializationException"),
    "no object": (httpface.asking("pricing", "AWSPriceListService.GetProducts", b"[1]"), "SerializationException"),
    "deep": (httpface.asking("pricing", "AWSPriceListService.GetProducts", b"[" * 100_000), "SerializationException"),
    "type": (httpface.asking("servicequotas", "ServiceQuotasV20190624.GetServiceQuota", b'{"QuotaCode": 5}'),
             "IllegalArgumentException"),
}  # fmt: skip


def test_no_header_names_another_operation_than_the_form_in_which_rights_are_looked_up(embedded: Embedded) -> None:
    ec2 = embedded.client("ec2")
    vpcs = len(ec2.describe_vpcs()["Vpcs"])
    form = {"Content-Type": "application/x-www-form-urlencoded", "X-Amz-Target": "AmazonEC2.CreateVpc"}
    for body in (b"Action=DescribeTags&Version=2016-11-15&X=\x8b", b"Version=2016-11-15&CidrBlock=10.0.0.0/16"):
        answer = send(signed(Ask(service="ec2", method="POST", headers=form, body=body), embedded), embedded)
        assert 400 <= answer.status < 500, answer
    assert len(ec2.describe_vpcs()["Vpcs"]) == vpcs


@pytest.mark.parametrize("time", ["1e999", "-1e999", "7" * 5000, "yesterday"])
def test_a_time_that_is_none_is_ignored_as_by_s3(embedded: Embedded, time: str) -> None:
    ask = Ask(target=f"/{BUCKET}?list-type=2", headers={"If-Modified-Since": time, "If-Unmodified-Since": time})
    assert send(signed(ask, embedded), embedded).status == 200


@pytest.mark.parametrize("body", [b"", b"<CompleteMultipartUpload/>"])
def test_an_upload_is_not_completed_without_the_list_of_its_parts(embedded: Embedded, body: bytes) -> None:
    s3 = embedded.client("s3")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="in-parts")["UploadId"]
    answer = send(
        signed(Ask(method="POST", target=f"/{BUCKET}/in-parts?uploadId={upload}", body=body), embedded), embedded
    )
    s3.abort_multipart_upload(Bucket=BUCKET, Key="in-parts", UploadId=upload)
    assert (answer.code, answer.status) == ("MalformedXML", 400), answer


@pytest.mark.parametrize("what", NAMED)
def test_what_is_wrong_is_named_as_by_aws(embedded: Embedded, what: str) -> None:
    ask, code = NAMED[what]
    answer = send(signed(ask, embedded), embedded)
    assert (answer.code, 400 <= answer.status < 500) == (code, True), answer


def raw(embedded: Embedded, text: bytes) -> bytes:
    """Send bytes, and return what comes back."""
    host, _, port = embedded.endpoint.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_what_is_no_request_is_refused_and_leaves_no_trace(embedded: Embedded) -> None:
    def written() -> int:
        return sum(log.stat().st_size for log in embedded.directory.glob("log*"))

    host = embedded.endpoint.removeprefix("http://").encode()
    before = written()
    lengths = [b"-1", b"abc", b"1e3", "\u00b2".encode(), b"9" * 30, b"1" * 19, b"+1", b"0x10", b"1, 1"]
    wrong = [b"POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %s\r\n\r\nx" % (host, each) for each in lengths]
    chunks = (b"zz\r\n", b"-5\r\nx", b"5\r\nx", b"")
    chunked = b"PUT /b/k HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n%s"
    wrong += [chunked % (host, each) for each in chunks]
    wrong += [b"\0\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /%s HTTP/1.1\r\n\r\n" % (b"x" * 70_000)]
    wrong += [b"GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (host, b"A: b\r\n" * 200)]
    for text in wrong * 5:
        answer = raw(embedded, text)
        assert not answer.startswith(b"HTTP") or answer.split(b" ")[1][:1] == b"4", (text[:100], answer[:200])
        assert b"Traceback" not in answer
    assert written() == before


def test_the_control_of_the_cloud_takes_whatever_it_is_asked(embedded: Embedded) -> None:
    secret = json.loads((embedded.directory / "cloud.json").read_text())["secret"]
    for given in ("", "\u00fc", "x" * 1000, secret + "x", secret[:-1]):
        ask = Ask(target=f"{CONTROL_PREFIX}counts", headers={SECRET_HEADER: given})
        assert send(ask, embedded).status == 403
    for operation in ("snapshots", "instance-events", "doors", "faults", "nothing"):
        for body in (
            b"",
            b"{",
            b"[]",
            b"5",
            b"{}",
            b'{"instance_id": 5}',
            b'{"instance_id": "i-0", "event": "x"}',
            b"\xff",
        ):
            ask = Ask(method="POST", target=CONTROL_PREFIX + operation, headers={SECRET_HEADER: secret}, body=body)
            assert 400 <= send(ask, embedded).status < 500, (operation, body)
    assert cloud.status(embedded.directory).running
    assert Path(embedded.directory / "cloud.json").exists()
