"""One section of an ini file, with the line each key stands on, which configparser does not tell.

Shared by ``session.ini`` and ``session-<id>.cfg``. Keys are lower case; ``;`` and ``#`` after a space begin a comment
if the caller says so, as in the ConfigParser of Python 2.
"""

import configparser
import re
from dataclasses import dataclass, replace

from awsac_async.session.errors import FormatError
from awsac_async.session.fields import shown
from awsac_async.session.wording import clipped, printable

_HEADER = re.compile(r"\[(?P<name>[^]]+)\]")
_WIDE_GAP = re.compile(r"\s{200}")
_LINES = "lines like 'key = value' below a line like '[section]'"
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
        interpolation=None,
        inline_comment_prefixes=None if interpolation else (";", "#"),
    )
    lines = _lines_of_keys(text, section)
    _refuse_wide_gaps(text, file=file)
    try:
        parser.read_string(text)
        if alone and parser.sections() not in ([], [section]):
            raise FormatError(file=file, found=_sections(parser), expected=f"one section, [{section}]")
        entries = {key: Entry(value=value, line=lines.get(key)) for key, value in parser.items(section)}
    except configparser.NoSectionError:
        raise FormatError(file=file, found=_sections(parser), expected=f"a section [{section}]") from None
    except configparser.Error as error:
        raise _format_error(error, text, file=file) from None
    if not interpolation:
        return entries
    return {key: _single_percent(key, entry, file=file) for key, entry in entries.items()}


def _single_percent(key: str, entry: Entry, *, file: str) -> Entry:
    """Return an entry in which ``%%`` has become ``%``, all that awsac makes use of where values are interpolated.

    One value may stand for others in such files. Nobody writes that, and ten lines of it can be a terabyte.
    """
    if "%" in entry.value.replace("%%", ""):
        expected = "'%' doubled, as in 100%%"
        raise FormatError(file=file, line=entry.line, field=key, found="a single '%'", expected=expected)
    return replace(entry, value=entry.value.replace("%%", "%"))


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
    return ", ".join(f"[{clipped(printable(name), 40)}]" for name in found[:3]) if found else "no section"


def _refuse_wide_gaps(text: str, *, file: str) -> None:
    """Raise FormatError for a key with a gap in it, for which configparser takes time by the square of its width."""
    for number, line in enumerate(text.split("\n"), 1):
        if _WIDE_GAP.search(key := _DELIMITER.split(line, maxsplit=1)[0].strip()):
            raise FormatError(file=file, line=number, found=shown(key), expected=_LINES)


def _format_error(error: configparser.Error, text: str, *, file: str) -> FormatError:
    """Say in our words what configparser objects to: its own differ from Python to Python."""
    match error:
        case configparser.ParsingError():  # MissingSectionHeaderError is one
            line, expected = (
                (error.lineno, "a [section] first")
                if isinstance(error, configparser.MissingSectionHeaderError)
                else (error.errors[0][0], _LINES)
            )
            found = shown(text.split("\n")[line - 1].strip())
            return FormatError(file=file, line=line, found=found, expected=expected)
        case configparser.DuplicateOptionError():
            found = "the same key a second time"
            return FormatError(file=file, line=error.lineno, field=error.option, found=found, expected="each key once")
        case configparser.DuplicateSectionError():
            found = f"[{clipped(printable(error.section), 40)}] a second time"
            return FormatError(file=file, line=error.lineno, found=found, expected="each section once")
    return FormatError(file=file, found="what is no ini file", expected=_LINES)
