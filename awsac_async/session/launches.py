"""The document of a further launch of a session: which of its instances runs which jobs, and from which attempt on.

Owns the form, a JSON object with the members of ``LaunchDocument``, ``version`` 1, and the rule by which an instance
finds its jobs in it. The reader trusts nothing of it: whoever may write into the bucket may have written it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from awsac_async.session.errors import FormatError
from awsac_async.session.jobs import instances_needed
from awsac_async.session.jsonobject import JsonObject, is_integer, is_text, parse_object
from awsac_async.session.model import MAX_JOBS
from awsac_async.session.times import parse_time

VERSION = 1
FIRST_WITH_DOCUMENT = 2  # the first launch of ``start`` is number 1
MOST_BYTES = 8 << 20  # twice what MAX_JOBS jobs take


@dataclass(frozen=True, kw_only=True)
class LaunchedJob:
    """A job of a launch; ``attempt`` is the number of the first attempt at it there."""

    number: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class LaunchDocument:
    """A launch of a session, from number 2 on. ``reservation_id`` is "" until RunInstances has answered.

    ``first_launch_index`` is the launch index, in the session, of its first instance; ``started`` is when RunInstances
    was last going to be called. ``instance_type`` and ``subnet_id`` are where its instances are; "": where the session
    file says. While it has no reservation, it may have more jobs and instances than EC2 will give it.

    ``pool`` is the launch whose jobs its instances share (``session.claims``): another one's, and it has no jobs
    itself, or its own, which may be more than there are cores. 0: none are shared, each instance has its own.
    """

    launch: int
    first_launch_index: int
    n_instances: int
    cores_per_instance: int
    client_token: str
    reservation_id: str
    started: str
    jobs: tuple[LaunchedJob, ...]
    instance_type: str = ""
    subnet_id: str = ""
    pool: int = 0

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of its jobs."""
        return frozenset(job.number for job in self.jobs)

    @property
    def end_launch_index(self) -> int:
        """The launch index behind that of its last instance: that of the first of a further launch."""
        return self.first_launch_index + self.n_instances

    def has(self, launch_index: int | None) -> bool:
        """Whether a launch index, in the session, is that of one of its instances."""
        return launch_index is not None and self.first_launch_index <= launch_index < self.end_launch_index

    def jobs_of(self, index: int) -> tuple[LaunchedJob, ...]:
        """Return the jobs of its instance ``index``, from 0: the slice of so many jobs as an instance has cores.

        None are where they are shared.
        """
        if self.pool:
            return ()
        cores = self.cores_per_instance
        return self.jobs[index * cores : (index + 1) * cores]

    def launch_indexes(self) -> dict[int, int]:
        """Return the launch index, in the session, at which each job runs, by its number.

        Where jobs are shared nobody knows that: it is that of the first instance.
        """
        if self.pool:
            return dict.fromkeys(sorted(self.numbers), self.first_launch_index)
        cores = self.cores_per_instance
        return {job.number: self.first_launch_index + place // cores for place, job in enumerate(self.jobs)}


def format_launch(document: LaunchDocument) -> bytes:
    """Return the document's bytes."""
    members = {name: value for name, value in asdict(document).items() if value or name not in _OPTIONAL}
    return json.dumps({"version": VERSION, **members}, separators=(",", ":")).encode()


def parse_launch(content: bytes, *, file: str) -> LaunchDocument:
    """Read the document; members that a later version may add are passed over. Raises FormatError."""
    document = parse_object(content, file=file, most_bytes=MOST_BYTES)
    document.read_version(VERSION)
    values = {name: document.read(name, right, expected) for name, (right, expected) in _MEMBERS.items()}
    values |= {
        name: document.read(name, right, expected, absent=absent)
        for name, (absent, right, expected) in _OPTIONAL.items()
    }
    jobs = tuple(_job(JsonObject(each, file=file)) for each in values.pop("jobs"))
    launch = LaunchDocument(jobs=jobs, **values)
    if len(launch.numbers) < len(jobs):
        raise FormatError(file=file, field="jobs", found="a job a second time", expected="each job once")
    _check_size(launch, file=file)
    return launch


def check_bounds(launch: LaunchDocument, *, number: int, n_jobs: int, n_instances: int, file: str) -> None:
    """Raise FormatError for what no launch of a session can be that has so many jobs, and instances of its start.

    ``number`` is the launch that it must be, by its key.
    """
    most = max(n_jobs, n_instances)  # of one launch
    bounds = (
        ("launch", launch.launch, number, number),
        ("n_instances", launch.n_instances, 1, most),
        ("first_launch_index", launch.first_launch_index, 1, (number - 1) * most),
        ("jobs", max(launch.numbers, default=0), 0, n_jobs),
    )
    for field, found, least, highest in bounds:
        if not least <= found <= highest:
            expected = f"{number}" if field == "launch" else f"at most {highest} in this session"
            raise FormatError(file=file, field=field, found=str(found), expected=expected)


def _check_size(launch: LaunchDocument, *, file: str) -> None:
    """Raise FormatError unless the launch has jobs where it should, and instances for them."""
    found, needed = launch.n_instances, instances_needed(len(launch.jobs), launch.cores_per_instance)
    shares_others = launch.pool not in (0, launch.launch)
    if shares_others == bool(launch.jobs):
        expected = "none: it shares those of another launch" if shares_others else "a list of jobs"
        raise FormatError(file=file, field="jobs", found=f"{len(launch.jobs)} jobs", expected=expected)
    if launch.pool and (shares_others or found <= needed):
        return
    if found != needed:
        expected = f"{needed}, as many as its jobs need"
        raise FormatError(file=file, field="n_instances", found=str(found), expected=expected)


def _job(members: JsonObject) -> LaunchedJob:
    return LaunchedJob(
        number=members.read("number", lambda value: is_integer(value, most=MAX_JOBS), "the number of a job"),
        attempt=members.read("attempt", is_integer, _A_NUMBER),
    )


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and parse_time(value) is not None
    except (ValueError, OverflowError):
        return False


_A_NUMBER = "a number from 1 on"
# Member -> what is right, and how that is said; ``version`` is read before, and the jobs by themselves.
_MEMBERS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "launch": (lambda value: is_integer(value, least=FIRST_WITH_DOCUMENT), f"a number from {FIRST_WITH_DOCUMENT} on"),
    "first_launch_index": (is_integer, _A_NUMBER),
    "n_instances": (is_integer, _A_NUMBER),
    "cores_per_instance": (is_integer, _A_NUMBER),
    "client_token": (lambda value: is_text(value) and value != "", "a client token"),
    "reservation_id": (is_text, "the ID of a reservation, or nothing"),
    "started": (_is_time, "a time like 2026-11-22T15:50:39Z"),
    "jobs": (lambda value: isinstance(value, list), "a list of jobs"),
}
# Member -> what it is if it is left out, what is right, and how that is said.
_OPTIONAL: Mapping[str, tuple[Any, Callable[[Any], bool], str]] = {
    "instance_type": ("", is_text, "an instance type"),
    "subnet_id": ("", is_text, "the ID of a subnet"),
    "pool": (0, lambda value: is_integer(value, least=0), "the number of a launch, or 0"),
}
