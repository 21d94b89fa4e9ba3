"""``awsac start``: shows each step in the order of 2008, and asks once."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from awsac_async.cli.common import Json, Yes, ask, print_json, run, use_local
from awsac_async.cli.options import given_region
from awsac_async.cli.plan import Archive, Data, Ini, Local, MaxCost, Shorten
from awsac_async.cli.plantext import plan_text, plan_values
from awsac_async.cli.render import ProgressBar
from awsac_async.session.model import StatusKind
from awsac_async.session.wording import counted

if TYPE_CHECKING:
    from awsac_async.client import Plan, StartEvent
    from awsac_async.client.start.events import JobsWritten, Launched, Named


def start(
    *,
    ini: Ini,
    archive: Archive,
    data: Data = None,
    session: Annotated[
        Path | None,
        typer.Option("-c", "--session", metavar="FILE", readable=False, help="Continue this uncompleted session."),
    ] = None,
    max_cost: MaxCost = None,
    shorten_deadline: Shorten = False,
    yes: Yes = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Start a session.

    Checks everything as plan does, uploads, asks, and starts the instances. A start that died is run again with the
    same files: it continues, and starts nothing twice.

    Exit codes: 0 started, or the answer was no, 2 something in the files is wrong, 3 the cloud refuses.

    Example: awsac start -i session.ini -a jobs --max-cost 20
    """
    from awsac_async.client import start as start_session

    if local:
        use_local(bring_up=True)
    with contextlib.closing(ProgressBar("uploading")) as bar:
        shown = Shown(bar, text=not as_json)

        async def proceed(_: "Plan") -> bool:
            return yes or await ask("proceed?", "yn") == "y"

        verb = start_session(
            ini=ini,
            archive=archive,
            data=data,
            session=session,
            region=given_region(),
            max_cost=max_cost,
            shorten_deadline=shorten_deadline,
            proceed=proceed,
            on_event=shown.event,
        )
        run(verb, interrupted=shown.interrupted)
    if as_json:
        print_json(shown.values)


class Shown:
    """What the user has been told so far: as lines, or collected for the JSON document."""

    def __init__(self, bar: ProgressBar, *, text: bool, beside: bool = False) -> None:
        """``beside``: the lines are no result of the command, and go to stderr."""
        self._bar, self._text, self._beside = bar, text, beside
        self.values: dict[str, Any] = {"started": False}
        self._several_places = False
        self._fate = "nothing was started"

    def event(self, event: "StartEvent") -> None:
        """Show one step."""
        from awsac_async.client import events

        match event:
            case events.Transferring():
                self._bar.update(event.progress)
            case events.Planned():
                self._several_places = len(event.plan.places) > 1
                self._show(plan_text(event.plan), plan=plan_values(event.plan))
            case events.Named():
                self._named(event)
            case events.Uploaded():
                self._bar.close()
                data = f" and {counted(event.data_files, 'file')} of input data" if event.data_files else ""
                self._show(
                    f"uploaded:     s3://{event.bucket}/{event.archive_key}{data}, {event.size} bytes",
                    archive=f"s3://{event.bucket}/{event.archive_key}",
                    data_files=event.data_files,
                )
            case events.ImageFound():
                self._show(f"AMI:          {event.ami_id} of account {event.owner}", ami_id=event.ami_id)
            case events.UserDataBuilt():
                self._show(f"user data:    {event.user_data}", user_data=event.user_data)
            case events.JobsWritten():
                self._written(event)
            case _:
                self._ended(event)

    def interrupted(self) -> str:
        """Say what Ctrl-C means now."""
        return self._fate

    def _named(self, event: "Named") -> None:
        how = "continued" if event.continued else "new"
        self._fate = _kept(event.session_file, "nothing was started yet")
        self._show(f"session ID:   {event.session_id} ({how})", session_id=event.session_id, continued=event.continued)

    def _written(self, event: "JobsWritten") -> None:
        jobs = counted(event.n_jobs, "job")
        if event.kind is StatusKind.SIMPLEDB:
            self._show(f"domain:       {event.place}, {jobs} written", domain=event.place)
        else:
            self._show(f"status:       {event.place}, {jobs} written", status=event.place)

    def _ended(self, event: "StartEvent") -> None:
        from awsac_async.client import events

        match event:
            case events.Launched():
                self._launched(event)
            case events.NoRoom():
                self._show(f"no room:      {event.place}: {event.reason}")
            case events.LessRoom():
                fewer = f"{counted(event.n_instances, 'instance')} and {event.n_cores} of {event.wanted} cores"
                self._show(f"less room:    the session goes on with {fewer}: no room for more within its limits")
            case events.Completed():
                self.values["started"] = True
                self._fate = f"the session was started, its file is {event.session_file}"
                self._show(f"session file: {event.session_file}", session_file=str(event.session_file))
            case events.Undone():
                self._fate = "nothing was started, and all that was prepared is removed"
                self._show_fate()
            case events.Kept():
                self._fate = _kept(event.session_file, event.reason)
                self._show_fate(session_file=str(event.session_file))

    def _launched(self, event: "Launched") -> None:
        ids, where = list(event.instance_ids), f", {event.place}" if self._several_places else ""
        one = {"reservation_id": event.reservation_id, "instance_ids": ids, "place": event.place}
        reservations = [*self.values.get("reservations", []), one]
        self._show(
            f"reservation:  {event.reservation_id}, instances {' '.join(ids)}{where}",
            reservation_id=reservations[0]["reservation_id"],
            instance_ids=[*self.values.get("instance_ids", []), *ids],
            reservations=reservations,
        )

    def _show_fate(self, **values: object) -> None:
        """Show what became of it, but not after Ctrl-C: the last sentence will say it."""
        import asyncio  # as in cli/common

        task = asyncio.current_task()
        if task and task.cancelling():
            self.values |= values
        else:
            self._show(self._fate, **values)

    def _show(self, line: str, **values: object) -> None:
        self.values |= values
        if self._text:
            print(line, flush=True, file=sys.stderr if self._beside else None)


def _kept(session_file: Path, reason: str) -> str:
    return f"{session_file} is kept ({reason}): the same start continues it, and starts nothing twice"
