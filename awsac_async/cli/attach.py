"""``awsac attach``: the session file of a session, on any machine."""

from typing import Annotated

import typer

from awsac_async.cli.common import Json, Local, print_json, run, use_local
from awsac_async.cli.remarks import say


def attach(
    session_id: Annotated[str, typer.Argument(metavar="SESSION_ID", help="The session's ID, as awsac ls shows it.")],
    *,
    bucket: Annotated[str, typer.Option("--bucket", metavar="NAME", help="The session's bucket.")],
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Get the session file of a session into this folder.

    Every other command works with it, as on the machine where the session was started. The bucket remembers it until
    awsac cleanup. A file that is there already is kept.

    Exit codes: 0; 2 if the bucket has no such session, or another file is in the way; 3 if the cloud refuses.

    Example: awsac attach 081215_1646--eventgen--1816 --bucket atlassessions
    """
    from awsac_async.client import attach as attach_session

    if local:
        use_local()
    attached = run(attach_session(session_id, bucket=bucket), interrupted=lambda: "nothing was changed")
    record = attached.record
    if as_json:
        print_json(
            {
                "session_id": record.session_id,
                "session_file": str(attached.session_file),
                "written": attached.written,
                "reservation_id": record.ec2_reservation_id or None,
                "region": record.region,
            }
        )
    else:
        print(f"session file: {attached.session_file}" + ("" if attached.written else " (was there already)"))
    if not record.ec2_reservation_id:
        say("the start of this session did not come to its end, as far as EC2 shows, and can be run again")
