"""Status documents: the items of the jobs as one JSON object of each writer, where the status is kept in S3.

Owns the form, and the rule of which document counts where several speak of a job. A document is whatever its writer
knows, written as a whole; nobody ever writes another's. The reader trusts nothing of it: whoever may write into the
bucket may have written it.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from awsac_async.session import names
from awsac_async.session.claims import claim_of
from awsac_async.session.errors import FormatError
from awsac_async.session.items import from_attributes, job_number, to_attributes
from awsac_async.session.jsonobject import JsonObject, is_integer, parse_object
from awsac_async.session.model import MAX_JOBS, JobRecord
from awsac_async.session.wording import counted, shown_size

_MOST_BYTES = 64 << 20  # MAX_JOBS pending jobs are 15 MB
_BYTES_A_JOB = 16 << 10  # five times what a job has that says all it can
_SPARE_BYTES = 64 << 10
_FIRST_LAUNCH = 1
_NUMBER = re.compile(r"([0-9]{1,9})\.json$", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class StatusWriter:
    """Whose word it is: that of a client for a launch (1 is that of ``start``), or of the agent with a launch index.

    Of an agent that shares jobs with others, ``launch`` is their pool.
    """

    launch: int = _FIRST_LAUNCH
    launch_index: int | None = None


@dataclass(frozen=True, kw_only=True)
class StatusDocument:
    """What one writer says of jobs; ``damage`` is the sentence on a document that could not be read, else ""."""

    writer: StatusWriter
    records: Sequence[JobRecord] = ()
    damage: str = ""


def status_key(session_id: str, writer: StatusWriter) -> str:
    """Return the key of a writer's document."""
    if writer.launch_index is None:
        return names.client_status_key(session_id, writer.launch)
    return names.agent_status_key(session_id, writer.launch_index)


def format_status(records: Iterable[JobRecord], writer: StatusWriter) -> bytes:
    """Return the bytes of a document; what is not known of a job is left out."""
    items = {names.item_name(record.number): _known(to_attributes(record)) for record in records}
    return json.dumps({"launch": writer.launch, "items": items}, separators=(",", ":")).encode()


def most_bytes(n_jobs: int) -> int:
    """Return how large a document of a session with so many jobs can be; a larger one need not be fetched."""
    return min(_MOST_BYTES, _SPARE_BYTES + n_jobs * _BYTES_A_JOB)


def too_large(size: int, *, writer: StatusWriter, file: str) -> StatusDocument:
    """Return what stands for a document that is larger than any can be."""
    damage = FormatError(file=file, found=shown_size(size), expected="a status of this session's jobs")
    return StatusDocument(writer=writer, damage=str(damage))


def of_no_launch(document: StatusDocument, *, file: str) -> StatusDocument:
    """Return what stands for a document of a launch that the session does not have."""
    damage = f"{file} is of launch {document.writer.launch}, which this session does not have"
    return StatusDocument(writer=document.writer, damage=damage)


def parse_status(
    content: bytes, *, session_id: str, key: str, file: str, n_jobs: int = MAX_JOBS
) -> StatusDocument | None:
    """Read what stands under a key; None if that is not one of a status document.

    Members and attributes that are not known are passed over, and so are jobs that the session does not have, of which
    the damage tells. ``file`` is the document's name in sentences.
    """
    writer = writer_of(key, session_id)
    if writer is None:
        return None
    try:
        document = parse_object(content, file=file, most_bytes=most_bytes(n_jobs))
        launch = document.read("launch", is_integer, "the number of a launch", absent=_FIRST_LAUNCH)
        items = JsonObject(document.members.get("items"), file=f"{file}, items").members
    except FormatError as error:
        return StatusDocument(writer=writer, damage=str(error))
    if writer.launch_index is not None:
        writer = replace(writer, launch=launch)
    numbers = {name: number for name in items if (number := job_number(name)) is not None}
    known = [name for name, number in numbers.items() if number <= n_jobs]
    strangers = len(numbers) - len(known)
    damage = f"{file} has {counted(strangers, 'job')} that this session does not have" if strangers else ""
    records = tuple(filter(None, (_record(name, items[name]) for name in known)))
    return StatusDocument(writer=writer, records=records, damage=damage)


def latest(documents: Iterable[StatusDocument]) -> list[JobRecord]:
    """Return what counts of each job, by number.

    Of the documents that speak of a job the last one does: those of later launches after those of earlier ones, and
    within a launch that of the client before those of the agents. So a job that is to run again is pending in its new
    launch, whatever an agent of the launch before it still says of it. Of agents that share jobs, who all speak for the
    launch whose jobs they are, the one with the latest claim on the job counts.
    """
    ordered = sorted(documents, key=_place)
    found: dict[int, JobRecord] = {}
    places: dict[int, tuple[int, int]] = {}
    for document in ordered:
        for record in document.records:
            place = (document.writer.launch, claim.count if (claim := claim_of(record)) else 0)
            if place >= places.get(record.number, place):
                found[record.number], places[record.number] = record, place
    for document in ordered:
        index = document.writer.launch_index
        if document.damage and index is not None and not document.records:
            found |= {number: _damaged(job, document) for number, job in found.items() if job.launch_index == index}
    return [found[number] for number in sorted(found)]


def _place(document: StatusDocument) -> tuple[int, int]:
    writer = document.writer
    return writer.launch, -1 if writer.launch_index is None else writer.launch_index


def writer_of(key: str, session_id: str) -> StatusWriter | None:
    """Return whose document stands under a key; None: it is nobody's."""
    found = _NUMBER.search(key)
    number = int(found[1]) if found else 0
    writers = (StatusWriter(launch=number), StatusWriter(launch_index=number))
    return next((writer for writer in writers if status_key(session_id, writer) == key), None)


def _known(attributes: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in attributes.items() if value}


def _record(name: str, attributes: Any) -> JobRecord | None:
    if not isinstance(attributes, dict):
        attributes = {}
    return from_attributes(name, {key: value for key, value in attributes.items() if isinstance(value, str)})


def _damaged(job: JobRecord, document: StatusDocument) -> JobRecord:
    return replace(job, reason="; ".join(filter(None, (job.reason, document.damage))))
