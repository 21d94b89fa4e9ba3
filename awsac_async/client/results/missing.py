"""Why a session has not saved what was asked for: which jobs still run, left nothing, or could not be saved.

Owns the reasons. The status is asked only if something is missing, after the bucket was listed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from awsac_async.client.check import read_status
from awsac_async.client.results.files import Kind, Selection, Target
from awsac_async.client.results.manifests import Statement
from awsac_async.cloud.aws import Aws
from awsac_async.session.errors import CloudError
from awsac_async.session.model import JobRecord, JobState, SessionRecord

_BEING_SAVED = frozenset({JobState.WAITFORSAVE, JobState.SAVING})


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What a job has not saved, or not yet: its ``results``, its ``output``, both, or ``part of`` either; and why."""

    job: int
    what: tuple[str, ...]
    status: str
    reason: str


async def find_missing(
    aws: Aws,
    record: SessionRecord,
    targets: Collection[Target],
    *,
    selection: Selection,
    with_manifest: Collection[int],
) -> tuple[Missing, ...]:
    """Return what is missing of the jobs that are wanted, by number.

    Args:
        aws: the run's connection.
        record: the session.
        targets: what is there.
        selection: what is wanted.
        with_manifest: the jobs that have saved all they can save.
    """
    lacking = _lacking(record, targets, selection)
    if not lacking:
        return ()
    try:
        status = await read_status(aws, record)
    except CloudError as error:
        return tuple(
            _missing(job, kinds, "unknown", f"its status cannot be read: {error}") for job, kinds in lacking.items()
        )
    jobs = {job.number: job for job in status.jobs}
    found = []
    for number, kinds in lacking.items():
        job = jobs.get(number, JobRecord(number=number))
        saved = number in with_manifest or (Kind.OUTPUT not in kinds and status.ended(job))
        reason = (
            f"{job.state.value}: {job.reason}"  # which says that others take it over
            if number in status.taken_over
            else _reason(job, lost=number in status.lost_numbers, saved=saved)
        )
        found.append(_missing(number, kinds, status.shown_state(job), reason))
    return tuple(found)


def find_parts(targets: Collection[Target], statements: Mapping[str, Statement]) -> tuple[Missing, ...]:
    """Return what is not in the objects that are there, as far as manifests that were read say so."""
    said = [(target, statements[target.info.key].saved.remark) for target in targets if target.info.key in statements]
    return tuple(
        Missing(job=target.job, what=(f"part of {target.kind.value}",), status="saved", reason=remark)
        for target, remark in said
        if remark and target.job is not None
    )


def _lacking(record: SessionRecord, targets: Collection[Target], selection: Selection) -> dict[int, list[Kind]]:
    there = {(target.job, target.kind) for target in targets}
    jobs = range(1, record.n_jobs + 1) if selection.jobs is None else sorted(selection.jobs)
    kinds = [kind for kind in (Kind.RESULTS, Kind.OUTPUT) if kind in selection.kinds]
    lacking: Mapping[int, list[Kind]] = {job: [kind for kind in kinds if (job, kind) not in there] for job in jobs}
    return {job: kinds for job, kinds in lacking.items() if kinds}


def _missing(job: int, kinds: Collection[Kind], status: str, reason: str) -> Missing:
    return Missing(job=job, what=tuple(kind.value for kind in kinds), status=status, reason=reason)


def _reason(job: JobRecord, *, lost: bool, saved: bool) -> str:
    """Say what became of a job; ``saved``: it has saved whatever it had."""
    because = f": {job.reason}" if job.reason else ""
    if job.state is JobState.SAVEFAILED:  # most of its reasons begin with that themselves
        return job.reason if job.reason.startswith("not saved") else f"not saved{because}"
    if lost:
        return f"lost{because}"
    if saved:  # and its reason may say what was left instead
        return f"none were left{because}"
    if not job.state.final:
        return "being saved" if job.state in _BEING_SAVED else job.state.value
    if job.state is JobState.FINISHED:
        return "finished, but not in the bucket: if it has just ended, run the same command again"
    return f"{job.state.value}{because}"
