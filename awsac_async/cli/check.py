"""``awsac check``: how a session stands; ``--watch`` until it is over."""

import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from awsac_async.cli.common import Json, Local, SessionFile, print_json, run, say_trying_again, use_local
from awsac_async.cli.statustext import console, job_line, plain, status_text, status_values
from awsac_async.session.errors import EXIT_JOB_FAILED, EXIT_OK

if TYPE_CHECKING:
    from awsac_async.client import SessionStatus


def check(
    *,
    session: SessionFile,
    watch: Annotated[bool, typer.Option("--watch", help="Keep looking until the session is over.")] = False,
    timings: Annotated[bool, typer.Option("--timings", help="Show where the time of each job went, too.")] = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Show how all jobs of a session stand.

    Exit code 1 if one of them failed.

    Example: awsac check -c session-081215_1646--eventgen--1816.cfg --watch
    """
    from awsac_async.client import check as check_session

    if local:
        use_local()
    if not watch:
        verb = check_session(session)
    elif as_json:
        verb = _last(session)
    else:
        verb = _live(session, timings=timings) if sys.stdout.isatty() else _lines(session)
    status = run(verb, interrupted=lambda: "the session goes on")
    if as_json:
        print_json(status_values(status))
    elif not sys.stdout.isatty():
        print(plain(status_text(status, columns=None, timings=timings)))
    elif not watch:
        screen = console()
        screen.print(status_text(status, columns=screen.width, timings=timings))
    raise typer.Exit(EXIT_JOB_FAILED if status.failed else EXIT_OK)


async def _last(session: Path) -> "SessionStatus":
    """Watch without a word, and return how the session ended."""
    from awsac_async.client import watch

    async with aclosing(watch(session, on_failure=say_trying_again)) as statuses:
        async for status in statuses:  # noqa: B007  only the last counts; a long session has many
            pass
    return status


async def _lines(session: Path) -> "SessionStatus":
    """Watch in a pipe: one line whenever a job has changed."""
    from awsac_async.client import watch

    known: set[str] = set()
    async with aclosing(watch(session, on_failure=say_trying_again)) as statuses:
        async for status in statuses:
            lines = [job_line(job) for job in status.jobs]
            for line in lines:
                if line not in known:
                    print(line, flush=True)
            known = set(lines)
    return status


async def _live(session: Path, *, timings: bool) -> "SessionStatus":
    """Watch at a terminal: one table that is drawn anew."""
    from rich.live import Live

    from awsac_async.client import watch

    with Live(console=console(), auto_refresh=False) as live:
        async with aclosing(watch(session, on_failure=say_trying_again)) as statuses:
            async for status in statuses:
                live.update(status_text(status, columns=live.console.width, timings=timings), refresh=True)
    return status
