"""``awsac cleanup``: removes what a session left in the cloud; asks twice, and names what it deletes."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from awsac_async.cli.common import ChangedSession, Json, Local, Yes, ask, print_json, run, use_local
from awsac_async.cli.remarks import warn
from awsac_async.cli.render import cleaned_values
from awsac_async.session.errors import CloudError

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

    Asks for its domain, and for its S3 objects; then deletes left-over volumes, and looks whether anything is left: of
    instances, volumes, objects, unfinished uploads and the domain. If nothing is, the session file goes too, and its
    copy in S3; both stay if something is kept.

    Exit codes: 0, also if you answer no; 2 if the session is not over; 3 if the cloud refuses, or something is left.

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
    elif cleaned.session_file_removed:
        print(f"nothing is left of session {cleaned.session_id}: looked for {', '.join(cleaned.looked_at)}")
    elif not cleaned.left:
        print(f"kept {session}, and its copy in S3: not all of the session was to be deleted")
    if cleaned.left:
        for each in cleaned.left:
            warn(f"left: {each.kind} {each.name}")
        raise CloudError("cleanup", cleaned.session_id, f"not all of it is gone; run cleanup again ({session} is kept)")


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
