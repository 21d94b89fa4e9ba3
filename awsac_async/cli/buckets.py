"""The options of the verbs that work on a whole account: in which buckets they look."""

from typing import Annotated

import typer

OneBucket = Annotated[
    str | None,
    typer.Option("--bucket", metavar="BUCKET", help="Look into this bucket only; else all of the account there."),
]
AllBuckets = Annotated[
    bool, typer.Option("--all", help="Look into all buckets, also if the configuration file names one.")
]


def named_buckets(bucket: str | None, everything: bool) -> tuple[str, ...]:
    """Return the buckets that are meant; none: all of the account in the region."""
    return (bucket,) if bucket and not everything else ()
