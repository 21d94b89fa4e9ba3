"""How values look: the rows, tables and lines of the text, and the documents of ``--json``, from the same values.

Asks nobody and decides nothing. rich is imported where a table is drawn, since most of the command line does without.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from awsac_async.session.model import JobRecord
from awsac_async.session.times import format_time
from awsac_async.session.wording import counted

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.progress import Progress as Bar
    from rich.table import Table

    from awsac_async.client import Cleaned, Plan, Progress, Results, SessionStatus

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
    "reason": "reason",
}
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


def status_text(status: "SessionStatus", *, columns: int | None) -> "Group":
    """Return a session's status as a heading, the instances, and the table of jobs.

    Args:
        status: what is shown.
        columns: of a terminal, where of times only the time of day is shown (or none, if it is narrow), and of
            scripts the file name; None for a pipe.
    """
    from rich.console import Group
    from rich.text import Text

    values = status_values(status)
    instances = ", ".join(f"{each['instance_id']} {each['state']}" for each in values["instances"])
    heading = f"session {values['session_id']} {'is over' if status.over else 'is under way'}"
    lines = [Text(heading), Text(f"instances: {instances or 'none to be seen'}")]
    return Group(*lines, _job_table(values["jobs"], columns))


def plain(text: "Group") -> str:
    """Return what a pipe gets: no line is cut, coloured or padded."""
    screen = console()
    with screen.capture() as captured:
        screen.print(text)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _job_table(rows: Sequence[dict[str, Any]], columns: int | None) -> "Table":
    from rich.table import Table

    shown = {title: key for title, key in _COLUMNS.items() if key != "reason" or any(row[key] for row in rows)}
    if columns and columns < _NARROW:
        shown = {title: key for title, key in shown.items() if not key.endswith(_TIMES)}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in shown:
        table.add_column(title, justify="right" if title in {"job", "LI", "rc"} else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(key, row[key], brief=columns is not None) for key in shown.values()))
    return table


def _cell(key: str, value: object, *, brief: bool) -> str:
    text = "" if value is None else str(value)
    if brief and key == "script":
        return text.rpartition("/")[2]
    return text.partition("T")[2] if brief and key.endswith(_TIMES) else text


def job_line(job: JobRecord) -> str:
    """Return what has become of a job, in one line."""
    details = [f"return code {job.return_code}"] * (job.return_code is not None) + [job.reason] * bool(job.reason)
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
    }


def plan_text(plan: "Plan") -> str:
    """Return a plan as the lines that stand before the question."""
    return (
        f"jobs:         {plan.n_jobs}\n"
        f"instances:    {plan.n_instances} of type {plan.instance_type}, {plan.market}, in {plan.region}\n"
        f"cores:        {plan.cores_per_instance} per instance, {plan.unused_cores} unused\n"
        f"deadline:     results are saved until {plan.max_hours:g} hours after boot"
    )


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
