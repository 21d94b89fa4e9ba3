"""The page of a report: its tables as values, and the template that they and the figures go into.

Owns what the page says, and nothing of how it looks: that is in ``template/``. What comes from a session is text, which
the template escapes. The page refers to nothing but the files of the results.
"""

import functools
import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from awsac_async import __version__
from awsac_async.client.costs import billed_seconds
from awsac_async.client.report.contents import Report
from awsac_async.client.report.figures import RUNS, core_times, durations, script_name, script_times, timeline_lines
from awsac_async.client.report.geometry import timeline_panels
from awsac_async.client.report.words import kind, shown_span, shown_time, word
from awsac_async.session import names
from awsac_async.session.costs import shown_usd
from awsac_async.session.jobs import shown_numbers
from awsac_async.session.model import JobRecord
from awsac_async.session.places import prices_of, type_at
from awsac_async.session.timings import read_attempt
from awsac_async.session.wording import counted

if TYPE_CHECKING:
    from jinja2 import Template

_UNKNOWN = "unknown"


def format_report(report: Report, *, folder: Path | None = None) -> str:
    """Return the report as one HTML page, which needs nothing else to be read.

    Args:
        report: what is shown.
        folder: where the page will lie, for its links to the files of the results; None: the working directory.
    """
    return _template().render(
        report=report,
        record=report.status.record,
        version=__version__,
        summary=_summary(report),
        began=_began(report),
        as_of=_as_of(report),
        facts=_facts(report),
        kinds=_kinds(report),
        panels=timeline_panels(timeline_lines(report), at=report.at),
        core_times=core_times(report),
        durations=durations(report),
        scripts=script_times(report),
        cost=_cost(report),
        instances=_instance_rows(report),
        jobs=_job_rows(report, (folder or Path()).resolve()),
        address=f"s3://{report.status.record.bucket}/{names.session_prefix(report.status.record.session_id)}",
    )


@functools.cache
def _template() -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("awsac_async.client.report", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


# --- the head ---


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Jobs that came to the same end; ``kind`` is good, bad or open, ``share`` in percent."""

    word: str
    kind: str
    count: int
    share: float


def _summary(report: Report) -> str:
    record = report.status.record
    instances = counted(len(report.times) + report.unknown_instances, "instance")
    types = " and ".join(prices_of(record))
    return f"{counted(len(report.status.jobs), 'job')} on {instances} of type {types} in {record.region}"


def _began(report: Report) -> str:
    began = report.status.started or min((each.begin for each in report.times), default=None)
    return f"{began:%Y-%m-%d %H:%M:%S} UTC" if began else _UNKNOWN


def _as_of(report: Report) -> str:
    return f"{report.at:%Y-%m-%d %H:%M:%S} UTC"


def _kinds(report: Report) -> list[Kind]:
    """Return how many jobs came to which end; first what went well, last what is not at its end."""
    counts = Counter((kind(job, report.status), word(job, report.status)) for job in report.status.jobs)
    ranks = {"good": 0, "bad": 1, "open": 2}
    order = sorted(counts, key=lambda each: (ranks[each[0]], -counts[each], each[1]))
    total = len(report.status.jobs)
    return [
        Kind(word=said, kind=of, count=counts[of, said], share=100 * counts[of, said] / total) for of, said in order
    ]


def _facts(report: Report) -> list[tuple[str, str]]:
    """Return the numbers that a reader looks for first, each with its words."""
    good = sum(kind(job, report.status) == "good" for job in report.status.jobs)
    facts = [("jobs succeeded", f"{good} of {len(report.status.jobs)}")]
    if report.times:
        end, begin = max(each.end or report.at for each in report.times), min(each.begin for each in report.times)
        words = "first launch to last end" if report.status.over else "since the first launch"
        facts.append((words, shown_span((end - begin).total_seconds())))
    if spent := core_times(report):
        facts.append(("of the core time, jobs ran", f"{sum(each.share for each in spent if each.kind in RUNS):.0f} %"))
    return [*facts, ("for instances, estimated", _usd(report.cost))]


def _usd(amount: float | None) -> str:
    return _UNKNOWN if amount is None else shown_usd(amount)


# --- costs ---


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The estimate, and what goes into it."""

    total: str
    price: str
    hours: str
    instances: str
    forgotten: str
    estimated: int


def _cost(report: Report) -> Cost:
    prices, unknown = prices_of(report.status.record), report.unknown_instances
    forgotten = (
        f"{counted(unknown, 'instance')} of which neither EC2 nor a job's record tells any more" if unknown else ""
    )
    return Cost(
        total=_usd(report.cost),
        price=" or ".join(_UNKNOWN if price is None else f"{price:g} USD" for price in prices.values()),
        hours=f"{billed_seconds(report.times, at=report.at) / 3600:.3f}",
        instances=counted(len(report.times), "instance"),
        forgotten=forgotten,
        estimated=sum(each.estimated for each in report.times),
    )


# --- tables ---


@dataclass(frozen=True, kw_only=True)
class InstanceRow:
    """An instance, as text; by ``seconds`` it is sorted. ``estimated``: one of its times is."""

    launch_index: int
    instance_id: str
    type: str
    zone: str
    state: str
    begin: str
    end: str
    seconds: str
    lasted: str
    jobs: str
    reason: str
    estimated: bool


def _instance_rows(report: Report) -> list[InstanceRow]:
    shown = {each.instance_id: each for each in report.status.instances}
    jobs = defaultdict[int, list[int]](list)
    for core in report.cores:
        jobs[core.launch_index] += [job.number for job in core.jobs]
    days, record = _days(report), report.status.record
    return [
        InstanceRow(
            launch_index=each.launch_index,
            instance_id=each.instance_id,
            type=info.instance_type if (info := shown.get(each.instance_id)) else type_at(record, each.launch_index),
            zone=info.zone if info else "",
            state=info.state if info else "gone",
            begin=shown_time(each.begin, days=days),
            end=shown_time(each.end, days=days) if each.end != each.begin else _UNKNOWN,
            seconds=f"{each.seconds(at=report.at):.0f}",
            lasted=shown_span(each.seconds(at=report.at)) if each.end != each.begin else _UNKNOWN,
            jobs=shown_numbers(jobs[each.launch_index]),
            reason=info.reason if info else "EC2 shows it no longer",
            estimated=each.estimated,
        )
        for each in report.times
    ]


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """A job, all as text but ``seconds``, by which durations are sorted; ``links`` are words and addresses."""

    number: int
    script: str
    word: str
    kind: str
    return_code: str
    attempt: str
    launch_index: str
    instance_id: str
    begin: str
    end: str
    seconds: str
    lasted: str
    reason: str
    links: tuple[tuple[str, str], ...]


def _job_rows(report: Report, folder: Path) -> list[JobRow]:
    days = _days(report)
    return [_job_row(job, report, folder, days) for job in report.status.jobs]


def _job_row(job: JobRecord, report: Report, folder: Path, days: set[date]) -> JobRow:
    seconds = report.run_seconds(job)
    return JobRow(
        number=job.number,
        script=script_name(job),
        word=word(job, report.status),
        kind=kind(job, report.status),
        return_code="" if job.return_code is None else str(job.return_code),
        attempt=str(read_attempt(job) or ""),
        launch_index="" if job.launch_index is None else str(job.launch_index),
        instance_id=job.instance_id,
        begin=shown_time(job.run_start, days=days),
        end=shown_time(job.run_end, days=days),
        seconds="" if seconds is None else f"{seconds:.0f}",
        lasted="" if seconds is None else shown_span(seconds),
        reason=job.reason,
        links=tuple(_links(job.number, report, folder)),
    )


def _days(report: Report) -> set[date]:
    return {time.date() for each in report.times for time in (each.begin, each.end or report.at)}


def _links(number: int, report: Report, folder: Path) -> list[tuple[str, str]]:
    """Return what there is of a job in the folder of results: what a browser shows goes before an archive."""
    session_id, results = report.status.record.session_id, report.results
    if results is None:
        return []
    logs = f"job_{number}/{names.output_file(number)}", Path(names.output_key(session_id, number)).name
    choices = {"log": logs, "results": (Path(names.results_key(session_id, number)).name,)}
    found = ((word, next((path for path in paths if path in report.files), "")) for word, paths in choices.items())
    return [(word, quote(os.path.relpath(results / path, folder))) for word, path in found if path]
