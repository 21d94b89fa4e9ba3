"""One server for the tests of SimpleDB over HTTP, a client of it, and a domain for each test."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from awsac_async.local.simpledb import install


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    install()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def sdb(endpoint: str) -> Any:
    return boto3.client("sdb", endpoint_url=endpoint, config=Config(retries={"max_attempts": 0}))


domain_numbers = count()


@pytest.fixture
def domain(sdb: Any) -> Iterator[str]:
    name = f"domain-{next(domain_numbers)}"
    sdb.create_domain(DomainName=name)
    yield name
    sdb.delete_domain(DomainName=name)
