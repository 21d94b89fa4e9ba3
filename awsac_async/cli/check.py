"""``awsac check``: how a session stands; ``--watch`` until it is over."""

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from awsac_async.cli.common import Json, Local, SessionFile, print_json, run, use_local
from awsac_async.cli.statustext import console, plain, status_text, status_values
from awsac_async.session.errors import EXIT_JOB_FAILED, EXIT_OK

if TYPE_CHECKING:
    from awsac_async.client import SessionStatus


def check(
    *,
    session: SessionFile,
    watch: Annotated[bool, typer.Option("--watch", help="Keep looking until the session is over.")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Plain text, once, also at a terminal; goes before --watch.")
    ] = False,
    timings: Annotated[bool, typer.Option("--timings", help="Show where the time of each job went, too.")] = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Show how all jobs of a session stand.

    A job is lost if its instance ended before it; the reason is that of EC2. With --watch at a terminal the whole
    screen is used: jobs that run, with the last line of their logs, and jobs that failed come first. In a pipe,
    --watch prints a line for each change of a job, and with --json a document for each change, one a line.

    Exit code 1 if a job failed.

    Example: awsac check -c session-081215_1646--eventgen--1816.cfg --watch
    """
    from awsac_async.client import check as check_session

    if local:
        use_local()
    watch = watch and not once  # the configuration may have said --watch
    verb = _watching(session, as_json=as_json) if watch else check_session(session, timings=timings or as_json)
    status = run(verb, interrupted=lambda: "the session goes on")
    if not as_json:
        _print_text(status, plainly=once or not sys.stdout.isatty(), timings=timings)
    elif not watch:
        print_json(status_values(status))
    raise typer.Exit(EXIT_JOB_FAILED if status.failed else EXIT_OK)


def _watching(session: Path, *, as_json: bool) -> Coroutine[Any, Any, "SessionStatus"]:
    from awsac_async.cli import watching

    if as_json:
        return watching.watch_documents(session)
    return watching.watch_screen(session) if watching.has_screen() else watching.watch_lines(session)


def _print_text(status: "SessionStatus", *, plainly: bool, timings: bool) -> None:
    if plainly:
        print(plain(status_text(status, columns=None, timings=timings)))
    else:
        screen = console()
        screen.print(status_text(status, columns=screen.width, timings=timings))
