"""``awsac cleanup``: removes what a session left in the cloud; asks twice, and names what it deletes."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from awsac_async.cli.common import ChangedSession, Json, Local, Yes, ask, print_json, run, use_local
from awsac_async.cli.render import cleaned_values

if TYPE_CHECKING:
    from awsac_async.client import CleanupEvent, DomainQuestion, ObjectsQuestion


def cleanup(
    *,
    session: ChangedSession,
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Terminate the session's instances first.")] = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Delete what a session left in the cloud.

    Asks for its domain, and for its S3 objects; then deletes left-over volumes, and the session file if all is gone.

    Example: awsac cleanup -c session-081215_1646--eventgen--1816.cfg
    """
    from awsac_async.client import cleanup as clean

    async def confirm(question: "DomainQuestion | ObjectsQuestion") -> bool:
        return yes or await ask(_question(question), "yn") == "y"

    def on_event(event: "CleanupEvent") -> None:
        if not as_json:
            print(_line(event), flush=True)

    if local:
        use_local()
    verb = clean(session, confirm=confirm, force=force, on_event=on_event)
    cleaned = run(verb, interrupted=lambda: f"run cleanup again to remove the rest ({session} is kept until then)")
    if as_json:
        print_json(cleaned_values(cleaned))
    elif not cleaned.session_file_removed:
        print(f"kept {session}: not all of the session was to be deleted")


def _question(question: "DomainQuestion | ObjectsQuestion") -> str:
    from awsac_async.client import DomainQuestion

    if isinstance(question, DomainQuestion):
        return f"delete the domain {question.domain}?"
    for key in question.keys:
        print(f"s3://{question.bucket}/{key}", file=sys.stderr)
    return f"delete all {len(question.keys)} of these objects?" if len(question.keys) > 1 else "delete this object?"


def _line(event: "CleanupEvent") -> str:
    from awsac_async.client import Deleted

    if isinstance(event, Deleted):
        return f"deleted {event.kind} {event.name}"
    return f"waiting for {' '.join(event.instance_ids)} to be terminated"
