"""``awsac retry``: runs jobs of a session again; shows what it is going to launch, and asks once."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from awsac_async.cli.common import ChangedSession, Json, Local, Yes, ask, print_json, run, use_local
from awsac_async.cli.completion import job_numbers
from awsac_async.cli.remarks import say
from awsac_async.session.costs import shown_usd
from awsac_async.session.jobs import named_jobs, parse_numbers, shown_numbers

if TYPE_CHECKING:
    from awsac_async.client import RetryEvent, RetryPlan


def retry(
    *,
    session: ChangedSession,
    failed: Annotated[
        bool, typer.Option("--failed", help="Those that failed, timed out, exited non-zero or were not saved.")
    ] = False,
    lost: Annotated[bool, typer.Option("--lost", help="Those whose instance ended before them.")] = False,
    interrupted: Annotated[
        bool,
        typer.Option("--interrupted", help="Those whose spot instance was taken away, or whose agent was stopped."),
    ] = False,
    jobs: Annotated[
        list[str] | None,
        typer.Option(
            "--jobs",
            metavar="JOB",
            help="Numbers and ranges of jobs, whatever became of them: 2 or 1,3-7.",
            autocompletion=job_numbers,
        ),
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Run jobs of a session again, on new instances.

    Without a choice, all jobs that did not succeed, but for those that were killed on request. Their attempts and logs
    go on where they ended; their results are replaced when they are saved. A retry that died is run again: it
    continues, and starts nothing twice.

    Exit codes: 0; 2 if there is nothing to retry, or a job is still under way; 3 if the cloud refuses.

    Example: awsac retry -c session-081215_1646--eventgen--1816.cfg --lost
    """
    from awsac_async.client import retry as retry_session

    numbers = parse_numbers(",".join(jobs)) if jobs else None
    shown = _Shown(text=not as_json)
    if local:
        use_local()

    async def proceed(plan: "RetryPlan") -> bool:
        shown.plan(plan)
        return yes or await ask("proceed?", "yn") == "y"

    verb = retry_session(
        session,
        proceed=proceed,
        jobs=numbers,
        failed=failed,
        lost=lost,
        interrupted=interrupted,
        on_event=shown.event,
    )
    launched = run(verb, interrupted=lambda: shown.fate)
    if as_json:
        print_json(shown.values)
    elif launched is None:
        print("nothing was started")


class _Shown:
    """What the user has been told so far: as lines, or collected for the JSON document."""

    def __init__(self, *, text: bool) -> None:
        self._text = text
        self.values: dict[str, Any] = {"started": False}
        self.fate = "nothing was started"

    def plan(self, plan: "RetryPlan") -> None:
        """Show what is going to be launched."""
        values = plan_values(plan)
        self._show(plan_text(values), **values)

    def event(self, event: "RetryEvent") -> None:
        """Show what became of it."""
        from awsac_async.client import RetryLaunched, RetryUndone

        match event:
            case RetryLaunched():
                self.fate = "the instances were started"
                ids = list(event.instance_ids)
                if "jobs" not in self.values:  # there was nothing to plan and to ask
                    say(f"a retry that died had started launch {event.launch}, with {named_jobs(event.jobs)}")
                self._show(
                    f"reservation:  {event.reservation_id}, instances {' '.join(ids)}",
                    launch=event.launch,
                    jobs=list(event.jobs),
                    reservation_id=event.reservation_id,
                    instance_ids=ids,
                    continued=event.continued,
                    started=True,
                )
            case RetryUndone():
                self.fate = "nothing was started, and the session is as it was"
                say(self.fate)
            case _:
                self.fate = f"the same retry continues ({event.reason}), and starts nothing twice"
                say(self.fate)

    def _show(self, line: str, **values: object) -> None:
        self.values |= values
        if self._text:
            print(line, flush=True)


def plan_values(plan: "RetryPlan") -> dict[str, Any]:
    """Return what is going to be launched as values of JSON; the price is in USD, null if it is not known."""
    document = plan.document
    return {
        "session_id": plan.record.session_id,
        "launch": document.launch,
        "continued": plan.continued,
        "jobs": sorted(document.numbers),
        "attempts": {str(job.number): job.attempt for job in document.jobs},
        "n_instances": document.n_instances,
        "instance_type": plan.record.instance_type,
        "market": plan.record.market,
        "region": plan.record.region,
        "cores_per_instance": document.cores_per_instance,
        "unused_cores": plan.unused_cores,
        "price_per_hour": plan.price_per_hour,
    }


def plan_text(values: dict[str, Any]) -> str:
    """Return the same as the lines that stand before the question."""
    price = values["price_per_hour"]
    how = " (continues a retry that died)" if values["continued"] else ""
    return "\n".join(
        [
            f"session ID:   {values['session_id']}, launch {values['launch']}{how}",
            f"jobs:         {len(values['jobs'])}: {shown_numbers(values['jobs'])}",
            f"instances:    {values['n_instances']} of type {values['instance_type']}, {values['market']}, "
            f"in {values['region']}",
            f"cores:        {values['cores_per_instance']} per instance, {values['unused_cores']} unused",
            "price:        " + ("unknown" if price is None else f"{shown_usd(price)} an hour, all instances"),
        ]
    )
