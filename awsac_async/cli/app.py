"""The commands of ``awsac``, one file a verb, and the options that stand before a verb."""

import os
from typing import Annotated

import typer

from awsac_async import __version__
from awsac_async.cli.check import check
from awsac_async.cli.cleanup import cleanup
from awsac_async.cli.getresults import getresults
from awsac_async.cli.kill import kill
from awsac_async.cli.local import local
from awsac_async.cli.logs import logs
from awsac_async.cli.main import DEBUG_VARIABLE
from awsac_async.cli.pack import pack
from awsac_async.cli.start import start
from awsac_async.cli.stop import stop

# Plain help: rich's panels cost a quarter of a second before the first line.
app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"awsac {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[  # noqa: ARG001  its callback has acted before
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where an error comes from (AWSAC_DEBUG=1).")
    ] = False,
) -> None:
    """Run batch jobs on EC2 for a short time, by a deadline, without an administrator.

    Example, on the cloud that runs on this machine:

    \b
      awsac pack jobs -o jobs.tar.bz2
      awsac start --local -i session.ini -a jobs.tar.bz2
      awsac check --local -c session-….cfg --watch
      awsac logs --local -c session-….cfg --follow
      awsac getresults --local -c session-….cfg -o results
      awsac cleanup --local -c session-….cfg
    """  # noqa: D301  \b is typer's mark for lines to be kept as they are
    if traceback:
        os.environ[DEBUG_VARIABLE] = "1"


app.command()(pack)
app.command()(start)
app.command()(check)
app.command()(logs)
app.command()(kill)
app.command()(stop)
app.command()(getresults)
app.command()(cleanup)
app.add_typer(local, name="local")
