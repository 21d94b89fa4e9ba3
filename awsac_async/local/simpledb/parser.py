"""From the text of a select expression to what it asks for (developer guide, "Using Select to Create Queries").

Owns the grammar and its limits; looks at no item. From loose to tight: ``intersection``, ``or``, ``and``, ``not``.

    select OUTPUT from DOMAIN [where EXPRESSION] [order by NAME|itemName() [asc|desc]] [limit N]
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from . import limits
from .exceptions import (
    InvalidNumberPredicates,
    InvalidNumberValueTests,
    InvalidParameterValue,
    InvalidQueryExpression,
    InvalidSortExpression,
    TooManyRequestedAttributes,
)
from .expression import And, Comparison, Expression, Intersection, Not, NullTest, Or, Subject, leaves
from .tokens import Token, Tokens

Output: TypeAlias = Literal["*", "itemName()", "count(*)"] | frozenset[str]

_OPERATORS: Final[dict[str, Callable[[str, str], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# Our own bound, far beyond what 20 comparisons need: each level costs the parser and the evaluation a few stack frames.
_NESTING: Final = 50


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to sort by: an attribute, or with ``name=None`` the item name."""

    name: str | None = None
    descending: bool = False


@dataclass(frozen=True, kw_only=True)
class Select:
    """A select expression; ``criteria`` are its words from the domain up to the limit, which is None if not given."""

    output: Output
    domain: str
    where: Expression | None
    order: Order | None
    limit: int | None
    criteria: tuple[Token, ...]


def parse_select(text: str) -> Select:
    """What the select expression asks for.

    Raises one of the errors that are imported above: InvalidQueryExpression, or the limit it exceeds.
    """
    tokens = Tokens(text)
    tokens.expect("select")
    output = _output(tokens)
    tokens.expect("from")
    start = tokens.position()
    domain = tokens.take_name()
    where = _Where(tokens).expression() if tokens.skip("where") else None
    order = _order(tokens)
    criteria = tokens.between(start, tokens.position())
    limit = _limit(tokens, counting=output == "count(*)")
    tokens.take("end")
    _check_where(where, order)
    return Select(output=output, domain=domain, where=where, order=order, limit=limit, criteria=criteria)


def _output(tokens: Tokens) -> Output:
    if tokens.skip_symbol("*"):
        return "*"
    if tokens.skip_call("itemname"):
        return "itemName()"
    if tokens.skip_call("count", "*"):
        return "count(*)"
    names = [tokens.take_name()]
    while tokens.skip_symbol(","):
        names.append(tokens.take_name())
    if len(names) > limits.REQUESTED_ATTRIBUTES:
        raise TooManyRequestedAttributes
    return frozenset(names)


def _order(tokens: Tokens) -> Order | None:
    if not tokens.skip("order"):
        return None
    tokens.expect("by")
    name = None if tokens.skip_call("itemname") else tokens.take_name()
    descending = tokens.skip("desc")
    if not descending:
        tokens.skip("asc")
    return Order(name=name, descending=descending)


def _limit(tokens: Tokens, *, counting: bool) -> int | None:
    if not tokens.skip("limit"):
        return None
    limit = int(tokens.take("number"))
    if limit < 1 or (limit > limits.SELECT_MAXIMUM_LIMIT and not counting):
        raise InvalidParameterValue(
            value=limit,
            parameter="MaxNumberOfItems",
            reason=f"MaxNumberOfItems must be between 1 and {limits.SELECT_MAXIMUM_LIMIT}.",
        )
    return limit


def _check_where(where: Expression | None, order: Order | None) -> None:
    tests = [] if where is None else list(leaves(where))
    if len({test.subject.name for test in tests}) > limits.SELECT_ATTRIBUTES:
        raise InvalidNumberPredicates
    if sum(test.n_tests if isinstance(test, Comparison) else 1 for test in tests) > limits.SELECT_COMPARISONS:
        raise InvalidNumberValueTests
    constrained = {test.subject.name for test in tests if not (isinstance(test, NullTest) and test.null)}
    if order is not None and order.name not in constrained:
        raise InvalidSortExpression


class _Where:
    """The where clause, by recursive descent: one method a level of the grammar."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._depth = 0

    def expression(self) -> Expression:
        operands = [self._disjunction()]
        while self._tokens.skip("intersection"):
            operands.append(self._disjunction())
        return operands[0] if len(operands) == 1 else Intersection(operands=tuple(operands))

    def _disjunction(self) -> Expression:
        operands = [self._conjunction()]
        while self._tokens.skip("or"):
            operands.append(self._conjunction())
        return operands[0] if len(operands) == 1 else Or(operands=tuple(operands))

    def _conjunction(self) -> Expression:
        operands = [self._factor()]
        while self._tokens.skip("and"):
            operands.append(self._factor())
        if len(operands) == 1:
            return operands[0]
        # "(a and b) and c" is "a and b and c": comparisons of one attribute meet in one And, however bracketed.
        parts = [part.operands if isinstance(part, And) else (part,) for part in operands]
        return And(operands=tuple(operand for part in parts for operand in part))

    def _factor(self) -> Expression:
        self._depth += 1
        if self._depth > _NESTING:
            raise InvalidQueryExpression
        try:
            return self._negation_or_bracket_or_test()
        finally:
            self._depth -= 1

    def _negation_or_bracket_or_test(self) -> Expression:
        if self._tokens.skip("not"):
            return Not(operand=self._factor())
        if self._tokens.skip_symbol("("):
            inner = self.expression()
            self._tokens.take_symbol(")")
            return inner
        return self._test(self._subject())

    def _subject(self) -> Subject:
        every = self._tokens.skip("every")
        if every:
            self._tokens.take_symbol("(")
        name = None if self._tokens.skip_call("itemname") else self._tokens.take_name()
        if every:
            self._tokens.take_symbol(")")
        return Subject(name=name, every=every)

    def _test(self, subject: Subject) -> Comparison | NullTest:
        tokens = self._tokens
        if tokens.skip("is"):
            null = not tokens.skip("not")
            tokens.expect("null")
            return NullTest(subject=subject, null=null)
        if tokens.skip("between"):
            return self._between(subject)
        if tokens.skip("in"):
            return self._in(subject)
        if tokens.skip("like"):
            return Comparison(subject=subject, accepts=_like(tokens.take("constant")))
        if tokens.skip("not"):
            tokens.expect("like")
            matches = _like(tokens.take("constant"))
            return Comparison(subject=subject, accepts=lambda value: not matches(value))
        compare = _OPERATORS[tokens.take_symbol(_OPERATORS)]
        constant = tokens.take("constant")
        return Comparison(subject=subject, accepts=lambda value: compare(value, constant))

    def _between(self, subject: Subject) -> Comparison:
        low = self._tokens.take("constant")
        self._tokens.expect("and")
        high = self._tokens.take("constant")
        return Comparison(subject=subject, accepts=lambda value: low <= value <= high)

    def _in(self, subject: Subject) -> Comparison:
        self._tokens.take_symbol("(")
        constants = [self._tokens.take("constant")]
        while self._tokens.skip_symbol(","):
            constants.append(self._tokens.take("constant"))
        self._tokens.take_symbol(")")
        return Comparison(subject=subject, accepts=frozenset(constants).__contains__, n_tests=len(constants))


def _like(pattern: str) -> Callable[[str], bool]:
    r"""Whether a value matches a pattern: % is any text, \% a percent sign, \\ a backslash."""
    pieces = [""]
    for part in re.findall(r"\\[\\%]|%|[^\\%]+|\\", pattern):
        if part == "%":
            pieces.append("")
        else:
            pieces[-1] += part[1:] if part in {r"\%", r"\\"} else part
    return lambda value: _holds_in_order(value, pieces)


def _holds_in_order(value: str, pieces: list[str]) -> bool:
    """Whether ``value`` begins with the first piece, ends with the last, and holds the others between, in order."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return value == first
    if not value.startswith(first) or not value.endswith(last) or len(value) < len(first) + len(last):
        return False
    position, end = len(first), len(value) - len(last)
    for piece in pieces[1:-1]:
        found = value.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True
