"""One section of an ini file, with the line each key stands on, which configparser does not tell.

Shared by ``session.ini`` and ``session-<id>.cfg``. Keys are lower case; ``;`` and ``#`` after a space begin a comment
if the caller says so, as in the ConfigParser of Python 2.
"""

import configparser
import re
from dataclasses import dataclass

from awsac_async.session.errors import FormatError
from awsac_async.session.fields import shown

_HEADER = re.compile(r"\[(?P<name>[^]]+)\]")
_DELIMITER = re.compile("[:=]")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A key's value as it stands in the file, and its line."""

    value: str
    line: int | None


def read_section(text: str, *, file: str, section: str, interpolation: bool, alone: bool = False) -> dict[str, Entry]:
    """Read the entries of one section, in the order of the file.

    Raises:
        FormatError: the text is not an ini file, has no such section, or, if that must stand ``alone``, another one.
    """
    parser = configparser.ConfigParser(
        interpolation=configparser.BasicInterpolation() if interpolation else None,
        inline_comment_prefixes=None if interpolation else (";", "#"),
    )
    lines = _lines_of_keys(text, section)
    try:
        parser.read_string(text)
        if alone and parser.sections() not in ([], [section]):
            raise FormatError(file=file, found=_sections(parser), expected=f"one section, [{section}]")
        return {key: Entry(value=value, line=lines.get(key)) for key, value in parser.items(section)}
    except configparser.NoSectionError:
        raise FormatError(file=file, found=_sections(parser), expected=f"a section [{section}]") from None
    except configparser.Error as error:
        raise _format_error(error, text, file=file, lines=lines) from None


def _lines_of_keys(text: str, section: str) -> dict[str, int]:
    lines: dict[str, int] = {}
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line.strip()):
            inside = header["name"] == section
        elif inside:
            lines.setdefault(_DELIMITER.split(line, maxsplit=1)[0].strip().lower(), number)
    return lines


def _sections(parser: configparser.ConfigParser) -> str:
    found = parser.sections()
    return ", ".join(f"[{name}]" for name in found[:3]) if found else "no section"


def _format_error(error: configparser.Error, text: str, *, file: str, lines: dict[str, int]) -> FormatError:
    """Say in our words what configparser objects to: its own differ from one Python to the next."""
    expected = "lines like 'key = value' below a line like '[section]'"
    match error:
        case configparser.MissingSectionHeaderError():
            return FormatError(
                file=file, line=error.lineno, found=shown(error.line.strip()), expected="a [section] first"
            )
        case configparser.ParsingError() if error.errors:
            line, _ = error.errors[0]
            found = shown(text.split("\n")[line - 1].strip())
            return FormatError(file=file, line=line, found=found, expected=expected)
        case configparser.DuplicateOptionError():
            found = "the same key a second time"
            return FormatError(file=file, line=error.lineno, field=error.option, found=found, expected="each key once")
        case configparser.DuplicateSectionError():
            found = f"[{error.section}] a second time"
            return FormatError(file=file, line=error.lineno, found=found, expected="each section once")
        case configparser.InterpolationError():
            place, expected = lines.get(error.option), "'%' doubled, as in 100%%"
            return FormatError(file=file, line=place, field=error.option, found="a single '%'", expected=expected)
    return FormatError(file=file, found="what is no ini file", expected=expected)
