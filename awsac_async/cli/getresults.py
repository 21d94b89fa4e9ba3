"""``awsac getresults``: everything that a session saved, in a folder of its own."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from awsac_async.cli.common import Json, Local, SessionFile, Yes, ask, print_json, run, use_local
from awsac_async.cli.render import ProgressBar, results_text, results_values
from awsac_async.session.errors import EXIT_CLOUD


def getresults(
    *,
    session: SessionFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the folder session-<session ID> is made.")
    ],
    yes: Yes = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Download results, outputs and logs.

    Skips what is complete, and asks before overwriting what differs: yes, no, or all.

    Example: awsac getresults -c session-081215_1646--eventgen--1816.cfg -o results
    """
    from awsac_async.client import Overwrite, get_results

    async def on_existing(path: Path) -> Overwrite:
        return Overwrite.ALL if yes else Overwrite(await ask(f"{path} exists and differs: overwrite?", "yna"))

    if local:
        use_local()
    with contextlib.closing(ProgressBar("downloading")) as bar:
        verb = get_results(session, output, on_existing=on_existing, on_progress=bar.update)
        results = run(verb, interrupted=lambda: "the same command downloads what is missing")
    if as_json:
        print_json(results_values(results))
    else:
        print(results_text(results))
    for key in results.refused:
        print(f"awsac: {key} was not downloaded: no file of its own can have its base name", file=sys.stderr)
    if results.refused:
        raise typer.Exit(EXIT_CLOUD)
