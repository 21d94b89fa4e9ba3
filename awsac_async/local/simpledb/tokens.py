"""The words of a select expression, and its quoting rules (developer guide, "Select Quoting Rules").

Owns what a name, a constant and a keyword look like; the grammar is the parser's.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from .exceptions import InvalidQueryExpression

Kind: TypeAlias = Literal["name", "constant", "word", "number", "symbol", "end"]

RESERVED: Final = frozenset(
    {"or", "and", "not", "from", "where", "select", "like", "null", "is"}
    | {"order", "by", "asc", "desc", "in", "between", "intersection", "limit", "every"}
)

# Quoted text is matched possessively: a doubled quote is never given back to end the text early.
# Nine digits are more than any limit needs, and few enough for int().
_TOKEN = re.compile(
    r"""(?P<name>`(?:[^`]|``)++`)
    |(?P<constant>'(?:[^']|'')*+'|"(?:[^"]|"")*+")
    |(?P<word>[A-Za-z_$][A-Za-z0-9_$]*)
    |(?P<number>[0-9]{1,9})
    |(?P<symbol>!=|<=|>=|[=<>(),*])""",
    re.VERBOSE,
)
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True, kw_only=True)
class Token:
    """One word; ``text`` is free of quotes, and of a word as it was written."""

    kind: Kind
    text: str

    def is_keyword(self, keyword: str) -> bool:
        """Whether this is ``keyword``, in any case, unquoted."""
        return self.kind == "word" and self.text.lower() == keyword

    def is_name(self) -> bool:
        """Whether this may name an attribute or a domain."""
        return self.kind == "name" or (self.kind == "word" and self.text.lower() not in RESERVED)


class Tokens:
    """The words of one select expression, read from left to right; each miss raises InvalidQueryExpression."""

    def __init__(self, text: str) -> None:
        self._tokens = _split(text)
        self._position = 0

    def peek(self, ahead: int = 0) -> Token:
        """The word to come, or the one ``ahead`` after it; behind the last one, the end."""
        return self._tokens[min(self._position + ahead, len(self._tokens) - 1)]

    def take(self, *kinds: Kind) -> str:
        """Step over the word to come, which must be of one of these kinds."""
        token = self.peek()
        if token.kind not in kinds:
            raise InvalidQueryExpression
        self._position += 1
        return token.text

    def take_name(self) -> str:
        """Step over the name of an attribute or a domain."""
        if not self.peek().is_name():
            raise InvalidQueryExpression
        return self.take("name", "word")

    def take_symbol(self, symbols: Collection[str]) -> str:
        """Step over one of these symbols."""
        if self.peek().text not in symbols:
            raise InvalidQueryExpression
        return self.take("symbol")

    def skip(self, keyword: str) -> bool:
        """Step over ``keyword`` if it is to come; whether it was."""
        found = self.peek().is_keyword(keyword)
        self._position += found
        return found

    def skip_symbol(self, symbol: str) -> bool:
        """Step over ``symbol`` if it is to come; whether it was."""
        found = self.peek() == Token(kind="symbol", text=symbol)
        self._position += found
        return found

    def expect(self, *keywords: str) -> None:
        """Step over these keywords, all of which must come."""
        if not all(self.skip(keyword) for keyword in keywords):
            raise InvalidQueryExpression

    def skip_call(self, function: str, argument: str = "") -> bool:
        """Step over ``function(argument)`` if it is to come; whether it was. The argument is a symbol, or nothing."""
        symbols = ["(", *argument, ")"]
        found = self.peek().is_keyword(function) and all(
            self.peek(i) == Token(kind="symbol", text=symbol) for i, symbol in enumerate(symbols, start=1)
        )
        self._position += found * (1 + len(symbols))
        return found

    def position(self) -> int:
        """How many words were stepped over."""
        return self._position

    def between(self, start: int, end: int) -> tuple[Token, ...]:
        """The words from position ``start`` up to and without ``end``."""
        return tuple(self._tokens[start:end])


def _split(text: str) -> list[Token]:
    tokens, position = [], _skip_space(text, 0)
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise InvalidQueryExpression
        tokens.append(_token(match))
        position = _skip_space(text, match.end())
    return [*tokens, Token(kind="end", text="")]


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _token(match: re.Match[str]) -> Token:
    kind, text = str(match.lastgroup), match.group()
    if kind in {"name", "constant"}:
        quote = text[0]
        return Token(kind=kind, text=text[1:-1].replace(quote * 2, quote))  # type: ignore[arg-type]  # lastgroup is a Kind
    return Token(kind=kind, text=text)  # type: ignore[arg-type]  # as above
