"""A client of SimpleDB in the shared cloud, and a domain for each test."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.conftest import Embedded


@pytest.fixture(scope="session")
def sdb(embedded: Embedded) -> Any:
    return embedded.client("sdb")


domain_numbers = count()


@pytest.fixture
def domain(sdb: Any) -> Iterator[str]:
    name = f"domain-{next(domain_numbers)}"
    sdb.create_domain(DomainName=name)
    yield name
    sdb.delete_domain(DomainName=name)
