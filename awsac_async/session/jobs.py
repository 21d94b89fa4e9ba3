"""``jobs.cfg``: which scripts run, how often, with which release; and which instance runs which job.

Owns the numbering of jobs, how lists of numbers are written, and the selection rule. A definition stays a definition
until its count has been checked: nothing here makes a list as long as a number in a file says.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from awsac_async.session import fields
from awsac_async.session.durations import parse_duration
from awsac_async.session.errors import FormatError
from awsac_async.session.model import MAX_JOBS, Job, JobDefinition
from awsac_async.session.releases import SCHEME, is_snapshot, parse_address
from awsac_async.session.wording import counted

NO_RELEASE = "-"
_FIELDS = "snapshotID;shellscriptname;numberofjobs"
_SESSION_TIMEOUT = {"", "-"}
_RANGE = re.compile(r"(?P<first>[0-9]{1,9})(-(?P<last>[0-9]{1,9}))?", re.ASCII)
_COMMENT = re.compile(r"(^|\s)#.*")

_snapshot_word = fields.matching(r"[A-Za-z0-9_.-]*", "a snapshot ID, an address in S3, or '-' for no release")
_snapshot_id = fields.matching(r"snap-[0-9a-f]{8,17}", "a snapshot ID like snap-0123abcd, or '-' for no release")


def _release(text: str) -> str:
    return parse_address(text).address if text.startswith(SCHEME) else _snapshot_word(text)


def _script(text: str) -> str:
    if not text or "/" in text or text in {".", ".."} or not text.isprintable():
        raise ValueError("the plain name of a script in the session archive")
    return text


def read_jobs(path: Path) -> list[JobDefinition]:
    """Read a ``jobs.cfg``; raises FormatError."""
    return parse_jobs(fields.read_text(path), file=str(path))


def parse_jobs(text: str, *, file: str) -> list[JobDefinition]:
    """Parse the text of a ``jobs.cfg``; ``file`` is its name in errors.

    Any word is taken as a snapshot ID here, as in 2008; ``check_jobs`` wants one that EC2 can know.

    Raises:
        FormatError: a line is not a definition, or there is none at all.
    """
    lines = enumerate((_COMMENT.sub("", line).strip() for line in text.split("\n")), 1)
    definitions = [_definition(line, file=file, number=number) for number, line in lines if line]
    if not definitions:
        raise FormatError(file=file, found="no job", expected=f"lines like {_FIELDS}")
    return definitions


def _definition(line: str, *, file: str, number: int) -> JobDefinition:
    parts = [part.strip() for part in line.split(";")]
    if len(parts) not in {3, 4}:
        found = f"{counted(len(parts), 'field')} in {fields.shown(line)}"
        expected = f"three fields, {_FIELDS}, and perhaps a fourth, jobtimeout"
        raise FormatError(file=file, line=number, found=found, expected=expected)
    release = fields.read_field(_release, parts[0], file=file, line=number, field="snapshotID")
    return JobDefinition(
        release=None if release in {"", NO_RELEASE} else release,
        script=fields.read_field(_script, parts[1], file=file, line=number, field="shellscriptname"),
        count=fields.read_field(fields.number_of_jobs, parts[2], file=file, line=number, field="numberofjobs"),
        line=number,
        timeout=fields.read_field(_timeout, "".join(parts[3:]), file=file, line=number, field="jobtimeout"),
    )


def _timeout(text: str) -> float | None:
    return None if text in _SESSION_TIMEOUT else parse_duration(fields.without_space(text))


def check_jobs(definitions: Sequence[JobDefinition], *, n_jobs: int, scripts: Collection[str], file: str) -> None:
    """Check definitions against ``n_jobs`` of the ``session.ini`` and against the scripts there are.

    Raises:
        FormatError: the numbers differ, a script is missing, or a snapshot ID is not one.
    """
    check_names(definitions, scripts=scripts, file=file)
    total = sum(each.count for each in definitions)
    if total != n_jobs:
        expected = f"{n_jobs}, the n_jobs of the session.ini"
        raise FormatError(file=file, field="numberofjobs", found=f"{total} jobs in all", expected=expected)


def check_names(definitions: Sequence[JobDefinition], *, scripts: Collection[str], file: str) -> None:
    """Check what can be known of a ``jobs.cfg`` without its ``session.ini``.

    Raises:
        FormatError: scripts are missing (all are named, at the line of the first), or a snapshot ID is not one.
    """
    missing = {each.script: each.line for each in reversed(definitions) if each.script not in scripts}
    if missing:
        found = ", ".join(sorted(missing)) + ", not in the archive"
        expected = "the names of scripts at the top level of the archive"
        line = min(missing.values())
        raise FormatError(file=file, line=line, field="shellscriptname", found=found, expected=expected)
    for each in definitions:
        if is_snapshot(each.release):
            fields.read_field(_snapshot_id, each.release, file=file, line=each.line, field="snapshotID")


def expand(definitions: Sequence[JobDefinition]) -> list[Job]:
    """Return the jobs of all definitions, numbered from 1 in the order of the lines."""
    copies = (each for each in definitions for _ in range(each.count))
    return [
        Job(number=number, script=each.script, release=each.release, timeout=each.timeout)
        for number, each in enumerate(copies, 1)
    ]


def parse_numbers(text: str) -> frozenset[int]:
    """Return the job numbers in a list like ``1,3-7``; raises FormatError."""
    found = [_RANGE.fullmatch(part) for part in fields.without_space(text).split(",")]
    ranges = [(int(each["first"]), int(each["last"] or each["first"])) for each in found if each]
    if len(ranges) < len(found) or not all(1 <= first <= last <= MAX_JOBS for first, last in ranges):
        expected = "numbers from 1 on and ranges of them, like 1,3-7"
        raise FormatError(file="job numbers", found=fields.shown(text), expected=expected)
    return frozenset(number for first, last in ranges for number in range(first, last + 1))


def shown_numbers(numbers: Collection[int]) -> str:
    """Return job numbers as ``parse_numbers`` reads them, in order."""
    runs: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        before = runs.pop() if runs and runs[-1][1] == number - 1 else (number, number)
        runs.append((before[0], number))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def named_jobs(numbers: Collection[int]) -> str:
    """Return job numbers with their noun: "job 3", "jobs 1,3-7"."""
    return f"{'job' if len(numbers) == 1 else 'jobs'} {shown_numbers(numbers)}"


def no_such_job(unknown: Collection[int], *, session_id: str, known: Collection[int]) -> str:
    """Return the sentence for numbers of which a session has no job."""
    return f"there is no job {shown_numbers(unknown)}: session {session_id} has {shown_numbers(known)}"


def launch_index_of(number: int, *, cores_per_instance: int) -> int:
    """Return which instance runs the job of this number: 0 runs the first ``cores_per_instance`` of them."""
    return (number - 1) // cores_per_instance


def select_jobs(jobs: Sequence[Job], *, launch_index: int, cores_per_instance: int) -> list[Job]:
    """Return the jobs of one instance: ``L*n_cpi + 1`` to ``L*n_cpi + n_cpi``, as far as they exist."""
    return [job for job in jobs if launch_index_of(job.number, cores_per_instance=cores_per_instance) == launch_index]


def instances_needed(n_jobs: int, cores_per_instance: int) -> int:
    """Return how many instances give every job a core."""
    return -(-n_jobs // cores_per_instance)
