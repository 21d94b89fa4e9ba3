"""JSON objects that others may have written, read member by member, each with a check.

Owns how such a document is refused: what stands there, in which member, and what was expected. Knows no format.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from awsac_async.session.errors import FormatError
from awsac_async.session.fields import MAX_TEXT, decode, shown, shown_value

_MOST = 10**9  # of a number, unless told


class JsonObject:
    """The members of an object; ``file`` is its document's name in errors."""

    def __init__(self, value: object, *, file: str) -> None:
        if not isinstance(value, dict):
            raise FormatError(file=file, found=_shown(value), expected="a JSON object")
        self.members: Mapping[str, Any] = cast("dict[str, Any]", value)
        self._file = file

    def read(self, name: str, right: Callable[[Any], bool], expected: str, *, absent: object = None) -> Any:
        """Return a member for which ``right`` is true, or ``absent`` in its place; raises FormatError."""
        value = self.members.get(name, absent)
        if not right(value):
            raise FormatError(file=self._file, field=name, found=_shown(value), expected=expected)
        return value

    def read_version(self, version: int) -> None:
        """Raise FormatError unless the document is of this version."""
        self.read("version", lambda value: is_integer(value, least=version, most=version), f"{version}")


def parse_object(content: bytes, *, file: str, most_bytes: int = MAX_TEXT, deepest: int | None = None) -> JsonObject:
    """Read a document that is to be one object; raises FormatError.

    ``deepest`` bounds how many lists and objects may stand in one another, where members are written anew.
    """
    text = decode(content, file=file, most_bytes=most_bytes)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise FormatError(file=file, found=shown(text), expected="a JSON object") from None
    if deepest is not None and _is_deeper(value, deepest):
        raise FormatError(file=file, found=f"more than {deepest} lists in lists", expected="fewer")
    return JsonObject(value, file=file)


def _is_deeper(value: object, deepest: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(deepest):
        inside = (each for group in level for each in (group.values() if isinstance(group, dict) else group))
        level = [each for each in inside if isinstance(each, (dict, list))]
    return bool(level)


def is_integer(value: object, *, least: int = 1, most: int = _MOST) -> bool:
    """Whether a value is an integer in these bounds; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_text(value: object) -> bool:
    """Whether a value is a string."""
    return isinstance(value, str)


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    try:
        return shown(json.dumps(value))
    except (ValueError, RecursionError):
        return shown_value(value)
