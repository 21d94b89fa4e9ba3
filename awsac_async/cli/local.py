"""``awsac local``: the embedded cloud, up and down and what is in it."""

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated

import typer

from awsac_async.cli.common import Json, interruptible, print_json

local = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="The cloud on this machine. Example: awsac local up"
)


@local.command()
def up() -> None:
    """Bring the embedded cloud up, if it is not.

    Example: awsac local up
    """
    from awsac_async.local import cloud

    with interruptible(lambda: "awsac local down removes what was started"):
        environment = cloud.up(cloud.default_directory())
    print(f"the embedded cloud is up at {environment['AWS_ENDPOINT_URL']}, its folder is {cloud.default_directory()}")


@local.command()
def down() -> None:
    """Take the embedded cloud down, with all its instances, volumes and objects.

    Example: awsac local down
    """
    from awsac_async.local import cloud

    with interruptible(lambda: "awsac local down again removes the rest"):
        cloud.down(cloud.default_directory())
    print("the embedded cloud is down; nothing of it is left")


@local.command()
def status(*, as_json: Json = False) -> None:
    """Show what is in the embedded cloud, and what it holds of this machine.

    Example: awsac local status --json
    """
    from awsac_async.local import cloud

    with interruptible(lambda: "nothing was changed"):
        values = dataclasses.asdict(cloud.status(cloud.default_directory()))
    if as_json:
        print_json(values)
        return
    for name, value in values.items():
        if value or name not in {"endpoint", "pid", "isolation", "storage"}:
            print(f"{name.replace('_', ' ') + ':':14}{_shown(value)}")


def _shown(value: object) -> str:
    """Return a number as it is, and a list as its length and what is in it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, [len(value), *value])) if isinstance(value, list) else str(value)


@local.command()
def env() -> None:
    """Print what lets any AWS tool use the embedded cloud.

    Example: eval "$(awsac local env)" && aws s3 ls
    """
    from awsac_async.local import cloud

    with interruptible(lambda: "nothing was changed"):
        environment = cloud.environment(cloud.default_directory())
    for name, value in environment.items():
        print(f"export {name}={shlex.quote(value)}")


@local.command()
def snapshot(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that becomes the content of a release.")],
    *,
    description: Annotated[str, typer.Option("--description", help="What EC2 shows of it.")] = "",
) -> None:
    """Turn a folder into a snapshot of the embedded cloud, and print its ID and nothing else.

    Example: awsac local snapshot release --description "Pythia 8"
    """
    from awsac_async.local import cloud

    with interruptible(lambda: "no snapshot was made"):
        print(cloud.import_snapshot(cloud.default_directory(), directory, description=description))
