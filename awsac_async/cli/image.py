"""``awsac image``: images with an agent in them, made of stock images."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from awsac_async.cli.common import Json, Local, Yes, ask, print_json, run, use_local
from awsac_async.cli.harmless import harmless_text, terminal_encoding
from awsac_async.cli.options import Verbs
from awsac_async.cli.remarks import quiet, say, warn
from awsac_async.session.durations import parse_hours
from awsac_async.session.errors import InputError
from awsac_async.session.names import DEFAULT_INSTANCE_PROFILE
from awsac_async.session.times import format_time

if TYPE_CHECKING:
    from awsac_async.client import BuildEvent, OwnImage

image = typer.Typer(
    cls=Verbs,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Images with the agent in them. Example: awsac image list",
)


@image.command(short_help="Make an image of a stock image.")
def build(
    *,
    base: Annotated[
        str, typer.Option(metavar="AMI", help="The stock image, or the SSM parameter that names it: /aws/service/….")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="What the image is to be called.")],
    instance_type: Annotated[str, typer.Option("--type", metavar="TYPE", help="Of the builder.")] = "t3.small",
    max_hours: Annotated[
        str, typer.Option(metavar="HOURS", help="After which the builder powers itself off, whatever happens.")
    ] = "0.5",
    agent_wheel: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The wheel to install; else this awsac.", show_default=False)
    ] = None,
    bucket: Annotated[
        str, typer.Option(metavar="BUCKET", help="Where a wheel is put for the builder.", show_default=False)
    ] = "",
    instance_profile: Annotated[
        str, typer.Option(metavar="NAME", help="By which the builder may read that wheel.")
    ] = DEFAULT_INSTANCE_PROFILE,
    security_group: Annotated[
        list[str] | None, typer.Option(metavar="SG", help="Of the builder, once or more.", show_default=False)
    ] = None,
    subnet: Annotated[str, typer.Option(metavar="SUBNET", help="Of the builder.", show_default=False)] = "",
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Make an image that boots into the agent.

    Starts one instance of a stock image (Amazon Linux 2023, Debian 12 or 13, Ubuntu 24.04), which installs the agent
    by cloud-init, removes what is its own, and stops; makes an image of it, waits, and terminates it. What it prints is
    shown on stderr, its image's ID at last on stdout. If it fails, or is interrupted, nothing is left.

    Exit codes: 0; 2 if something in the command is wrong; 3 if the cloud refuses, or the builder fails.

    Example: awsac image build --base ami-0123abcd --name awsac-2026-11
    """
    from awsac_async import client

    try:
        hours = parse_hours(max_hours)
    except ValueError as error:
        raise InputError(f"--max-hours: found {max_hours!r}, expected {error}") from None
    if local:
        use_local(bring_up=True)
    order = client.BuildOrder(
        base=base,
        name=name,
        instance_type=instance_type,
        hours=hours,
        agent_wheel=agent_wheel,
        bucket=bucket,
        instance_profile=instance_profile,
        security_group_ids=tuple(security_group or ()),
        subnet_id=subnet,
    )
    made = run(
        client.build_image(order, on_event=_tell), interrupted=lambda: "the builder was terminated, nothing is left"
    )
    if as_json:
        print_json(image_values(made))
    else:
        print(made.image_id)


@image.command("list", short_help="Show the images that awsac has made.")
def list_(*, as_json: Json = False, local: Local = False) -> None:
    """Show the images that awsac has made in this region.

    Example: awsac image list
    """
    from awsac_async import client

    if local:
        use_local()
    found = run(client.list_images(), interrupted=lambda: "nothing was changed")
    if as_json:
        print_json([image_values(each) for each in found])
        return
    for each in found:
        created = format_time(each.created)
        print(f"{each.image_id}  {each.state}  {each.architecture}  awsac {each.version}  {created}  {each.name}")
    if not found:
        say("awsac has made no image here")


@image.command(short_help="Delete an image and its snapshots.")
def delete(
    *,
    image_id: Annotated[str, typer.Argument(metavar="AMI", help="The image, one that awsac has made.")],
    yes: Yes = False,
    local: Local = False,
) -> None:
    """Delete an image that awsac has made, with its snapshots.

    Instances that run from it go on; sessions that name it can be started no more.

    Example: awsac image delete ami-0123abcd
    """
    from awsac_async import client

    if local:
        use_local()

    async def remove() -> "OwnImage | None":
        found = await client.find_image(image_id)
        if not yes and await ask(f"delete the image {image_id}, {found.name}, with its snapshots?", "yn") != "y":
            return None
        await client.delete_image(found)
        return found

    deleted = run(remove(), interrupted=lambda: f"awsac image delete {image_id} removes the rest")
    if deleted is None:
        say("nothing was deleted")
        return
    for name in (image_id, *deleted.snapshot_ids):
        print(f"deleted {name}")


def image_values(image: "OwnImage") -> dict[str, Any]:
    """Return an image as values of JSON."""
    return {
        "image_id": image.image_id,
        "name": image.name,
        "version": image.version,
        "state": image.state,
        "architecture": image.architecture,
        "created": format_time(image.created) or None,
        "snapshot_ids": list(image.snapshot_ids),
    }


def _tell(event: "BuildEvent") -> None:
    from awsac_async import client

    match event:
        case client.BuilderStarted():
            say(f"builder {event.instance_id} installs {event.agent}")
        case client.BuilderState():
            say(f"builder is {event.state}")
        case client.BuilderPrinted() if not quiet():
            encoding = terminal_encoding(sys.stderr)
            text = harmless_text(event.text, encoding) if encoding else event.text
            print(text, end="", file=sys.stderr, flush=True)
        case client.ImageState():
            say(f"image {event.image_id} is {event.state}")
        case client.NotCleared():
            warn(f"{event.reason}; awsac gc finds it")
