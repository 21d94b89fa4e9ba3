"""The live view of ``check --watch``: what stands on the screen, drawn for whatever size the screen has now.

Owns the drawing. A status is digested when it comes; a redraw, by which durations tick, touches only the jobs that
are shown. Asks nobody; rich is imported where something is drawn.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from awsac_async.cli.statustext import boot_remark
from awsac_async.cli.watchrows import Kind, Row, Rows, rows_of, summed
from awsac_async.client import SessionStatus, cost_so_far
from awsac_async.session.costs import shown_usd
from awsac_async.session.durations import clock_span, rough_span
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.timings import read_attempt

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table
    from rich.text import Text

_WIDE, _NARROW = 100, 70  # columns from which all is shown, and below which only what counts
_BAR_LIMIT = 100  # characters
_HINT = "Ctrl-C leaves this view; the session goes on"
# What the bar is made of: it must be told apart without colours, too.
_MARKS = {Kind.DONE: ("#", "green"), Kind.WRONG: ("!", "red"), Kind.ACTIVE: ("=", "cyan"), Kind.WAITING: (".", "dim")}
_STYLES = {Kind.DONE: "green", Kind.WRONG: "red", Kind.ACTIVE: "cyan", Kind.WAITING: ""}


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """A status as it is drawn again and again. ``cost`` is a phrase, or ""."""

    status: SessionStatus
    rows: Rows
    cost: str


class WatchView:
    """What ``rich`` draws; ``update`` and ``failed`` say what there is to draw."""

    def __init__(self, *, clock: Callable[[], datetime], last_line: Callable[[int], str]) -> None:
        """``clock`` gives the time now, ``last_line`` the last line that a job has written."""
        self._clock, self._last_line = clock, last_line
        self._seen: _Seen | None = None
        self._failure = ""
        self._shown: Sequence[Row] = ()

    def update(self, status: SessionStatus) -> None:
        """Take how the session stands now."""
        cost = cost_so_far(status, at=self._clock())
        spent = f"about {shown_usd(cost)} so far" if cost is not None else ""
        self._seen, self._failure = _Seen(status=status, rows=rows_of(status), cost=spent), ""

    def failed(self, sentence: str) -> None:
        """Take why the cloud could not be asked; it stands there until the next ``update``."""
        self._failure = sentence

    def running_shown(self) -> list[int]:
        """Return the numbers of the jobs that run and were on the screen when it was last drawn."""
        return [row.job.number for row in self._shown if row.job.state is JobState.RUNNING and row.kind is Kind.ACTIVE]

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        if self._seen is None:
            yield self._failure or "asking how the session stands …"
            return
        width, height = options.max_width, options.height or console.size.height
        head = list(self._head(self._seen, width, height))
        room = max(1, height - len(head) - 2)  # the titles, and the hint
        if len(self._seen.rows.all) > room:
            room = max(1, room - 1)  # the sum of the rest
        self._shown = self._seen.rows.fitting(room)
        yield from head
        yield self._table(self._shown, width)
        if rest := self._seen.rows.rest(self._shown):
            yield _line(rest)
        yield _line(_HINT, "dim")

    def _head(self, seen: _Seen, width: int, height: int) -> "Iterator[RenderableType]":
        status, now = seen.status, self._clock()
        age = f"started {rough_span((now - status.started).total_seconds())} ago" if status.started else ""
        facts = [age, f"in {status.record.region}", seen.cost]
        yield _line(f"session {status.record.session_id}", "bold", ", ".join(filter(None, facts)))
        yield _line(f"{len(seen.rows.all):,} jobs: {summed(seen.rows.totals)}")
        yield _bar(seen.rows, min(width, _BAR_LIMIT))
        yield from _instance_lines(status, most=max(1, height // 5))
        if self._failure:
            yield _line(self._failure, "yellow")
        elif remark := boot_remark(status, at=now):
            yield _line(remark, "yellow")
        yield _line("")

    def _table(self, rows: Sequence[Row], width: int) -> "Table":
        from rich.table import Table

        columns = _columns(rows, width)
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        for title in columns:
            right, last = title in {"job", "LI", "duration", "attempt"}, title == columns[-1]
            table.add_column(
                title,
                justify="right" if right else "left",
                no_wrap=True,
                overflow="ellipsis",
                ratio=1 if last else None,
            )
        for row in rows:
            cells = self._cells(row)
            table.add_row(*(_line(cells[title], _STYLES[row.kind] if title == "status" else "") for title in columns))
        return table

    def _cells(self, row: Row) -> dict[str, str]:
        job = row.job
        since, seconds = _since(job), _duration(job, at=self._clock(), ended=row.kind is not Kind.ACTIVE)
        return {
            "job": str(job.number),
            "status": row.word,
            "instance": job.instance_id,
            "LI": "" if job.launch_index is None else str(job.launch_index),
            "since": f"{since:%H:%M:%SZ}" if since else "",
            "duration": "" if seconds is None else clock_span(seconds),
            "attempt": str(read_attempt(job) or ""),
            _LAST: self._remark(row),
        }

    def _remark(self, row: Row) -> str:
        if row.kind is Kind.ACTIVE:
            return self._last_line(row.job.number)
        code = row.job.return_code
        returned = f"return code {code}" if row.kind is Kind.WRONG and code is not None else ""
        return ", ".join(filter(None, [returned, row.job.reason]))


_LAST = "last log line, or reason"


def _columns(rows: Sequence[Row], width: int) -> list[str]:
    attempts = any((read_attempt(row.job) or 1) > 1 for row in rows)
    columns = ["job", "status"]
    if width >= _WIDE:
        columns += ["instance", "since"]
    elif width >= _NARROW:
        columns += ["LI", "since"]
    return [*columns, "duration", *["attempt"] * attempts, _LAST]


def _since(job: JobRecord) -> datetime | None:
    """Return when the job came into its state, as far as its record tells."""
    if job.state is JobState.RUNNING:
        return job.run_start
    if job.state is JobState.SAVING:
        return job.save_start
    return job.save_end or job.run_end


def _duration(job: JobRecord, *, at: datetime, ended: bool) -> float | None:
    """Return for how many seconds the job has run, until now if it still does."""
    if job.run_start is None:
        return None
    if job.state is JobState.RUNNING and not ended:
        return (at - job.run_start).total_seconds()
    return (job.run_end - job.run_start).total_seconds() if job.run_end else None


def _bar(rows: Rows, width: int) -> "Text":
    """Return how far the session is: one character a job, or a share of them; whatever there is has at least one."""
    from rich.text import Text

    total = len(rows.all)
    counts = {kind: len(rows.by_kind[kind]) for kind in _MARKS}
    ended = counts[Kind.DONE] + counts[Kind.WRONG]
    share = f" {100 * ended // max(1, total)} % ended"
    length = max(len(counts), width - len(share) - 2)
    parts = {kind: max(1, length * number // total) for kind, number in counts.items() if number}
    if parts:
        largest = max(parts, key=lambda kind: parts[kind])
        parts[largest] += length - sum(parts.values())
    bar = Text("[", no_wrap=True, overflow="ellipsis")
    for kind, number in parts.items():
        mark, style = _MARKS[kind]
        bar.append(mark * number, style=style)
    return bar.append("]" + share)


def _instance_lines(status: SessionStatus, *, most: int) -> "Iterator[Text]":
    """Return a line for each instance, or if they do not fit, a sum, and a line for those that left jobs behind."""
    instances = status.instances
    states = Counter(each.state for each in instances)
    if not instances:
        yield _line("instances: none to be seen yet")
        return
    if len(instances) > most:
        yield _line(f"{len(instances):,} instances: {summed(states)}")
        left = {job.launch_index for job in status.lost}
        told = [each for each in instances if each.launch_index in left][: most - 1]
    else:
        told = sorted(instances, key=lambda each: each.state == "running")
    for each in told:
        reason = f": {each.reason}" if each.reason else ""
        yield _line(f"instance {each.launch_index}, {each.instance_id}, {each.state}{reason}")


def _line(text: str, style: str = "", more: str = "") -> "Text":
    """Return one line, cut at the edge of the screen; ``more`` stands behind it without its style."""
    from rich.text import Text

    line = Text(text, style=style, no_wrap=True, overflow="ellipsis", end="\n")
    return Text.assemble(line, f", {more}", no_wrap=True, overflow="ellipsis") if more else line
