"""How ``awsac ls`` and ``awsac gc`` look, of values that no cloud has to be asked for."""

from datetime import UTC, datetime, timedelta

from awsac_async.cli.gctext import collection_line, garbage_line
from awsac_async.cli.lstext import sessions_text
from awsac_async.cli.statustext import plain
from awsac_async.client import Collection, Garbage, GarbageKind, SessionState, SessionSummary
from awsac_async.session.errors import DeniedError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RUNNING = SessionSummary(
    session_id="261122_1000--eventgen--1816",
    bucket="atlassessions",
    started=NOW - timedelta(hours=2, minutes=5),
    state=SessionState.UNDER_WAY,
    jobs={"running": 3, "pending": 1},
    instances=2,
    cost=1.3,
)
OVER = SessionSummary(
    session_id="261120_0900--eventgen--0a0b",
    bucket="atlassessions",
    started=NOW - timedelta(days=2, hours=3),
    state=SessionState.OVER,
    jobs={"finished": 4, "lost": 1},
    failed=2,
)
OLD = SessionSummary(session_id="081215_1646--eventgen--1816", bucket="", started=None, state=SessionState.UNKNOWN)


def lines(*sessions: SessionSummary, columns: int | None) -> list[list[str]]:
    text = plain(sessions_text(sessions, columns=columns, at=NOW))
    return [[cell for cell in line.split("  ") if cell] for line in text.splitlines()]


def test_a_session_is_one_line_with_its_age_its_jobs_and_what_is_not_known() -> None:
    assert [[cell.strip() for cell in line] for line in lines(RUNNING, OVER, OLD, columns=None)[1:]] == [
        [RUNNING.session_id, "2 hours 5 minutes", "under way: 3 running, 1 pending", "2", "1.30 USD", "atlassessions"],
        [OVER.session_id, "2 days", "over: 4 finished, 1 lost (2 went wrong)", "unknown", "atlassessions"],
        [OLD.session_id, "unknown", "unknown", "unknown", "unknown"],
    ]


def test_a_narrow_terminal_has_no_room_for_the_bucket() -> None:
    assert "bucket" not in lines(RUNNING, columns=100)[0]
    assert "atlassessions" not in lines(RUNNING, columns=100)[1]


def test_a_line_of_gc_says_what_it_is_what_it_costs_whose_it_was_and_why_it_is_nobodys() -> None:
    instance = Garbage(
        kind=GarbageKind.INSTANCE,
        name="i-1",
        session_id=OVER.session_id,
        reason="it is running",
        since=NOW - timedelta(days=2),
        cost=81.6,
    )
    domain = Garbage(kind=GarbageKind.DOMAIN, name="d", session_id="d", reason="no object", since=None)
    assert garbage_line(instance, NOW) == (
        f"instance i-1 (2 days old, 81.60 USD so far) of session {OVER.session_id}: it is running"
    )
    assert garbage_line(domain, NOW) == "domain d: no object"
    refused = Collection(garbage=domain, deleted=False, error=DeniedError("DeleteDomain", "d", "no"))
    assert collection_line(refused) == "not deleted domain d: DeleteDomain d failed: no"
    assert collection_line(Collection(garbage=instance, deleted=True)) == "terminated instance i-1"
    assert collection_line(Collection(garbage=domain, deleted=False)).endswith("a session owns it now")
