"""How a session's status looks: the tables and lines of ``check``, and its document of ``--json``.

Both come from the same values. Asks nobody and decides nothing; rich is imported where a table is drawn.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from awsac_async.cli.tables import Rows
from awsac_async.session.durations import rough_span
from awsac_async.session.model import LOST, JobRecord
from awsac_async.session.names import PARTS, session_file
from awsac_async.session.times import format_time, now
from awsac_async.session.timings import read_attempt, read_seconds
from awsac_async.session.wording import counted

if TYPE_CHECKING:
    from rich.console import Console, Group

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
_MOST_NAMED = 20  # instances that are named one by one
_WIDE = 1000  # columns of a pipe: nothing is cut or wrapped there
_NARROW = 100  # columns of a terminal that has no room for times
_SLIM = 64  # columns of one that has no room for instances, for which LI stands, and scripts


def job_values(job: JobRecord, *, lost: bool = False) -> dict[str, Any]:
    """Return a job as values of JSON; what is not known yet is null.

    ``status`` is "lost" for a job that the end of its instance left unfinished; ``stored_status`` was last written.
    """
    return {
        "number": job.number,
        "status": LOST if lost else job.state.value,
        "stored_status": job.state.value,
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
    """Return a session's status now as values of JSON."""
    return {
        "session_id": status.record.session_id,
        "reservation_id": status.record.ec2_reservation_id or None,
        "started": format_time(status.started) or None,
        "over": status.over,
        "remark": boot_remark(status, at=now()) or None,
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
        "jobs": [job_values(job, lost=job.number in status.lost_numbers) for job in status.jobs],
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
    instances = _instances_text(values["instances"])
    heading = f"session {values['session_id']} {'is over' if status.over else 'is under way'}"
    lines = [Text(heading), Text(f"instances: {instances or 'none to be seen'}")]
    lines += [Text(values["remark"])] if values["remark"] else []
    tables = [_job_table(values["jobs"], columns)] + [_timings_table(values["jobs"])] * timings
    return Group(*lines, *tables)


def _instances_text(instances: Sequence[dict[str, Any]]) -> str:
    """Name each instance, or count them by state if they would fill the screen."""
    if len(instances) <= _MOST_NAMED:
        return ", ".join(f"{each['instance_id']} {each['state']}" for each in instances)
    return ", ".join(f"{count} {state}" for state, count in Counter(each["state"] for each in instances).items())


def plain(text: "Group") -> str:
    """Return what a pipe gets: no line is cut, coloured or padded, at a terminal of whatever width either."""
    from rich.console import Console

    screen = Console(highlight=False, markup=False, color_system=None, width=_WIDE)
    with screen.capture() as captured:
        screen.print(text, crop=False)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _job_table(rows: Sequence[dict[str, Any]], columns: int | None) -> Rows:
    hidden = {"reason"} - {"reason" for row in rows if row["reason"]}
    hidden |= {"attempt"} - {"attempt" for row in rows if (row["attempt"] or 1) > 1}
    if columns and columns < _SLIM:
        hidden |= {"instance_id", "script"}
    if columns and columns < _NARROW:
        hidden |= {key for key in _COLUMNS.values() if key.endswith(_TIMES)}
    shown = {title: key for title, key in _COLUMNS.items() if key not in hidden}
    cells = [[_cell(key, row[key], brief=columns is not None) for key in shown.values()] for row in rows]
    return Rows(list(shown), cells, right=_RIGHT)


def _timings_table(rows: Sequence[dict[str, Any]]) -> Rows:
    cells = [
        [str(row["number"]), _cell("attempt", row["attempt"], brief=True)]
        + [f"{row['seconds'][part]:.1f}" if part in row["seconds"] else "" for part in PARTS]
        for row in rows
    ]
    return Rows(["job", "attempt", *PARTS], cells, right=_RIGHT, title="seconds per job")


def _cell(key: str, value: object, *, brief: bool) -> str:
    text = "" if value is None else str(value)
    if brief and key == "script":
        return text.rpartition("/")[2]
    return text.partition("T")[2] if brief and key.endswith(_TIMES) else text


def boot_remark(status: "SessionStatus", *, at: datetime) -> str:
    """Return what a session waits for as long as instances have begun no job, and what is normal; else ""."""
    from awsac_async.client import booting

    found = booting(status, at=at)
    if found is None:
        return ""
    since = rough_span(found.seconds)
    file = session_file(status.record.session_id)
    if not status.record.ec2_reservation_id:
        return f"its start, {since} ago, was not completed: the same awsac start again goes on with it"
    if not found.launch_indexes and found.slow:
        return f"started {since} ago, and EC2 shows no instance of it: that is normal for some seconds after a retry"
    if not found.launch_indexes:
        return f"started {since} ago, and EC2 shows no instance yet: some seconds are normal"
    first, many = found.launch_indexes[0], counted(len(found.launch_indexes), "instance")
    if not found.slow:
        return f"{many} launched up to {since} ago, without a job yet: one to three minutes to boot are normal"
    return (
        f"{many} launched up to {since} ago, without a job yet, though one to three minutes are normal: "
        f"awsac console -c {file} {first} shows what was printed there"
    )


def job_line(job: JobRecord, *, lost: bool = False) -> str:
    """Return what has become of a job, in one line."""
    attempt = read_attempt(job) or 1
    details = [f"attempt {attempt}"] * (attempt > 1)
    details += [f"return code {job.return_code}"] * (job.return_code is not None) + [job.reason] * bool(job.reason)
    where = f" on {job.instance_id}" if job.instance_id else ""
    return f"job {job.number}: {LOST if lost else job.state.value}{where}" + (
        f" ({', '.join(details)})" if details else ""
    )


def console() -> "Console":
    """Return the console on standard output; in a pipe it neither cuts nor colours."""
    from rich.console import Console

    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else _WIDE)
