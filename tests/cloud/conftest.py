"""The room's way to the embedded cloud: an endpoint, a connection, a bucket of the test's own, a proxy that fails."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from tests.cloud.faults import Proxy, proxy_to
from tests.conftest import Embedded


@pytest.fixture(scope="session")
def endpoint(embedded: Embedded) -> str:
    """The address of the embedded cloud."""
    return embedded.endpoint


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let this room's tests share one event loop, and so the clients: making one costs more than most tests."""
    for item in items:
        if Path(__file__).parent in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def aws(endpoint: str) -> AsyncIterator[Aws]:
    """A connection to the embedded cloud."""
    async with connect(endpoint_url=endpoint) as aws:
        yield aws


@pytest.fixture(scope="session")
def running_proxy(endpoint: str) -> Iterator[Proxy]:
    """The proxy of all tests; they use it by ``proxy``."""
    with proxy_to(endpoint) as proxy:
        yield proxy


@pytest.fixture
def proxy(running_proxy: Proxy) -> Proxy:
    """A proxy before the embedded cloud that counts requests and fails on request."""
    running_proxy.reset()
    return running_proxy


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def proxied_connection(running_proxy: Proxy) -> AsyncIterator[Aws]:
    """The connection of all tests through the proxy, which tries each call twice at most."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_MAX_ATTEMPTS", "2")
        async with connect(endpoint_url=running_proxy.endpoint) as aws:
            yield aws


@pytest.fixture
def proxied(proxied_connection: Aws, proxy: Proxy) -> Aws:
    """A connection through the proxy, which tries each call twice at most."""
    return proxied_connection


@pytest_asyncio.fixture(loop_scope="session")
async def bucket(aws: Aws) -> Bucket:
    """A bucket of the test's own."""
    name = f"test-{uuid.uuid4().hex}"
    await (await aws.client("s3")).create_bucket(Bucket=name)
    return Bucket(aws, name)


@pytest.fixture
def faulty_bucket(bucket: Bucket, proxied: Aws) -> Bucket:
    """The test's bucket, through the proxy."""
    return Bucket(proxied, bucket.name)
