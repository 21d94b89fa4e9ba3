"""``awsac plan``: checks everything and says what would be started, and what it may cost."""

from pathlib import Path
from typing import Annotated

import typer

from awsac_async.cli.common import Json, print_json, run, use_local
from awsac_async.cli.options import given_region
from awsac_async.cli.plantext import plan_text, plan_values

Ini = Annotated[Path, typer.Option("-i", "--ini", metavar="FILE", readable=False, help="The session.ini.")]
Archive = Annotated[
    Path,
    typer.Option(
        "-a", "--archive", metavar="PATH", readable=False, help="The session archive, ….tar.bz2, or a folder to pack."
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("-d", "--data", metavar="DIR", readable=False, help="Input data; jobs find it in $AWSAC_DATA."),
]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost", metavar="USD", help="Refuse what may cost more, or is of unknown price.")
]
Shorten = Annotated[
    bool, typer.Option("--shorten-deadline", help="With --max-cost: shorten the deadline until it fits.")
]
Local = Annotated[bool, typer.Option("--local", help="Use the cloud on this machine; bring it up if needed.")]


def plan(
    *,
    ini: Ini,
    archive: Archive,
    data: Data = None,
    max_cost: MaxCost = None,
    shorten_deadline: Shorten = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Check a session before it is started.

    Reads the files, lets the shells read the scripts, and asks AWS whether all that they name is there and may be
    used. Says how many instances and volumes there will be and what they may cost at most. Starts nothing, leaves
    nothing; what is wrong is told all at once.

    Exit codes: 0 it can be started, 2 something in the files is wrong, 3 the cloud refuses.

    Example: awsac plan -i session.ini -a jobs --max-cost 20
    """
    from awsac_async.client import plan as plan_session

    if local:
        use_local(bring_up=True)
    verb = plan_session(
        ini=ini,
        archive=archive,
        data=data,
        region=given_region(),
        max_cost=max_cost,
        shorten_deadline=shorten_deadline,
    )
    found = run(verb, interrupted=lambda: "nothing was started")
    if as_json:
        print_json(plan_values(found))
    else:
        print(plan_text(found))
