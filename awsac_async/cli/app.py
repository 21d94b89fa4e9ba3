"""The commands of ``awsac``, one file a verb, and the options that stand before a verb."""

from typing import Annotated

import typer

from awsac_async import __version__
from awsac_async.cli.attach import attach
from awsac_async.cli.check import check
from awsac_async.cli.cleanup import cleanup
from awsac_async.cli.config import config_file, read_config
from awsac_async.cli.console import console
from awsac_async.cli.gc import gc
from awsac_async.cli.getresults import getresults
from awsac_async.cli.image import image
from awsac_async.cli.init import init
from awsac_async.cli.kill import kill
from awsac_async.cli.local import local
from awsac_async.cli.logs import logs
from awsac_async.cli.ls import ls
from awsac_async.cli.options import EndpointUrl, Profile, Quiet, Region, Traceback, Verbose, Verbs, configure
from awsac_async.cli.pack import pack
from awsac_async.cli.plan import plan
from awsac_async.cli.policy import policy
from awsac_async.cli.release import release
from awsac_async.cli.remarks import say_step
from awsac_async.cli.report import report
from awsac_async.cli.retry import retry
from awsac_async.cli.setup import setup
from awsac_async.cli.ssh import ssh
from awsac_async.cli.start import start
from awsac_async.cli.stop import stop
from awsac_async.cli.wait import wait

HELP_WIDTH = 100  # columns, where a terminal has them
BEFORE, WHILE, AFTER, ELSE = "Before a session", "While it runs", "After it", "Besides"

# Plain help: rich's panels cost a quarter of a second before the first line.
app = typer.Typer(
    cls=Verbs, rich_markup_mode=None, no_args_is_help=True, context_settings={"max_content_width": HELP_WIDTH}
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"awsac {__version__}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001  as below: each option has acted before, by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
    quiet: Quiet = False,  # noqa: ARG001
    verbose: Verbose = False,  # noqa: ARG001
    region: Region = None,  # noqa: ARG001
    profile: Profile = None,  # noqa: ARG001
    endpoint_url: EndpointUrl = None,  # noqa: ARG001
    traceback: Traceback = False,  # noqa: ARG001
) -> None:
    """Run batch jobs on EC2 for a short time, by a deadline, without an administrator.

    A session, from nothing to nothing, on the cloud that runs on this machine:

    \b
      awsac init first
      awsac start --local -i first/session.ini -a first/jobs
      awsac check --local --watch
      awsac getresults --local --extract
      awsac cleanup --local

    Without --local it is AWS's own, with the credentials that every AWS tool uses. The options below may stand before a
    command or behind it; their defaults, and those of each command, are in ~/.config/awsac/config.toml.
    """  # noqa: D301  \b is typer's mark for lines to be kept as they are
    if (file := config_file()) is not None:
        say_step(f"defaults are those of {file}")
        values, ctx.default_map = read_config(file, ctx)
        configure(values)


app.command(rich_help_panel=BEFORE)(init)
app.command(rich_help_panel=BEFORE)(pack)
app.command(rich_help_panel=BEFORE)(plan)
app.command(rich_help_panel=BEFORE)(start)
app.command(rich_help_panel=WHILE)(check)
app.command(rich_help_panel=WHILE)(wait)
app.command(rich_help_panel=WHILE)(logs)
app.command(rich_help_panel=WHILE)(console)
app.command(rich_help_panel=WHILE)(ssh)
app.command(rich_help_panel=WHILE)(kill)
app.command(rich_help_panel=WHILE)(stop)
app.command(rich_help_panel=AFTER)(getresults)
app.command(rich_help_panel=AFTER)(report)
app.command(rich_help_panel=AFTER)(retry)
app.command(rich_help_panel=AFTER)(attach)
app.command(rich_help_panel=AFTER)(cleanup)
app.command(rich_help_panel=AFTER)(ls)
app.command(rich_help_panel=AFTER)(gc)
app.command(rich_help_panel=ELSE)(setup)
app.command(rich_help_panel=ELSE)(policy)
app.add_typer(image, name="image", rich_help_panel=ELSE)
app.add_typer(release, name="release", rich_help_panel=ELSE)
app.add_typer(local, name="local", rich_help_panel=ELSE)
