"""``awsac getresults``: everything that a session saved, in a folder of its own."""

import contextlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from awsac_async.cli.common import Json, Local, SessionFile, Yes, ask, print_json, run, use_local
from awsac_async.cli.completion import job_numbers
from awsac_async.cli.remarks import say, say_step, warn
from awsac_async.cli.render import ProgressBar
from awsac_async.session.errors import EXIT_CLOUD
from awsac_async.session.jobs import parse_numbers


class Part(StrEnum):
    """What ``--only`` names."""

    RESULTS = "results"
    LOGS = "logs"


def getresults(
    *,
    session: SessionFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the folder session-<session ID> is made.")
    ] = Path("results"),
    jobs: Annotated[
        str, typer.Option(metavar="LIST", help="Only what these jobs saved, like 1,3-7.", autocompletion=job_numbers)
    ] = "",
    only: Annotated[Part | None, typer.Option(help="Only results, or only outputs and agents' logs.")] = None,
    extract: Annotated[
        bool, typer.Option("--extract", help="Unpack each archive as well, those of job 3 into job_3.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Download results, outputs and logs, verified by SHA-256.

    Takes what is there, also while the session runs, and says what is missing and why. Skips what is complete, goes on
    with what was interrupted, and asks before overwriting what differs: yes, no, or all.

    Exit code 3 if something could not be fetched or unpacked, or is damaged.

    Example: awsac getresults -c session-081215_1646--eventgen--1816.cfg --extract
    """
    from awsac_async.cli.resultstext import results_errors, results_remarks, results_steps, results_text, results_values
    from awsac_async.client import Only, Overwrite, get_results

    async def on_existing(path: Path) -> Overwrite:
        return Overwrite.ALL if yes else Overwrite(await ask(f"{path} exists and differs: overwrite?", "yna"))

    if local:
        use_local()
    with contextlib.closing(ProgressBar("downloading")) as bar:
        verb = get_results(
            session,
            output,
            on_existing=on_existing,
            on_progress=bar.update,
            jobs=parse_numbers(jobs) if jobs else None,
            only=Only(only.value) if only else None,
            extract=extract,
        )
        results = run(verb, interrupted=lambda: "the same command downloads what is missing")
    for step in results_steps(results):
        say_step(step)
    if as_json:
        print_json(results_values(results))
    else:
        print(results_text(results))
    for remark in results_remarks(results):
        say(remark)
    for sentence in results_errors(results):
        warn(sentence)
    if not results.all_well:
        raise typer.Exit(EXIT_CLOUD)
