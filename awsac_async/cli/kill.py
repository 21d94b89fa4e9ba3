"""``awsac kill``: asks for the end of some jobs. Like kill(1), it does not ask whether that is meant."""

from typing import Annotated

import typer

from awsac_async.cli.common import ChangedSession, Json, Local, print_json, run, use_local
from awsac_async.cli.completion import job_numbers
from awsac_async.cli.remarks import warn
from awsac_async.cli.render import killed_remarks, killed_values
from awsac_async.session.errors import EXIT_INPUT
from awsac_async.session.jobs import named_jobs, parse_numbers


def kill(
    *,
    session: ChangedSession,
    jobs: Annotated[
        list[str],
        typer.Argument(metavar="JOB...", help="Numbers and ranges of jobs: 2 or 1,3-7.", autocompletion=job_numbers),
    ],
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Stop some jobs of a running session.

    Their agents act within some seconds: TERM, 15 seconds later KILL, then what a job left is saved. The other jobs go
    on. Exit code 2 if none of them could be stopped.

    Example: awsac kill -c session-081215_1646--eventgen--1816.cfg 2 5-7
    """
    from awsac_async.client import kill as kill_jobs

    numbers = parse_numbers(",".join(jobs))
    if local:
        use_local()
    killed = run(kill_jobs(session, numbers), interrupted=lambda: "awsac check shows whether the jobs stop")
    if as_json:
        print_json(killed_values(killed))
    elif killed.asked:
        print(f"asked for the end of {named_jobs(killed.asked)}; it comes within some seconds")
    for remark in killed_remarks(killed):
        warn(remark)
    if not killed.asked:
        raise typer.Exit(EXIT_INPUT)
