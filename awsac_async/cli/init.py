"""``awsac init``: a folder to start from, and what to type next."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from awsac_async.cli.common import Json, print_json


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder; it is made if it is not there.")],
    *,
    as_json: Json = False,
) -> None:
    """Make a folder to start from.

    It gets a session.ini with every key explained, and jobs: a jobs.cfg, and a script that estimates pi. They run at
    once on the cloud of this machine. Exit code 2 if one of these files is there: nothing is replaced.

    Example: awsac init first
    """
    from awsac_async.client import init as make_folder

    files = make_folder(directory)
    inputs = f"-i {shlex.quote(str(files[0]))} -a {shlex.quote(str(files[1].parent))}"
    commands = [f"awsac plan --local {inputs}", f"awsac start --local {inputs}"]
    if as_json:
        print_json({"files": list(map(str, files)), "next": commands})
        return
    for file in files:
        print(f"wrote {file}")
    print("next, on the cloud of this machine, for which nothing is to be paid:")
    for command in commands:
        print(f"  {command}")
