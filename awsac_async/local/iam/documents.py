"""What policy documents say of a right: allowed, not allowed, or denied whatever else is allowed.

Pure: knows the language of policies and nothing of any service.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Context = Mapping[str, tuple[str, ...]]


class Decision(Enum):
    """What all documents together say."""

    ALLOWED = "allowed"
    NOT_ALLOWED = "because no identity-based policy allows the {} action"
    DENIED = "with an explicit deny in an identity-based policy"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What documents say of a right, and the IDs (``Sid``) of the statements that allow it."""

    decision: Decision
    by: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the right is there."""
        return self.decision is Decision.ALLOWED


@dataclass(frozen=True, kw_only=True)
class Need:
    """A right that a call needs. ``context`` has the condition keys that the call has values for."""

    action: str
    resource: str = "*"
    context: Context = field(default_factory=dict)


class _UnknownOperatorError(Exception):
    """A condition that cannot be evaluated here."""


def decide(documents: Iterable[str], need: Need) -> Verdict:
    """Return what the documents, as JSON, say of a right.

    A condition with an operator that is not known is fulfilled in what denies and not in what allows.
    """
    allowing = []
    for statement in (each for document in documents for each in _statements(document)):
        if _concerns(statement, need):
            if statement["Effect"] == "Deny":
                return Verdict(decision=Decision.DENIED)
            allowing.append(str(statement.get("Sid", "")))
    return Verdict(decision=Decision.ALLOWED if allowing else Decision.NOT_ALLOWED, by=tuple(allowing))


@functools.lru_cache(maxsize=64)
def _statements(document: str) -> Sequence[Mapping[str, Any]]:
    found = json.loads(document)["Statement"]
    return found if isinstance(found, list) else [found]


def _concerns(statement: Mapping[str, Any], need: Need) -> bool:
    if not _names(statement, "Action", need.action.lower(), lambda text: text.lower()):
        return False
    if not _names(statement, "Resource", need.resource, lambda text: _filled_in(text, need.context)):
        return False
    try:
        return all(
            _holds(operator, key, _listed(values), need.context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    except _UnknownOperatorError:
        return bool(statement["Effect"] == "Deny")


def _names(statement: Mapping[str, Any], element: str, value: str, read: Callable[[str], str]) -> bool:
    if (others := statement.get(f"Not{element}")) is not None:
        return not any(_like(value, read(pattern)) for pattern in _listed(others))
    return any(_like(value, read(pattern)) for pattern in _listed(statement.get(element, [])))


def _listed(values: Any) -> list[str]:
    found = values if isinstance(values, list) else [values]
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in found]


def _filled_in(text: str, context: Context) -> str:
    """Put the values of the request into a text that has variables, like ``${aws:username}``."""
    return re.sub(r"\$\{([^}]+)\}", lambda found: next(iter(_values(context, found[1])), found[0]), text)


def _like(value: str, pattern: str) -> bool:
    return _compiled(pattern).fullmatch(value) is not None


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


# --- conditions ---


def _same(value: str, expected: str) -> bool:
    return value == expected


def _same_letters(value: str, expected: str) -> bool:
    return value.lower() == expected.lower()


_POSITIVE: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": _same,
    "StringEqualsIgnoreCase": _same_letters,
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _same_letters,
    "NumericEquals": lambda value, expected: float(value) == float(expected),
    "NumericLessThan": lambda value, expected: float(value) < float(expected),
    "NumericLessThanEquals": lambda value, expected: float(value) <= float(expected),
    "NumericGreaterThan": lambda value, expected: float(value) > float(expected),
    "NumericGreaterThanEquals": lambda value, expected: float(value) >= float(expected),
}
_NEGATIVE = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
}


def _holds(operator: str, key: str, expected: Sequence[str], context: Context) -> bool:
    values = _values(context, key)
    quantifier, _, plain = operator.rpartition(":")
    name = plain.removesuffix("IfExists")
    if name == "Null":
        return (not values) == (expected == ["true"])
    if not values and (name != plain or quantifier == "ForAllValues"):
        return True
    positive = _POSITIVE.get(_NEGATIVE.get(name, name))
    if positive is None:
        raise _UnknownOperatorError(operator)

    def fits(value: str) -> bool:
        return any(positive(value, _filled_in(pattern, context)) for pattern in expected) != (name in _NEGATIVE)

    if not values:
        return name in _NEGATIVE
    return any(map(fits, values)) if quantifier == "ForAnyValue" else all(map(fits, values))


def _values(context: Context, key: str) -> tuple[str, ...]:
    """Return the values of a key, whose name is the same in small letters and capitals."""
    return next((values for name, values in context.items() if name.lower() == key.lower()), ())
