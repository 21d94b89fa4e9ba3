"""Inputs that were never meant: right ones, changed a little or beyond recognition; by the same numbers, the same ones.

Bytes are changed as bytes, lines and fields as such, and JSON as a tree, so that what is wrong also stands deep inside
a document that is right otherwise.
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

_DIGITS = "7" * 5000
# What has broken readers of all kinds.
NASTY = (
    "", " ", "0", "-1", "-0", "+1", "1e999", "-1e999", "1e-999", "NaN", "nan", "inf", "-Infinity", "0x10", "1_000",
    "\u0661", "1.5", "2147483648", "9223372036854775808", "1000000000", "999999999999999999", _DIGITS, f"-{_DIGITS}",
    f"0.{_DIGITS}", f"1e{_DIGITS}", "[" * 3000, '{"a":' * 3000, "(" * 3000, "]" * 3000, "x = " + "[" * 3000,
    "a.b." * 1000, "/" * 3000, "a/" * 3000, ";" * 3000, "," * 3000, "true", "false", "null", "None", "yes", "no",
    "rw", "spot", "shared", "s3", "-", "--", "..", "../../etc/passwd", "/etc/passwd", ".", "~", "\0", "a\0b",
    "\ufeff", "\r", "\r\n", "\n", "\n\n", "\t", "\v", "\f", "\x85", "\u2028", "\u2029", "\x1b[2J", "\x1b]0;x\x07",
    "\u202e", "\u200b", "\xa0", "\ud800", "\udc80", "\udfff\ud800", "é", "e\u0301", "👩‍🔬", "ß" * 300, "A" * 300,
    "k" * 100_000, "%", "%%", "%(x)s", "%(session_id)s", "${aws:username}", "{}", "{0}", "[]", '""', "''", '"', "'",
    '"""', "'''", "\\", "\\u0000", "\\ud800", "`", "#", "; #", "=", "==", ":", "[section]", "2026-11-22T15:50:39Z",
    "0000-00-00T00:00:00Z", "9999-12-31T23:59:59Z", "2026-02-30T25:61:61Z", "26-11-22 15:50:39",
    "0001-01-01T00:00:00+23:59", "snap-0123abcd", "s3://b/k.tar.zst", "s3://bucket/../k.tar", "s3://", "1.0:0-a",
    "999999999.999999999.999999999:999999999-z", "job1.sh", "*", "?", "[a-z",
)  # fmt: skip
_NASTY_BYTES = (
    *(b"\xff\xfe", b"\xfe\xff", b"\x00" * 600, b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
    *(b"BZh9", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"),
)
_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")
_SEPARATORS = re.compile(r"([;,=/:|\n\"' .-])")


class Mutator:
    """Changes inputs, by random numbers of its own."""

    def __init__(self, numbers: random.Random) -> None:
        self.numbers = numbers

    def text(self, seeds: Sequence[str]) -> str:
        """Return a text made of one of these."""
        made = self.content([each.encode("utf-8", "surrogatepass") for each in seeds])
        return made.decode("utf-8", self.numbers.choice(["surrogateescape", "replace"]))

    def content(self, seeds: Sequence[bytes]) -> bytes:
        """Return bytes made of one of these."""
        made = self.numbers.choice(seeds)
        if self.numbers.random() < 0.6 and (tree := _tree(made)) is not None:
            made = self._written(self._changed(tree))
            if self.numbers.random() < 0.8:
                return made
        for _ in range(self.numbers.choice([1, 1, 1, 2, 3, 6])):
            made = self.numbers.choice(self._ways())(made, seeds)
        return made

    def tree(self, seed: Any) -> Any:
        """Return a tree of dictionaries, lists and values made of one."""
        return self._changed(seed)

    def nasty(self) -> str:
        """Return one of what has broken readers."""
        return self.numbers.choice(NASTY)

    # --- bytes ---

    def _ways(self) -> Sequence[Callable[[bytes, Sequence[bytes]], bytes]]:
        bytewise = (self._flip, self._drop, self._double, self._insert, self._cut, self._splice)
        return (*bytewise, self._field, self._field, self._field, self._number, self._line, self._line)

    def _span(self, length: int) -> tuple[int, int]:
        start = self.numbers.randint(0, length)
        return start, min(length, start + self.numbers.choice([1, 1, 2, 8, 64, 1024]))

    def _flip(self, made: bytes, _: Sequence[bytes]) -> bytes:
        changed = bytearray(made)
        for _ in range(self.numbers.choice([1, 1, 4])):
            if changed:
                changed[self.numbers.randrange(len(changed))] ^= 1 << self.numbers.randrange(8)
        return bytes(changed)

    def _drop(self, made: bytes, _: Sequence[bytes]) -> bytes:
        start, end = self._span(len(made))
        return made[:start] + made[end:]

    def _double(self, made: bytes, _: Sequence[bytes]) -> bytes:
        start, end = self._span(len(made))
        return made[:end] + made[start:end] * self.numbers.choice([1, 2, 50]) + made[end:]

    def _insert(self, made: bytes, _: Sequence[bytes]) -> bytes:
        start, end = self._span(len(made))
        return made[:start] + self._word() + made[self.numbers.choice([start, end]) :]

    def _cut(self, made: bytes, _: Sequence[bytes]) -> bytes:
        return made[: self.numbers.randint(0, len(made))]

    def _splice(self, made: bytes, seeds: Sequence[bytes]) -> bytes:
        other = self.numbers.choice(seeds)
        return made[: self.numbers.randint(0, len(made))] + other[self.numbers.randint(0, len(other)) :]

    def _word(self) -> bytes:
        if self.numbers.random() < 0.2:
            return self.numbers.choice(_NASTY_BYTES)
        return self.nasty().encode("utf-8", "surrogatepass")

    def _field(self, made: bytes, _: Sequence[bytes]) -> bytes:
        """Replace what stands between two separators."""
        parts = _SEPARATORS.split(made.decode("utf-8", "surrogateescape"))
        parts[self.numbers.randrange(0, len(parts), 2)] = self.nasty()
        return "".join(parts).encode("utf-8", "surrogatepass")

    def _number(self, made: bytes, _: Sequence[bytes]) -> bytes:
        found = list(_NUMBER.finditer(made))
        if not found:
            return made
        place = self.numbers.choice(found)
        return made[: place.start()] + self._word() + made[place.end() :]

    def _line(self, made: bytes, seeds: Sequence[bytes]) -> bytes:
        """Double, move, remove or take over a line."""
        lines = made.split(b"\n")
        place = self.numbers.randrange(len(lines))
        match self.numbers.randrange(4):
            case 0:
                del lines[place]
            case 1:
                lines.insert(self.numbers.randint(0, len(lines)), lines[place])
            case 2:
                lines.insert(place, self.numbers.choice(self.numbers.choice(seeds).split(b"\n")))
            case _:
                self.numbers.shuffle(lines)
        return b"\n".join(lines)

    # --- trees ---

    def _changed(self, tree: Any) -> Any:
        for _ in range(self.numbers.choice([1, 1, 2, 4])):
            tree = self._changed_once(tree)
        return tree

    def _changed_once(self, tree: Any) -> Any:
        """Replace one node, whichever it is, or change it as a whole."""
        if isinstance(tree, dict) and tree and self.numbers.random() < 0.85:
            key = self.numbers.choice(list(tree))
            return self._in_dictionary(tree, key)
        if isinstance(tree, list) and tree and self.numbers.random() < 0.85:
            place = self.numbers.randrange(len(tree))
            return [*tree[:place], self._changed_once(tree[place]), *tree[place + 1 :]]
        return self._value(tree)

    def _in_dictionary(self, tree: dict[str, Any], key: str) -> dict[str, Any]:
        match self.numbers.randrange(8):
            case 0:
                return {name: value for name, value in tree.items() if name != key}
            case 1:
                return {self.nasty() if name == key else name: value for name, value in tree.items()}
            case 2:
                return tree | {self.nasty(): self._value(tree[key])}
        return tree | {key: self._changed_once(tree[key])}

    def _value(self, old: Any) -> Any:
        texts: list[Callable[[], Any]] = [self.nasty, lambda: f"{old}{self.nasty()}"[:200_000]]
        numbers = [
            0,
            -1,
            1,
            2,
            10**9,
            10**18,
            10**400,
            2**63,
            0.5,
            1e308,
            float("nan"),
            float("inf"),
            True,
            False,
            None,
        ]
        others = [[], {}, [old], {"a": old}, [[]], [None], [old, old], old, dict.fromkeys(map(str, range(50)), old)]
        return self.numbers.choice(
            [*texts, lambda: self.numbers.choice(numbers), lambda: self.numbers.choice(others)]
        )()

    def _written(self, tree: Any) -> bytes:
        text = json.dumps(tree, ensure_ascii=self.numbers.random() < 0.5)
        return text.encode("utf-8", "surrogatepass")


def _tree(content: bytes) -> Any:
    """Return what JSON says, if it is any."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
