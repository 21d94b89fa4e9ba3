"""``awsac policy``: the rights that the client and the agent need, as IAM policies."""

from typing import Annotated, Any

import typer

from awsac_async.cli.common import print_json
from awsac_async.cli.options import given_region
from awsac_async.cli.remarks import say
from awsac_async.session import fields
from awsac_async.session.errors import InputError
from awsac_async.session.names import DEFAULT_INSTANCE_PROFILE
from awsac_async.session.policies import Holder, Scope
from awsac_async.session.policies import policy as make_policy

_releases = fields.matching(
    r"s3://[A-Za-z0-9][A-Za-z0-9._-]{2,254}/[^\s*?]+\*?|snap-[0-9a-f]{8,17}",
    "an address like s3://bucket/release.tar.zst or s3://bucket/releases/*, or the ID of a snapshot",
)
_addresses = fields.matching(
    r"s3://[A-Za-z0-9][A-Za-z0-9._-]{2,254}/[^\s*?]+\*?",
    "an address like s3://bucket/release.tar.zst or s3://bucket/releases/*",
)
_account = fields.matching(r"[0-9]{12}", "the 12 digits of an account")
role_name = fields.matching(r"[\w+=,.@-]{1,64}", "the name of a role")


Releases = Annotated[
    list[str] | None,
    typer.Option(
        "--release",
        metavar="ADDRESS",
        help="A release in S3, s3://bucket/key, or …/*; or a snapshot without the tag awsac:release. May be repeated.",
    ),
]


def read_releases(named: list[str] | None) -> dict[str, tuple[str, ...]]:
    """Return what ``--release`` names, as a scope has it; raises InputError for what is no release."""
    read = [read_option("--release", _releases, each) or "" for each in named or ()]
    return {
        "releases": tuple(each.removeprefix("s3://") for each in read if each.startswith("s3://")),
        "snapshots": tuple(each for each in read if each.startswith("snap-")),
    }


def policy(
    holder: Annotated[Holder, typer.Argument(metavar="WHOSE", help="client or agent.")],
    *,
    bucket: Annotated[
        str | None, typer.Option("--bucket", metavar="BUCKET", help="The bucket of the sessions; else any.")
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="ID", help="The ID of the only session; else all of the bucket.")
    ] = None,
    role: Annotated[
        str, typer.Option("--role", metavar="NAME", help="The role of the agents, and its instance profile.")
    ] = DEFAULT_INSTANCE_PROFILE,
    account: Annotated[
        str | None, typer.Option("--account", metavar="NUMBER", help="The account's number; else any.")
    ] = None,
    release: Releases = None,
    packed: Annotated[
        list[str] | None,
        typer.Option("--packed", metavar="ADDRESS", help="Likewise, of those that release to-s3 may write."),
    ] = None,
) -> None:
    """Print the least rights as an IAM policy.

    client: for whoever runs awsac. agent: for the role of the instances. Limited to the bucket, to the prefixes, the
    domain and the tags of its sessions or of one of them, and to the region that --region names. Prints a document
    and nothing else. A client's policy for one session is for what follows its start, whose ID nobody knows before.

    Exit codes: 0, 2 if something in the command is wrong.

    Example: awsac policy agent --bucket atlassessions > agent.json
    """
    scope: dict[str, Any] = {
        "bucket": read_option("--bucket", fields.bucket, bucket),
        "session_id": read_option("--session", fields.session_id, session),
        "region": given_region(),
        "account": read_option("--account", _account, account),
        **read_releases(release),
        "packed": tuple((read_option("--packed", _addresses, each) or "")[len("s3://") :] for each in packed or ()),
        "role": read_option("--role", role_name, role),
    }
    if bucket is None:
        say("the policy is for sessions in any bucket: --bucket limits it to one")
    given = {name: value for name, value in scope.items() if value is not None}
    print_json(make_policy(holder, Scope(**given)))


def read_option(option: str, reader: fields.Reader, value: str | None) -> str | None:
    """Return the value of an option. Raises InputError if it is not one that the reader takes."""
    try:
        return None if value is None else reader(value)
    except ValueError as error:
        raise InputError(f"{option}: found {fields.shown(value or '')}, expected {error}") from None
