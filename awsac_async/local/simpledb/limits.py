"""The limits of SimpleDB (developer guide, "Limits") and the checks that keep them.

Owns every number a request is measured by, except those of the select grammar; raises, and changes nothing.
"""

import re
from collections.abc import Collection
from typing import Final

from .exceptions import InvalidParameterValue, NumberSubmittedAttributesExceeded, NumberSubmittedItemsExceeded

DOMAINS_PER_ACCOUNT: Final = 250
DOMAINS_PER_PAGE: Final = 100
ITEMS_PER_BATCH: Final = 25
PAIRS_PER_CALL: Final = 256
PAIRS_PER_ITEM: Final = 256
REQUESTED_ATTRIBUTES: Final = 256
TEXT_BYTES: Final = 1024
SELECT_DEFAULT_LIMIT: Final = 100
SELECT_MAXIMUM_LIMIT: Final = 2500
SELECT_PAGE_BYTES: Final = 1024 * 1024
SELECT_COMPARISONS: Final = 20
SELECT_ATTRIBUTES: Final = 20

_DOMAIN_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")


def check_domain_name(name: str) -> None:
    """Raise InvalidParameterValue unless ``name`` may name a domain."""
    if not _DOMAIN_NAME.fullmatch(name):
        raise InvalidParameterValue(value=name, parameter="DomainName", reason="")


def check_name(text: str, *, parameter: str) -> None:
    """Raise InvalidParameterValue unless ``text`` may name an item or an attribute."""
    if not text:
        raise InvalidParameterValue(value="", parameter=parameter, reason="The empty string is an illegal name")
    check_text(text, parameter=parameter)


def check_text(text: str, *, parameter: str) -> None:
    """Raise InvalidParameterValue if ``text`` is longer than 1024 bytes of UTF-8."""
    if len(text.encode()) > TEXT_BYTES:
        raise InvalidParameterValue(
            value=text, parameter=parameter, reason=f"Value exceeds maximum length of {TEXT_BYTES}."
        )


def check_batch(items: Collection[object]) -> None:
    """Raise NumberSubmittedItemsExceeded if one call carries more than 25 items."""
    if len(items) > ITEMS_PER_BATCH:
        raise NumberSubmittedItemsExceeded(limit=ITEMS_PER_BATCH)


def check_pairs(pairs: Collection[object]) -> None:
    """Raise NumberSubmittedAttributesExceeded if one item of a call carries more than 256 pairs."""
    if len(pairs) > PAIRS_PER_CALL:
        raise NumberSubmittedAttributesExceeded(limit=PAIRS_PER_CALL)
