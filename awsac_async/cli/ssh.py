"""``awsac ssh``: the command that leads to the instance of a job, printed or run."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from awsac_async.cli.common import Json, Local, SessionFile, print_json, run, use_local
from awsac_async.cli.completion import job_numbers
from awsac_async.cli.remarks import say
from awsac_async.session.errors import InputError

_DEFAULT_USER = "ec2-user"  # of Amazon Linux, as client.ssh has it


def ssh(
    *,
    session: SessionFile,
    job: Annotated[int, typer.Argument(metavar="JOB", min=1, help="The job's number.", autocompletion=job_numbers)],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="What to run there instead of a shell.")
    ] = None,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="As whom, by SSH.")] = _DEFAULT_USER,
    execute: Annotated[bool, typer.Option("--run", help="Run the command instead of printing it.")] = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Print or run the command that leads to the instance of a job.

    The instance is that of the job's last attempt. The command is ssh with the session's key_name, or else aws ssm
    start-session. With --local it enters the instance on this machine. The words of COMMAND are joined by spaces and
    read by a shell there, as ssh does. Outside of its jobs an instance shows no release. With --run the exit code is
    that of the command.

    Example: awsac ssh -c session-081215_1646--eventgen--1816.cfg 3 --run -- ls /mnt/atlasworkarea/3
    """
    if execute and as_json:
        raise InputError("--json prints the command, --run runs it: give one of them")
    if local:
        use_local()
    way = _way_in_here if local else _way_in
    instance_id, words, needs = way(session, job, user, command or [])
    if as_json:
        print_json({"instance_id": instance_id, "command": words, "needs": needs or None})
    elif execute:
        _become(words, needs)
    else:
        print(shlex.join(words))
        if needs:
            say(f"this needs {needs}")


def _way_in(session: Path, job: int, user: str, command: list[str]) -> tuple[str, list[str], str]:
    from awsac_async import client

    way = run(client.way_in(session, job, user=user, command=command), interrupted=lambda: "nothing was changed")
    return way.instance.instance_id, list(way.command), way.needs


def _way_in_here(session: Path, job: int, _user: str, command: list[str]) -> tuple[str, list[str], str]:
    from awsac_async import client
    from awsac_async.local import cloud

    _, instance = run(client.job_instance(session, job), interrupted=lambda: "nothing was changed")
    return instance.instance_id, cloud.entering(cloud.default_directory(), instance.instance_id, command), ""


def _become(words: list[str], needs: str) -> NoReturn:
    """Run a command in the place of this process, with its terminal."""
    sys.stdout.flush()
    try:
        os.execvp(words[0], words)  # noqa: S606  no shell: the words are those that --run would have printed
    except FileNotFoundError:
        asked = f"; {needs}" if needs else ""
        raise InputError(f"there is no program {words[0]} on this machine to enter the instance with{asked}") from None
