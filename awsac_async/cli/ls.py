"""``awsac ls``: all sessions of a bucket or of an account, a line each."""

import sys

from awsac_async.cli.buckets import AllBuckets, OneBucket, named_buckets
from awsac_async.cli.common import Json, Local, print_json, run, use_local
from awsac_async.cli.lstext import sessions_text, sessions_values
from awsac_async.cli.remarks import say
from awsac_async.cli.statustext import console, plain
from awsac_async.session.times import now


def ls(
    *, bucket: OneBucket = None, everything: AllBuckets = False, as_json: Json = False, local: Local = False
) -> None:
    """List all sessions, newest first.

    Shows of each when it was started, how it and its jobs stand, how many instances it has now, and what these have
    cost so far. Sessions of a client of 2008 are found by the names of their domains. For each bucket S3 is asked for
    one list, for each session one object and its status (SimpleDB one query or more, S3 one list and an object an
    instance): a thousand sessions cost about a cent.

    Exit codes: 0, 2 if something in the command is wrong, 3 if the cloud refuses. What cannot be read is named on
    stderr and passed over.

    Example: awsac ls --bucket atlassessions
    """
    from awsac_async.client import list_sessions

    if local:
        use_local()
    verb = list_sessions(buckets=named_buckets(bucket, everything), on_remark=say)
    sessions = run(verb, interrupted=lambda: "nothing was changed")
    if as_json:
        print_json(sessions_values(sessions))
    elif not sessions:
        say("there is no session" + (f" in the bucket {bucket}" if bucket and not everything else ""))
    elif sys.stdout.isatty():
        screen = console()
        screen.print(sessions_text(sessions, columns=screen.width, at=now()))
    else:
        print(plain(sessions_text(sessions, columns=None, at=now())))
    if any(each.state == "orphaned" for each in sessions):
        say("orphaned: nothing is left of the session but instances, which cost money; awsac gc ends them")
