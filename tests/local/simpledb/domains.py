"""Shorthand for both sides: attributes as boto3 spells them, and domains without a server, filled from dictionaries."""

from collections.abc import Iterator, Mapping
from typing import Any

from awsac_async.local.simpledb.models import PutPair, SimpleDBBackend
from awsac_async.local.simpledb.select import Page

Attributes = Mapping[str, set[str]]
DOMAIN = "mydomain"


def backend_with(items: Mapping[str, Attributes]) -> SimpleDBBackend:
    backend = SimpleDBBackend("us-east-1", "123456789012")
    backend.create_domain(DOMAIN)
    for name, attributes in items.items():
        pairs = [PutPair(name=key, value=value) for key, values in attributes.items() for value in values]
        backend.put_attributes(DOMAIN, name, pairs)
    return backend


def pages(backend: SimpleDBBackend, expression: str) -> Iterator[Page]:
    token = None
    while True:
        page = backend.select(expression, next_token=token)
        yield page
        token = page.next_token
        if token is None:
            return


def names(backend: SimpleDBBackend, expression: str) -> list[str]:
    return [item.name for page in pages(backend, expression) for item in page.items]


def pairs(**attributes: str | list[str]) -> list[dict[str, Any]]:
    return [
        {"Name": name, "Value": value}
        for name, values in attributes.items()
        for value in ([values] if isinstance(values, str) else values)
    ]


def replacing(**attributes: str | list[str]) -> list[dict[str, Any]]:
    return [pair | {"Replace": True} for pair in pairs(**attributes)]


def stored(sdb: Any, domain: str, item: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sdb.get_attributes(DomainName=domain, ItemName=item).get("Attributes", [])
    return found
