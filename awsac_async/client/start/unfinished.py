"""Session files of starts that died before RunInstances had answered: how a new start finds the one it continues."""

from pathlib import Path

from awsac_async.session.errors import FormatError, InputError
from awsac_async.session.model import SessionRecord
from awsac_async.session.names import session_file
from awsac_async.session.record import read_record


def find_uncompleted(directory: Path, digest: str) -> SessionRecord | None:
    """Return the uncompleted session of the same inputs whose file is in ``directory``, the newest if several."""
    paths = sorted(directory.glob(session_file("*")), key=lambda path: path.stat().st_mtime, reverse=True)
    records = (_record_or_none(path) for path in paths)
    return next((each for each in records if each and _uncompleted(each) and each.input_digest == digest), None)


def read_uncompleted(path: Path, digest: str) -> SessionRecord:
    """Read the session file that the user wants to continue.

    Raises:
        InputError: it is complete, or belongs to other inputs.
    """
    record = read_record(path)
    if not _uncompleted(record):
        raise InputError(f"{path}: this session was started already, as reservation {record.ec2_reservation_id}")
    if record.input_digest != digest:
        raise InputError(f"{path}: this session was prepared with another ini, archive or data folder")
    return record


def _uncompleted(record: SessionRecord) -> bool:
    return not record.ec2_reservation_id and bool(record.client_token)


def _record_or_none(path: Path) -> SessionRecord | None:
    """Read a file that only looks like a session file by its name; one that is none concerns nobody here."""
    try:
        return read_record(path)
    except FormatError:
        return None
