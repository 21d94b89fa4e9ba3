"""The agent asks the metadata service of the embedded cloud, older ones, and ones that go wrong."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from awsac_async.agent.metadata import ENDPOINT_VARIABLE, Instance, Metadata
from awsac_async.session.errors import EndpointError, NotFoundError
from tests.agent.metadata import serving

FACTS = {
    "instance-id": "i-0123456789abcdef0",
    "ami-launch-index": "3",
    "placement/availability-zone": "us-east-1b",
    "placement/region": "us-east-1",
}
INSTANCE = Instance(instance_id="i-0123456789abcdef0", launch_index=3, zone="us-east-1b", region="us-east-1")


@contextmanager
def service(user_data: bytes | None, *, tokens_required: bool = True) -> Iterator[Metadata]:
    """The embedded cloud's metadata service for one instance."""
    with serving(FACTS, user_data=user_data, tokens_required=tokens_required) as running:
        yield Metadata({ENDPOINT_VARIABLE: running.endpoint})


@contextmanager
def answers(token_status: int, *statuses: int) -> Iterator[tuple[Metadata, list[str]]]:
    """A service that answers requests for a token with one status, and the first others with ``statuses``."""
    left, asked = list(statuses), []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.answer(token_status, b"a token")

        def do_GET(self) -> None:
            asked.append(self.headers.get("X-aws-ec2-metadata-token", "no token"))
            name = self.path.removeprefix("/latest/meta-data/")
            status = left.pop(0) if left else 200 if name in FACTS and name != "placement/region" else 404
            self.answer(status, FACTS.get(name, "").encode())

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Metadata({ENDPOINT_VARIABLE: f"http://127.0.0.1:{server.server_port}"}), asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_an_instance_knows_itself_where_tokens_are_required() -> None:
    with service(b"a;b;c;2") as metadata:
        assert await metadata.identify() == INSTANCE
        assert await metadata.user_data() == "a;b;c;2"


@pytest.mark.parametrize("user_data", [None, b"", b" \n"])
async def test_user_data_that_say_nothing_are_none(user_data: bytes | None) -> None:
    with service(user_data) as metadata:
        assert await metadata.user_data() is None


@pytest.mark.parametrize("status", [403, 404, 405])
async def test_a_service_without_tokens_is_asked_as_version_1(status: int) -> None:
    with answers(status) as (metadata, asked):
        assert await metadata.identify() == INSTANCE
        assert set(asked) == {"no token"}


async def test_one_token_serves_all_requests() -> None:
    with answers(200) as (metadata, asked):
        assert await metadata.identify() == INSTANCE
        assert set(asked) == {"a token"}


async def test_a_service_that_comes_up_late_is_asked_again() -> None:
    with answers(200, 503, 500) as (metadata, _):
        assert await metadata.identify() == INSTANCE


async def test_a_refusal_is_not_taken_for_an_absent_value() -> None:
    with answers(200, 401, 401) as (metadata, _), pytest.raises(EndpointError, match="answered 401"):
        await metadata.user_data()


async def test_a_token_that_has_ended_is_replaced() -> None:
    with answers(200, 200, 401) as (metadata, _):
        await metadata.region()
        assert await metadata.instance_id() == INSTANCE.instance_id


async def test_a_fact_that_is_needed_and_missing_is_named() -> None:
    with answers(200, 200, 404) as (metadata, _), pytest.raises(NotFoundError, match="meta-data/instance-id"):
        await metadata.identify()


async def test_where_the_service_is_disabled_nobody_is_asked() -> None:
    metadata = Metadata({"AWS_EC2_METADATA_DISABLED": "true"})
    with pytest.raises(EndpointError, match="AWS_EC2_METADATA_DISABLED is true"):
        await metadata.user_data()
