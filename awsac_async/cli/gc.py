"""``awsac gc``: finds what costs money and belongs to no living session, and deletes it if that is wanted."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from awsac_async.cli.buckets import AllBuckets, OneBucket, named_buckets
from awsac_async.cli.common import Json, Local, Yes, ask, print_json, run, use_local
from awsac_async.cli.gctext import (
    collection_line,
    collection_values,
    garbage_line,
    garbage_question,
    garbage_values,
)
from awsac_async.cli.remarks import say
from awsac_async.session.durations import parse_duration
from awsac_async.session.errors import EXIT_CLOUD, InputError
from awsac_async.session.times import now

if TYPE_CHECKING:
    from awsac_async.client import Collection, Garbage


def gc(
    *,
    bucket: OneBucket = None,
    everything: AllBuckets = False,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Leave alone what is younger: 10m, 2h.")
    ] = "10m",
    yes: Yes = False,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Find what was left behind and costs money.

    Lists it, and deletes it if you say so. Looks in this region for what carries the mark of a session that no longer
    lives. Instances: an hour after their deadline, or when neither objects nor status of their session are there.
    Volumes: attached to nothing, and no instance of their session is there. Interrupted uploads: no instance of their
    session is there, and it was started, or a week has passed. Domains: no object of their session is in any bucket of
    the account, no instance is there, and two days have passed; they are left alone if one bucket cannot be read. And
    builders of images (awsac image build), an hour and a half after their deadline.

    Running and starting sessions are not touched, nor objects, nor a status whose objects are there: those are removed
    by awsac cleanup. Name a bucket of another account, if sessions are in it. Each thing is looked at again before it
    is deleted. With --json and without --yes it lists only.

    Exit codes: 0 if nothing was found, or what was found is gone or was to stay; 2 if something in the command is
    wrong; 3 if the cloud refuses, or something could not be deleted.

    Example: awsac gc --older-than 2h
    """
    from awsac_async.client import collect_garbage, find_garbage

    buckets, age = named_buckets(bucket, everything), _age(older_than)
    if local:
        use_local()
    verb = find_garbage(buckets=buckets, older_than=age, on_remark=say)
    found = run(verb, interrupted=lambda: "nothing was deleted")
    if not as_json:
        _list(found)
    if not found or not (yes or (not as_json and _agreed(found))):
        _end(found, [], as_json=as_json)
        return

    def tell(collection: "Collection") -> None:
        if not as_json:
            print(collection_line(collection), flush=True)

    collecting = collect_garbage(found, buckets=buckets, older_than=age, on_event=tell)
    done = run(collecting, interrupted=lambda: "run awsac gc again for the rest")
    _end(found, done, as_json=as_json)
    if any(each.error for each in done):
        raise typer.Exit(EXIT_CLOUD)


def _age(text: str) -> timedelta:
    try:
        return timedelta(seconds=parse_duration(text))
    except ValueError as error:
        raise InputError(f"--older-than: found {text!r}, expected {error}") from None


def _list(found: "Sequence[Garbage]") -> None:
    at = now()
    for each in found:
        print(garbage_line(each, at), flush=True)
    if not found:
        print("found nothing left behind: no instance, volume, unfinished upload or domain without a living session")


def _agreed(found: "Sequence[Garbage]") -> bool:
    async def answered() -> bool:
        return await ask(garbage_question(found), "yn") == "y"

    return run(answered(), interrupted=lambda: "nothing was deleted")


def _end(found: "Sequence[Garbage]", done: "Sequence[Collection]", *, as_json: bool) -> None:
    if as_json:
        print_json([collection_values(each) for each in done] if done else [garbage_values(each) for each in found])
    elif found and not done:
        say("nothing was deleted")
    elif any(each.garbage.kind.value == "instance" and each.deleted for each in done):
        say("volumes of these instances may be left in some minutes: run awsac gc again then")
