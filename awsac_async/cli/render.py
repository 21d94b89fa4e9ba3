"""How values look: the rows, tables and lines of the text, and the documents of ``--json``, from the same values.

Asks nobody and decides nothing. rich is imported where a table is drawn, since most of the command line does without.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from awsac_async.session.durations import shown_duration, warning_seconds
from awsac_async.session.jobs import shown_numbers
from awsac_async.session.model import JobRecord
from awsac_async.session.names import PARTS
from awsac_async.session.times import format_time
from awsac_async.session.timings import read_attempt, read_seconds
from awsac_async.session.wording import counted

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.progress import Progress as Bar
    from rich.table import Table

    from awsac_async.client import Cleaned, Killed, Plan, Progress, Results, SessionStatus

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


def plan_values(plan: "Plan") -> dict[str, Any]:
    """Return a plan as values of JSON."""
    return {
        "n_jobs": plan.n_jobs,
        "n_instances": plan.n_instances,
        "instance_type": plan.instance_type,
        "cores_per_instance": plan.cores_per_instance,
        "unused_cores": plan.unused_cores,
        "market": plan.market,
        "region": plan.region,
        "max_hours": plan.max_hours,
        "job_timeout": plan.job_timeout,
        "retries": plan.retries,
    }


def plan_text(plan: "Plan") -> str:
    """Return a plan as the lines that stand before the question."""
    deadline = shown_duration(plan.max_hours * 3600)
    lines = [
        f"jobs:         {plan.n_jobs}",
        f"instances:    {plan.n_instances} of type {plan.instance_type}, {plan.market}, in {plan.region}",
        f"cores:        {plan.cores_per_instance} per instance, {plan.unused_cores} unused",
        f"deadline:     each instance powers itself off {deadline} after boot; "
        f"its jobs are stopped {shown_duration(warning_seconds(plan.max_hours))} before",
    ]
    if plan.job_timeout is not None:
        lines.append(f"job timeout:  {shown_duration(plan.job_timeout)}")
    if plan.retries:
        lines.append(f"retries:      {plan.retries} of a job that exits non-zero")
    return "\n".join(lines)


def killed_values(killed: "Killed") -> dict[str, Any]:
    """Return which jobs were asked for as values of JSON."""
    return {
        "session_id": killed.session_id,
        "asked": list(killed.asked),
        "ended": [{"number": job.number, "status": job.state.value} for job in killed.ended],
        "unknown": list(killed.unknown),
    }


def killed_remarks(killed: "Killed") -> list[str]:
    """Return a sentence for each job that could not be asked for, and one for the numbers of no job."""
    remarks = [f"job {job.number} has ended before: it is {job.state.value}" for job in killed.ended]
    if killed.unknown:
        unknown, known = shown_numbers(killed.unknown), shown_numbers(range(1, killed.n_jobs + 1))
        remarks.append(f"there is no job {unknown}: session {killed.session_id} has {known}")
    return remarks


def stopped_values(status: "SessionStatus | None") -> dict[str, Any]:
    """Return what a stop was asked of, as values of JSON; None: it was not asked."""
    if status is None:
        return {"asked": False}
    return {
        "asked": True,
        "session_id": status.record.session_id,
        "instances": [each.instance_id for each in status.running_instances],
        "unfinished_jobs": [job.number for job in status.jobs if not job.state.final],
    }


def results_values(results: "Results") -> dict[str, Any]:
    """Return what was downloaded as values of JSON."""
    return {
        "directory": str(results.directory),
        "downloaded": [path.name for path in results.downloaded],
        "complete": [path.name for path in results.complete],
        "kept": [path.name for path in results.kept],
        "refused": list(results.refused),
        "bytes": results.size,
    }


def results_text(results: "Results") -> str:
    """Return what was downloaded, a line a file, and the sum."""
    lines = [f"downloaded {path}" for path in results.downloaded]
    lines += [f"complete   {path}" for path in results.complete]
    lines += [f"kept       {path}" for path in results.kept]
    return "\n".join(
        [*lines, f"{counted(len(results.downloaded), 'file')}, {results.size} bytes, in {results.directory}"]
    )


def cleaned_values(cleaned: "Cleaned") -> dict[str, Any]:
    """Return what was deleted as values of JSON."""
    return {
        "session_id": cleaned.session_id,
        "deleted": [{"kind": each.kind, "name": each.name} for each in cleaned.deleted],
        "session_file_removed": cleaned.session_file_removed,
    }


class ProgressBar:
    """A bar on a terminal's stderr, from the first update until it is closed; in a pipe nothing is drawn."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: Bar | None = None

    def update(self, progress: "Progress") -> None:
        """Show how far it is."""
        if not sys.stderr.isatty():
            return
        bar = self._bar or self._draw()
        files = f"{self._title} {progress.files_done}/{progress.files_total}"
        bar.update(bar.task_ids[0], description=files, completed=progress.bytes_done, total=progress.bytes_total)

    def close(self) -> None:
        """Remove the bar, so that lines and questions can follow."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _draw(self) -> "Bar":
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.add_task(self._title, total=None)
        self._bar.start()
        return self._bar
