"""How ``gc`` looks: the lines and the document of ``--json`` of what was found and of what has become of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from awsac_async.session.costs import shown_usd
from awsac_async.session.durations import rough_span
from awsac_async.session.times import format_time
from awsac_async.session.wording import counted, printable

if TYPE_CHECKING:
    from awsac_async.client import Collection, Garbage


def garbage_values(garbage: "Garbage") -> dict[str, Any]:
    """Return one thing as values of JSON; what is not known is null."""
    return {
        "kind": garbage.kind.value,
        "name": garbage.name,
        "session_id": garbage.session_id,
        "reason": garbage.reason,
        "since": format_time(garbage.since) or None,
        "cost_usd": garbage.cost,
        "gib": garbage.gib,
    }


def collection_values(collection: "Collection") -> dict[str, Any]:
    """Return what has become of one thing as values of JSON."""
    error = collection.error
    return garbage_values(collection.garbage) | {"deleted": collection.deleted, "error": str(error) if error else None}


def garbage_line(garbage: "Garbage", at: datetime) -> str:
    """Return what it is, since when, what it costs, whose it was, and why it is nobody's."""
    details = [f"{rough_span(max(0.0, (at - garbage.since).total_seconds()))} old"] if garbage.since else []
    details += [f"{garbage.gib} GiB"] * (garbage.gib is not None)
    if garbage.cost is not None:
        details.append(f"{shown_usd(garbage.cost)} so far")
    about = f" ({', '.join(details)})" if details else ""
    owner = "build" if garbage.kind == "builder" else "session"
    whose = f" of {owner} {garbage.session_id}" if garbage.name != garbage.session_id else ""
    return f"{garbage.kind.value} {printable(garbage.name)}{about}{whose}: {garbage.reason}"


def collection_line(collection: "Collection") -> str:
    """Return what has become of one thing."""
    what = f"{collection.garbage.kind.value} {printable(collection.garbage.name)}"
    if collection.deleted:
        return f"terminated {what}" if collection.garbage.kind in {"instance", "builder"} else f"deleted {what}"
    return f"not deleted {what}: {collection.error or 'it is gone, or a session owns it now'}"


def garbage_question(garbage: "Sequence[Garbage]") -> str:
    """Return the question before anything is deleted."""
    return "delete it?" if len(garbage) == 1 else f"delete these {counted(len(garbage), 'thing')}?"
