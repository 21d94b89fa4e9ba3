"""What a signature covers: a request that is changed, repeated too late, or signed in part is refused."""

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.auth
import pytest
from botocore.config import Config

from awsac_async.local.settings import BUCKET
from tests.conftest import Embedded

from .signing import FORM, JSON, Answer, Ask, query, send, signed

CONTENT = b"what was signed"
PUT = Ask(method="PUT", target=f"/{BUCKET}/signed/object", headers={"x-amz-meta-a": "1"}, body=CONTENT)
DESCRIBE = query("ec2", "DescribeInstances")
QUOTA = Ask(
    service="servicequotas",
    method="POST",
    headers={"X-Amz-Target": "ServiceQuotasV20190624.GetServiceQuota", "Content-Type": JSON},
    body=json.dumps({"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}).encode(),
)


@pytest.fixture
def s3(embedded: Embedded) -> Iterator[Any]:
    client = embedded.client("s3")
    yield client
    for each in client.list_objects_v2(Bucket=BUCKET, Prefix="signed/").get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=each["Key"])


def stored(s3: Any) -> bool:
    return bool(s3.list_objects_v2(Bucket=BUCKET, Prefix="signed/")["KeyCount"])


def test_each_part_of_a_request_is_covered(embedded: Embedded, s3: Any) -> None:
    right = signed(PUT, embedded)
    other = hashlib.sha256(b"something else").hexdigest()
    changed = {
        "method": replace(right, method="DELETE"),
        "path": replace(right, target=f"/{BUCKET}/signed/other"),
        "query": replace(right, target=right.target + "?acl"),
        "body": replace(right, body=b"what was SIGNED"),
        "digest": right.adding(X_Amz_Content_SHA256=other),
        "unsigned payload": right.adding(X_Amz_Content_SHA256="UNSIGNED-PAYLOAD"),
        "signed header": right.adding(x_amz_meta_a="2"),
        "header of AWS's own": right.adding(x_amz_acl="public-read"),
        "copy": right.adding(x_amz_copy_source=f"/{BUCKET}/signed/object"),
        "token": right.adding(x_amz_security_token="t"),
    }
    answers = {what: send(ask, embedded) for what, ask in changed.items()}
    assert {what for what, answer in answers.items() if answer.status not in {400, 403}} == set()
    assert answers["body"].code == "XAmzContentSHA256Mismatch"
    assert answers["header of AWS's own"].code == "AccessDenied"
    assert not stored(s3)
    assert send(right, embedded).status == 200


@pytest.mark.parametrize("ask", [DESCRIBE, QUOTA, PUT], ids=lambda ask: ask.service)
def test_a_signature_that_leaves_something_out_or_is_for_something_else_is_refused(
    embedded: Embedded, ask: Ask
) -> None:
    right = signed(ask, embedded)
    assert send(right, embedded).status == 200
    text = right.headers["Authorization"]
    today = datetime.now(UTC).strftime("%Y%m%d")
    wrong = [
        text.replace("host;", ""),
        text.replace("SignedHeaders=", "SignedHeaders=nothing;"),
        text.replace("/aws4_request", "/aws5_request"),
        text.replace(f"/{ask.service}/", "/sns/"),
        text.replace("/us-east-1/", "/eu-west-1/"),
        text.replace(today, "20200101"),
        text.partition(", Signature=")[0],
        text.partition("Signature=")[0] + "Signature=",
        text.replace("Signature=", "Signature=0"),
        text + ", Signature=0",
        text.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        text.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        "AWS4-HMAC-SHA256",
        "AWS",
        "",
        "Bearer " + text,
        text + "\u00fc",
    ]
    answers = [send(replace(right, headers={**right.headers, "Authorization": each}), embedded) for each in wrong]
    assert [answer.status for answer in answers if answer.status not in {400, 401, 403}] == []
    assert all(answer.code for answer in answers)
    elsewhere = [signed(ask, embedded, region="eu-west-1"), signed(replace(ask, service="sns"), embedded)]
    assert all(send(each, embedded).status in {400, 401, 403} for each in elsewhere)


@pytest.mark.parametrize(
    ("ask", "code"),
    [(DESCRIBE, "RequestExpired"), (QUOTA, "InvalidSignatureException"), (PUT, "RequestTimeTooSkewed"),
     (query("iam", "ListUsers"), "SignatureDoesNotMatch")],
    ids=lambda value: value if isinstance(value, str) else value.service,
)  # fmt: skip
def test_a_signature_is_good_for_a_quarter_of_an_hour(
    embedded: Embedded, ask: Ask, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(minutes: float) -> Answer:
        moment = datetime.now(UTC) + timedelta(minutes=minutes)
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
        return send(signed(ask, embedded), embedded)

    assert [at(minutes).code for minutes in (-16, 16, -60 * 24)] == [code] * 3
    assert [at(minutes).status for minutes in (-14, 14)] == [200, 200]


def test_an_address_is_good_until_it_ends_and_for_a_week_at_most(
    embedded: Embedded, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_object(Bucket=BUCKET, Key="signed/object", Body=CONTENT)

    def ask(seconds: int, ago: int, version: str = "s3v4") -> tuple[int, str]:
        moment = datetime.now(UTC) - timedelta(seconds=ago)
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
        client = embedded.client("s3", config=Config(signature_version=version))
        address = client.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "signed/object"}, seconds)
        answer = send(Ask(target=address.removeprefix(embedded.endpoint)), embedded)
        return answer.status, answer.code

    assert ask(60, 0) == ask(3600, 3500) == ask(60, 0, "s3") == (200, "")
    assert ask(60, 70) == ask(3600, 3700) == (403, "AccessDenied")
    assert ask(60, -3600) == (403, "AccessDenied")
    assert ask(8 * 24 * 3600, 0)[0] == 400


def test_an_address_cannot_be_used_for_anything_else(embedded: Embedded, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="signed/object", Body=CONTENT)
    for version in ("s3v4", "s3"):
        client = embedded.client("s3", config=Config(signature_version=version))
        address = client.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "signed/object"})
        path, _, asked = address.removeprefix(embedded.endpoint).partition("?")
        wrong = [
            Ask(method="DELETE", target=f"{path}?{asked}"),
            Ask(target=f"{path}x?{asked}"),
            Ask(target=f"{path}?{asked}&acl"),
            Ask(target=f"{path}?{asked}&{asked}"),
            Ask(target=f"{path}?{asked}", headers={"x-amz-acl": "public-read"}),
            Ask(target=f"{path}?{asked.replace('Expires=', 'Expires=1')}"),
            Ask(target=f"{path}?{asked}", headers={"Authorization": "AWS a:b"}),
        ]
        statuses = [send(ask, embedded).status for ask in wrong]
        assert set(statuses) <= {400, 403}, (version, statuses)
        assert send(Ask(target=f"{path}?{asked}"), embedded).body == CONTENT


def test_clients_of_2008_sign_objects_by_version_2_and_what_they_sign_is_covered(embedded: Embedded, s3: Any) -> None:
    old = embedded.client("s3", config=Config(signature_version="s3"))
    old.put_object(Bucket=BUCKET, Key="signed/a b(1)", Body=CONTENT, Metadata={"a": "b"})
    upload = old.create_multipart_upload(Bucket=BUCKET, Key="signed/parts")["UploadId"]
    old.abort_multipart_upload(Bucket=BUCKET, Key="signed/parts", UploadId=upload)
    assert old.get_object(Bucket=BUCKET, Key="signed/a b(1)")["Body"].read() == CONTENT
    assert [each["Key"] for each in old.list_objects(Bucket=BUCKET, Prefix="signed/")["Contents"]] == ["signed/a b(1)"]

    right = old_signed(Ask(method="PUT", target=f"/{BUCKET}/signed/old", body=CONTENT), embedded)
    late = old_signed(Ask(target=f"/{BUCKET}/signed/old"), embedded, minutes=-20)
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()  # noqa: S324  what S3 has
    wrong = [
        replace(right, method="DELETE"),
        replace(right, target=right.target + "er"),
        replace(right, target=right.target + "?acl"),
        right.adding(x_amz_acl="public-read"),
        right.adding(Date="Thu, 17 Nov 2005 18:49:58 GMT"),
        right.adding(Content_MD5=md5),
        right.adding(Authorization=right.headers["Authorization"] + "0"),
        late,
    ]
    assert {send(ask, embedded).status for ask in wrong} == {403}
    assert send(right, embedded).status == 200
    for service in ("ec2", "iam"):
        asked = query(service, "DescribeInstances" if service == "ec2" else "ListUsers")
        assert send(old_signed(asked, embedded), embedded).status in {400, 401, 403, 405}


def old_signed(ask: Ask, cloud: Embedded, *, minutes: int = 0) -> Ask:
    """Sign by version 2 of S3: a request without headers of AWS's own, as the page on that says."""
    date = (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    text = f"{ask.method}\n\n{ask.headers.get('Content-Type', '')}\n{date}\n{ask.target}"
    made = hmac.digest(cloud.environment["AWS_SECRET_ACCESS_KEY"].encode(), text.encode(), "sha1")
    key = cloud.environment["AWS_ACCESS_KEY_ID"]
    return ask.adding(Date=date, Authorization=f"AWS {key}:{base64.b64encode(made).decode()}")


@pytest.mark.parametrize("name", ["crc32", "sha1", "sha256"])
def test_sums_that_a_client_sends_along_are_compared(embedded: Embedded, s3: Any, name: str) -> None:
    sums = {"crc32": zlib.crc32(CONTENT).to_bytes(4, "big"), "sha1": hashlib.sha1(CONTENT).digest()}  # noqa: S324
    right = base64.b64encode(sums.get(name, hashlib.sha256(CONTENT).digest())).decode()
    wrong = base64.b64encode(bytes(len(base64.b64decode(right)))).decode()
    header = f"x_amz_checksum_{name}"
    assert send(signed(PUT.adding(**{header: wrong}), embedded), embedded).code == "BadDigest"
    assert send(signed(PUT.adding(**{header: "none"}), embedded), embedded).code == "InvalidRequest"
    assert not stored(s3)
    assert send(signed(PUT.adding(**{header: right}), embedded), embedded).status == 200


# --- content in chunks, as S3's clients stream it ---

LARGE = bytes(range(256)) * 1200  # more than one piece


def streamed(cloud: Embedded, how: str, content: bytes = LARGE, *, spoil: str = "") -> Ask:
    """Return an upload in chunks; ``spoil`` says what is wrong with it."""
    trailer = how.endswith("TRAILER")
    headers = {
        "x-amz-content-sha256": how,
        "x-amz-decoded-content-length": str(len(content) + (spoil == "length")),
        "content-encoding": "aws-chunked",
        **({"x-amz-trailer": "x-amz-checksum-crc32"} if trailer else {}),
    }
    ask = Ask(method="PUT", target=f"/{BUCKET}/signed/stream", headers=headers)
    right = signed(ask, cloud)
    sign = Chain(right, cloud)
    body = b""
    for start in range(0, len(content), 65536):
        chunk = content[start : start + 65536]
        body += sign.head(len(chunk), chunk, how) + (chunk[:-1] + b"!" if spoil == "chunk" else chunk) + b"\r\n"
    body += sign.head(0, b"", how)
    if trailer:
        value = base64.b64encode(zlib.crc32(content + b"!" * (spoil == "sum")).to_bytes(4, "big")).decode()
        body += f"x-amz-checksum-crc32:{value}\r\n".encode()
        if how.startswith("STREAMING-AWS4"):
            body += sign.trailer(f"x-amz-checksum-crc32:{value}\n", spoil=spoil == "trailer")
    body += b"\r\n"
    return replace(right, body=body[: len(body) // 2] if spoil == "half" else body)


class Chain:
    """The signatures of chunks, each of which signs the one before it."""

    def __init__(self, ask: Ask, cloud: Embedded) -> None:
        self._date = ask.headers["X-Amz-Date"]
        self._scope = ask.headers["Authorization"].partition("Credential=")[2].partition(",")[0].partition("/")[2]
        self._last = ask.headers["Authorization"].partition("Signature=")[2]
        key = f"AWS4{cloud.environment['AWS_SECRET_ACCESS_KEY']}".encode()
        for part in self._scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._key = key

    def head(self, size: int, chunk: bytes, how: str) -> bytes:
        if not how.startswith("STREAMING-AWS4"):
            return f"{size:x}\r\n".encode()
        digests = [hashlib.sha256().hexdigest(), hashlib.sha256(chunk).hexdigest()]
        return f"{size:x};chunk-signature={self._sign('PAYLOAD', digests)}\r\n".encode()

    def trailer(self, text: str, *, spoil: bool) -> bytes:
        made = self._sign("TRAILER", [hashlib.sha256(text.encode()).hexdigest()])
        return f"x-amz-trailer-signature:{'0' * 64 if spoil else made}\r\n".encode()

    def _sign(self, what: str, digests: list[str]) -> str:
        text = "\n".join([f"AWS4-HMAC-SHA256-{what}", self._date, self._scope, self._last, *digests])
        self._last = hmac.digest(self._key, text.encode(), "sha256").hex()
        return self._last


SIGNED, SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


@pytest.mark.parametrize("how", [SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER])
def test_content_in_chunks_arrives_whole(embedded: Embedded, s3: Any, how: str) -> None:
    assert send(streamed(embedded, how), embedded).status == 200
    answer = s3.get_object(Bucket=BUCKET, Key="signed/stream")
    assert answer["Body"].read() == LARGE
    assert "ContentEncoding" not in answer
    assert send(streamed(embedded, how, b""), embedded).status == 200
    assert s3.head_object(Bucket=BUCKET, Key="signed/stream")["ContentLength"] == 0


@pytest.mark.parametrize(
    ("how", "spoil", "code"),
    [
        (SIGNED, "chunk", "SignatureDoesNotMatch"),
        (SIGNED, "half", "IncompleteBody"),
        (SIGNED, "length", "IncompleteBody"),
        (SIGNED_TRAILER, "trailer", "SignatureDoesNotMatch"),
        (SIGNED_TRAILER, "sum", "BadDigest"),
        (UNSIGNED_TRAILER, "sum", "BadDigest"),
        (UNSIGNED_TRAILER, "chunk", "BadDigest"),
        (UNSIGNED_TRAILER, "half", "IncompleteBody"),
    ],
)
def test_content_in_chunks_of_which_one_is_spoiled_is_not_stored(
    embedded: Embedded, s3: Any, how: str, spoil: str, code: str
) -> None:
    assert send(streamed(embedded, how, spoil=spoil), embedded).code == code
    assert not stored(s3)


def test_temporary_credentials_are_good_with_their_token_alone(embedded: Embedded) -> None:
    given = embedded.temporary()
    names = {"access_key": given["AccessKeyId"], "secret_key": given["SecretAccessKey"]}
    for ask in (DESCRIBE, Ask(target=f"/{BUCKET}"), QUOTA):
        assert send(signed(ask, embedded, **names, token=given["Token"]), embedded).status == 200
        for token in (None, "other", given["Token"] + "x"):
            asked = signed(ask, embedded, **names, **({"token": token} if token else {}))
            assert send(asked, embedded).status in {400, 401, 403}
        assert send(signed(ask, embedded, token=given["Token"]), embedded).status in {400, 401, 403}


def test_a_user_made_later_may_sign_until_the_key_goes(embedded: Embedded) -> None:
    iam = embedded.client("iam")
    iam.create_user(UserName="later")
    key = iam.create_access_key(UserName="later")["AccessKey"]
    names = {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    assert send(signed(DESCRIBE, embedded, **names), embedded).status == 200
    iam.delete_access_key(UserName="later", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="later")
    assert send(signed(DESCRIBE, embedded, **names), embedded).code == "AuthFailure"


def test_parameters_in_another_form_or_twice_are_not_believed(embedded: Embedded) -> None:
    twice = replace(DESCRIBE, body=DESCRIBE.body + b"&Action=RunInstances")
    both = replace(DESCRIBE, target="/?Action=RunInstances")
    part = b'--x\r\nContent-Disposition: form-data; name="Action"\r\n\r\nDescribeInstances\r\n--x--\r\n'
    other = Ask(service="ec2", method="POST", headers={"Content-Type": "multipart/form-data; boundary=x"}, body=part)
    for ask in (twice, both, other):
        assert send(signed(ask, embedded), embedded).status == 400
    assert FORM in DESCRIBE.headers["Content-Type"]
    agent = DESCRIBE.adding(User_Agent="region/eu-west-1 x/1", X_Moto_Account_Id="000000000000")
    answer = send(signed(agent, embedded), embedded)
    assert (answer.status, answer.body) == (200, send(signed(DESCRIBE, embedded), embedded).body)
