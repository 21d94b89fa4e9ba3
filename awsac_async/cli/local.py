"""``awsac local``: the embedded cloud, up and down and what is in it."""

import dataclasses
import os
import re
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from awsac_async.cli.common import Json, interruptible, print_json
from awsac_async.cli.options import Verbs
from awsac_async.local.faults.plan import EventKind
from awsac_async.local.settings import Network
from awsac_async.session.errors import InputError

_MOST_OF_TAG = 256  # characters that EC2 takes as the value of a tag
local = typer.Typer(
    cls=Verbs, rich_markup_mode=None, no_args_is_help=True, help="The cloud on this machine. Example: awsac local up"
)


def _delay(what: str) -> Any:
    """Return the option of a delay in seconds."""
    return typer.Option(metavar="SECONDS", min=0.0, help=f"How long {what}.", show_default=False)


_DISK_SIZE = typer.Option(
    metavar="BYTES", min=1 << 20, help="How much an instance can hold below /mnt.", show_default=False
)
_NETWORK = typer.Option(help="What instances reach.", show_default=False)
_FAULTS_FILE = typer.Option(metavar="FILE", help="What goes wrong: see docs/faults.md.", show_default=False)


def _read_faults(file: Path) -> str:
    """Return the text of a file of faults, checked.

    Raises:
        InputError: it does not say what to do.
    """
    from awsac_async.local.faults.file import FaultsError, read_plan
    from awsac_async.session.fields import read_text

    text = read_text(file, expected="a file of faults")
    try:
        read_plan(text)
    except FaultsError as error:
        raise InputError(f"{file}: {error}") from error
    return text


@local.command(short_help="Bring the embedded cloud up.")
def up(
    *,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Where it listens; else any free one.")] = None,
    instance_delay: Annotated[float | None, _delay("an instance is pending, and shutting-down")] = None,
    volume_delay: Annotated[float | None, _delay("a volume is creating")] = None,
    attachment_delay: Annotated[float | None, _delay("a volume is attaching, and detaching")] = None,
    snapshot_delay: Annotated[float | None, _delay("a snapshot is pending")] = None,
    disk_size: Annotated[int | None, _DISK_SIZE] = None,
    network: Annotated[Network | None, _NETWORK] = None,
    faults: Annotated[Path | None, _FAULTS_FILE] = None,
    iam: Annotated[bool, typer.Option("--iam", help="Enforce the policies that awsac policy prints.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the embedded cloud up, if it is not.

    With --iam its user and its instances may do what the policies of awsac policy allow, and nothing else; releases in
    S3 are below s3://awsac-sessions/releases/.

    Instances reach their metadata service and the cloud. With --network nat they reach what is outside of this machine,
    too, as it does itself; with none nothing more; with host everything that it reaches, and the machine itself.
    Without it, and without AWSAC_LOCAL_NETWORK, that is nat where it can be had, and else none.

    Example: awsac local up --instance-delay 20
    """
    from awsac_async.local import cloud
    from awsac_async.local.settings import Settings

    given = {
        "port": port,
        "instance_delay": instance_delay,
        "volume_delay": volume_delay,
        "attachment_delay": attachment_delay,
        "snapshot_delay": snapshot_delay,
        "disk_size": disk_size,
        "network": network,
        "faults": None if faults is None else _read_faults(faults),
        **(enforcing() if iam else {}),
    }
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    directory = cloud.default_directory()
    with interruptible(lambda: "awsac local down removes what was started"):
        if chosen and cloud.status(directory).running:
            raise InputError(f"the embedded cloud in {directory} is up already, take it down to change its settings")
        endpoint = cloud.up(directory, Settings(**chosen))["AWS_ENDPOINT_URL"]
        found = cloud.status(directory)
    if as_json:
        network_values = {"network": found.network, "network_note": found.network_note}
        print_json({"endpoint": endpoint, "directory": str(directory), **network_values})
        return
    print(f"the embedded cloud is up at {endpoint}, its folder is {directory}")
    if found.network_note:
        print(found.network_note)


def enforcing() -> dict[str, Any]:
    """Return the settings of a cloud that enforces the policies of its bucket, its role and its account."""
    from awsac_async.local import settings
    from awsac_async.session.policies import Holder, Scope, compact, policy

    scope = Scope(
        bucket=settings.BUCKET,
        role=settings.ROLE,
        account=settings.ACCOUNT,
        releases=(f"{settings.BUCKET}/releases/*",),
    )
    documents = {holder: compact(policy(holder, scope)) for holder in Holder}
    return {"iam": True, "user_policy": documents[Holder.CLIENT], "role_policy": documents[Holder.AGENT]}


@local.command(short_help="Take the embedded cloud down, with all it holds.")
def down(*, as_json: Json = False) -> None:
    """Take the embedded cloud down, with all its instances, volumes and objects.

    Example: awsac local down
    """
    from awsac_async.local import cloud

    directory = cloud.default_directory()
    with interruptible(lambda: "awsac local down again removes the rest"):
        cloud.down(directory)
    if as_json:
        print_json({"running": False, "directory": str(directory)})
    else:
        print("the embedded cloud is down; nothing of it is left")


@local.command(short_help="Show what is in the embedded cloud.")
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
        if value or name not in {"endpoint", "pid", "isolation", "storage", "network", "network_note"}:
            print(f"{name.replace('_', ' ') + ':':14}{_shown(value)}")


def _shown(value: object) -> str:
    """Return a number as it is, and a list as its length and what is in it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, [len(value), *value])) if isinstance(value, list) else str(value)


@local.command()
def env(
    *,
    administrator: Annotated[
        bool, typer.Option("--administrator", help="As who may do everything, where policies are enforced.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print what lets any AWS tool use the embedded cloud: a shell forgets tokens and profiles of AWS by it.

    Example: eval "$(awsac local env)" && aws s3 ls
    """
    from awsac_async.local import cloud

    with interruptible(lambda: "nothing was changed"):
        environment = cloud.environment(cloud.default_directory(), administrator=administrator)
    if as_json:
        print_json(environment)
        return
    if foreign := [name for name in os.environ if _chooses(name) and name not in environment]:
        print(f"unset {' '.join(sorted(foreign))}")
    for name, value in environment.items():
        print(f"export {name}={shlex.quote(value)}")


_CHOOSES = re.compile(
    "AWS_((SESSION|SECURITY)_TOKEN|(DEFAULT_)?PROFILE|REGION|ENDPOINT_URL_[A-Z0-9_]+|IGNORE_CONFIGURED_ENDPOINT_URLS|"
    "CREDENTIAL_EXPIRATION|ROLE_[A-Z_]+|WEB_IDENTITY_TOKEN_FILE|CONTAINER_[A-Z_]+|USE_(FIPS|DUALSTACK)_ENDPOINT)"
)


def _chooses(name: str) -> bool:
    """Say whether a variable is one by which AWS tools choose whom to ask, and as whom."""
    return _CHOOSES.fullmatch(name) is not None


@local.command(name="faults", short_help="Let the embedded cloud misbehave, or show how it does.")
def set_faults(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="What goes wrong from now on.")] = None,
    *,
    clear: Annotated[bool, typer.Option("--clear", help="Let nothing go wrong any more.")] = False,
    as_json: Json = False,
) -> None:
    """Let the embedded cloud misbehave as a file says, instead of as it does; without a file, show what is in force.

    Example: awsac local faults bad-day.toml
    """
    from awsac_async.local import cloud

    if file and clear:
        raise InputError("a file says what goes wrong, --clear that nothing does: give one of them")
    directory = cloud.default_directory()
    with interruptible(lambda: "awsac local faults shows what is in force"):
        if file or clear:
            cloud.set_faults(directory, _read_faults(file) if file else "")
        found = cloud.faults(directory)
    if as_json:
        print_json(found)
    else:
        _print_faults(found)


def _print_faults(found: dict[str, list[dict[str, Any]]]) -> None:
    for number, fault in enumerate(found["faults"], 1):
        what = f"{fault['service']} {fault['operation']} {fault['kind']}"
        print(f"fault {number}: {what}, happened {fault['happened']} times")
    for number, event in enumerate(found["events"], 1):
        print(f"event {number}: {event['kind']}, struck {' '.join(event['instances']) or 'no instance'}")
    if not any(found.values()):
        print("no call fails, and no instance is struck")


@local.command(short_help="Let something happen to an instance now.")
def event(
    kind: Annotated[EventKind, typer.Argument(metavar="KIND", help="spot-notice, lost or agent-killed.")],
    instance: Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance's ID, as check --json names it.")],
    *,
    as_json: Json = False,
) -> None:
    """Let something happen to an instance of the embedded cloud, now.

    spot-notice: a spot instance is told that it will be taken away, and two minutes later it is. lost: its hardware
    fails. agent-killed: what it booted into is killed; its jobs live on.

    Example: awsac local event spot-notice i-0123456789abcdef0
    """
    from awsac_async.local import cloud

    with interruptible(lambda: "it may have happened; awsac local status shows what there is"):
        cloud.instance_event(cloud.default_directory(), instance, kind)
    if as_json:
        print_json({"event": kind.value, "instance_id": instance})
    else:
        print(f"{instance}: {kind.value}")


@local.command(short_help="Turn a folder into a snapshot.")
def snapshot(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that becomes the content of a release.")],
    *,
    description: Annotated[str, typer.Option("--description", help="What EC2 shows of it.")] = "",
    as_json: Json = False,
) -> None:
    """Turn a folder into a snapshot of the embedded cloud, and print its ID and nothing else.

    It has the tag awsac:release, by which the role of the instances may use it.

    Example: awsac local snapshot release --description "Pythia 8"
    """
    from awsac_async.local import cloud
    from awsac_async.session.names import RELEASE_TAG

    if not directory.is_dir():
        raise InputError(f"{directory}: no such folder")
    with interruptible(lambda: "no snapshot was made"):
        tags = {RELEASE_TAG: (description or directory.resolve().name)[:_MOST_OF_TAG]}
        snapshot_id = cloud.import_snapshot(cloud.default_directory(), directory, description=description, tags=tags)
    if as_json:
        print_json({"snapshot_id": snapshot_id})
    else:
        print(snapshot_id)
