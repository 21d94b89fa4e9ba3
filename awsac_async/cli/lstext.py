"""How ``ls`` looks: its table and its document of ``--json``, from the same values. rich is imported where it draws."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from awsac_async.session.costs import shown_usd
from awsac_async.session.durations import rough_span
from awsac_async.session.times import format_time

if TYPE_CHECKING:
    from rich.console import Group

    from awsac_async.client import SessionSummary

UNKNOWN = "unknown"
_NARROW = 110  # columns of a terminal that has no room for the bucket, nor for the second of the start
_RIGHT = frozenset({"instances", "cost"})


def sessions_values(sessions: "Sequence[SessionSummary]") -> list[dict[str, Any]]:
    """Return the sessions as values of JSON; what is not known is null."""
    return [
        {
            "session_id": each.session_id,
            "bucket": each.bucket or None,
            "started": format_time(each.started) or None,
            "state": each.state.value,
            "n_jobs": each.n_jobs,
            "jobs": dict(each.jobs),
            "failed_jobs": each.failed,
            "instances": each.instances,
            "cost_usd": each.cost,
        }
        for each in sessions
    ]


def sessions_text(sessions: "Sequence[SessionSummary]", *, columns: int | None, at: datetime) -> "Group":
    """Return a table with a line a session.

    Args:
        sessions: what is shown.
        columns: of a terminal; if it is narrow, buckets are left out. None for a pipe.
        at: the time to which ages are told.
    """
    from rich.console import Group
    from rich.table import Table

    titles = ["session", "age", "state", "instances", "cost"]
    wide = columns is None or columns >= _NARROW
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in [*titles, "bucket"] if wide else titles:
        table.add_column(title, justify="right" if title in _RIGHT else "left", overflow="fold")
    for each in sessions:
        cells = [each.session_id, _age(each, at), _state(each), str(each.instances or ""), _cost(each)]
        table.add_row(*cells, *[each.bucket or UNKNOWN] * wide)
    return Group(table)


def _age(session: "SessionSummary", at: datetime) -> str:
    return rough_span(max(0.0, (at - session.started).total_seconds())) if session.started else UNKNOWN


def _state(session: "SessionSummary") -> str:
    """Return how a session stands: "under way: 3 running, 1 pending", "over: 4 finished, 1 of them wrong"."""
    counts = ", ".join(f"{number} {status}" for status, number in session.jobs.items())
    wrong = f" ({session.failed} went wrong)" if session.failed else ""
    return f"{session.state.value}: {counts}{wrong}" if counts else session.state.value


def _cost(session: "SessionSummary") -> str:
    return UNKNOWN if session.cost is None else shown_usd(session.cost)
