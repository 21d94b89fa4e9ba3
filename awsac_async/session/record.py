"""``session-<session_id>.cfg``: what the client remembers of a session, and the ID a session gets.

Twelve keys of 2008, which a client of 2008 reads as they are, and ours, which it does not look at. The file is
replaced as a whole, never written in place: it is what leads back to instances that cost money.
"""

import configparser
import hashlib
import io
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from awsac_async.session import fields, names
from awsac_async.session.atomic import replacing
from awsac_async.session.errors import FormatError, InputError
from awsac_async.session.inifile import read_section
from awsac_async.session.model import Access, SessionRecord, StartReservation, StatusKind
from awsac_async.session.places import parse_reservations, shown_reservation

SECTION = "sessionconfig"
_EXPECTED = "the session file that start has written (a session that was cleaned up has none)"
_ID_TIME = "%y%m%d_%H%M"
_NEW_ID = re.compile(r"([0-9]{6}_[0-9]{4})--[A-Za-z0-9_.-]{1,8}--[0-9a-f]{4}", re.ASCII)


def _any_text(text: str) -> str:
    return text


def _time_or_nothing(text: str) -> str:
    if text:
        fields.time(text)
    return text


def _or_nothing(reader: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: reader(text) if text else ""


def _price_or_nothing(text: str) -> float | None:
    return fields.price(text) if text else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _yes_or_no_or_nothing(text: str) -> bool | None:
    return fields.yes_or_no(text) if text else None


def _written(value: object) -> str:
    """Return a value as its reader takes it."""
    match value:
        case None:
            return ""
        case bool():
            return fields.shown_yes_or_no(value)
        case tuple():
            return ",".join(map(_written, value))
        case StartReservation():
            return shown_reservation(value)
        case float():
            return f"{value:g}"
    return str(value)


# Key of the file -> field of SessionRecord, reader. The order is that of 2008.
_KEYS_2008: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "session_id": ("session_id", fields.session_id),
    "ec2_reservation_id": ("ec2_reservation_id", _any_text),
    "n_instances": ("n_instances", fields.positive_integer),
    "unused_cores": ("unused_cores", fields.natural_number),
    "cores_per_instance": ("cores_per_instance", fields.positive_integer),
    "runuserdata": ("user_data", _any_text),
    "shortdescr": ("shortdescr", _any_text),
    "bucket": ("bucket", fields.bucket),
    "n_jobs": ("n_jobs", fields.number_of_jobs),
    "ami_id": ("ami_id", _any_text),
    "ec2_uid": ("ec2_uid", _any_text),
    "instance_type": ("instance_type", _any_text),
}
# Our keys, named as the fields, and what they are in a file that has only those of 2008, when all was in one region.
_OUR_KEYS: Mapping[str, tuple[Any, Callable[[str], Any]]] = {
    "client_token": ("", _any_text),
    "input_digest": ("", _any_text),
    "region": ("us-east-1", _any_text),
    "started": ("", _time_or_nothing),
    "price_per_hour": (None, _price_or_nothing),
    "instance_profile": ("", _any_text),
    "key_name": ("", _any_text),
    "security_group_ids": ((), _words),
    "subnet_id": ("", _any_text),
    "public_ip": (None, _yes_or_no_or_nothing),
    "root_device": ("", _any_text),
    "market": ("on-demand", fields.market),
    **{key: (getattr(Access, key), _or_nothing(reader)) for key, reader in fields.ACCESS.items()},
    "status_store": (StatusKind.SIMPLEDB, fields.status_store),
    "volumes": (True, fields.yes_or_no),
    "agent_package": ("", _any_text),
    "step": (0, fields.natural_number),
    "reservations": ((), parse_reservations),
}
_COLUMNS = {**_KEYS_2008, **{key: (key, reader) for key, (_, reader) in _OUR_KEYS.items()}}


def new_session_id(shortdescr: str, local_time: datetime, entropy: bytes) -> str:
    """Return ``YYMMDD_HHMM--<shortdescr>--<4 hex digits>``, e.g. ``081215_1646--eventgen--1816``."""
    digits = hashlib.sha256(entropy).hexdigest()[:4]
    return f"{local_time:{_ID_TIME}}--{shortdescr[:8]}--{digits}"


def session_id_time(session_id: str) -> datetime | None:
    """Return the local time, of a place that is not known, in an ID that ``new_session_id`` may have made; else None.

    Whoever looks for sessions by name may find what is none: it has no such ID.
    """
    found = _NEW_ID.fullmatch(session_id)
    try:
        return datetime.strptime(found[1], _ID_TIME) if found else None
    except ValueError:
        return None


def read_record(path: Path) -> SessionRecord:
    """Read a session file of ours or of 2008; keys of later versions are passed over. Raises FormatError."""
    return parse_record(fields.read_text(path, expected=_EXPECTED), file=str(path))


def parse_record(text: str, *, file: str) -> SessionRecord:
    """Parse the text of a session file; ``file`` is its name in errors. Raises FormatError."""
    entries = read_section(text, file=file, section=SECTION, interpolation=True)
    values: dict[str, Any] = {key: default for key, (default, _) in _OUR_KEYS.items()}
    for key in _KEYS_2008:
        if key not in entries:
            raise FormatError(file=file, field=key, found="no such key", expected="a session file written by awsac")
    for key, entry in entries.items():
        if key in _COLUMNS:
            field, reader = _COLUMNS[key]
            values[field] = fields.read_field(reader, entry.value, file=file, field=key, line=entry.line)
    return SessionRecord(**values)


def write_record(directory: Path, record: SessionRecord) -> Path:
    """Write the session's file into ``directory``, replacing the one before as a whole; readable by its owner only.

    Raises:
        FormatError: a value could not be read back.
        InputError: the file cannot be written.
    """
    text = format_record(record)
    path = directory / names.session_file(record.session_id)
    try:
        with replacing(path, mode=0o600) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the session file {path}: {error.strerror}") from error
    return path


def format_record(record: SessionRecord) -> str:
    """Return the text of a session file; raises FormatError for a value that could not be read back."""
    fields.read_field(fields.session_id, record.session_id, file="session", field="session_id")
    values = {key: _written(getattr(record, field)) for key, (field, _) in _COLUMNS.items()}
    for key, value in values.items():
        if value != fields.without_space(value) or not value.isprintable():
            file, expected = names.session_file(record.session_id), "a value without white space"
            raise FormatError(file=file, field=key, found=fields.shown(value), expected=expected)
    return _ini(values)


def _ini(values: Mapping[str, str]) -> str:
    parser = configparser.RawConfigParser()
    # A client of 2008 reads with interpolation on.
    parser[SECTION] = {key: value.replace("%", "%%") for key, value in values.items()}
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()
