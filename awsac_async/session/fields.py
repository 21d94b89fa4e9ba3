"""How one field of a file is read: the checks that all formats share.

A reader takes the text of a field and returns its value, or raises ValueError whose message says what was expected.
``read_field`` turns that into a FormatError with the place. White space inside a field never means anything.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from awsac_async.session import names
from awsac_async.session.errors import FormatError
from awsac_async.session.model import MAX_JOBS, Schedule, Shield, StatusKind
from awsac_async.session.times import parse_time

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
Reader = Callable[[str], str]

# A text file of a session is typed by a person; this is a hundred times what any of them needs.
MAX_TEXT = 1 << 20
_MOST_SHOWN = 120
_SIZE = re.compile(r"(?P<number>[0-9]{1,15}(\.[0-9]{1,3})?)(?P<unit>([kKMGT]?B)?)", re.ASCII)
_POWERS = ("", "K", "M", "G", "T")
_MOST_SIZE = 1000**5
_YES_OR_NO = {"yes": True, "no": False}
_FIRST_YEAR, _LAST_YEAR = 1970, 9000  # far from the ends of the calendar, where sums overflow


def without_space(text: str) -> str:
    """Drop all white space, inside as well, as the readers of 2008 did."""
    return "".join(text.split())


def shown(text: str) -> str:
    """Quote a text for an error message, shortened if it is long."""
    if not text:
        return "nothing"
    quoted = repr(text if len(text) <= 80 else text[:77] + "...")
    quoted = re.sub(r"\\udc([89a-f][0-9a-f])", r"\\x\1", quoted)  # bytes of a name that are no text
    return quoted if len(quoted) <= _MOST_SHOWN else quoted[: _MOST_SHOWN - 4] + "...'"  # it is mostly escapes


def shown_value(value: object) -> str:
    """Quote any value of a file for an error message: one that is nested too deep or too large has no text."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return "a value that is too large or nested too deep"
    return text if len(text) <= 80 else text[:77] + "..."


def read_field(reader: Callable[[str], T], text: str, *, file: str, field: str, line: int | None = None) -> T:
    """Read one field; what does not pass becomes a FormatError that says where it stands."""
    try:
        return reader(text)
    except ValueError as error:
        raise FormatError(file=file, line=line, field=field, found=shown(text), expected=str(error)) from None


def matching(pattern: str, expected: str) -> Callable[[str], str]:
    """Return a reader of texts that match ``pattern`` wholly."""
    compiled = re.compile(pattern, re.ASCII)

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(expected)
        return text

    return read


def integer(*, least: int, most: int, expected: str) -> Callable[[str], int]:
    """Return a reader of decimal integers from ``least`` to ``most``."""
    # Longer texts than 18 digits are out of any range here, and Python refuses to convert very long ones.
    plain = re.compile(r"-?[0-9]{1,18}", re.ASCII)

    def read(text: str) -> int:
        if not plain.fullmatch(text) or not least <= int(text) <= most:
            raise ValueError(expected)
        return int(text)

    return read


def size(text: str) -> int:
    """Read bytes as ``shown_size`` shows them, or as a bare number; raises ValueError."""
    found = _SIZE.fullmatch(text)
    value = round(float(found["number"]) * 1000 ** _POWERS.index(found["unit"][:-1].upper())) if found else 0
    if not 0 < value <= _MOST_SIZE:
        raise ValueError("a size like 500MB, 20GB or 1.5TB (a bare number is bytes), above 0 and at most 1000TB")
    return value


def yes_or_no(text: str) -> bool:
    """Read what is or is not."""
    if text not in _YES_OR_NO:
        raise ValueError("yes or no")
    return _YES_OR_NO[text]


def shown_yes_or_no(value: bool) -> str:
    """Write what ``yes_or_no`` reads."""
    return "yes" if value else "no"


def price(text: str) -> float:
    """Read an amount of USD."""
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?", text, re.ASCII):
        raise ValueError("an amount of USD like 0.17")
    return float(text)


def time(text: str) -> datetime:
    """Read a time as ``times`` does, of years with which can be reckoned."""
    try:
        found = parse_time(text)
    except (ValueError, OverflowError):
        found = None
    if found is None or not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise ValueError("a time like 2026-11-22T15:50:39Z or 26-11-22 15:50:39")
    return found


def one_of(kind: type[E]) -> Callable[[str], E]:
    """Return a reader of the members of an enumeration."""

    def read(text: str) -> E:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(" or ".join(kind)) from None

    return read


# The characters of a SimpleDB domain name, which are safe in S3 keys, file names and tags as well.
_DOMAIN = "[A-Za-z0-9_.-]"

status_store = one_of(StatusKind)
schedule = one_of(Schedule)
job_user_shield = one_of(Shield)
positive_integer = integer(least=1, most=10**9, expected="a positive integer")
number_of_jobs = integer(least=1, most=MAX_JOBS, expected=f"a number of jobs from 1 to {MAX_JOBS}")
natural_number = integer(least=0, most=10**9, expected="0 or a positive integer")
session_id = matching(_DOMAIN + "{3,255}", "a session ID like 081215_1646--eventgen--1816")
job_user = matching(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", "the name of a user of the instance, like nobody")
release_mount = matching("rw|ro", "rw or ro")
bootstrap = matching(
    f"{names.BOOTSTRAP_IMAGE}|{names.BOOTSTRAP_CLOUD_INIT}", f"{names.BOOTSTRAP_IMAGE} or {names.BOOTSTRAP_CLOUD_INIT}"
)
market = matching("on-demand|spot", "on-demand or spot")
retries = integer(least=0, most=100, expected="a number from 0 to 100")
endpoint_url = matching(r"https?://[A-Za-z0-9.\[][!-:<-?A-~]{0,254}", "an address like https://s3.example.org")
s3_addressing_style = matching("auto|path|virtual", "auto, path or virtual")
request_checksum_calculation = matching("when_required|when_supported", "when_required or when_supported")
# How each part of ``Access`` is read, wherever it stands, by its field.
ACCESS: Mapping[str, Callable[[str], str]] = {
    names.ENDPOINT_URL: endpoint_url,
    names.ENDPOINT_URL_EC2: endpoint_url,
    names.ENDPOINT_URL_S3: endpoint_url,
    names.ENDPOINT_URL_SDB: endpoint_url,
    names.S3_ADDRESSING_STYLE: s3_addressing_style,
    names.REQUEST_CHECKSUM_CALCULATION: request_checksum_calculation,
}
short_description = matching(
    _DOMAIN + "{1,8}", "letters, digits, '_', '.' or '-' only (it becomes part of names in S3 and SimpleDB)"
)
# 2008's buckets could have capitals, underscores and up to 255 characters.
bucket = matching(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}", "the name of an S3 bucket (letters, digits, '.', '-')")
archive_name = matching(
    r"[^\s/;]+" + re.escape(names.ARCHIVE_SUFFIX),
    f"a file name without spaces and ';' that ends in {names.ARCHIVE_SUFFIX}",
)


def read_text(path: Path, *, expected: str = "a text file") -> str:
    """Read a text file of a session (UTF-8; line ends become one newline); ``expected`` says what file is meant.

    Raises:
        FormatError: there is no such file, it cannot be read, is too large, or is not text.
    """
    return decode(_read_bytes(path, expected), file=str(path))


def decode(content: bytes, *, file: str, most_bytes: int = MAX_TEXT) -> str:
    """Decode what a text file holds; a FormatError names the line that is not text."""
    if len(content) > most_bytes:
        raise FormatError(file=file, found="a larger file", expected=f"at most {most_bytes >> 20} MiB of text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{content[error.start]:02x}"
        raise FormatError(file=file, line=line, found=found, expected="text in UTF-8 or ASCII") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_bytes(path: Path, expected: str) -> bytes:
    try:
        if path.is_dir():
            raise FormatError(file=str(path), found="a directory", expected="a text file")
        with path.open("rb") as file:
            return file.read(MAX_TEXT + 1)
    except FileNotFoundError:
        raise FormatError(file=str(path), found="no such file", expected=expected) from None
    except (OSError, ValueError) as error:
        found = (error.strerror or "an error") if isinstance(error, OSError) else str(error)
        raise FormatError(file=str(path), found=found.lower(), expected="a text file that can be read") from None
