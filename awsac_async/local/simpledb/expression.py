"""The where clause of a select expression as a tree, and whether an item satisfies it.

Owns the meaning of the comparisons (developer guide, "Comparison Operators" and "Queries on Attributes with Multiple
Values"): strings, compared by code point. Knows neither the text a tree came from nor where items are kept.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import TypeAlias

Attributes: TypeAlias = Mapping[str, Set[str]]
"""The attributes of an item; an attribute that is there has at least one value."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a comparison looks at: an attribute, or with ``name=None`` the item's own name."""

    name: str | None
    every: bool = False

    def values(self, item_name: str, attributes: Attributes) -> Set[str]:
        """The values to compare; empty if the item lacks the attribute."""
        if self.name is None:
            return frozenset((item_name,))
        return attributes.get(self.name, frozenset())


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Whether ``accepts`` holds for a value of the subject; ``n_tests`` is what it counts against the limit."""

    subject: Subject
    accepts: Callable[[str], bool]
    n_tests: int = 1


@dataclass(frozen=True, kw_only=True)
class NullTest:
    """``subject is null``; with ``null=False``, ``subject is not null``."""

    subject: Subject
    null: bool


@dataclass(frozen=True, kw_only=True)
class Not:
    """The items that the operand does not select."""

    operand: "Expression"


@dataclass(frozen=True, kw_only=True)
class And:
    """All operands; comparisons of one attribute must hold for one and the same value."""

    operands: "tuple[Expression, ...]"


@dataclass(frozen=True, kw_only=True)
class Or:
    """Any of the operands."""

    operands: "tuple[Expression, ...]"


@dataclass(frozen=True, kw_only=True)
class Intersection:
    """The items that each operand selects by itself, be it by different values of one attribute."""

    operands: "tuple[Expression, ...]"


Expression: TypeAlias = Comparison | NullTest | Not | And | Or | Intersection


def selects(expression: Expression, item_name: str, attributes: Attributes) -> bool:
    """Whether the item satisfies the where clause."""
    match expression:
        case Comparison(subject=subject, accepts=accepts):
            values = subject.values(item_name, attributes)
            return bool(values) and (all if subject.every else any)(map(accepts, values))
        case NullTest(subject=subject, null=null):
            return null != bool(subject.values(item_name, attributes))
        case Not(operand=operand):
            return not selects(operand, item_name, attributes)
        case And(operands=operands):
            return _selects_all(operands, item_name, attributes)
        case Or(operands=operands):
            return any(selects(operand, item_name, attributes) for operand in operands)
        case Intersection(operands=operands):
            return all(selects(operand, item_name, attributes) for operand in operands)


def _selects_all(operands: tuple[Expression, ...], item_name: str, attributes: Attributes) -> bool:
    by_subject: dict[Subject, list[Expression]] = defaultdict(list)
    for operand in operands:
        subject = _only_subject(operand)
        if subject is not None:
            by_subject[subject].append(operand)
        elif not selects(operand, item_name, attributes):
            return False
    return all(
        any(all(_accepts(test, value) for test in tests) for value in subject.values(item_name, attributes))
        for subject, tests in by_subject.items()
    )


def _only_subject(expression: Expression) -> Subject | None:
    """The subject whose single values the expression tests; None if it tests several, or whole items."""
    match expression:
        case Comparison(subject=subject) if not subject.every:
            return subject
        case And(operands=operands) | Or(operands=operands):
            subjects = {_only_subject(operand) for operand in operands}
            return subjects.pop() if len(subjects) == 1 else None
        case _:
            return None


def _accepts(expression: Expression, value: str) -> bool:
    """Whether one value passes an expression that has an only subject."""
    match expression:
        case Comparison(accepts=accepts):
            return accepts(value)
        case And(operands=operands):
            return all(_accepts(operand, value) for operand in operands)
        case Or(operands=operands):
            return any(_accepts(operand, value) for operand in operands)
        case _:
            raise AssertionError(f"{expression} tests items, not values")


def leaves(expression: Expression) -> Iterator[Comparison | NullTest]:
    """The comparisons and null tests of a where clause, from left to right."""
    match expression:
        case Comparison() | NullTest():
            yield expression
        case Not(operand=operand):
            yield from leaves(operand)
        case And(operands=operands) | Or(operands=operands) | Intersection(operands=operands):
            for operand in operands:
                yield from leaves(operand)
