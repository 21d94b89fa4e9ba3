"""How releases look: their table, and their documents of ``--json``, from the same values."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from awsac_async.cli.tables import Rows
from awsac_async.session.durations import rough_span
from awsac_async.session.times import format_time

if TYPE_CHECKING:
    from rich.console import Group

    from awsac_async.client import Made, ReleaseSnapshot

_TITLES = ("name", "snapshot", "GiB", "state", "age", "encrypted")
_COMPLETED = "completed"


def release_values(found: "ReleaseSnapshot") -> dict[str, Any]:
    """Return a release as values of JSON."""
    return {
        "name": found.name,
        "snapshot_id": found.snapshot_id,
        "gib": found.gib,
        "state": found.state,
        "progress": found.progress,
        "begun": format_time(found.begun),
        "encrypted": found.encrypted,
        "session_id": found.session_id or None,
    }


def made_values(made: "Made | None") -> dict[str, Any]:
    """Return what came of a build, or of packing, as values of JSON; nothing came if the answer was no."""
    if made is None:
        return {"started": False, "release": None, "archive": None}
    return {
        "started": True,
        "session_id": made.ended.status.record.session_id,
        "outcome": made.ended.outcome.value,
        "release": release_values(made.snapshot) if made.snapshot else None,
        "archive": made.archive or None,
        "session_file": str(made.kept) if made.kept else None,
    }


def releases_text(found: "Sequence[ReleaseSnapshot]", *, at: datetime) -> "Group":
    """Return a table with a line a release; ``at`` is the time to which ages are told."""
    from rich.console import Group

    rows = [
        [
            each.name,
            each.snapshot_id,
            str(each.gib),
            each.state if each.state == _COMPLETED else f"{each.state} {each.progress}".strip(),
            rough_span(max(0.0, (at - each.begun).total_seconds())),
            "yes" if each.encrypted else "no",
        ]
        for each in found
    ]
    return Group(Rows(_TITLES, rows, right={"GiB"}))
