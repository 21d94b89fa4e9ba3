"""The agent's credentials: from the role of its instance, as soon as it is known, and from nowhere else."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket, Download
from awsac_async.cloud.instances import Instances
from awsac_async.session.errors import CredentialsError
from awsac_async.session.redaction import secrets
from tests.cloud.faults import error, query_error

ROLE = "/latest/meta-data/iam/security-credentials/"


class Metadata(HTTPServer):
    """A metadata service that knows the role of its instance only when ``answers`` has been filled."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        super().__init__(("127.0.0.1", 0), Handler)

    def learn_role(self, credentials: dict[str, str]) -> None:
        """Serve credentials from now on."""
        self.answers = {ROLE: "agent", ROLE + "agent": json.dumps({"Code": "Success", **credentials})}


class Handler(BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self) -> None:
        self._answer("token")

    def do_GET(self) -> None:
        self._answer(self.server.answers.get(self.path))

    def _answer(self, body: str | None) -> None:
        content = (body or "").encode()
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    """An instance whose role is not known yet, and whose image holds a key that nobody may use."""
    with Metadata() as server:
        thread = threading.Thread(target=server.serve_forever, name="metadata")
        thread.start()
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIADECOY")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "decoy")
        yield server
        server.shutdown()
        thread.join()


async def test_a_role_that_is_known_late_is_found_by_the_connection_that_waited_for_it(metadata, embedded):
    async with connect(endpoint_url=embedded.endpoint, instance_role_only=True) as aws:
        bucket = Bucket(aws, "awsac-sessions")
        with pytest.raises(CredentialsError):
            await bucket.list("late-role/")
        metadata.learn_role(embedded.temporary())
        assert await bucket.list("late-role/") == []


async def test_a_key_in_the_environment_is_not_the_agents(metadata, embedded):
    credentials = embedded.temporary()
    metadata.learn_role(credentials)
    async with connect(endpoint_url=embedded.endpoint, instance_role_only=True) as aws:
        assert (await aws.credentials()).access_key == credentials["AccessKeyId"]


async def test_credentials_that_rotate_are_kept_out_of_logs_old_and_new(metadata, embedded):
    rotated = [embedded.temporary() for _ in range(2)]
    async with connect(endpoint_url=embedded.endpoint, instance_role_only=True) as aws:
        for credentials in rotated:
            metadata.learn_role(credentials)
            await Bucket(aws, "awsac-sessions").list("rotation/")
            # No metadata service can make the SDK ask again soon: it lengthens the life of what is about to expire.
            aws._credentials.expire()
    assert [secrets.redact(f"signed with {each['SecretAccessKey']}") for each in rotated] == [
        "signed with [redacted]"
    ] * 2


async def test_credentials_that_are_refused_before_their_time_are_renewed_within_the_call(metadata, embedded, proxy):
    first, renewed = embedded.temporary(), embedded.temporary()
    metadata.learn_role(first)
    async with connect(endpoint_url=proxy.endpoint, instance_role_only=True) as aws:
        await Instances(aws).of_session("s")
        metadata.learn_role(renewed)
        proxy.fail(lambda asked: asked.action == "DescribeInstances", query_error(400, "ExpiredToken"), times=1)
        await Instances(aws).of_session("s")
    tokens = [asked.headers["x-amz-security-token"] for asked in proxy.asked]
    assert tokens == [first["Token"], first["Token"], renewed["Token"]]


async def test_a_download_that_is_refused_for_its_credentials_succeeds_when_it_is_tried_again(
    metadata, embedded, proxy, tmp_path
):
    first, renewed = embedded.temporary(), embedded.temporary()
    metadata.learn_role(first)
    async with connect(endpoint_url=proxy.endpoint, instance_role_only=True) as aws:
        bucket = Bucket(aws, "awsac-sessions")
        await bucket.put("rotated", b"content")
        [info] = await bucket.list("rotated")
        items = [Download(key=info.key, target=tmp_path / "rotated", size=info.size, etag=info.etag)]
        metadata.learn_role(renewed)
        refused = error(403, "ExpiredToken")
        proxy.fail(lambda asked: asked.method == "GET" and asked.path.endswith("rotated"), refused, times=1)
        with pytest.raises(CredentialsError):
            await bucket.download(items)
        await bucket.download(items)
        await bucket.delete(["rotated"])
    assert (tmp_path / "rotated").read_bytes() == b"content"
    tokens = [asked.headers["x-amz-security-token"] for asked in proxy.asked if asked.path.endswith("/rotated")]
    assert tokens == [first["Token"], first["Token"], renewed["Token"]]
