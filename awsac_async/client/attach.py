"""The verb ``attach``: gets the session file of a session back, from the copy that its bucket has.

Owns the session file that comes of it, and never replaces that of another session. Changes nothing in the cloud but a
copy that the death of its ``start`` has left uncompleted.
"""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from awsac_async.client.buckets import holds_session, read_copy, sessions_of
from awsac_async.client.launches import read_launches
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.instances import Instances
from awsac_async.session import fields
from awsac_async.session.errors import FormatError, InputError
from awsac_async.session.launches import FIRST_WITH_DOCUMENT
from awsac_async.session.model import SessionRecord
from awsac_async.session.names import session_copy_key, session_file
from awsac_async.session.record import format_record, read_record, write_record

# Where S3 is asked if no region is set; it leads to the bucket's own.
_ANY_REGION = "us-east-1"
_MOST_NAMED = 10
_COMPLETED_BY_START = ("ec2_reservation_id", "started", "n_instances", "unused_cores", "reservations")


@dataclass(frozen=True, kw_only=True)
class Attached:
    """The session file that is there now. ``written``: it was not before, or it was not complete."""

    record: SessionRecord
    session_file: Path
    written: bool


async def attach(session_id: str, *, bucket: str, region: str | None = None, directory: Path = Path()) -> Attached:
    """Write the session file of a session into ``directory``, as its bucket remembers it.

    Args:
        session_id: the session's ID.
        bucket: its bucket.
        region: where the bucket is asked for; None: as for every AWS tool, or wherever it is.
        directory: where the session file is to be.

    Returns:
        The session file; its ``ec2_reservation_id`` is "" if the session was not started, as far as EC2 shows.

    Raises:
        InputError: the bucket has no such session, or no copy of its file; or another file is in its place.
        CloudError: the cloud could not be asked.
    """
    fields.read_field(fields.session_id, session_id, file="command line", field="session ID")
    fields.read_field(fields.bucket, bucket, file="command line", field="bucket")
    async with connect(region=region, or_else=_ANY_REGION) as aws:
        record = await read_copy(aws, bucket, session_id)
        if record is None:
            raise InputError(await _why_not(aws, bucket, session_id))
        if record.bucket != bucket:
            key = session_copy_key(session_id)
            raise FormatError(file=key, field="bucket", found=record.bucket, expected=bucket)
    if not record.ec2_reservation_id:
        record = await _completed(record)
    file = directory / session_file(session_id)
    written = await asyncio.to_thread(_write, directory, file, record)
    return Attached(record=record, session_file=file, written=written)


async def _why_not(aws: Aws, bucket: str, session_id: str) -> str:
    """Say why a session cannot be had from this bucket, and what can."""
    if await holds_session(aws, bucket, session_id):
        return (
            f"session {session_id} is there, but its bucket has no copy of its session file: it was started by a "
            "client of 2008, or by an earlier awsac, and only its own session file leads to it"
        )
    time = session_id.partition("--")[0]
    alike = [each for each in await sessions_of(aws, bucket) if each.startswith(time)]
    if not alike:
        return f"the bucket {bucket} has no session {session_id}: awsac ls --bucket {bucket} shows what it has"
    named = ", ".join(alike[:_MOST_NAMED]) + (" …" if len(alike) > _MOST_NAMED else "")
    return f"the bucket {bucket} has no session {session_id}; its sessions that begin alike: {named}"


async def _completed(record: SessionRecord) -> SessionRecord:
    """Return the record with the reservation that EC2 knows of, if there is one, and complete the copy as well."""
    async with connect(region=record.region, access=record) as aws:
        shown = await Instances(aws).of_session(record.session_id)
        first = [each.reservation_id for each in shown if each.launch_index < record.n_instances]
        if first and await _has_all(aws, record):
            record = replace(record, ec2_reservation_id=first[0])
            copy = format_record(record).encode()
            await Bucket(aws, record.bucket).put(session_copy_key(record.session_id), copy)
    return record


async def _has_all(aws: Aws, record: SessionRecord) -> bool:
    """Whether every job has its instance. A start that has begun to spread them may not be over: only it goes on."""
    if not record.step:
        return True
    shown = await Instances(aws).of_session(record.session_id)
    if len({each.launch_index for each in shown}) < record.n_instances:
        return False
    return (await read_launches(Bucket(aws, record.bucket), record)).next_number == FIRST_WITH_DOCUMENT


def _write(directory: Path, file: Path, record: SessionRecord) -> bool:
    """Write the session file unless it is there; return whether it was written. Raises InputError."""
    if file.exists():
        if not file.is_file():  # of a pipe, reading would wait for ever
            raise InputError(f"{file} is there, and is no session file: move it away first")
        there = _read(file)
        # One that its start could not complete differs in these.
        if replace(there, **{name: getattr(record, name) for name in _COMPLETED_BY_START}) != record:
            raise InputError(f"{file} is there, and differs from what the bucket has: move it away first")
        if there.ec2_reservation_id:
            return False
    write_record(directory, record)
    return True


def _read(file: Path) -> SessionRecord:
    try:
        return read_record(file)
    except FormatError as error:
        raise InputError(f"{file} is there, and is no session file: move it away first") from error
