"""``awsac logs``: what the jobs of a session have written, and its agents, live and afterwards."""

from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from awsac_async.cli import streams
from awsac_async.cli.common import Local, Raw, SessionFile, run, say_trying_again, use_local
from awsac_async.cli.completion import job_numbers
from awsac_async.cli.harmless import Harmless, harmless_line, terminal_encoding
from awsac_async.cli.loglines import Lines
from awsac_async.cli.remarks import warn
from awsac_async.session.jobs import named_jobs, parse_numbers

if TYPE_CHECKING:
    from awsac_async.client import LogBytes, LogSource


def logs(
    *,
    session: SessionFile,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until these jobs have ended.")] = False,
    jobs: Annotated[
        list[str] | None,
        typer.Option(
            "--job", metavar="JOB", help="Numbers and ranges of jobs: 2 or 1,3-7.", autocompletion=job_numbers
        ),
    ] = None,
    agent: Annotated[bool, typer.Option("--agent", help="Show the agents' own logs.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", metavar="K", min=0, help="Begin with the last K lines.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document a line.")] = False,
    raw: Raw = False,
    local: Local = False,
) -> None:
    """Show what jobs have written.

    The log of one job is shown byte for byte; at a terminal, what would control it is shown instead, but for colours.
    Of several, each line has its job before it: 'job 3 | …', or 'job 3 > …'
    where a line of more than 64 KiB goes on. A running job's agent sends every minute, while somebody follows every
    two seconds.

    Example: awsac logs -c session-081215_1646--eventgen--1816.cfg --follow --job 3
    """
    numbers = parse_numbers(",".join(jobs)) if jobs else None
    if local:
        use_local()
    options: dict[str, Any] = {"jobs": numbers, "agents": agent, "tail": tail, "follow": follow}
    run(_show(session, options, as_json=as_json, raw=raw), interrupted=lambda: "the session goes on")


async def _show(session: Path, options: dict[str, Any], *, as_json: bool, raw: bool) -> None:
    from awsac_async.client import log_sources
    from awsac_async.client import logs as read_logs

    sources = await log_sources(session, jobs=options["jobs"], agents=options["agents"])
    shown = _Shown(
        one=len(sources) == 1 and not as_json, as_json=as_json, encoding=None if raw else terminal_encoding()
    )
    missing: list[LogSource] = []
    pieces = read_logs(session, on_failure=say_trying_again, on_missing=missing.append, **options)
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if not streams.write(shown.add(piece)):
                    return  # as when the reader of cat goes away
    finally:
        streams.write(shown.rest())
    if missing:
        warn(_none_of(missing, followed=options["follow"]))


class _Shown:
    """What of logs is written; ``one``: there is one, without a name before each line.

    ``encoding`` is that of the terminal that is not to be controlled; None: it is none, or may be.
    """

    def __init__(self, *, one: bool, as_json: bool, encoding: str | None) -> None:
        self._text = Harmless(encoding) if encoding else None
        line = partial(harmless_line, encoding=encoding) if encoding else bytes
        self._lines = None if one else Lines(as_json=as_json, shown=line)

    def add(self, piece: "LogBytes") -> bytes:
        """Return what can be written now."""
        if self._lines:
            return self._lines.add(piece)
        return self._text.add(piece.data) if self._text else piece.data

    def rest(self) -> bytes:
        """Return what has waited, at the end."""
        if self._lines:
            return self._lines.rest()
        return self._text.rest() if self._text else b""


def _none_of(missing: "list[LogSource]", *, followed: bool) -> str:
    """Say of which jobs and agents there is nothing, and when there may be more."""
    jobs = [source.job for source in missing if source.job is not None]
    names = [named_jobs(jobs)] * bool(jobs)
    names += [str(source) for source in missing if source.job is None]
    later = "" if followed else "; what is written now is sent every minute, with --follow every two seconds"
    return f"there is no log of {', '.join(names)}{later}"
