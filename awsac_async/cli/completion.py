"""What the shell offers after Tab: session files, numbers of jobs, launch indexes.

Reads the session file and nothing else: a key must not wait for AWS. Offers nothing, and says nothing, where that
cannot be read.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from awsac_async.session import names
from awsac_async.session.errors import AwsacError

if TYPE_CHECKING:
    from awsac_async.session.model import SessionRecord

_LAST_NUMBER = re.compile(r"(?P<before>.*[,-])?(?P<digits>[0-9]*)")


def session_files(incomplete: str) -> list[str]:
    """Return the session files, and the folders, whose path begins so."""
    folder, _, begun = incomplete.rpartition("/")
    found = sorted(Path(folder or ("/" if incomplete.startswith("/") else ".")).glob(f"{begun}*"))
    pattern = names.session_file("*")
    before = incomplete.removesuffix(begun)
    return [f"{before}{path.name}{'/' * path.is_dir()}" for path in found if path.is_dir() or path.match(pattern)]


def job_numbers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the numbers that the last number of a list like ``1,3-7`` may become."""
    record = _record(ctx)
    return _numbers(range(1, record.n_jobs + 1), incomplete) if record else []


def launch_indexes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the launch indexes of the instances that the session was started with."""
    record = _record(ctx)
    return _numbers(range(record.n_instances), incomplete) if record else []


def _record(ctx: typer.Context) -> "SessionRecord | None":
    """Return the session that -c names, or the one that counts without it."""
    from awsac_async.session.record import read_record

    try:
        return read_record(ctx.params["session"]) if ctx.params.get("session") else None
    except AwsacError:
        return None


def _numbers(known: Iterable[int], incomplete: str) -> list[str]:
    last = _LAST_NUMBER.fullmatch(incomplete)
    if last is None:
        return []
    return [f"{last['before'] or ''}{number}" for number in known if str(number).startswith(last["digits"])]
