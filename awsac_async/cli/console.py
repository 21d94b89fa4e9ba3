"""``awsac console``: what an instance has printed since it booted, from EC2."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from awsac_async.cli.common import Json, Local, Raw, SessionFile, print_json, run, use_local
from awsac_async.cli.completion import launch_indexes
from awsac_async.cli.harmless import harmless_text, terminal_encoding
from awsac_async.cli.remarks import say
from awsac_async.session.errors import InputError
from awsac_async.session.times import format_time

if TYPE_CHECKING:
    from awsac_async.client import Console

_EMPTY = "EC2 shows nothing of its console yet: it does some minutes after the boot; ask again, or awsac check --watch"


def console(
    *,
    session: SessionFile,
    launch_index: Annotated[
        int | None,
        typer.Argument(
            metavar="LI", min=0, help="The instance's launch index, as check shows it.", autocompletion=launch_indexes
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All instances of the session, one after another.")] = False,
    as_json: Json = False,
    raw: Raw = False,
    local: Local = False,
) -> None:
    """Show what an instance has printed on its console.

    The boot, and all that its agent said: the last 64 KB of it, also of an instance that is gone, until an hour after
    its end. On hardware before Nitro EC2 shows it some minutes late. At a terminal, what would control it is shown
    instead, but for colours.

    Example: awsac console -c session-081215_1646--eventgen--1816.cfg 0
    """
    from awsac_async import client

    if (launch_index is None) != every:
        raise InputError("which instance? Give its launch index (LI of awsac check), or --all")
    if local:
        use_local()
    wanted = None if launch_index is None else [launch_index]
    found = run(client.consoles(session, wanted), interrupted=lambda: "nothing was changed")
    if as_json:
        print_json([console_values(each) for each in found] if every else console_values(found[0]))
        return
    for each in found:
        if every:
            print(f"==> instance {each.instance.launch_index}, {each.instance.instance_id} <==")
        _print(each.text, encoding=None if raw else terminal_encoding())
        if not each.text:
            say(f"instance {each.instance.launch_index} is {each.instance.state}: {_EMPTY}")


def _print(text: str, *, encoding: str | None) -> None:
    end = "" if text.endswith("\n") or not text else "\n"
    print(harmless_text(text, encoding) if encoding else text, end=end)


def console_values(console: "Console") -> dict[str, Any]:
    """Return what an instance has printed as values of JSON."""
    return {
        "launch_index": console.instance.launch_index,
        "instance_id": console.instance.instance_id,
        "state": console.instance.state,
        "taken": format_time(console.taken) or None,
        "text": console.text,
    }
