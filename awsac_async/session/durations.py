"""Spans of time as people write and read them, and how long before a deadline jobs are stopped.

Owns the words only: who measures such a span does so by a clock that nobody sets.
"""

import math
import re

from awsac_async.session.wording import counted

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(?P<number>[0-9]{1,9}(\.[0-9]{1,3})?)(?P<unit>[smh]?)", re.ASCII)
# A year: a session is for a short time, and a deadline must stay a time that a calendar has.
MAX_HOURS = 8760.0
MAX_SECONDS = MAX_HOURS * 3600
_EXPECTED = "a time like 90s, 30m, 2h or 1.5h (a bare number is seconds), above 0 and at most 8760h"

# Others take an instance for lost after this time: shorter ones would make a busy minute of S3 a loss, and after longer
# ones nobody waits for the job any more.
_LEAST_LEASE, _MOST_LEASE = 10.0, 7200.0

# What jobs have left is saved in the last 10 minutes before the deadline, or in a tenth of a shorter session.
LAST_SECONDS = 600.0
_LAST_SHARE = 0.1


def parse_duration(text: str) -> float:
    """Return the seconds that ``90s``, ``30m``, ``1.5h`` or ``90`` mean; raises ValueError."""
    found = _DURATION.fullmatch(text)
    seconds = float(found["number"]) * _UNITS[found["unit"]] if found else 0
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(_EXPECTED)
    return round(seconds, 3)


def parse_lease(text: str) -> float:
    """Return the seconds that an instance may be silent; raises ValueError."""
    seconds = parse_duration(text)
    if not _LEAST_LEASE <= seconds <= _MOST_LEASE:
        raise ValueError(f"a time from {_LEAST_LEASE:g} s to {_MOST_LEASE / 3600:g} hours, like 5m")
    return seconds


def parse_hours(text: str) -> float:
    """Return the hours of a deadline; raises ValueError."""
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 < hours <= MAX_HOURS:
        raise ValueError(f"a number of hours above 0, at most {MAX_HOURS:g}")
    return hours


def format_seconds(seconds: float) -> str:
    """Write seconds as ``parse_duration`` reads them, without a unit."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def shown_duration(seconds: float) -> str:
    """Return a span in the largest unit in which it is a round number: "90 minutes", "2 hours"."""
    for size, name in ((3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            return counted(int(seconds // size), name)
    return "1 second" if seconds == 1 else f"{format_seconds(seconds)} seconds"


def rough_span(seconds: float) -> str:
    """Return a span in its largest unit, or two of them from an hour on: "12 seconds", "2 hours 5 minutes"."""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours >= 48:
        return counted(hours // 24, "day")
    if hours:
        return counted(hours, "hour") + (f" {counted(minutes % 60, 'minute')}" if minutes % 60 else "")
    return counted(minutes, "minute") if minutes else counted(int(seconds), "second")


def clock_span(seconds: float) -> str:
    """Return a span as a clock shows it: "0:07", "12:34", "1:02:03"."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def warning_seconds(max_hours: float) -> float:
    """Return how many seconds before the deadline the jobs are stopped, so that what they left can be saved."""
    return min(LAST_SECONDS, _LAST_SHARE * max_hours * 3600)
