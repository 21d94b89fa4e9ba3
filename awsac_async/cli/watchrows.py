"""Which jobs a live view shows when not all of them fit, and how the rest is summed.

Owns the order: what runs and what went wrong goes before what waits, and that before what is done. Pure; draws nothing.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from awsac_async.client import SessionStatus
from awsac_async.session.model import LOST, JobRecord, JobState

_EXITED = "exited non-zero"


class Kind(IntEnum):
    """What a job means to who watches."""

    WRONG = 0
    ACTIVE = 1
    WAITING = 2
    DONE = 3


@dataclass(frozen=True, kw_only=True)
class Row:
    """A job with the word for its state that is shown: ``lost`` and "exited non-zero" are told apart."""

    job: JobRecord
    word: str
    kind: Kind


@dataclass(frozen=True, kw_only=True)
class Rows:
    """All jobs of a session: by number, and by kind."""

    all: tuple[Row, ...]
    by_kind: dict[Kind, tuple[Row, ...]]
    totals: Counter[str]

    def fitting(self, count: int) -> list[Row]:
        """Return the rows for so many lines: all by number, or what counts most, each kind by number."""
        if len(self.all) <= count:
            return list(self.all)
        wrong, active = self.by_kind[Kind.WRONG], self.by_kind[Kind.ACTIVE]
        # Neither a thousand failures nor a thousand running jobs may hide all of the other.
        room = max(count // 2, count - len(active))
        chosen = [*wrong[:room], *active, *wrong[room:], *self.by_kind[Kind.WAITING], *self.by_kind[Kind.DONE]]
        return chosen[:count]

    def rest(self, shown: Iterable[Row]) -> str:
        """Return what is not shown: "and 9,960 more: 9,000 finished, 960 pending", or ""."""
        hidden = self.totals - Counter(row.word for row in shown)
        return f"and {hidden.total():,} more: {summed(hidden)}" if hidden else ""


def rows_of(status: SessionStatus) -> Rows:
    """Return the rows of a session's jobs."""
    rows = tuple(_row(job, status) for job in status.jobs)
    by_kind = {kind: tuple(row for row in rows if row.kind is kind) for kind in Kind}
    return Rows(all=rows, by_kind=by_kind, totals=Counter(row.word for row in rows))


def summed(counts: Counter[str]) -> str:
    """Return numbers by state, the largest first: "9,000 finished, 960 pending"."""
    return ", ".join(f"{number:,} {word}" for word, number in counts.most_common())


def _row(job: JobRecord, status: SessionStatus) -> Row:
    if job.number in status.lost_numbers:
        return Row(job=job, word=LOST, kind=Kind.WRONG)
    if job.number in status.taken_over:
        return Row(job=job, word=job.state.value, kind=Kind.WAITING)
    if job.state is JobState.FINISHED:
        good = job.succeeded
        return Row(job=job, word="finished" if good else _EXITED, kind=Kind.DONE if good else Kind.WRONG)
    if job.state.final:
        return Row(job=job, word=job.state.value, kind=Kind.WRONG)
    return Row(job=job, word=job.state.value, kind=Kind.ACTIVE if job.state.active else Kind.WAITING)
