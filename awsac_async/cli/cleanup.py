"""``awsac cleanup``: removes what a session left in the cloud; asks twice.

The second question names the objects; afterwards it is said how many were deleted, and with --verbose which.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from awsac_async.cli.common import ChangedSession, Json, Local, Yes, ask, print_json, run, use_local
from awsac_async.cli.remarks import verbose, warn
from awsac_async.cli.render import cleaned_values
from awsac_async.session.errors import CloudError
from awsac_async.session.wording import printable

if TYPE_CHECKING:
    from awsac_async.client import CleanupEvent, DomainQuestion, ObjectsQuestion

_NAMED = 100  # objects, as many as a person reads


def cleanup(
    *,
    session: ChangedSession,
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Terminate the session's instances first.")] = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Delete what a session left in the cloud.

    Asks for its domain, if it has one, and for its S3 objects; then deletes left-over volumes, and looks whether
    anything is left: of instances, volumes, objects, unfinished uploads and the domain. If nothing is, the session
    file goes too, and its copy in S3; both stay if something is kept.

    Exit codes: 0, also if you answer no; 2 if the session is not over; 3 if the cloud refuses, or something is left.

    Example: awsac cleanup -c session-081215_1646--eventgen--1816.cfg
    """
    from awsac_async.client import cleanup as clean

    async def confirm(question: "DomainQuestion | ObjectsQuestion") -> bool:
        return yes or await ask(_question(question), "yn") == "y"

    def on_event(event: "CleanupEvent") -> None:
        if not as_json and (verbose() or not _is_object(event)):
            print(_line(event), flush=True)

    if local:
        use_local()
    verb = clean(session, confirm=confirm, force=force, on_event=on_event)
    cleaned = run(verb, interrupted=lambda: f"run cleanup again to remove the rest ({session} is kept until then)")
    if not as_json and (objects := sum(map(_is_object, cleaned.deleted))):
        print(f"deleted {objects:,} {'object' if objects == 1 else 'objects'}")
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
    for line in object_lines(question.bucket, question.keys, every=verbose()):
        print(line, file=sys.stderr)
    return f"delete all {len(question.keys):,} of these objects?" if len(question.keys) > 1 else "delete this object?"


def object_lines(bucket: str, keys: Sequence[str], *, every: bool) -> list[str]:
    """Return the addresses of these objects; of more than a person reads the first ones, unless it is to be all."""
    named = keys if every else keys[:_NAMED]
    lines = [printable(f"s3://{bucket}/{key}") for key in named]
    if more := len(keys) - len(named):
        lines.append(f"and {more:,} more (--verbose names all)")
    return lines


def _is_object(event: "CleanupEvent") -> bool:
    from awsac_async.client import Deleted

    return isinstance(event, Deleted) and event.kind == "object"


def _line(event: "CleanupEvent") -> str:
    from awsac_async.client import Deleted

    if isinstance(event, Deleted):
        return f"deleted {event.kind} {printable(event.name)}"
    return f"waiting for {' '.join(event.instance_ids)} to be terminated"
