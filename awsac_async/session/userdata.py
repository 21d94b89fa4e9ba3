"""The user data string: the one line by which every instance of a session learns where its session is.

``session_id;bucket;archive file name;cores per instance``, then fields of ours as ``key=value``, which an agent of
2008 does not read. The user data are this string, or a cloud-config with it in a line of its own. They are readable by
every process on the instance: no secret may ever stand there.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from awsac_async.session import fields, names
from awsac_async.session.durations import format_seconds, parse_duration, parse_hours, parse_lease
from awsac_async.session.errors import FormatError
from awsac_async.session.launches import FIRST_WITH_DOCUMENT
from awsac_async.session.model import Access, JobSettings, Schedule, StartInfo, StatusKind, UserData
from awsac_async.session.purpose import read_purpose

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html: 16 KB, before base64.
MAX_BYTES = 16 * 1024
_FILE = "user data"
_FIRST = ("session_id", "sessionsbucket", "archivefilename", "cores_per_instance")
# Key of our fields on how jobs are run, each named as the field of JobSettings -> reader, writer.
_SETTINGS: Mapping[str, tuple[Callable[[str], Any], Callable[[Any], str]]] = {
    names.USER_DATA_JOB_TIMEOUT: (parse_duration, format_seconds),
    names.USER_DATA_RETRIES: (fields.retries, str),
    names.USER_DATA_JOB_USER: (fields.job_user, str),
    names.USER_DATA_JOB_USER_SHIELD: (fields.job_user_shield, str),
    names.USER_DATA_RELEASE_MOUNT: (fields.release_mount, str),
    names.USER_DATA_ENCRYPTED: (fields.yes_or_no, fields.shown_yes_or_no),
    names.USER_DATA_SCHEDULE: (fields.schedule, str),
    names.USER_DATA_LEASE: (parse_lease, format_seconds),
    names.USER_DATA_MAX_RESULTS: (fields.size, str),
}
# Key of our fields on what the session has -> reader.
_NUMBERS: Mapping[str, Callable[[str], float]] = {
    names.USER_DATA_JOBS: fields.natural_number,
    names.USER_DATA_OBJECTS: fields.natural_number,
    names.USER_DATA_HOURS: parse_hours,
    names.USER_DATA_LAUNCH: fields.integer(
        least=FIRST_WITH_DOCUMENT, most=10**9, expected=f"a number from {FIRST_WITH_DOCUMENT} on"
    ),
}
_key = fields.matching(r"[a-z][a-z0-9_]*", "key=value with a key of small letters, digits and '_'")


def format_user_data(user_data: UserData) -> str:
    """Write the string; raises FormatError for a value that a reader would not get back."""
    first = (user_data.session_id, user_data.bucket, user_data.archive_name, str(user_data.cores_per_instance))
    text = ";".join((*first, *(f"{key}={value}" for key, value in user_data.extra.items())))
    for name, value in (*zip(_FIRST, first, strict=True), *user_data.extra.items()):
        if ";" in value or value != fields.without_space(value):
            raise FormatError(
                file=_FILE, field=name, found=fields.shown(value), expected="a value without ';' and white space"
            )
    if parse_user_data(text) != user_data:
        raise FormatError(file=_FILE, found=fields.shown(text), expected="key=value fields that read back as they are")
    return text


def parse_user_data(text: str, *, file: str = _FILE) -> UserData:
    """Parse the string, or a cloud-config that holds it; unknown fields are kept in ``extra``. Raises FormatError."""
    parts = [fields.without_space(part) for part in _line(text, file=file).split(";")]
    if len(parts) < len(_FIRST):
        expected = f"at least four fields, {';'.join(_FIRST)}"
        raise FormatError(file=file, found=f"{len(parts)} in {fields.shown(text.strip())}", expected=expected)
    session_id, bucket, archive, cores = parts[:4]
    return UserData(
        session_id=fields.read_field(fields.session_id, session_id, file=file, field=_FIRST[0]),
        bucket=fields.read_field(fields.bucket, bucket, file=file, field=_FIRST[1]),
        archive_name=fields.read_field(fields.archive_name, archive, file=file, field=_FIRST[2]),
        cores_per_instance=fields.read_field(fields.positive_integer, cores, file=file, field=_FIRST[3]),
        extra=_extra(parts[4:], file=file),
    )


def settings_fields(settings: JobSettings) -> dict[str, str]:
    """Return the fields that tell the instances how jobs are run; what is as in 2008 is not said."""
    given = {key: getattr(settings, key) for key in _SETTINGS}
    return {key: _SETTINGS[key][1](value) for key, value in given.items() if value != getattr(JobSettings, key)}


def read_settings(user_data: UserData) -> JobSettings:
    """Read those fields; what is absent is as in 2008. Raises FormatError."""
    given = {key: text for key, text in user_data.extra.items() if key in _SETTINGS}
    values = {key: fields.read_field(_SETTINGS[key][0], text, file=_FILE, field=key) for key, text in given.items()}
    return JobSettings(**values)


@lru_cache(maxsize=64)
def shares_jobs(user_data: str) -> bool:
    """Whether the instances of a session with this string share its jobs; those of one that cannot be read do not."""
    try:
        return read_settings(parse_user_data(user_data)).schedule is Schedule.SHARED
    except FormatError:
        return False


def access_fields(access: Access) -> dict[str, str]:
    """Return the fields that tell the instances where the services are; what is as on AWS is not said."""
    return {key: value for key, value in access.access().items() if value != getattr(Access, key)}


def read_access(user_data: UserData) -> Access:
    """Read those fields; one that cannot be read is taken for missing, so that the others lead to the session."""
    return Access(**{key: text for key in fields.ACCESS if (text := _access(user_data, key)) is not None})


def _access(user_data: UserData, key: str) -> str | None:
    try:
        return fields.ACCESS[key](user_data.extra[key])
    except (KeyError, ValueError):
        return None


def check_fields(user_data: UserData) -> None:
    """Raise FormatError if one of our fields cannot be read; the readers below then take it for missing."""
    read_settings(user_data)
    read_purpose(user_data)
    for key, reader in {**_NUMBERS, **fields.ACCESS, names.USER_DATA_STATUS: fields.status_store}.items():
        if key in user_data.extra:
            fields.read_field(reader, user_data.extra[key], file=_FILE, field=key)


def status_fields(kind: StatusKind) -> dict[str, str]:
    """Return the field that tells the instances where to write the status; SimpleDB, as in 2008, is not said."""
    return {} if kind is StatusKind.SIMPLEDB else {names.USER_DATA_STATUS: kind.value}


def status_kind(user_data: UserData) -> StatusKind:
    """Return where the status of the session is kept."""
    try:
        return fields.status_store(user_data.extra[names.USER_DATA_STATUS])
    except (KeyError, ValueError):
        return StatusKind.SIMPLEDB


def number_of_jobs(user_data: UserData) -> int | None:
    """Return how many jobs the session has, or None: a client of 2008 does not say."""
    return int(_number(user_data, names.USER_DATA_JOBS)) or None


def number_of_data(user_data: UserData) -> int:
    """Return how many objects of input data the session has."""
    return int(_number(user_data, names.USER_DATA_OBJECTS))


def has_data_document(user_data: UserData) -> bool:
    """Whether there is a document about the input data; one who cannot read the field looks for it."""
    return user_data.extra.get(names.USER_DATA_DOCUMENT, "no") != "no"


def max_hours(user_data: UserData) -> float:
    """Return how many hours after its boot an instance of the session ends."""
    return _number(user_data, names.USER_DATA_HOURS) or StartInfo.max_hours


def launch_number(user_data: UserData) -> int:
    """Return which launch of its session an instance belongs to: 1 is that of ``start``."""
    return int(_number(user_data, names.USER_DATA_LAUNCH)) or 1


def with_launch(user_data: str, launch: int, *, cores: int) -> str:
    """Return the string for the instances of a further launch; raises FormatError if it is not one of a session."""
    first = parse_user_data(user_data)
    extra = {**first.extra, names.USER_DATA_LAUNCH: str(launch)}
    return format_user_data(replace(first, cores_per_instance=cores, extra=extra))


def with_cores(user_data: str, cores: int) -> str:
    """Return the string for instances with so many cores; raises FormatError if it is not one of a session."""
    return format_user_data(replace(parse_user_data(user_data), cores_per_instance=cores))


def _number(user_data: UserData, key: str) -> float:
    """Return a number of ours, or 0 if there is none that can be read."""
    try:
        return _NUMBERS[key](user_data.extra[key])
    except (KeyError, ValueError):
        return 0


def _line(text: str, *, file: str) -> str:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise FormatError(file=file, found=f"{size} bytes", expected=f"at most {MAX_BYTES}")
    lines = text.strip().splitlines()
    if text.startswith(names.CLOUD_CONFIG):
        mark = names.CLOUD_CONFIG_SESSION
        lines = [line.removeprefix(mark) for line in lines if line.startswith(mark)]
        if len(lines) != 1:
            found = f"a cloud-config with {len(lines)} lines {mark.strip()!r}"
            raise FormatError(file=file, found=found, expected="one such line, with the session string")
    if len(lines) != 1:
        raise FormatError(file=file, found=f"{len(lines)} lines", expected="exactly one line")
    return lines[0]


def _extra(parts: Iterable[str], *, file: str) -> Mapping[str, str]:
    extra: dict[str, str] = {}
    for part in filter(None, parts):
        key, equals, value = part.partition("=")
        if not equals:
            raise FormatError(file=file, found=fields.shown(part), expected="key=value after the fourth field")
        fields.read_field(_key, key, file=file, field="after the fourth field")
        if key in extra:
            raise FormatError(file=file, field=key, found="the same key a second time", expected="each key once")
        extra[key] = value
    return extra
