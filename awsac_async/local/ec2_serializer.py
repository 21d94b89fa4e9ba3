"""How EC2's answers are written: as moto writes them, without looking up and checking the same names for each value.

``DescribeInstances`` of some hundred instances has eighty thousand values, for which moto itself takes seconds. What is
answered stays the same.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from moto.core.serialize import (
    SERVICE_SPECIFIC_SERIALIZERS,
    AttributePickerContext,
    EC2Serializer,
    XFormedAttributePicker,
)
from moto.core.utils import get_value

_NOTHING = object()


def install() -> None:
    """Let moto's EC2 answer by this serializer."""
    SERVICE_SPECIFIC_SERIALIZERS["ec2"] = {"ec2": EmbeddedEC2Serializer}


class EmbeddedEC2Serializer(EC2Serializer):
    """Writes one answer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"value_picker": _Picker(options["value_picker"])})

    def _serialize_body(self, body: Mapping[str, Any]) -> str:
        ((root, content),) = body.items()
        return f'<?xml version="1.0" encoding="utf-8"?>\n{_element(root, content)}'


class _Picker(XFormedAttributePicker):
    """Finds values as moto does, and remembers under which names they may be found: those of a class stay the same."""

    def __init__(self, picker: XFormedAttributePicker) -> None:
        super().__init__(picker.alias_providers, picker.response_transformers)
        self._names: dict[tuple[object, ...], tuple[str, ...]] = {}
        self._transforms: dict[str, Callable[[Any], Any] | None] = {}

    def __call__(self, context: AttributePickerContext) -> Any:
        value = None
        for name in self._possible_names(context):
            found = get_value(context.obj, name, _NOTHING)
            if found is not _NOTHING:
                value = found
                break
        transform = self._transform(f"{context.key_path}.{context.key}")
        return transform(value) if transform else value

    def _possible_names(self, context: AttributePickerContext) -> Iterable[str]:
        place = (type(context.obj), context.key, context.shape)
        if place not in self._names:
            self._names[place] = tuple(dict.fromkeys(self.get_possible_keys(context)))
        return self._names[place]

    def _transform(self, path: str) -> Callable[[Any], Any] | None:
        if path not in self._transforms:
            fitting = (each for end, each in self.response_transformers.items() if path.endswith(end))
            self._transforms[path] = next(fitting, None)
        return self._transforms[path]


def _element(tag: str, value: Any) -> str:
    """Write a value as xmltodict would: a list as an element for each, "@" before the name of an attribute."""
    if isinstance(value, list):
        return "".join(_element(tag, each) for each in value)
    if isinstance(value, Mapping):
        attributes = "".join(f" {name[1:]}={quoteattr(text)}" for name, text in value.items() if name[0] == "@")
        children = "".join(_element(name, each) for name, each in value.items() if name[0] != "@")
        return f"<{tag}{attributes}>{children}</{tag}>"
    if isinstance(value, bool):
        return f"<{tag}>{'true' if value else 'false'}</{tag}>"
    return f"<{tag}>{'' if value is None else escape(str(value))}</{tag}>"
