"""How what a verb returns looks: the lines of the text and the documents of ``--json``, from the same values.

Asks nobody and decides nothing. rich is imported where a bar is drawn, since most of the command line does without.
"""

from typing import TYPE_CHECKING, Any

from awsac_async.cli.remarks import can_draw
from awsac_async.session.jobs import no_such_job
from awsac_async.session.wording import counted

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from awsac_async.client import Cleaned, Killed, Progress, SessionStatus


def killed_values(killed: "Killed") -> dict[str, Any]:
    """Return which jobs were asked for as values of JSON."""
    return {
        "session_id": killed.session_id,
        "asked": list(killed.asked),
        "ended": [{"number": job.number, "status": job.state.value} for job in killed.ended],
        "lost": [job.number for job in killed.lost],
        "unknown": list(killed.unknown),
    }


def killed_remarks(killed: "Killed") -> list[str]:
    """Return a sentence for each job that could not be asked for, and one for the numbers of no job."""
    remarks = [f"job {job.number} cannot be stopped any more: it is {job.state.value}" for job in killed.ended]
    remarks += [f"job {job.number} cannot be stopped any more: it is lost, {job.reason}" for job in killed.lost]
    if killed.unknown:
        known = range(1, killed.n_jobs + 1)
        remarks.append(no_such_job(killed.unknown, session_id=killed.session_id, known=known))
    return remarks


def stopped_values(status: "SessionStatus | None") -> dict[str, Any]:
    """Return what a stop was asked of, as values of JSON; None: it was not asked."""
    if status is None:
        return {"asked": False}
    return {
        "asked": True,
        "session_id": status.record.session_id,
        "instances": [each.instance_id for each in status.running_instances],
        "unfinished_jobs": [job.number for job in status.jobs if not status.ended(job)],
    }


def cleaned_values(cleaned: "Cleaned") -> dict[str, Any]:
    """Return what was deleted as values of JSON."""
    return {
        "session_id": cleaned.session_id,
        "deleted": [{"kind": each.kind, "name": each.name} for each in cleaned.deleted],
        "left": [{"kind": each.kind, "name": each.name} for each in cleaned.left],
        "session_file_removed": cleaned.session_file_removed,
    }


class ProgressBar:
    """A bar on a terminal's stderr, from the first update until it is closed; in a pipe nothing is drawn."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: Bar | None = None

    def update(self, progress: "Progress") -> None:
        """Show how far it is."""
        if not can_draw():
            return
        bar = self._bar or self._draw()
        files = f"{self._title}, {progress.files_done} of {counted(progress.files_total, 'file')}"
        bar.update(bar.task_ids[0], description=files, completed=progress.bytes_done, total=progress.bytes_total)

    def close(self) -> None:
        """Remove the bar, so that lines and questions can follow."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _draw(self) -> "Bar":
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        left = TimeRemainingColumn(compact=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), left)
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.add_task(self._title, total=None)
        self._bar.start()
        return self._bar
