"""``awsac report``: all that can be known of a session, as one page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from awsac_async.cli.common import Json, Local, SessionFile, print_json, run, use_local
from awsac_async.session.atomic import replacing
from awsac_async.session.costs import shown_usd
from awsac_async.session.errors import InputError
from awsac_async.session.times import format_time

if TYPE_CHECKING:
    from awsac_async.client import Report


def report(
    *,
    session: SessionFile,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The page to write.")] = Path(
        "report.html"
    ),
    results: Annotated[
        Path | None,
        typer.Option("--results", metavar="DIR", help="What getresults -o was told, for links to logs and results."),
    ] = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Write one page about a session.

    It says what every core did when, how long jobs ran, how they ended, and what it costs. The page is one HTML file
    that needs no network. Make it before cleanup: it is made of what the cloud still knows.
    Its links lead to the files that getresults brought: those of --results, or of the session's folder beside the
    session file. A page that is there is replaced.

    Exit code 0, or 2: bad input, 3: the cloud could not be asked.

    Example: awsac report -c session-081215_1646--eventgen--1816.cfg -o report.html
    """
    from awsac_async.client import format_report
    from awsac_async.client import report as report_session

    if local:
        use_local()
    _check(output)
    made = run(report_session(session, results=results), interrupted=lambda: "no page was written")
    _write(output, format_report(made, folder=output.parent))
    if as_json:
        print_json(report_values(made, output))
    else:
        print(report_text(made, output))


def report_values(made: "Report", output: Path) -> dict[str, Any]:
    """Return what the page is about as values of JSON."""
    return {
        "session_id": made.status.record.session_id,
        "file": str(output),
        "over": made.status.over,
        "as_of": format_time(made.at),
        "cost_usd": made.cost,
        "unknown_instances": made.unknown_instances,
        "results": str(made.results) if made.results else None,
        "instances": [
            {
                "launch_index": each.launch_index,
                "instance_id": each.instance_id,
                "begin": format_time(each.begin),
                "end": format_time(each.end) or None,
                "estimated": each.estimated,
            }
            for each in made.times
        ],
    }


def report_text(made: "Report", output: Path) -> str:
    """Return where the page is, and what of the session is not in it."""
    lines = [f"written to {output}"]
    if not made.status.over:
        lines.append("the session is under way: what comes later is not in it")
    if made.results is None:
        lines.append("it has no links to logs and results: awsac getresults fetches them, then make it again")
    return "\n".join([*lines, f"cost of the instances: {_shown_cost(made)}"])


def _shown_cost(made: "Report") -> str:
    if made.cost is None:
        return "unknown, since the price is"
    return f"about {shown_usd(made.cost)}{'' if made.status.over else ' so far'}"


def _check(output: Path) -> None:
    if output.is_dir() or not output.parent.is_dir():
        raise InputError(f"cannot write {output}: -o names a file in a folder that is there")


def _write(output: Path, page: str) -> None:
    try:
        with replacing(output, mode=0o644) as part:
            part.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror}") from error
