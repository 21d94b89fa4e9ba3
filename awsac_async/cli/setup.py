"""``awsac setup``: what an account needs before its first session, made, shown or removed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from awsac_async.cli.common import Json, Local, Yes, ask, print_json, run, use_local
from awsac_async.cli.options import given_region
from awsac_async.cli.policy import Releases, read_option, read_releases, role_name
from awsac_async.session import fields
from awsac_async.session.errors import InputError
from awsac_async.session.names import DEFAULT_INSTANCE_PROFILE

if TYPE_CHECKING:
    from awsac_async.client import Part, SetUp

_WORDS = {
    "there": "is there",
    "missing": "would be made",
    "differs": "would be put right",
    "foreign": "is not so, and stays as it is: awsac setup has not made it",
    "made": "made",
    "mended": "put right",
    "gone": "is not there",
    "leaving": "would be removed",
    "removed": "removed",
    "kept": "kept",
}
_vpc = fields.matching(r"vpc-[0-9a-f]{8,17}", "a VPC ID like vpc-0123abcd")


def setup(
    *,
    bucket: Annotated[str, typer.Option("--bucket", metavar="BUCKET", help="The bucket of the sessions.")],
    role: Annotated[
        str, typer.Option("--role", metavar="NAME", help="The role of the agents, and its instance profile.")
    ] = DEFAULT_INSTANCE_PROFILE,
    vpc: Annotated[
        str | None, typer.Option("--vpc", metavar="ID", help="Where the security group is; else the default VPC.")
    ] = None,
    release: Releases = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove what setup has made.")] = False,
    yes: Yes = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Make what an account needs before its first session.

    A bucket that is private and encrypted and forgets uploads that were given up, a role for the instances with the
    policy that awsac policy agent prints, its instance profile, and a security group by which nothing comes in. What
    is there stays; what setup has made and somebody has changed is put right; what somebody else has made is left
    alone, and it is said how it differs. Prints the keys for session.ini. --remove asks, and never removes a bucket
    that holds objects, nor anything while instances use it. Without --release the role keeps the right to the releases
    that it may read. None of this costs anything.

    Exit codes: 0, also if you answer no; 2 if something in the command is wrong; 3 if the cloud refuses, or instances
    use what is to be removed.

    Example: awsac setup --bucket atlassessions --region us-east-1
    """
    from awsac_async import client

    read_option("--bucket", fields.bucket, bucket)
    read_option("--role", role_name, role)
    read_option("--vpc", _vpc, vpc)
    if yes and not remove:
        raise InputError("--yes answers the question of --remove: setup itself asks nothing")
    options: dict[str, Any] = {"bucket": bucket, "region": given_region(), "role": role, "vpc": vpc}
    if local:
        use_local()

    async def confirm(leaving: "Sequence[Part]") -> bool:
        return yes or await ask(f"remove {', '.join(f'{part.kind} {part.name}' for part in leaving)}?", "yn") == "y"

    def on_part(part: "Part") -> None:
        if not as_json:
            print(part_line(part), flush=True)

    again: dict[str, Any] = {"dry_run": dry_run, "on_part": on_part}
    releases: dict[str, Any] = read_releases(release)
    making = client.setup(**releases, **again, **options) if not remove else None
    verb = making or client.remove_setup(confirm=confirm, **again, **options)
    done = run(verb, interrupted=lambda: "what was done until then stays; run it again for the rest")
    if as_json:
        print_json(setup_values(done))
    elif done.ini:
        print("\nin session.ini:\n" + "\n".join(f"{key} = {value}" for key, value in done.ini.items()))


def part_line(part: "Part") -> str:
    """Return a part as a line: what, how it stands, and how it is to be."""
    detail = f" ({part.detail})" if part.detail else ""
    return f"{part.kind} {part.name}{detail}: {_WORDS[part.state]}"


def setup_values(done: "SetUp") -> dict[str, Any]:
    """Return what ``--json`` prints."""
    parts = [
        {"kind": part.kind, "name": part.name, "state": part.state.value, "detail": part.detail} for part in done.parts
    ]
    return {"parts": parts, "ini": dict(done.ini)}
