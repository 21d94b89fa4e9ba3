"""A job's status as the attributes of its SimpleDB item, in the form that 2008 wrote and read.

Owns the mapping and nothing of the store: attributes go in and out as plain texts. Knows what a value may be in
SimpleDB, so that no record is refused by the service because of what a job printed.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from awsac_async.session import fields, names
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.times import format_time

T = TypeVar("T")

# https://docs.aws.amazon.com/AmazonSimpleDB/latest/DeveloperGuide/SDBLimits.html
MAX_VALUE_BYTES = 1024

# All that ``from_attributes`` reads but for how long each part of a job took, which is half of a large session.
ATTRIBUTES = (
    names.JOBNR,
    names.STATUS,
    names.INSTANCE_ID,
    names.LAUNCHINDEX,
    names.SHELLSCRIPT,
    names.RUNSTARTTIME,
    names.RUNENDTIME,
    names.RETURNCODE,
    names.SAVESTARTTIME,
    names.SAVEENDTIME,
    names.REASON_ATTRIBUTE,
    names.X_ATTEMPT,
    names.X_CLAIM,
)

_return_code = fields.integer(least=-(2**31), most=2**31 - 1, expected="an exit status")


def to_attributes(record: JobRecord) -> dict[str, str]:
    """Return all ten attributes of 2008, the reason, and ``extra``; what is not known, or not so, is "".

    A reason that holds no longer is written as well: one that was left out would stay in SimpleDB for ever.
    """
    return dict(record.extra) | {
        names.JOBNR: str(record.number),
        names.STATUS: record.state.value,
        names.INSTANCE_ID: record.instance_id,
        names.LAUNCHINDEX: _written(record.launch_index),
        names.SHELLSCRIPT: record.script,
        names.RUNSTARTTIME: format_time(record.run_start),
        names.RUNENDTIME: format_time(record.run_end),
        names.RETURNCODE: _written(record.return_code),
        names.SAVESTARTTIME: format_time(record.save_start),
        names.SAVEENDTIME: format_time(record.save_end),
        names.REASON_ATTRIBUTE: _fitting(record.reason),
    }


def from_attributes(item_name: str, attributes: Mapping[str, str]) -> JobRecord | None:
    """Read an item that our agent or one of 2008 wrote; None if its name is not that of a job.

    Attributes that are missing are not known yet. One that no agent writes, since others can write to the domain as
    well, is not known either, and the reason says so.
    """
    number = job_number(item_name)
    if number is None:
        return None
    odd: list[str] = []

    def read(attribute: str, reader: Callable[[str], T]) -> T | None:
        text = attributes.get(attribute, "")
        try:
            return reader(text) if text else None
        except ValueError as error:
            odd.append(f"{attribute} is {fields.shown(text)}, not {error}")
            return None

    read(names.JOBNR, partial(_same, str(number)))
    return JobRecord(
        number=number,
        state=read(names.STATUS, _state) or JobState.PENDING,
        script=attributes.get(names.SHELLSCRIPT, ""),
        instance_id=attributes.get(names.INSTANCE_ID, ""),
        launch_index=read(names.LAUNCHINDEX, fields.natural_number),
        run_start=read(names.RUNSTARTTIME, fields.time),
        run_end=read(names.RUNENDTIME, fields.time),
        return_code=read(names.RETURNCODE, _return_code),
        save_start=read(names.SAVESTARTTIME, fields.time),
        save_end=read(names.SAVEENDTIME, fields.time),
        reason="; ".join(filter(None, [attributes.get(names.REASON_ATTRIBUTE, ""), *odd])),
        extra={key: value for key, value in attributes.items() if key.startswith(names.X_PREFIX)},
    )


def job_number(item_name: str) -> int | None:
    """Return the number of the job that an item is of; None if it is of none."""
    try:
        number = fields.positive_integer(item_name.removeprefix("job"))
    except ValueError:
        return None
    return number if names.item_name(number) == item_name else None


def _same(number: str, text: str) -> None:
    if text != number:
        raise ValueError(number)


def _state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError:
        raise ValueError("one of " + ", ".join(JobState)) from None


def _written(number: int | None) -> str:
    return "" if number is None else str(number)


def _fitting(text: str) -> str:
    """Make a text one that SimpleDB takes: one line, no control characters, at most 1024 bytes in UTF-8."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split()).encode()[:MAX_VALUE_BYTES].decode(errors="ignore")
