"""The document of a further launch of a session: which of its instances runs which jobs, and from which attempt on.

Owns the form, a JSON object with the members of ``LaunchDocument``, ``version`` 1, and the rule by which an instance
finds its jobs in it. The reader trusts nothing of it: whoever may write into the bucket may have written it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from awsac_async.session.errors import FormatError
from awsac_async.session.fields import shown
from awsac_async.session.jobs import instances_needed
from awsac_async.session.model import MAX_JOBS
from awsac_async.session.times import parse_time

VERSION = 1
FIRST_RETRY = 2  # the launch of ``start`` is number 1, and has no document
_MOST_BYTES = 8 << 20  # twice what MAX_JOBS jobs take
_MOST = 10**9  # of any number in it


@dataclass(frozen=True, kw_only=True)
class LaunchedJob:
    """A job of a launch; ``attempt`` is the number of the first attempt at it there."""

    number: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class LaunchDocument:
    """A launch of a session, from number 2 on. ``reservation_id`` is "" until RunInstances has answered.

    ``first_launch_index`` is the launch index, in the session, of its first instance; ``started`` is when RunInstances
    was last going to be called.
    """

    launch: int
    first_launch_index: int
    n_instances: int
    cores_per_instance: int
    client_token: str
    reservation_id: str
    started: str
    jobs: tuple[LaunchedJob, ...]

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of its jobs."""
        return frozenset(job.number for job in self.jobs)

    @property
    def end_launch_index(self) -> int:
        """The launch index behind that of its last instance: that of the first of a further launch."""
        return self.first_launch_index + self.n_instances

    def jobs_of(self, index: int) -> tuple[LaunchedJob, ...]:
        """Return the jobs of its instance ``index``, from 0: the slice of so many jobs as an instance has cores."""
        cores = self.cores_per_instance
        return self.jobs[index * cores : (index + 1) * cores]

    def launch_indexes(self) -> dict[int, int]:
        """Return the launch index, in the session, at which each job runs, by its number."""
        cores = self.cores_per_instance
        return {job.number: self.first_launch_index + place // cores for place, job in enumerate(self.jobs)}


def format_launch(document: LaunchDocument) -> bytes:
    """Return the document's bytes."""
    return json.dumps({"version": VERSION, **asdict(document)}, separators=(",", ":")).encode()


def parse_launch(content: bytes, *, file: str) -> LaunchDocument:
    """Read the document; members that a later version may add are passed over. Raises FormatError."""
    members = _object(_loaded(content, file=file), file=file)
    _read(members, "version", lambda value: _is_number(value, least=VERSION, most=VERSION), f"{VERSION}", file=file)
    values = {name: _read(members, name, right, expected, file=file) for name, (right, expected) in _MEMBERS.items()}
    jobs = tuple(_job(each, file=file) for each in values.pop("jobs"))
    document = LaunchDocument(jobs=jobs, **values)
    if len(document.numbers) < len(jobs):
        raise FormatError(file=file, field="jobs", found="a job a second time", expected="each job once")
    if document.n_instances != (needed := instances_needed(len(jobs), document.cores_per_instance)):
        expected = f"{needed}, as many as its jobs need"
        raise FormatError(file=file, field="n_instances", found=str(document.n_instances), expected=expected)
    return document


def _loaded(content: bytes, *, file: str) -> object:
    if len(content) > _MOST_BYTES:
        raise FormatError(file=file, found="a larger file", expected=f"at most {_MOST_BYTES >> 20} MiB")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        start = content[:100].decode(errors="replace")
        raise FormatError(file=file, found=shown(start), expected="a JSON object") from None


def _job(value: object, *, file: str) -> LaunchedJob:
    members = _object(value, file=file)
    return LaunchedJob(
        number=_read(
            members, "number", lambda value: _is_number(value, most=MAX_JOBS), "the number of a job", file=file
        ),
        attempt=_read(members, "attempt", _is_number, "a number from 1 on", file=file),
    )


def _object(value: object, *, file: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(file=file, found=shown(json.dumps(value)), expected="a JSON object")
    return value


def _read(members: Mapping[str, Any], name: str, right: Callable[[Any], bool], expected: str, *, file: str) -> Any:
    value = members.get(name)
    if not right(value):
        found = "nothing" if value is None else shown(json.dumps(value))
        raise FormatError(file=file, field=name, found=found, expected=expected)
    return value


def _is_number(value: object, *, least: int = 1, most: int = _MOST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and parse_time(value) is not None
    except (ValueError, OverflowError):
        return False


# Member -> what is right, and how that is said; ``version`` is read before, and the jobs by themselves.
_MEMBERS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "launch": (lambda value: _is_number(value, least=FIRST_RETRY), f"a number from {FIRST_RETRY} on"),
    "first_launch_index": (_is_number, "a number from 1 on"),
    "n_instances": (_is_number, "a number from 1 on"),
    "cores_per_instance": (_is_number, "a number from 1 on"),
    "client_token": (lambda value: _is_text(value) and value != "", "a client token"),
    "reservation_id": (_is_text, "the ID of a reservation, or nothing"),
    "started": (_is_time, "a time like 2026-11-22T15:50:39Z"),
    "jobs": (lambda value: isinstance(value, list) and bool(value), "a list of jobs"),
}
