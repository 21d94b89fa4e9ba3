"""The configuration file: defaults of the options, as ``~/.config/awsac/config.toml`` or what AWSAC_CONFIG names.

Owns where it is, its keys and their checks. All of it is checked, whatever verb is asked for; what is not known is an
error, since a typing error must not silently change nothing.
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from awsac_async.session.errors import FormatError
from awsac_async.session.fields import shown, shown_value
from awsac_async.session.wording import clipped

VARIABLE = "AWSAC_CONFIG"
_TOP: Mapping[str, type] = {
    "region": str,
    "profile": str,
    "endpoint_url": str,
    "bucket": str,
    "local": bool,
    "quiet": bool,
    "verbose": bool,
}
_EVERY_VERB = {"bucket", "local"}  # keys of the top level that are the default of an option of every verb that has it
_LONGEST_KEY = 64  # characters that are compared with the keys that there are
_KINDS: Mapping[type, str] = {
    str: "a text in quotes",
    bool: "true or false",
    float: "a number",
    list: 'a list of texts, like ["1", "3-7"]',
    dict: "a table of its options",
}


def config_file() -> Path | None:
    """Return the file to read; None if there is none, or AWSAC_CONFIG is empty."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("XDG_CONFIG_HOME", "")
    home = Path(base if base.startswith("/") else os.path.expanduser("~/.config"))  # noqa: PTH111  never raises
    path = home / "awsac" / "config.toml"
    return path if path.is_file() else None


def read_config(path: Path, ctx: typer.Context) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read and check a configuration file.

    Args:
        path: the file.
        ctx: of the command line itself, which has the verbs.

    Returns:
        The values of the top level, and the defaults of each verb's options, by the names of their parameters.

    Raises:
        FormatError: it is no TOML, or has an unknown key or a value of the wrong kind.
    """
    group: Any = ctx.command
    verbs = {name: verb for name, verb in group.commands.items() if not isinstance(verb, TyperGroup)}
    return _File(path=path, ctx=ctx, verbs=verbs).read(_parse(path))


def _parse(path: Path) -> dict[str, Any]:
    import tomllib  # most users have no such file

    from awsac_async.session.fields import read_text

    text = read_text(path, expected=f"the configuration file that {VARIABLE} names")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of numbers of 5,000 digits, of 3,000 brackets
        # Each Python has words of its own for what is wrong.
        line = int(place[1]) if (place := re.search(r"at line (\d+)", str(error))) else None
        found = shown(text.split("\n")[line - 1].strip()) if line else "no TOML that can be read"
        raise FormatError(
            file=str(path), line=line, found=found, expected="lines like 'key = value', in TOML"
        ) from None


@dataclass(frozen=True, kw_only=True)
class _File:
    """The file while it is checked: its name is in every sentence."""

    path: Path
    ctx: typer.Context
    verbs: Mapping[str, Any]

    def read(self, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        for key, value in values.items():
            kind = _TOP[key] if self._known(key, [*_TOP, *self.verbs]) in _TOP else dict
            if type(value) is not kind:
                raise self._wrong(key, value, _KINDS[kind])
        if values.get("quiet") and values.get("verbose"):
            raise self._wrong("verbose", True, "only one of quiet and verbose to be true")
        top = {key: value for key, value in values.items() if key in _TOP}
        return top, {name: self._defaults(name, top, values.get(name, {})) for name in self.verbs}

    def _defaults(self, verb: str, top: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
        """Return a verb's defaults, by parameter."""
        params = [param for param in self.verbs[verb].params if param.expose_value]
        found = {param.name: top[param.name] for param in params if param.name in _EVERY_VERB & top.keys()}
        options = {_plain(name): param for param in params for name in param.opts if name.startswith("--")}
        for key, value in table.items():
            option = options[self._known(_plain(key), options, verb)]
            found[option.name] = self._checked(f"{verb}.{key}", value, option)
        return found

    def _checked(self, key: str, value: Any, option: Any) -> Any:
        """Return a default as the command line would give it: true, or texts."""
        if option.is_flag or option.multiple:
            if type(value) is not (kind := bool if option.is_flag else list):
                raise self._wrong(key, value, _KINDS[kind])
            return value
        if not isinstance(value, bool | int | float | str):
            raise self._wrong(key, value, "a text or a number")
        try:
            read = option.process_value(self.ctx, str(value))
        except typer.BadParameter as error:
            expected = f"what {option.opts[-1]} takes ({clipped(error.message, 200)})"
            raise self._wrong(key, value, expected) from None
        except ValueError:  # of a number that has no text
            raise self._wrong(key, value, f"what {option.opts[-1]} takes") from None
        number = isinstance(read, int | float)
        if isinstance(value, bool) or not isinstance(value, int | float if number else str):
            raise self._wrong(key, value, _KINDS[float if number else str])
        return str(value)

    def _known(self, key: str, known: Collection[str], verb: str = "") -> str:
        if key in known:
            return key
        import difflib

        nearest = difflib.get_close_matches(key[:_LONGEST_KEY], known, n=1, cutoff=0.0)
        expected = f"a key that awsac knows; the nearest is {nearest[0]}"
        found = f"unknown key {shown(f'{verb}.{key}' if verb else key)}"
        raise FormatError(file=str(self.path), found=found, expected=expected)

    def _wrong(self, key: str, value: Any, expected: str) -> FormatError:
        found = str(value).lower() if isinstance(value, bool) else shown_value(value)
        return FormatError(file=str(self.path), field=clipped(key, 80), found=found, expected=expected)


def _plain(option: str) -> str:
    return option.lstrip("-").replace("-", "_")
