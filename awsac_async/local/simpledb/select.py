"""Running a select over the items of one domain: which of them, in what order, how many on a page.

Owns the order, the page and its token; the items are the domain's, and are only read. A token names the last item of
its page, not a count of items, so paging goes on after that item whatever was written in between.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from . import limits
from .exceptions import InvalidNextToken
from .expression import Attributes, selects
from .parser import Order, Output, Select

_ITEM_MARKUP = len("<Item><Name></Name></Item>")
_PAIR_MARKUP = len("<Attribute><Name></Name><Value></Value></Attribute>")


@dataclass(frozen=True, kw_only=True)
class ResultItem:
    """One item of an answer: its name, and the name-value pairs that were asked for."""

    name: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One answer; ``next_token`` is None on the last page."""

    items: tuple[ResultItem, ...]
    next_token: str | None


class _Place(NamedTuple):
    """Where an item stands in the order: by the value it is sorted by ("" where by name alone), then by name."""

    value: str
    name: str


def run_select(query: Select, items: Mapping[str, Attributes], *, next_token: str | None) -> Page:
    """The page of ``query`` that follows the page which ended with ``next_token``; the first one if that is None.

    Raises InvalidNextToken for a token of another domain, where clause or order, or of no query at all.
    """
    after = None if next_token is None else _read_token(next_token, query)
    places = _places_after(after, query, items)
    if query.output == "count(*)":
        return _count(query, places)
    return _fill_page(query, places, items)


def _places_after(after: _Place | None, query: Select, items: Mapping[str, Attributes]) -> Iterator[_Place]:
    order = query.order or Order()
    places = _places(query, order, items)
    if after is not None:
        places = (place for place in places if (place < after if order.descending else place > after))
    return iter(sorted(places, reverse=order.descending))


def _places(query: Select, order: Order, items: Mapping[str, Attributes]) -> Iterator[_Place]:
    for name, attributes in items.items():
        if query.where is not None and not selects(query.where, name, attributes):
            continue
        if order.name is None:
            yield _Place("", name)
        elif values := attributes.get(order.name):  # an item without the attribute has no place in its order
            yield _Place(max(values) if order.descending else min(values), name)


def _count(query: Select, places: Iterator[_Place]) -> Page:
    counted = list(islice(places, query.limit))
    count = ResultItem(name="Domain", pairs=(("Count", str(len(counted))),))
    more = next(places, None) is not None
    return Page(items=(count,), next_token=_token(query, counted[-1]) if more else None)


def _fill_page(query: Select, places: Iterator[_Place], items: Mapping[str, Attributes]) -> Page:
    """As many items as the limit and the megabyte of an answer allow, but at least one."""
    page: list[ResultItem] = []
    size, last = 0, None
    for place in places:
        item = ResultItem(name=place.name, pairs=_pairs(query.output, items[place.name]))
        size += _size(item)
        if last and (len(page) == (query.limit or limits.SELECT_DEFAULT_LIMIT) or size > limits.SELECT_PAGE_BYTES):
            return Page(items=tuple(page), next_token=_token(query, last))
        page.append(item)
        last = place
    return Page(items=tuple(page), next_token=None)


def _pairs(output: Output, attributes: Attributes) -> tuple[tuple[str, str], ...]:
    if output == "itemName()":
        return ()
    names = sorted(attributes) if output == "*" else sorted(attributes.keys() & set(output))
    return tuple((name, value) for name in names for value in sorted(attributes[name]))


def _size(item: ResultItem) -> int:
    pairs = sum(len(name.encode()) + len(value.encode()) + _PAIR_MARKUP for name, value in item.pairs)
    return len(item.name.encode()) + pairs + _ITEM_MARKUP


def _token(query: Select, place: _Place) -> str:
    return base64.b64encode(json.dumps([_fingerprint(query), *place]).encode()).decode()


def _read_token(token: str, query: Select) -> _Place:
    try:
        fingerprint, value, name = json.loads(base64.b64decode(token, validate=True))
    except (ValueError, TypeError, RecursionError):  # the last for text that is nested too deep to be JSON
        raise InvalidNextToken from None
    if fingerprint != _fingerprint(query) or not isinstance(value, str) or not isinstance(name, str):
        raise InvalidNextToken
    return _Place(value, name)


def _fingerprint(query: Select) -> str:
    return hashlib.sha256(repr(query.criteria).encode()).hexdigest()
