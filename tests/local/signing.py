"""Requests as bytes on a connection, signed by botocore or not at all: what no client would send can be sent too."""

import http.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.conftest import Embedded

FORM = "application/x-www-form-urlencoded"
JSON = "application/x-amz-json-1.1"
VERSIONS = {"ec2": "2016-11-15", "iam": "2010-05-08", "sts": "2011-06-15", "sdb": "2009-04-15"}


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request. ``target`` is a path with its query, percent-encoded."""

    service: str = "s3"
    method: str = "GET"
    target: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def adding(self, **headers: str) -> "Ask":
        """Return the same with these headers instead of those of their names; ``x_y`` is spelled ``x-y``."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        names = {name.lower() for name in given}
        return replace(self, headers={n: v for n, v in self.headers.items() if n.lower() not in names} | given)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The error's code in the form of any service; "" without one."""
        text = self.body.decode(errors="replace")
        if text.startswith("{"):
            return text.partition('"__type": "')[2].partition('"')[0]
        return text.partition("<Code>")[2].partition("</Code>")[0]


class _Signer(S3SigV4Auth):
    """Signs for S3 what a request says itself of its body, if it does."""

    def payload(self, request: Any) -> str:
        return str(request.context.get("said") or super().payload(request))


def query(service: str, action: str, **parameters: str) -> Ask:
    """Return a request to a query API."""
    pairs = {"Action": action, "Version": VERSIONS[service], **parameters}
    return Ask(service=service, method="POST", headers={"Content-Type": FORM}, body=urlencode(pairs).encode())


def signed(ask: Ask, cloud: Embedded, *, region: str = "us-east-1", **keys: str) -> Ask:
    """Sign as botocore does, with the keys of the cloud's user or with others."""
    environment = cloud.environment
    credentials = Credentials(
        keys.get("access_key", environment["AWS_ACCESS_KEY_ID"]),
        keys.get("secret_key", environment["AWS_SECRET_ACCESS_KEY"]),
        keys.get("token"),
    )
    request = AWSRequest(method=ask.method, url=cloud.endpoint + ask.target, data=ask.body, headers=dict(ask.headers))
    request.context["said"] = request.headers.get("x-amz-content-sha256")
    signer: Any = _Signer if ask.service == "s3" else SigV4Auth
    signer(credentials, ask.service, region).add_auth(request)
    return replace(ask, headers=dict(request.headers.items()))


def send(ask: Ask, cloud: Embedded, *, without: Iterable[str] = ()) -> Answer:
    """Send a request as it is; ``without`` are headers that http.client would add (``Host``)."""
    connection = http.client.HTTPConnection(cloud.endpoint.removeprefix("http://"), timeout=60)
    names = {name.lower() for name in [*ask.headers, *without]}
    try:
        connection.putrequest(ask.method, ask.target, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in ask.headers.items():
            connection.putheader(name, value.encode("utf-8") if not value.isascii() else value)
        if not names & {"content-length", "transfer-encoding"} and (ask.body or ask.method in {"PUT", "POST"}):
            connection.putheader("Content-Length", str(len(ask.body)))
        connection.endheaders()
        connection.send(ask.body)
        response = connection.getresponse()
        return Answer(status=response.status, body=response.read(), headers=dict(response.getheaders()))
    finally:
        connection.close()
