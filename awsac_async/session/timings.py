"""How often a job was tried and where its time went, in the ``x_`` attributes of its item.

Owns how these are written, and read back from whatever is there: the attributes of an item are anybody's to write.
"""

from collections.abc import Mapping

from awsac_async.session import fields
from awsac_async.session.durations import MAX_SECONDS
from awsac_async.session.model import JobRecord
from awsac_async.session.names import PARTS, X_ATTEMPT, seconds_attribute


def timing_attributes(seconds: Mapping[str, float], *, attempt: int) -> dict[str, str]:
    """Return the attributes for the seconds that a job has spent in each of ``PARTS`` so far, and for its attempt."""
    written = {seconds_attribute(part): f"{seconds[part]:.3f}" for part in PARTS if part in seconds}
    return written | {X_ATTEMPT: str(attempt)}


def read_attempt(job: JobRecord) -> int | None:
    """Return the number of the job's latest attempt, from 1; None if its agent does not say."""
    try:
        return fields.positive_integer(job.extra[X_ATTEMPT])
    except (KeyError, ValueError):
        return None


def read_seconds(job: JobRecord) -> dict[str, float]:
    """Return the seconds that the job has spent in each part of its life that its agent tells of, in order."""
    told = ((part, job.extra.get(seconds_attribute(part))) for part in PARTS)
    read = ((part, _seconds(text)) for part, text in told if text)
    return {part: seconds for part, seconds in read if seconds is not None}


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds <= MAX_SECONDS else None
