"""How the report says what it knows: how a job stands, a span, a time.

Owns these words, which the page and its figures share. Pure.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime

from awsac_async.client.check import SessionStatus
from awsac_async.client.outcome import Outcome, job_outcome
from awsac_async.session.model import LOST, JobRecord, JobState

_WORDS: Mapping[JobState, str] = {
    JobState.TIMEDOUT: "timed out",
    JobState.SAVEFAILED: "not saved",
    JobState.WAITFORSAVE: "saving",
}
_MINUTE, _HOUR = 60, 3600
_IN_SECONDS = 120  # below, a span is said in seconds


def word(job: JobRecord, status: SessionStatus) -> str:
    """Return how a job ended or stands, in one or two words."""
    if job.number in status.lost_numbers:
        return LOST
    if job.state is JobState.FINISHED and not job.succeeded:
        return "exited non-zero"
    return _WORDS.get(job.state, job.state.value)


def kind(job: JobRecord, status: SessionStatus) -> str:
    """Return whether that is "good", "bad", or still "open"."""
    match job_outcome(job, status):
        case None:
            return "open"
        case Outcome.SUCCEEDED:
            return "good"
    return "bad"


def shown_span(seconds: float) -> str:
    """Return a span as people say it: "34 s", "12 min 4 s", "3 h 12 min"."""
    whole = round(seconds)
    if whole < _IN_SECONDS:
        return f"{whole} s" if seconds >= 1 or not seconds else f"{seconds:.1g} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def shown_time(time: datetime | None, *, days: Collection[date]) -> str:
    """Return a time (UTC), with its date unless the whole session was on one of ``days``."""
    if time is None:
        return ""
    return f"{time:%H:%M:%S}" if len(days) == 1 else f"{time:%Y-%m-%d %H:%M:%S}"
