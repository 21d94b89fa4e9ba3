"""``awsac wait``: returns when a session is over, for scripts; the exit code says what came of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from awsac_async.cli.common import Json, Local, SessionFile, print_json, run, say_trying_again, use_local
from awsac_async.cli.remarks import quiet, say
from awsac_async.session.durations import parse_duration, shown_duration
from awsac_async.session.errors import InputError
from awsac_async.session.jobs import named_jobs, shown_numbers
from awsac_async.session.model import JobState
from awsac_async.session.wording import counted

if TYPE_CHECKING:
    from awsac_async.client import Ended


def wait(
    *,
    session: SessionFile,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="Wait no longer than this: 90s, 30m, 2h.")
    ] = None,
    notify: Annotated[
        str | None, typer.Option("--notify", metavar="COMMAND", help="Run this by the shell at the end.")
    ] = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Wait until a session is over.

    The exit code says what came of it, and one line does, but not with --quiet. The command of --notify finds in its
    environment: AWSAC_OUTCOME (succeeded, failed, infrastructure, timedout or killed), AWSAC_EXIT_CODE,
    AWSAC_SESSION_ID, AWSAC_SESSION_FILE, AWSAC_N_JOBS, and AWSAC_FAILED_JOBS, a list like 1,3-7. It is run when the
    session is over or --timeout has passed; whether it fails makes no difference.

    Exit codes, what counts most first: 3 the cloud could not be asked; 4 a job failed by the infrastructure, or is
    lost; 5 a job timed out, or --timeout has passed; 6 a job was killed or stopped; 1 a job exited non-zero; 0 all
    finished well.

    Example: awsac wait -c session-081215_1646--eventgen--1816.cfg --timeout 2h --notify 'mail -s $AWSAC_OUTCOME me'
    """
    seconds = None if timeout is None else _seconds(timeout)
    if local:
        use_local()
    ended = run(_wait(session, seconds, notify), interrupted=lambda: "the session goes on")
    if as_json:
        print_json(ended_values(ended))
    elif not quiet():
        print(ended_text(ended, seconds), flush=True)
        if hint := next_step(ended):
            say(hint)
    raise typer.Exit(ended.outcome.exit_code)


def _seconds(timeout: str) -> float:
    try:
        return parse_duration(timeout)
    except ValueError as error:
        raise InputError(f"--timeout is {timeout}, not {error}") from None


async def _wait(session: Path, seconds: float | None, command: str | None) -> "Ended":
    from awsac_async import client

    ended = await client.wait(session, timeout=seconds, on_failure=say_trying_again)
    if command is not None:
        code = await client.notify(command, session, ended)
        if code:
            say(f"the command of --notify failed with exit code {code}: {command}")
    return ended


def ended_values(ended: "Ended") -> dict[str, Any]:
    """Return what came of a session as values of JSON."""
    return {
        "session_id": ended.status.record.session_id,
        "over": ended.status.over,
        "outcome": ended.outcome.value,
        "exit_code": ended.outcome.exit_code,
        "n_jobs": len(ended.status.jobs),
        "failed_jobs": [job.number for job in ended.status.failed],
    }


def ended_text(ended: "Ended", timeout: float | None) -> str:
    """Return what came of a session in one line; ``timeout`` are the seconds after which nobody waited longer."""
    values = ended_values(ended)
    session, failed, jobs = f"session {values['session_id']}", values["failed_jobs"], counted(values["n_jobs"], "job")
    if not values["over"]:
        left = sum(not ended.status.ended(job) for job in ended.status.jobs)
        waited = f"{shown_duration(timeout or 0)} of --timeout"
        return f"{session} is not over after {waited}, and goes on: {left} of {jobs} left"
    if not failed:
        return f"{session} is over: {'its job' if values['n_jobs'] == 1 else f'all {jobs}'} finished well"
    went = f"{len(failed)} of {jobs} went wrong ({values['outcome']})"
    return f"{session} is over: {went}: {named_jobs(failed)}"


def next_step(ended: "Ended") -> str:
    """Return what to do about the jobs that went wrong, in one line; "" if none did, or the session goes on."""
    from awsac_async.client import Outcome

    failed = ended.status.failed
    if not (ended.status.over and failed):
        return ""
    # Without numbers, retry leaves out what was killed on request.
    killed = any(job.state is JobState.KILLED for job in failed)
    chosen = f" --jobs {shown_numbers([job.number for job in failed])}" if killed else ""
    again = f"awsac retry{chosen} runs {'it' if len(failed) == 1 else 'them'} again"
    match ended.outcome:
        case Outcome.JOB_FAILED:
            return f"awsac getresults gets the output, which may say why; {again}, with the same script"
        case Outcome.KILLED:
            return again
        case Outcome.TIMED_OUT:
            return f"awsac check says why; {again}, within the same limits"
    return f"awsac check says why; {again}"
