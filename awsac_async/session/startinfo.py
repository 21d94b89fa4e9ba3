"""``session.ini``: what a session is to be, as its user writes it.

The keys are those of `startkeys`; what is left out keeps the behaviour of 2008. A key that is not known is an error
that names the nearest one: a typing error must not start instances that nobody meant.
"""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from awsac_async.session import fields, names
from awsac_async.session.errors import FormatError, ProblemsError
from awsac_async.session.inifile import Entry, read_section
from awsac_async.session.model import Schedule, StartInfo
from awsac_async.session.startkeys import KEYS

SECTION = "startinfo"
_LONGEST_KEY = 64  # characters that are compared with the keys that there are
_MOST_PROBLEMS = 20  # after which a file is no session.ini with mistakes


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
        if len(problems) == _MOST_PROBLEMS:
            break
    problems += _meant_for_shared(entries, values, file=file)
    if problems := [*problems, *_missing(entries, file=file)]:
        raise problems[0] if len(problems) == 1 else ProblemsError(problems)
    return StartInfo(**values)


def _read_entry(key: str, entry: Entry, *, file: str) -> tuple[str, Any]:
    """Return field and value of StartInfo; raises FormatError."""
    if key not in KEYS:
        expected = f"a key that awsac knows; the nearest is {_nearest(key)}"
        raise FormatError(file=file, line=entry.line, found=f"unknown key {fields.shown(key)}", expected=expected)
    known = KEYS[key]
    value = fields.without_space(entry.value)
    return known.field, fields.read_field(known.read, value, file=file, field=key, line=entry.line)


def _meant_for_shared(entries: Mapping[str, Entry], values: Mapping[str, Any], *, file: str) -> Iterator[FormatError]:
    """Name the keys that would be without effect where each job has its own core; they stand for less cost."""
    if "schedule" in entries and values.get("schedule") is not Schedule.FIXED:  # or it cannot be read, which is told
        return
    for key, entry in entries.items():
        if key in KEYS and KEYS[key].shared_only:
            found, expected = (
                fields.shown(entry.value),
                f"schedule = {Schedule.SHARED} with it: else each job has a core of its own",
            )
            yield FormatError(file=file, line=entry.line, field=key, found=found, expected=expected)


def _nearest(key: str) -> str:
    return str(difflib.get_close_matches(key[:_LONGEST_KEY], KEYS, n=1, cutoff=0.0)[0])


def _missing(entries: Mapping[str, Entry], *, file: str) -> Iterator[FormatError]:
    """Name the required keys that are not there, but for those that a typing error has made unknown ones of."""
    required = [name for name, key in KEYS.items() if key.required]
    unknown = [key for key in entries if key not in KEYS]
    misspelt = {_nearest(key) for key in unknown[:_MOST_PROBLEMS]}
    if missing := [key for key in required if key not in entries and key not in misspelt]:
        found = "no such key" if len(missing) == 1 else "no such keys"
        expected = f"[{SECTION}] to have all of {', '.join(required)}"
        yield FormatError(file=file, field=", ".join(missing), found=found, expected=expected)
