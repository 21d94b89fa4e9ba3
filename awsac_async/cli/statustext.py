"""How a session's status looks: the tables and lines of ``check``, and its document of ``--json``.

Both come from the same values. Asks nobody and decides nothing; rich is imported where a table is drawn.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from awsac_async.session.model import JobRecord
from awsac_async.session.names import PARTS
from awsac_async.session.times import format_time
from awsac_async.session.timings import read_attempt, read_seconds

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

    from awsac_async.client import SessionStatus

# Column of the text -> key of the JSON.
_COLUMNS = {
    "job": "number",
    "status": "status",
    "script": "script",
    "instance": "instance_id",
    "LI": "launch_index",
    "run start": "run_start",
    "run end": "run_end",
    "save start": "save_start",
    "save end": "save_end",
    "rc": "return_code",
    "attempt": "attempt",
    "reason": "reason",
}
_RIGHT = {"job", "LI", "rc", "attempt", *PARTS}  # columns of numbers
_TIMES = ("_start", "_end")  # how the keys of times end
_WIDE = 1000  # columns of a pipe: nothing is cut or wrapped there
_NARROW = 100  # columns of a terminal that has no room for times


def job_values(job: JobRecord) -> dict[str, Any]:
    """Return a job as values of JSON; what is not known yet is null."""
    return {
        "number": job.number,
        "status": job.state.value,
        "script": job.script,
        "instance_id": job.instance_id or None,
        "launch_index": job.launch_index,
        "run_start": format_time(job.run_start) or None,
        "run_end": format_time(job.run_end) or None,
        "save_start": format_time(job.save_start) or None,
        "save_end": format_time(job.save_end) or None,
        "return_code": job.return_code,
        "reason": job.reason or None,
        "attempt": read_attempt(job),
        "seconds": read_seconds(job),
    }


def status_values(status: "SessionStatus") -> dict[str, Any]:
    """Return a session's status as values of JSON."""
    return {
        "session_id": status.record.session_id,
        "reservation_id": status.record.ec2_reservation_id or None,
        "over": status.over,
        "failed_jobs": [job.number for job in status.failed],
        "instances": [
            {
                "instance_id": each.instance_id,
                "launch_index": each.launch_index,
                "state": each.state,
                "reason": each.reason or None,
            }
            for each in status.instances
        ],
        "jobs": [job_values(job) for job in status.jobs],
    }


def status_text(status: "SessionStatus", *, columns: int | None, timings: bool) -> "Group":
    """Return a session's status as a heading, the instances, and the table of jobs.

    Args:
        status: what is shown.
        columns: of a terminal, where of times only the time of day is shown (or none, if it is narrow), and of
            scripts the file name; None for a pipe.
        timings: add a table of the seconds that each job has spent in each part of its life.
    """
    from rich.console import Group
    from rich.text import Text

    values = status_values(status)
    instances = ", ".join(f"{each['instance_id']} {each['state']}" for each in values["instances"])
    heading = f"session {values['session_id']} {'is over' if status.over else 'is under way'}"
    lines = [Text(heading), Text(f"instances: {instances or 'none to be seen'}")]
    tables = [_job_table(values["jobs"], columns)] + [_timings_table(values["jobs"])] * timings
    return Group(*lines, *tables)


def plain(text: "Group") -> str:
    """Return what a pipe gets: no line is cut, coloured or padded."""
    screen = console()
    with screen.capture() as captured:
        screen.print(text)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _job_table(rows: Sequence[dict[str, Any]], columns: int | None) -> "Table":
    hidden = {"reason"} - {"reason" for row in rows if row["reason"]}
    hidden |= {"attempt"} - {"attempt" for row in rows if (row["attempt"] or 1) > 1}
    if columns and columns < _NARROW:
        hidden |= {key for key in _COLUMNS.values() if key.endswith(_TIMES)}
    shown = {title: key for title, key in _COLUMNS.items() if key not in hidden}
    cells = [[_cell(key, row[key], brief=columns is not None) for key in shown.values()] for row in rows]
    return _table(list(shown), cells)


def _timings_table(rows: Sequence[dict[str, Any]]) -> "Table":
    cells = [
        [str(row["number"]), _cell("attempt", row["attempt"], brief=True)]
        + [f"{row['seconds'][part]:.1f}" if part in row["seconds"] else "" for part in PARTS]
        for row in rows
    ]
    return _table(["job", "attempt", *PARTS], cells, title="seconds per job")


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_style="", title_justify="left")
    for name in titles:
        table.add_column(name, justify="right" if name in _RIGHT else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _cell(key: str, value: object, *, brief: bool) -> str:
    text = "" if value is None else str(value)
    if brief and key == "script":
        return text.rpartition("/")[2]
    return text.partition("T")[2] if brief and key.endswith(_TIMES) else text


def job_line(job: JobRecord) -> str:
    """Return what has become of a job, in one line."""
    attempt = read_attempt(job) or 1
    details = [f"attempt {attempt}"] * (attempt > 1)
    details += [f"return code {job.return_code}"] * (job.return_code is not None) + [job.reason] * bool(job.reason)
    where = f" on {job.instance_id}" if job.instance_id else ""
    return f"job {job.number}: {job.state.value}{where}" + (f" ({', '.join(details)})" if details else "")


def console() -> "Console":
    """Return the console on standard output; in a pipe it neither cuts nor colours."""
    from rich.console import Console

    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else _WIDE)
