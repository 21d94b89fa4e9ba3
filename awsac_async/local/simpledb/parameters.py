"""The parameters of a request as the operations take them.

Owns how lists are spelled on the wire: ``Attribute.N.Name``, ``Item.N.Attribute.M.Value``, ``Expected.Name`` or
``Expected.1.Name``, with N from 0 or 1 and with gaps, as clients from 2009 to today send them. Checks presence only.
"""

from collections import defaultdict
from collections.abc import Mapping

from .exceptions import InvalidParameterValue, MissingParameter, MultipleExpectedNames
from .models import DeletePair, Expected, PutPair


class Parameters:
    """The parameters of one request, by name."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def required(self, name: str) -> str:
        """The value; MissingParameter if there is none."""
        if name not in self._values:
            raise MissingParameter(parameter=name)
        return self._values[name]

    def optional(self, name: str) -> str | None:
        """The value, if there is one."""
        return self._values.get(name)

    def integer(self, name: str, *, default: int) -> int:
        """The value as a number; InvalidParameterValue if it is none."""
        text = self._values.get(name, str(default))
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise InvalidParameterValue(value=text, parameter=name, reason="It must be a number.")
        return int(text)

    def flag(self, name: str) -> bool | None:
        """The value as a truth value, if there is one; InvalidParameterValue if it is neither true nor false."""
        text = self._values.get(name)
        if text is None:
            return None
        if text.lower() not in {"true", "false"}:
            raise InvalidParameterValue(value=text, parameter=name, reason="It should be either true or false.")
        return text.lower() == "true"

    def members(self, name: str) -> "list[Parameters]":
        """The members of a list in the order of their numbers, each with its own parameters (without ``name.N.``)."""
        found: dict[int, dict[str, str]] = defaultdict(dict)
        for key, value in self._values.items():
            head, _, rest = key.removeprefix(name + ".").partition(".")
            if key.startswith(name + ".") and head.isascii() and head.isdecimal() and len(head) < 10:
                found[int(head)][rest] = value
        return [Parameters(values) for _, values in sorted(found.items())]

    def attribute_names(self) -> list[str]:
        """``AttributeName``, once or as a list."""
        single = self.optional("AttributeName")
        return [*([single] if single else []), *(member.required("") for member in self.members("AttributeName"))]

    def put_pairs(self) -> list[PutPair]:
        """``Attribute.N``; MissingParameter if there is none."""
        pairs = [
            PutPair(name=part.required("Name"), value=part.required("Value"), replace=part.flag("Replace") or False)
            for part in self.members("Attribute")
        ]
        if not pairs:
            raise MissingParameter(parameter="Attribute.Name")
        return pairs

    def delete_pairs(self) -> list[DeletePair]:
        """``Attribute.N``, which may be absent, as may each value."""
        return [
            DeletePair(name=part.required("Name"), value=part.optional("Value")) for part in self.members("Attribute")
        ]

    def items(self) -> "list[tuple[str, Parameters]]":
        """``Item.N`` by item name; MissingParameter if there is none."""
        items = [(part.required("ItemName"), part) for part in self.members("Item")]
        if not items:
            raise MissingParameter(parameter="Item.ItemName")
        return items

    def expected(self) -> Expected | None:
        """The condition, if there is one; MultipleExpectedNames if there are more."""
        conditions = [*self.members("Expected"), self._plain_expected()]
        given = [condition for condition in conditions if condition._values]
        if len(given) > 1:
            raise MultipleExpectedNames
        if not given:
            return None
        (condition,) = given
        exists = condition.flag("Exists")
        return Expected(
            name=condition.required("Name"),
            value=condition.optional("Value"),
            exists=True if exists is None else exists,
        )

    def _plain_expected(self) -> "Parameters":
        keys = ("Name", "Value", "Exists")
        return Parameters({key: self._values[f"Expected.{key}"] for key in keys if f"Expected.{key}" in self._values})
