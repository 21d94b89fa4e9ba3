"""``session.ini``: what a session is to be, as its user writes it.

Owns the keys, their checks and their defaults, which keep the behaviour of 2008. A key that is not known is an
error that names the nearest one: a typing error must not start instances that nobody meant.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from awsac_async.session import fields, names
from awsac_async.session.durations import parse_duration, parse_hours
from awsac_async.session.errors import FormatError, ProblemsError
from awsac_async.session.fields import integer, matching
from awsac_async.session.inifile import Entry, read_section
from awsac_async.session.model import StartInfo

SECTION = "startinfo"
SHORTDESCR_LENGTH = 8


def _shortdescr(text: str) -> str:
    """Cut a description at 8 characters, silently, as 2008 did."""
    return fields.short_description(text[:SHORTDESCR_LENGTH])


def _security_groups(text: str) -> tuple[str, ...]:
    read = matching(r"sg-[0-9a-f]{8,17}", "security group IDs like sg-0123abcd, separated by commas")
    return tuple(read(group) for group in text.split(","))


# Key of the file -> field of StartInfo, reader.
_REQUIRED: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "instance_type": ("instance_type", matching(r"[a-z0-9-]+\.[a-z0-9-]+", "an instance type like c1.medium")),
    "ami_id": ("ami_id", matching(r"ami-[0-9a-f]{8,17}", "an image ID like ami-c97591a0")),
    "sessionsbucket": ("bucket", fields.bucket),
    "ec2_uid": ("ec2_uid", matching(r"[0-9]{12}", "the 12 digits of the account that owns the image")),
    "shortdescr": ("shortdescr", _shortdescr),
    "n_jobs": ("n_jobs", fields.number_of_jobs),
}
_OPTIONAL: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "region": ("region", matching(r"[a-z]+(-[a-z0-9]+)+", "a region like us-east-1")),
    "instance_profile": ("instance_profile", matching(r"[\w+=,.@-]{1,128}", "the name of an instance profile")),
    "key_name": ("key_name", matching(r"[!-~]{1,255}", "the name of a key pair")),
    "security_group_ids": ("security_group_ids", _security_groups),
    "subnet_id": ("subnet_id", matching(r"subnet-[0-9a-f]{8,17}", "a subnet ID like subnet-0123abcd")),
    "market": ("market", fields.market),
    "cores_per_instance": ("cores_per_instance", integer(least=1, most=1024, expected="a number from 1 to 1024")),
    "max_hours": ("max_hours", parse_hours),
    "job_timeout": ("job_timeout", parse_duration),
    "retries": ("retries", fields.retries),
    "job_user": ("job_user", fields.job_user),
    "release_mount": ("release_mount", fields.release_mount),
    "price_per_hour": ("price_per_hour", fields.price),
}
_KEYS = {**_REQUIRED, **_OPTIONAL}


def read_startinfo(path: Path) -> StartInfo:
    """Read a ``session.ini``; raises as ``parse_startinfo`` does."""
    return parse_startinfo(fields.read_text(path), file=str(path))


def parse_startinfo(text: str, *, file: str) -> StartInfo:
    """Parse the text of a ``session.ini``; ``file`` is its name in errors.

    Raises:
        FormatError: it is not right.
        ProblemsError: several keys or values are not right; each problem is a FormatError.
    """
    entries = read_section(text, file=file, section=SECTION, interpolation=False, alone=True)
    values: dict[str, Any] = {"instance_profile": names.DEFAULT_INSTANCE_PROFILE}
    problems: list[FormatError] = []
    for key, entry in entries.items():
        try:
            field, value = _read_entry(key, entry, file=file)
            values[field] = value
        except FormatError as error:
            problems.append(error)
    if problems := [*problems, *_missing(entries, file=file)]:
        raise problems[0] if len(problems) == 1 else ProblemsError(problems)
    return StartInfo(**values)


def _read_entry(key: str, entry: Entry, *, file: str) -> tuple[str, Any]:
    """Return field and value of StartInfo; raises FormatError."""
    if key not in _KEYS:
        expected = f"a key that awsac knows; the nearest is {_nearest(key)}"
        raise FormatError(file=file, line=entry.line, found=f"unknown key {fields.shown(key)}", expected=expected)
    field, reader = _KEYS[key]
    value = fields.without_space(entry.value)
    return field, fields.read_field(reader, value, file=file, field=key, line=entry.line)


def _nearest(key: str) -> str:
    (nearest,) = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.0)
    return nearest


def _missing(entries: Mapping[str, Entry], *, file: str) -> Iterator[FormatError]:
    """Name the required keys that are not there, but for those that a typing error has made unknown ones of."""
    misspelt = {_nearest(key) for key in entries if key not in _KEYS}
    if missing := [key for key in _REQUIRED if key not in entries and key not in misspelt]:
        found = "no such key" if len(missing) == 1 else "no such keys"
        expected = f"[{SECTION}] to have all of {', '.join(_REQUIRED)}"
        yield FormatError(file=file, field=", ".join(missing), found=found, expected=expected)
