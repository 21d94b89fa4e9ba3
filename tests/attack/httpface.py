"""The fuzzer of the embedded cloud's HTTP face: signed requests that no client would send, to each operation we use.

A request is made of the seed and its number alone. What is signed and wrong is answered with an error of its service,
never with a fault of the cloud's own; what the cloud logs stays small, and it lives.
"""

import argparse
import base64
import contextlib
import http.client
import json
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import botocore.session
import pytest
from botocore.config import Config

from awsac_async.local import cloud
from awsac_async.local.settings import BUCKET, IMAGE, ROLE, Isolation, Settings
from tests.attack.mutation import Mutator
from tests.conftest import Embedded, embedded_cloud
from tests.local.signing import JSON, Answer, Ask, send, signed

LONGEST = 20.0  # s of one answer, on a machine that does much else
LARGEST_LOG = 3 << 20  # bytes
BOOT = Path(__file__).parents[1] / "local" / "boot-user-data"
# Nothing that is launched by chance is to run.
NO_ROOM = "[[fault]]\nservice = 'ec2'\noperation = 'RunInstances'\nkind = 'room'\nroom = 0\n"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A request that was not answered as it must be."""

    seed: int
    number: int
    what: str
    ask: Ask

    def __str__(self) -> str:
        shown = f"{self.ask.service} {self.ask.method} {self.ask.target[:300]} {dict(self.ask.headers)!r:.600}"
        return f"{self.what}\n  {shown}\n  {self.ask.body[:600]!r}\n  --seed {self.seed} --number {self.number}"


@dataclass(kw_only=True)
class Tally:
    """How far a run has come."""

    requests: int = 0
    refused: int = 0
    findings: list[Finding] = field(default_factory=list)


# --- right requests ---

_ASSUMED = json.dumps(
    {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
)
_POLICY = json.dumps({"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
_DOMAIN = {"DomainName": "fuzz"}
_ATTRIBUTE = [{"Name": "a", "Value": "x", "Replace": True}]
_OBJECT = {"Bucket": BUCKET, "Key": "fuzz/object"}
_UPLOAD = {"Bucket": BUCKET, "Key": "fuzz/parts"}
_PROFILE = {"InstanceProfileName": "fuzz"}


def _calls(names: Mapping[str, str]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Return all operations that we use and some that clients of our users do, with right parameters."""
    instance, volume, snapshot, upload = (names[name] for name in ("instance", "volume", "snapshot", "upload"))
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "awsac:session", "Value": "s"}]}]
    group = {"GroupId": names["group"]}
    return {
        "ec2": [
            ("DescribeInstances", {"Filters": [{"Name": "tag:awsac:session", "Values": ["s"]}], "MaxResults": 5}),
            ("DescribeInstances", {"InstanceIds": [instance]}),
            ("DescribeInstances", {"NextToken": "x", "MaxResults": 5}),
            ("RunInstances", {"ImageId": IMAGE, "MinCount": 1, "MaxCount": 2, "InstanceType": "c1.medium"}
             | {"UserData": "a;b;c;1", "ClientToken": "t", "TagSpecifications": tags, "DryRun": True}
             | {"IamInstanceProfile": {"Name": ROLE}, "MetadataOptions": {"HttpTokens": "required"}}
             | {"InstanceInitiatedShutdownBehavior": "terminate", "SecurityGroupIds": [names["group"]]}
             | {"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot, "VolumeSize": 1}}]}
             | {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.1"}}}),
            ("TerminateInstances", {"InstanceIds": ["i-0123456789abcdef0"]}),
            ("GetConsoleOutput", {"InstanceId": instance, "Latest": True}),
            ("ModifyInstanceAttribute", {"InstanceId": instance, "BlockDeviceMappings": [
                {"DeviceName": "/dev/sda1", "Ebs": {"DeleteOnTermination": True}}]}),
            ("DescribeInstanceAttribute", {"InstanceId": instance, "Attribute": "userData"}),
            ("DescribeInstanceTypes", {"InstanceTypes": ["c1.medium"], "MaxResults": 5}),
            ("DescribeInstanceTypeOfferings", {"LocationType": "availability-zone", "MaxResults": 5}),
            ("DescribeImages", {"ImageIds": [IMAGE], "Owners": ["self"]}),
            ("CreateImage", {"InstanceId": instance, "Name": "fuzz", "TagSpecifications": [
                {"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}]}),
            ("DeregisterImage", {"ImageId": "ami-0123456789abcdef0"}),
            ("CreateVolume", {"AvailabilityZone": "us-east-1a", "SnapshotId": snapshot, "Size": 1, "ClientToken": "v"}
             | {"VolumeType": "gp3", "Encrypted": True, "TagSpecifications": [{"ResourceType": "volume", "Tags": []}]}),
            ("AttachVolume", {"VolumeId": volume, "InstanceId": instance, "Device": "/dev/sdf"}),
            ("DetachVolume", {"VolumeId": volume, "InstanceId": instance, "Force": True}),
            ("DeleteVolume", {"VolumeId": "vol-0123456789abcdef0"}),
            ("DescribeVolumes", {"VolumeIds": [volume], "MaxResults": 5}),
            ("CreateSnapshot", {"VolumeId": volume, "Description": "d"}),
            ("DescribeSnapshots", {"OwnerIds": ["self"], "MaxResults": 5}),
            ("ModifySnapshotAttribute", {"SnapshotId": snapshot, "Attribute": "createVolumePermission"}
             | {"OperationType": "add", "UserIds": ["123456789012"]}),
            ("DeleteSnapshot", {"SnapshotId": "snap-0123456789abcdef0"}),
            ("DescribeSubnets", {"Filters": [{"Name": "default-for-az", "Values": ["true"]}]}),
            ("DescribeVpcs", {"VpcIds": ["vpc-0123456789abcdef0"], "MaxResults": 5}),
            ("CreateSecurityGroup", {"GroupName": "fuzz", "Description": "d", "VpcId": "vpc-0123456789abcdef0"}),
            ("DescribeSecurityGroups", {"GroupIds": [names["group"]]}),
            ("AuthorizeSecurityGroupIngress", group | {"IpPermissions": [
                {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}]}),
            ("RevokeSecurityGroupIngress", group | {"IpPermissions": [
                {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}]}),
            ("DeleteSecurityGroup", {"GroupId": "sg-0123456789abcdef0"}),
            ("DescribeSpotPriceHistory", {"InstanceTypes": ["c1.medium"], "MaxResults": 5, "NextToken": "x"}),
            ("CreateTags", {"Resources": [instance], "Tags": [{"Key": "a", "Value": "b"}]}),
            ("DeleteTags", {"Resources": [instance], "Tags": [{"Key": "a"}]}),
            ("DescribeTags", {"Filters": [{"Name": "resource-id", "Values": [instance]}], "MaxResults": 5}),
            ("DescribeKeyPairs", {"KeyNames": ["nobody"]}),
            ("DescribeAvailabilityZones", {"ZoneNames": ["us-east-1a"]}),
        ],
        "s3": [
            ("PutObject", {**_OBJECT, "Body": b"content", "IfNoneMatch": "*", "Metadata": {"a": "b"}}),
            ("PutObject", {**_OBJECT, "Body": b"content", "IfMatch": '"0"', "ContentType": "text/plain"}),
            ("GetObject", {**_OBJECT, "Range": "bytes=0-3", "IfMatch": '"9a0364b9e99bb480dd25e1f0284c8555"'}),
            ("GetObject", {**_OBJECT, "IfModifiedSince": "2026-01-01", "PartNumber": 1, "VersionId": "v"}),
            ("HeadObject", {**_OBJECT, "Range": "bytes=-1"}),
            ("DeleteObject", {"Bucket": BUCKET, "Key": "fuzz/none", "VersionId": "v"}),
            ("CopyObject", {**_OBJECT, "CopySource": f"{BUCKET}/fuzz/kept", "MetadataDirective": "REPLACE"}),
            ("DeleteObjects", {"Bucket": BUCKET, "Delete": {"Objects": [{"Key": "fuzz/1"}, {"Key": "fuzz/2"}]}}),
            ("ListObjectsV2", {"Bucket": BUCKET, "Prefix": "fuzz/", "MaxKeys": 1, "ContinuationToken": "x"}),
            ("ListObjectsV2", {"Bucket": BUCKET, "Delimiter": "/", "StartAfter": "a", "FetchOwner": True}),
            ("ListObjects", {"Bucket": BUCKET, "Marker": "a", "MaxKeys": 1}),
            ("ListObjectVersions", {"Bucket": BUCKET, "KeyMarker": "a", "VersionIdMarker": "v", "MaxKeys": 1}),
            ("ListBuckets", {"MaxBuckets": 1, "Prefix": "a", "ContinuationToken": "x"}),
            ("HeadBucket", {"Bucket": BUCKET}),
            ("CreateBucket", {"Bucket": "fuzz-bucket"}
             | {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}),
            ("DeleteBucket", {"Bucket": "fuzz-bucket"}),
            ("GetBucketLocation", {"Bucket": BUCKET}),
            ("PutBucketTagging", {"Bucket": BUCKET, "Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}),
            ("GetBucketTagging", {"Bucket": BUCKET}),
            ("PutPublicAccessBlock", {"Bucket": BUCKET, "PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}),
            ("GetPublicAccessBlock", {"Bucket": BUCKET}),
            ("PutBucketEncryption", {"Bucket": BUCKET, "ServerSideEncryptionConfiguration": {"Rules": [
                {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}}),
            ("GetBucketEncryption", {"Bucket": BUCKET}),
            ("PutBucketLifecycleConfiguration", {"Bucket": BUCKET, "LifecycleConfiguration": {"Rules": [
                {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
                | {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}]}}),
            ("GetBucketLifecycleConfiguration", {"Bucket": BUCKET}),
            ("GetBucketVersioning", {"Bucket": BUCKET}),
            ("CreateMultipartUpload", {**_UPLOAD, "Metadata": {"a": "b"}}),
            ("UploadPart", {**_UPLOAD, "UploadId": upload, "PartNumber": 1, "Body": b"part"}),
            ("UploadPartCopy", {**_UPLOAD, "UploadId": upload, "PartNumber": 2, "CopySource": f"{BUCKET}/fuzz/kept"}
             | {"CopySourceRange": "bytes=0-1"}),
            ("ListParts", {**_UPLOAD, "UploadId": upload, "MaxParts": 1, "PartNumberMarker": 1}),
            ("ListMultipartUploads", {"Bucket": BUCKET, "MaxUploads": 1, "KeyMarker": "a", "UploadIdMarker": "u"}),
            ("CompleteMultipartUpload", {**_UPLOAD, "UploadId": "none", "MultipartUpload": {"Parts": [
                {"ETag": '"0"', "PartNumber": 1}]}}),
            ("AbortMultipartUpload", {**_UPLOAD, "UploadId": "none"}),
            ("PutObjectTagging", {**_OBJECT, "Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}),
        ],
        "sdb": [
            ("CreateDomain", _DOMAIN),
            ("DomainMetadata", _DOMAIN),
            ("ListDomains", {"MaxNumberOfDomains": 1, "NextToken": "x"}),
            ("PutAttributes", {**_DOMAIN, "ItemName": "i", "Attributes": _ATTRIBUTE, "Expected": {"Name": "a"}
                               | {"Value": "x", "Exists": True}}),
            ("BatchPutAttributes", {**_DOMAIN, "Items": [{"Name": "i", "Attributes": _ATTRIBUTE}]}),
            ("GetAttributes", {**_DOMAIN, "ItemName": "i", "AttributeNames": ["a"], "ConsistentRead": True}),
            ("Select", {"SelectExpression": "select * from fuzz where a = 'x' order by a limit 2", "NextToken": "x"}),
            ("DeleteAttributes", {**_DOMAIN, "ItemName": "i", "Attributes": [{"Name": "a", "Value": "y"}]}),
            ("BatchDeleteAttributes", {**_DOMAIN, "Items": [{"Name": "j"}]}),
            ("DeleteDomain", {"DomainName": "none"}),
        ],
        "iam": [
            ("CreateRole", {"RoleName": "fuzz", "AssumeRolePolicyDocument": _ASSUMED, "Tags": [
                {"Key": "a", "Value": "b"}], "MaxSessionDuration": 3600}),
            ("GetRole", {"RoleName": "fuzz"}),
            ("UpdateAssumeRolePolicy", {"RoleName": "fuzz", "PolicyDocument": _ASSUMED}),
            ("PutRolePolicy", {"RoleName": "fuzz", "PolicyName": "p", "PolicyDocument": _POLICY}),
            ("GetRolePolicy", {"RoleName": "fuzz", "PolicyName": "p"}),
            ("ListRolePolicies", {"RoleName": "fuzz", "MaxItems": 1, "Marker": "x"}),
            ("DeleteRolePolicy", {"RoleName": "fuzz", "PolicyName": "q"}),
            ("DeleteRole", {"RoleName": "none"}),
            ("CreateInstanceProfile", _PROFILE),
            ("GetInstanceProfile", _PROFILE),
            ("AddRoleToInstanceProfile", {**_PROFILE, "RoleName": "fuzz"}),
            ("RemoveRoleFromInstanceProfile", {**_PROFILE, "RoleName": "fuzz"}),
            ("DeleteInstanceProfile", {"InstanceProfileName": "none"}),
            ("ListInstanceProfiles", {"MaxItems": 1, "PathPrefix": "/"}),
            ("CreateUser", {"UserName": "fuzz"}),
            ("CreateAccessKey", {"UserName": "none"}),
            ("ListAccessKeys", {"UserName": "user", "MaxItems": 1}),
            ("PutUserPolicy", {"UserName": "fuzz", "PolicyName": "p", "PolicyDocument": _POLICY}),
            ("SimulatePrincipalPolicy", {"PolicySourceArn": "arn:aws:iam::123456789012:user/user"}
             | {"ActionNames": ["s3:GetObject"]}),
        ],
        "sts": [
            ("GetCallerIdentity", {}),
            ("AssumeRole", {"RoleArn": f"arn:aws:iam::123456789012:role/{ROLE}", "RoleSessionName": "fuzz"}
             | {"DurationSeconds": 900, "Policy": _POLICY}),
        ],
        "pricing": [
            ("GetProducts", {"ServiceCode": "AmazonEC2", "MaxResults": 1, "FormatVersion": "aws_v1", "Filters": [
                {"Type": "TERM_MATCH", "Field": "instanceType", "Value": "c1.medium"}], "NextToken": "0"}),
        ],
        "servicequotas": [("GetServiceQuota", {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"})],
    }  # fmt: skip


class _CaughtError(Exception):
    def __init__(self, request: Any) -> None:
        super().__init__(request)
        self.request = request


def asks(names: Mapping[str, str], endpoint: str) -> list[Ask]:
    """Return right requests, as botocore makes them, without their signatures."""
    found = []
    for service, calls in _calls(names).items():
        with _catching(service, endpoint) as client:
            found += [_as_made(service, client, *call, endpoint) for call in calls]
    return found


@contextlib.contextmanager
def _catching(service: str, endpoint: str) -> Iterator[Any]:
    """Give a client that raises each request instead of sending it."""

    def catch(request: Any, **_: Any) -> None:
        raise _CaughtError(request)

    client = botocore.session.get_session().create_client(
        {"servicequotas": "service-quotas"}.get(service, service),
        "us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="x",
        aws_secret_access_key="y",
        config=Config(retries={"max_attempts": 0}),
    )
    client.meta.events.register("before-send", catch)
    yield client
    client.close()


def _as_made(service: str, client: Any, operation: str, parameters: dict[str, Any], endpoint: str) -> Ask:
    with pytest.raises(_CaughtError) as caught:
        client._make_api_call(operation, parameters)
    request = caught.value.request
    body = request.body.read() if hasattr(request.body, "read") else request.body or b""
    body = body.encode() if isinstance(body, str) else body
    if service == "sdb":  # signed by version 4 here, as all others
        body = urlencode([pair for pair in parse_qsl(body.decode()) if pair[0] not in _SIGNED_WITH_2]).encode()
    headers = {k: v.decode() if isinstance(v, bytes) else str(v) for k, v in request.headers.items()}
    return Ask(
        service=service,
        method=request.method,
        target=request.url.removeprefix(endpoint),
        headers={name: value for name, value in headers.items() if name.lower() not in _OF_CLIENTS},
        body=body,
    )


_OF_CLIENTS = {"authorization", "x-amz-date", "x-amz-content-sha256", "content-length", "user-agent", "host"} | {
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "expect",
}
_SIGNED_WITH_2 = {"AWSAccessKeyId", "SignatureVersion", "SignatureMethod", "Timestamp", "Signature"}


def asking(service: str, target: str, body: bytes) -> Ask:
    """Return a request to a service that speaks JSON."""
    return Ask(service=service, method="POST", headers={"X-Amz-Target": target, "Content-Type": JSON}, body=body)


# --- wrong ones ---

_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "X")
_HEADERS = (
    "Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Content-Type", "Content-MD5",
    "Content-Encoding", "x-amz-copy-source", "x-amz-copy-source-range", "x-amz-copy-source-if-match", "x-amz-acl",
    "x-amz-tagging", "x-amz-storage-class", "x-amz-metadata-directive", "x-amz-checksum-sha256", "x-amz-meta-a",
    "x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm", "x-amz-trailer", "x-amz-server-side-encryption",
    "x-amz-decoded-content-length", "x-amz-content-sha256", "x-amz-target", "x-amz-expected-bucket-owner",
    "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-website-redirect-location",
    "x-amz-bucket-object-lock-enabled", "x-amz-grant-read", "Cache-Control", "Expires", "Accept-Encoding",
)  # fmt: skip
_VALUES = ("bytes=-", "bytes=5-1", "bytes=0-0,2-3", "bytes=99999999999999999999-", "gzip", "aws-chunked", "*", '"0"')
_QUERIES = (
    "acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "object-lock", "partNumber", "policy",
    "replication", "requestPayment", "restore", "retention", "legal-hold", "select", "tagging", "uploadId", "uploads",
    "versionId", "versioning", "versions", "website", "encryption", "ownershipControls", "publicAccessBlock",
    "accelerate", "analytics", "inventory", "metrics", "intelligent-tiering", "attributes", "torrent", "max-keys",
    "max-parts", "max-uploads", "max-buckets", "marker", "key-marker", "upload-id-marker", "part-number-marker",
    "continuation-token", "list-type", "encoding-type", "prefix", "delimiter", "response-content-type", "x-id",
    "policyStatus", "session",
)  # fmt: skip


class Spoiler:
    """Changes right requests."""

    def __init__(self, numbers: random.Random, asks: Sequence[Ask]) -> None:
        self._numbers, self._asks, self._mutator = numbers, asks, Mutator(numbers)

    def made(self) -> Ask:
        """Return a request that is wrong, most of the time."""
        ask = self._numbers.choice(self._asks)
        for _ in range(self._numbers.choice([1, 1, 1, 2, 3])):
            ways = self._ways_of_s3() if ask.service == "s3" else self._ways_of_queries(ask)
            ask = self._numbers.choice(ways)(ask)
        return ask

    def _ways_of_s3(self) -> Sequence[Callable[[Ask], Ask]]:
        return (self._query, self._query, self._query, self._header, self._header, self._content, self._content,
                self._path, self._method)  # fmt: skip

    def _ways_of_queries(self, ask: Ask) -> Sequence[Callable[[Ask], Ask]]:
        inside = self._form if ask.body.startswith(b"Action=") or b"&" in ask.body else self._content
        return (*[inside] * 8, self._content, self._header, self._method, self._path)

    def _form(self, ask: Ask) -> Ask:
        return replace(ask, body=self._pairs(ask.body.decode("latin-1"), []).encode("latin-1"))

    def _query(self, ask: Ask) -> Ask:
        path, _, query = ask.target.partition("?")
        return replace(ask, target=f"{path}?{self._pairs(query, _QUERIES)}")

    def _pairs(self, text: str, names: Sequence[str]) -> str:
        pairs = parse_qsl(text, keep_blank_values=True, encoding="latin-1")
        place = self._numbers.randrange(len(pairs)) if pairs else 0
        match self._numbers.randrange(8):
            case 0 if pairs:
                del pairs[place]
            case 1 if pairs:
                pairs.append(pairs[place])
            case 2 if pairs:
                pairs[place] = self._value(), pairs[place][1]
            case 3 if names:
                pairs.append((self._numbers.choice(names), self._numbers.choice(["", self._value()])))
            case 4:
                other = self._numbers.choice(self._asks)
                more = parse_qsl(other.body.decode("latin-1") or other.target.partition("?")[2], encoding="latin-1")
                pairs += more[: self._numbers.randint(0, 3)]
            case _ if pairs:
                pairs[place] = pairs[place][0], self._value()
        return urlencode(pairs, quote_via=quote, errors="surrogatepass")[:200_000]

    def _value(self) -> str:
        return self._numbers.choice([self._mutator.nasty, lambda: self._numbers.choice(_VALUES)])()[:20_000]

    def _header(self, ask: Ask) -> Ask:
        name = self._numbers.choice([*_HEADERS, *ask.headers])
        value = self._value().encode("utf-8", "replace").decode("latin-1")[:2000]
        clean = "".join(each for each in value if each >= " " and each not in "\x7f\x85\xa0").strip()
        rest = {other: given for other, given in ask.headers.items() if other.lower() != name.lower()}
        return replace(ask, headers=rest if self._numbers.random() < 0.15 else {**rest, name: clean})

    def _content(self, ask: Ask) -> Ask:
        bodies = [each.body for each in self._asks if each.service == ask.service and each.body]
        made = self._mutator.content([ask.body or b"<a/>", self._numbers.choice(bodies)])
        return replace(ask, body=made[:100_000])

    def _path(self, ask: Ask) -> Ask:
        path, mark, query = ask.target.partition("?")
        nasty = quote(self._mutator.nasty()[:2000], safe="/", errors="surrogatepass")
        made = self._numbers.choice([f"/{nasty}", f"{path}/{nasty}", f"/{BUCKET}/{nasty}", f"{path}{nasty}", "/", "//"])
        return replace(ask, target=made + mark + query)

    def _method(self, ask: Ask) -> Ask:
        return replace(ask, method=self._numbers.choice(_METHODS))


def made(asks: Sequence[Ask], *, seed: int, number: int) -> Ask:
    """Return the request of this number; the first ones are the right ones."""
    if number < len(asks):
        return asks[number]
    return Spoiler(random.Random(f"{seed}/http/{number}"), asks).made()  # noqa: S311


# --- what must come back ---


def judged(ask: Ask, answer: Answer) -> str:
    """Return what is wrong with an answer, or ""."""
    if answer.status >= 500:
        return f"{answer.status}: {answer.body[:300]!r}"
    if answer.status < 400 or ask.method == "HEAD" or not answer.body:
        return ""
    text = answer.body.decode(errors="replace")
    if "Traceback" in text or 'File "/' in text:
        return f"a traceback: {text[:300]}"
    form = '{"' if ask.service in {"pricing", "servicequotas"} else "<"
    if "text/plain" not in answer.headers.get("Content-Type", "") and (not text.startswith(form) or not answer.code):
        return f"{answer.status}, no error of {ask.service}: {text[:300]}"
    return ""


def tried(ask: Ask, running: Embedded) -> tuple[Answer | None, str]:
    """Send a request, signed; return the answer and what is wrong with it."""
    began = time.monotonic()
    try:
        answer = send(signed(ask, running), running)
    except (OSError, http.client.HTTPException) as error:
        return None, f"no answer: {error!r}"
    if time.monotonic() - began > LONGEST:
        return answer, f"after {time.monotonic() - began:.0f} s"
    return answer, judged(ask, answer)


@contextlib.contextmanager
def attacked(*, iam: bool = False) -> Iterator[tuple[Embedded, list[Ask]]]:
    """Give a cloud with a little of everything, and right requests to it; it must have lived and logged little."""
    quick = {"instance_delay": 0.0, "volume_delay": 0.0, "snapshot_delay": 0.0}
    settings = Settings(boot=BOOT, isolation=Isolation.PLAIN, iam=iam, **quick)
    with (
        tempfile.TemporaryDirectory(prefix="awsac-test-") as parent,
        embedded_cloud(Path(parent) / "cloud", settings) as running,
    ):
        names = _furnished(running)
        cloud.set_faults(running.directory, NO_ROOM)
        yield running, asks(names, running.endpoint)
        assert cloud.status(running.directory).running
        assert sum(log.stat().st_size for log in running.directory.glob("log*")) < LARGEST_LOG


def _furnished(running: Embedded) -> dict[str, str]:
    """Make what requests can name; return the names."""
    ec2, s3 = running.client("ec2"), running.client("s3")
    data = base64.b64encode(b"sleep 1").decode()
    launch = {"ImageId": IMAGE, "InstanceType": "c1.medium", "MinCount": 1, "MaxCount": 1, "UserData": data}
    instance = ec2.run_instances(**launch)["Instances"][0]["InstanceId"]
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig={"Delay": 1})
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    running.client("sdb").create_domain(DomainName="fuzz")
    for key in ("fuzz/object", "fuzz/kept"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"content")
    upload = s3.create_multipart_upload(**_UPLOAD)["UploadId"]
    return {"instance": instance, "volume": volume, "snapshot": snapshot, "group": group, "upload": upload}


def run(
    *,
    seed: int,
    requests: int,
    seconds: float = 0.0,
    iam: bool = False,
    tell: Callable[[Finding], object] = lambda _: None,
) -> Tally:
    """Send at least so many requests, for so long; the first ones are right ones.

    With ``iam`` policies are enforced, and asked of everything. ``tell`` is told of each finding at once: what looks at
    the cloud's log in the end may raise.
    """
    tally = Tally()
    until = time.monotonic() + seconds
    with attacked(iam=iam) as (running, right):
        number = 0
        while number < requests or time.monotonic() < until:
            ask = made(right, seed=seed, number=number)
            answer, wrong = tried(ask, running)
            tally.requests += 1
            tally.refused += answer is not None and 400 <= answer.status < 500
            if wrong:
                tally.findings.append(Finding(seed=seed, number=number, what=wrong, ask=ask))
                tell(tally.findings[-1])
            number += 1
    return tally


def main() -> int:
    """Run by hand, or look at one request again; 1 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack.httpface", description="Attack the HTTP face.")
    parser.add_argument("--minutes", type=float, default=10, help="how long (10)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9), help="one that was printed")
    parser.add_argument("--number", type=int, help="one request alone, to be shown")
    parser.add_argument("--iam", action="store_true", help="with policies enforced")
    options = parser.parse_args()
    if options.number is not None:
        with attacked(iam=options.iam) as (running, right):
            ask = made(right, seed=options.seed, number=options.number)
            print(ask, *tried(ask, running), sep="\n")
        return 0
    tally = run(seed=options.seed, requests=0, seconds=60 * options.minutes, iam=options.iam, tell=print)
    counts = f"{tally.requests} signed requests, {tally.refused} refused in the words of their service"
    print(f"http, seed {options.seed}: {counts}, {len(tally.findings)} findings")
    return int(bool(tally.findings))


if __name__ == "__main__":
    sys.exit(main())
