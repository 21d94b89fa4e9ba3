"""The domains of one account and region, and the ten operations on them, each atomic.

Owns the data and the lock around it; knows nothing of HTTP. Reads are always consistent, so ``ConsistentRead`` needs no
parameter here.
"""

import base64
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from moto.core.base_backend import BackendDict, BaseBackend

from . import limits
from .exceptions import (
    AttributeDoesNotExist,
    ConditionalCheckFailed,
    DuplicateItemName,
    ExistsAndExpectedValue,
    IncompleteExpectedExpression,
    InvalidNextToken,
    InvalidParameterValue,
    MultiValuedAttribute,
    NoSuchDomain,
    NumberDomainsExceeded,
    NumberItemAttributesExceeded,
    TooManyRequestedAttributes,
)
from .parser import parse_select
from .select import Page, run_select

Item: TypeAlias = dict[str, set[str]]
"""Values by attribute name; neither an item nor an attribute without a value is ever kept."""


@dataclass(frozen=True, kw_only=True)
class PutPair:
    """One name-value pair to store; ``replace`` drops the values that the attribute had before the call."""

    name: str
    value: str
    replace: bool = False


@dataclass(frozen=True, kw_only=True)
class DeletePair:
    """One value to delete; with ``value=None``, all values of the attribute."""

    name: str
    value: str | None = None


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The condition of a write: ``name`` has the single value ``value``, or with ``exists=False`` is not there."""

    name: str
    value: str | None = None
    exists: bool = True

    def __post_init__(self) -> None:
        if self.exists and self.value is None:
            raise IncompleteExpectedExpression
        if not self.exists and self.value is not None:
            raise ExistsAndExpectedValue


@dataclass(frozen=True, kw_only=True)
class DomainMetadata:
    """The size of a domain; bytes are of UTF-8, ``timestamp`` is in seconds since 1970."""

    item_count: int
    item_names_size_bytes: int
    attribute_name_count: int
    attribute_names_size_bytes: int
    attribute_value_count: int
    attribute_values_size_bytes: int
    timestamp: int


class SimpleDBBackend(BaseBackend):
    """The SimpleDB of one account and region; every method raises the errors of the operation it is named after."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self._domains: dict[str, dict[str, Item]] = {}
        self._lock = threading.RLock()

    def create_domain(self, domain_name: str) -> None:
        """Create the domain; one that exists keeps its items."""
        limits.check_domain_name(domain_name)
        with self._lock:
            if domain_name in self._domains:
                return
            if len(self._domains) >= limits.DOMAINS_PER_ACCOUNT:
                raise NumberDomainsExceeded
            self._domains[domain_name] = {}

    def delete_domain(self, domain_name: str) -> None:
        """Delete the domain and its items; one that does not exist is as good as deleted."""
        with self._lock:
            self._domains.pop(domain_name, None)

    def list_domains(self, *, maximum: int, next_token: str | None) -> tuple[list[str], str | None]:
        """At most ``maximum`` (1 to 100) names in order, and the token of the page that follows, if any."""
        if not 1 <= maximum <= limits.DOMAINS_PER_PAGE:
            raise InvalidParameterValue(
                value=maximum,
                parameter="MaxNumberOfDomains",
                reason=f"MaxNumberOfDomains must be between 1 and {limits.DOMAINS_PER_PAGE}.",
            )
        after = "" if next_token is None else _read_domain_token(next_token)
        with self._lock:
            names = sorted(name for name in self._domains if name > after)
        page = names[:maximum]
        return page, _domain_token(page[-1]) if len(names) > maximum else None

    def domain_metadata(self, domain_name: str) -> DomainMetadata:
        """Count and measure what the domain holds."""
        with self._lock:
            items = self._items(domain_name)
            names = {name for item in items.values() for name in item}
            values = [value for item in items.values() for values in item.values() for value in values]
            return DomainMetadata(
                item_count=len(items),
                item_names_size_bytes=_size(items),
                attribute_name_count=len(names),
                attribute_names_size_bytes=_size(names),
                attribute_value_count=len(values),
                attribute_values_size_bytes=_size(values),
                timestamp=int(datetime.now(UTC).timestamp()),
            )

    def put_attributes(
        self, domain_name: str, item_name: str, pairs: Sequence[PutPair], expected: Expected | None = None
    ) -> None:
        """Store the pairs if the condition holds, all or none."""
        _check_put(item_name, pairs)
        with self._lock:
            items = self._items(domain_name)
            item = items.get(item_name, {})
            _check_expected(item, expected)
            items[item_name] = _put(item, pairs)

    def batch_put_attributes(self, domain_name: str, batch: Sequence[tuple[str, Sequence[PutPair]]]) -> None:
        """Store the pairs of up to 25 items, all or none."""
        _check_batch([item_name for item_name, _ in batch])
        for item_name, pairs in batch:
            _check_put(item_name, pairs)
        with self._lock:
            items = self._items(domain_name)
            items.update({item_name: _put(items.get(item_name, {}), pairs) for item_name, pairs in batch})

    def get_attributes(self, domain_name: str, item_name: str, names: Sequence[str]) -> list[tuple[str, str]]:
        """The pairs of the item, of the attributes named or of all; an item that is not there has none."""
        limits.check_name(item_name, parameter="ItemName")
        if len(names) > limits.REQUESTED_ATTRIBUTES:
            raise TooManyRequestedAttributes
        with self._lock:
            item = self._items(domain_name).get(item_name, {})
            wanted = sorted(item.keys() & set(names) if names else item)
            return [(name, value) for name in wanted for value in sorted(item[name])]

    def delete_attributes(
        self, domain_name: str, item_name: str, pairs: Sequence[DeletePair], expected: Expected | None = None
    ) -> None:
        """Delete the values if the condition holds; no pairs means the whole item. What is not there is deleted."""
        _check_delete(item_name, pairs)
        with self._lock:
            items = self._items(domain_name)
            _check_expected(items.get(item_name, {}), expected)
            _delete(items, item_name, pairs)

    def batch_delete_attributes(self, domain_name: str, batch: Sequence[tuple[str, Sequence[DeletePair]]]) -> None:
        """Delete from up to 25 items, as delete_attributes does without a condition."""
        _check_batch([item_name for item_name, _ in batch])
        for item_name, pairs in batch:
            _check_delete(item_name, pairs)
        with self._lock:
            items = self._items(domain_name)
            for item_name, pairs in batch:
                _delete(items, item_name, pairs)

    def select(self, expression: str, *, next_token: str | None = None) -> Page:
        """One page of what the expression selects."""
        query = parse_select(expression)
        with self._lock:
            return run_select(query, self._items(query.domain), next_token=next_token)

    def _items(self, domain_name: str) -> dict[str, Item]:
        try:
            return self._domains[domain_name]
        except KeyError:
            raise NoSuchDomain from None


def _put(item: Item, pairs: Sequence[PutPair]) -> Item:
    """The item with the pairs stored; the one given is left as it is."""
    replaced = {pair.name for pair in pairs if pair.replace}
    after = {name: set(values) for name, values in item.items() if name not in replaced}
    for pair in pairs:
        after.setdefault(pair.name, set()).add(pair.value)
    if sum(map(len, after.values())) > limits.PAIRS_PER_ITEM:
        raise NumberItemAttributesExceeded
    return after


def _delete(items: dict[str, Item], item_name: str, pairs: Sequence[DeletePair]) -> None:
    item = items.get(item_name, {})
    for pair in pairs:
        kept = set() if pair.value is None else item.get(pair.name, set()) - {pair.value}
        item.pop(pair.name, None)
        if kept:
            item[pair.name] = kept
    if not pairs or not item:
        items.pop(item_name, None)


def _check_expected(item: Mapping[str, set[str]], expected: Expected | None) -> None:
    if expected is None:
        return
    values = item.get(expected.name, set())
    if not expected.exists and values:
        raise ConditionalCheckFailed(f"Conditional check failed. Attribute ({expected.name}) value exists")
    if not expected.exists:
        return
    if not values:
        raise AttributeDoesNotExist(name=expected.name)
    if len(values) > 1:
        raise MultiValuedAttribute(name=expected.name)
    (value,) = values
    if value != expected.value:
        raise ConditionalCheckFailed(
            f"Conditional check failed. Attribute ({expected.name}) value is ({value}) "
            f"but was expected ({expected.value})"
        )


def _check_batch(item_names: Sequence[str]) -> None:
    limits.check_batch(item_names)
    for index, name in enumerate(item_names):
        if name in item_names[:index]:
            raise DuplicateItemName(name=name)


def _check_put(item_name: str, pairs: Sequence[PutPair]) -> None:
    limits.check_name(item_name, parameter="ItemName")
    limits.check_pairs(pairs)
    for pair in pairs:
        limits.check_name(pair.name, parameter="Name")
        limits.check_text(pair.value, parameter="Value")


def _check_delete(item_name: str, pairs: Sequence[DeletePair]) -> None:
    limits.check_name(item_name, parameter="ItemName")
    limits.check_pairs(pairs)
    for pair in pairs:
        limits.check_name(pair.name, parameter="Name")


def _size(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _domain_token(name: str) -> str:
    return base64.b64encode(name.encode()).decode()


def _read_domain_token(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode()
    except ValueError:
        raise InvalidNextToken from None


sdb_backends = BackendDict(SimpleDBBackend, "sdb")
