"""What the report's figures show of a session: the spans of each core, the sums of them, how long jobs ran.

Owns which mark stands for what; where it stands is in ``geometry``. Pure.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from awsac_async.client.report.contents import Report
from awsac_async.client.report.geometry import Drawn, Duration, Durations, Line, durations_figure
from awsac_async.client.report.timeline import Core, Phase, Span
from awsac_async.client.report.words import kind, shown_span, word
from awsac_async.session.model import JobRecord, JobState

_WRONG = "wrong"  # a run that did not end well
_MEANINGS: Mapping[str, str] = {
    Phase.BOOTING: "booting",
    Phase.FETCHING: "fetching archive and data",
    Phase.PROVIDING: "providing the release",
    Phase.QUEUEING: "queueing",
    Phase.RUNNING: "running",
    _WRONG: "running, without success",
    Phase.SAVING: "saving",
    Phase.IDLE: "idle",
    Phase.UNKNOWN: "not known",
}
RUNS = frozenset({Phase.RUNNING.value, _WRONG})


@dataclass(frozen=True, kw_only=True)
class CoreTime:
    """The time that all cores together spent in one way, and its share in percent."""

    kind: str
    meaning: str
    seconds: float
    time: str
    share: float


@dataclass(frozen=True, kw_only=True)
class ScriptTimes:
    """How long the jobs of one script ran."""

    script: str
    jobs: int
    good: int
    shortest: str
    median: str
    longest: str


def core_times(report: Report) -> list[CoreTime]:
    """Return how the time of all cores was spent, in the order of a job's life; what never happened is not in it."""
    sums: defaultdict[str, float] = defaultdict(float)
    for core in report.cores:
        for span in core.spans:
            sums[_kind(span, report)] += ((span.end or report.at) - span.begin).total_seconds()
    total = sum(sums.values()) or 1.0
    return [
        CoreTime(
            kind=kind, meaning=meaning, seconds=sums[kind], time=shown_span(sums[kind]), share=100 * sums[kind] / total
        )
        for kind, meaning in _MEANINGS.items()
        if sums[kind] > 0
    ]


def timeline_lines(report: Report) -> list[Line]:
    """Return what is drawn of each core."""
    instances = {each.launch_index: each for each in report.times}
    return [
        Line(
            launch_index=core.launch_index,
            label=_label(core),
            begin=instances[core.launch_index].begin,
            end=instances[core.launch_index].end,
            spans=tuple(_drawn(span, report) for span in core.spans),
            note=_note(core, report),
        )
        for core in report.cores
    ]


def _kind(span: Span, report: Report) -> str:
    if span.phase is not Phase.RUNNING or span.job is None or span.attempts is None:
        return span.phase.value
    # There is another attempt only after one that exited non-zero.
    repeated = span.end is not None and span.end == span.job.run_start
    return _WRONG if repeated or kind(span.job, report.status) == "bad" else span.phase.value


def _label(core: Core) -> str:
    if len(core.jobs) > 1:
        return f"{len(core.jobs)} jobs"
    if core.jobs:
        return str(core.jobs[0].number)
    return f"({core.moved})" if core.moved else "-"


def _drawn(span: Span, report: Report) -> Drawn:
    lasted = shown_span(((span.end or report.at) - span.begin).total_seconds()) + ("" if span.end else " so far")
    what = [f"job {span.job.number}"] if span.job else []
    what += [_MEANINGS[span.phase], *_attempts(span), lasted, f"from {span.begin:%H:%M:%S} UTC"]
    return Drawn(kind=_kind(span, report), begin=span.begin, end=span.end, title=", ".join(what))


def _attempts(span: Span) -> list[str]:
    match span.attempts:
        case None | (1, 1):
            return []
        case (first, last) if first == last:
            return [f"attempt {last}"]
        case (first, last):
            return [f"attempts {first} to {last}"]


def _note(core: Core, report: Report) -> str:
    """Return the few words behind a core's spans: only what is not as it should be."""
    if core.moved:
        # Jobs are in the order of their numbers, from 1, and none is missing.
        return f"run again on {report.status.jobs[core.moved - 1].launch_index}"
    wrong = [job for job in core.jobs if kind(job, report.status) == "bad"]
    if not wrong:
        return ""
    if len(core.jobs) > 1:
        return f"✕ job {wrong[0].number}" if len(wrong) == 1 else f"✕ {len(wrong)} jobs"
    if wrong[0].state is JobState.FINISHED:
        return f"✕ exit {wrong[0].return_code}"
    return f"✕ {word(wrong[0], report.status)}"


# --- durations ---


def durations(report: Report) -> Durations | None:
    """Return the figure of how long the latest attempts of all jobs that have ended ran."""
    ran = _ended_runs(report)
    shown = [
        Duration(
            seconds=seconds,
            wrong=kind(job, report.status) == "bad",
            title=f"job {job.number}: {word(job, report.status)} after {shown_span(seconds)}",
        )
        for job, seconds in ran
    ]
    middle = median(each.seconds for each in shown) if shown else 0.0
    return durations_figure(shown, marks=[(middle, f"median {shown_span(middle)}")])


def script_times(report: Report) -> list[ScriptTimes]:
    """Return how long the jobs of each script ran, by its name."""
    by_script = defaultdict(list)
    for job, seconds in _ended_runs(report):
        by_script[script_name(job)].append((kind(job, report.status) == "good", seconds))
    return [
        ScriptTimes(
            script=script,
            jobs=len(ran),
            good=sum(good for good, _ in ran),
            shortest=shown_span(min(seconds for _, seconds in ran)),
            median=shown_span(median(seconds for _, seconds in ran)),
            longest=shown_span(max(seconds for _, seconds in ran)),
        )
        for script, ran in sorted(by_script.items())
    ]


def script_name(job: JobRecord) -> str:
    """Return the name of a job's script without its folder on the instance."""
    return job.script.rpartition("/")[2]


def _ended_runs(report: Report) -> list[tuple[JobRecord, float]]:
    ended = [job for job in report.status.jobs if kind(job, report.status) != "open"]
    return [(job, seconds) for job in ended if (seconds := report.run_seconds(job)) is not None]
