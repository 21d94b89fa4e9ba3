from dataclasses import replace

import pytest

from awsac_async.client.costs import instance_times
from awsac_async.client.report.contents import make_report
from awsac_async.client.report.figures import timeline_lines
from awsac_async.client.report.sharedtimeline import shared_timeline
from awsac_async.client.report.timeline import timeline
from awsac_async.session.claims import Claim, claim_attribute
from awsac_async.session.model import JobState, StartReservation
from awsac_async.session.timings import timing_attributes
from tests.client.statuses import SHARED
from tests.client.written import at, instance, job, status

PARTS = {"boot": 20.0, "fetch": 3.0, "provide": 6.0, "queue": 1.0, "run": 100.0, "save": 5.0}
RAN = {"run_start": 40, "run_end": 140, "save_start": 140, "save_end": 145}
BEFORE = [("booting", 0, 30), ("fetching", 30, 33), ("providing", 33, 39), ("queueing", 39, 40)]


def drawn(known, *, now: float = 1000):
    """Return the spans of each core, in seconds."""
    cores = timeline(known, instance_times(known, at=at(now)))

    def seconds(time):
        return None if time is None else (time - at(0)).total_seconds()

    return [[(span.phase.value, seconds(span.begin), seconds(span.end)) for span in core.spans] for core in cores]


ONE = {"cores_per_instance": 1}
ENDED = (instance(0, end=150),)
RUNS = (instance(0),)
JOBS = {
    "every part of a job's life has its span, and then the core is idle": (
        status(job(1, seconds=PARTS, **RAN), instances=ENDED, **ONE),
        [*BEFORE, ("running", 40, 140), ("saving", 140, 145), ("idle", 145, 150)],
    ),
    "what lasts is open": (
        status(
            job(1, state=JobState.RUNNING, seconds=PARTS | {"run": 0}, run_start=40), instances=RUNS, over=False, **ONE
        ),
        [*BEFORE, ("running", 40, None)],
    ),
    "a job that waits for its release has been fetched": (
        status(job(1, state=JobState.PENDING, seconds={"boot": 20, "fetch": 3}), instances=RUNS, over=False, **ONE),
        [("booting", 0, 20), ("fetching", 20, 23), ("providing", 23, None)],
    ),
    "before the first word of an agent its instance boots": (
        status(job(1, state=JobState.PENDING, launch_index=None), instances=RUNS, over=False, **ONE),
        [("booting", 0, None)],
    ),
    "attempts before the latest are one span": (
        status(job(1, attempt=3, seconds=PARTS, run_start=100, run_end=140, save_end=145), instances=ENDED, **ONE),
        [*BEFORE, ("running", 40, 100), ("running", 100, 140), ("saving", 140, 145), ("idle", 145, 150)],
    ),
    "a job that was lost ends with its instance": (
        status(job(1, state=JobState.RUNNING, seconds=PARTS | {"run": 0}, run_start=40), instances=ENDED, **ONE),
        [*BEFORE, ("running", 40, 150)],
    ),
    "a job that could not be run has no run": (
        status(job(1, state=JobState.FAILED, seconds={"boot": 20, "fetch": 3, "provide": 60}), instances=ENDED, **ONE),
        [("booting", 0, 20), ("fetching", 20, 23), ("providing", 23, 83), ("idle", 83, 150)],
    ),
    "of an agent of 2008 only runs and savings are known": (
        status(job(1, **RAN), instances=ENDED, **ONE),
        [("unknown", 0, 40), ("running", 40, 140), ("saving", 140, 145), ("idle", 145, 150)],
    ),
}


@pytest.mark.parametrize(("known", "expected"), JOBS.values(), ids=JOBS)
def test_what_a_core_did(known, expected):
    assert drawn(known) == [expected]


def test_a_core_without_a_job_is_idle_all_the_time():
    assert drawn(status(job(1, **RAN), instances=ENDED))[1] == [("idle", 0, 150)]


def test_an_instance_of_another_type_has_the_cores_and_jobs_of_its_reservation():
    had = tuple(
        StartReservation(instance_type=name, n_instances=1, cores_per_instance=cores, price_per_hour=None)
        for name, cores in (("m1.small", 1), ("m1.xlarge", 4))
    )
    jobs = (job(1, **RAN), *(job(number, launch_index=1, **RAN) for number in (2, 4)), job(3, launch_index=None))
    values = {"cores_per_instance": 1, "n_instances": 2, "reservations": had}
    spread = status(*jobs[:2], jobs[3], jobs[2], instances=(*ENDED, instance(1, end=150)), **values)
    cores = timeline(spread, instance_times(spread, at=at(2000)))
    assert [
        (core.launch_index, core.core, core.jobs[0].number if core.jobs else None, core.moved) for core in cores
    ] == [
        (0, 0, 1, None),
        (1, 0, 2, None),
        (1, 1, 3, None),
        (1, 2, 4, None),
        (1, 3, None, None),
    ]


def test_of_a_core_whose_job_was_run_again_elsewhere_only_that_is_known():
    again = status(
        job(1, seconds=PARTS, launch_index=1, run_start=940, run_end=1040),
        job(2, **RAN),
        instances=(*ENDED, instance(1, begin=900, end=1050)),
    )
    cores = timeline(again, instance_times(again, at=at(2000)))
    assert [
        (core.launch_index, core.core, core.jobs[0].number if core.jobs else None, core.moved) for core in cores
    ] == [
        (0, 0, None, 1),
        (0, 1, 2, None),
        (1, 0, 1, None),
        (1, 1, None, None),
    ]
    assert drawn(again)[0] == [("unknown", 0, 150)]


# --- shared jobs: a core runs one after another, and no record says which core it was ---


def claimed(number, begin, end=None, *, launch_index=0, count=1, first=False, **values):
    """Return a job that ran between these times; ``first``: it was the first on its core."""
    ended = {} if end is None else {"run_end": end, "save_start": end, "save_end": end + 2}
    state = {} if end else {"state": JobState.RUNNING, "return_code": None}
    made = job(number, launch_index=launch_index, run_start=begin, **ended, **state, **values)
    before = {"boot": 20.0, "fetch": 3.0} if first else {}
    seconds = timing_attributes(before | {"provide": 4.0, "queue": 1.0}, attempt=1)
    return replace(made, extra=seconds | claim_attribute(Claim(pool=1, count=count, lease=f"{launch_index}-a")))


def shared(*jobs, **values):
    return status(*jobs, user_data=SHARED, **values)


def laid(known, *, now: float = 1000):
    """Return which jobs are on which core, and the spans of each core with the jobs that they are about."""
    cores = shared_timeline(known, instance_times(known, at=at(now)))

    def seconds(time):
        return None if time is None else (time - at(0)).total_seconds()

    spans = [
        [
            (each.phase.value, each.job.number if each.job else None, seconds(each.begin), seconds(each.end))
            for each in core.spans
        ]
        for core in cores
    ]
    return [[each.number for each in core.jobs] for core in cores], spans


def test_shared_jobs_are_laid_on_the_cores_that_were_free_when_they_began():
    both = claimed(1, 40, 100, first=True), claimed(2, 40, 200, first=True)
    jobs = (*both, claimed(3, 110, 150), claimed(4, 160), claimed(5, 210, 300))
    numbers, spans = laid(shared(*jobs, instances=(instance(0),), over=False), now=400)

    assert numbers == [[1, 3, 4], [2, 5]]
    assert spans[0] == [
        ("booting", 1, 0, 32),
        ("fetching", 1, 32, 35),
        ("providing", 1, 35, 39),
        ("queueing", 1, 39, 40),
        ("running", 1, 40, 100),
        ("saving", 1, 100, 102),
        ("idle", None, 102, 105),
        ("providing", 3, 105, 109),
        ("queueing", 3, 109, 110),
        ("running", 3, 110, 150),
        ("saving", 3, 150, 152),
        ("idle", None, 152, 155),
        ("providing", 4, 155, 159),
        ("queueing", 4, 159, 160),
        ("running", 4, 160, None),
    ]
    assert spans[1][-2:] == [("saving", 5, 300, 302), ("idle", None, 302, None)]


def test_where_a_job_was_run_again_what_lies_between_jobs_is_not_known():
    # What the instance before has told of its boot is no word on this one's.
    jobs = (claimed(1, 40, 100, first=True), claimed(2, 500, 600, launch_index=1, count=2, first=True))
    instances = (instance(0, end=300), instance(1, begin=400, end=700))
    numbers, spans = laid(shared(*jobs, instances=instances))

    assert numbers == [[1], [], [2], []]
    assert spans[0][-1] == ("unknown", None, 102, 300)
    assert spans[1] == [("unknown", None, 0, 300)]
    assert spans[2][:2] == [("unknown", None, 400, 495), ("providing", 2, 495, 499)]


def test_a_job_that_nobody_has_claimed_is_on_no_core_and_one_that_waits_for_its_release_is():
    waits = replace(claimed(2, 1), state=JobState.PENDING, run_start=None)
    nobodys = job(3, state=JobState.PENDING, launch_index=None, return_code=None)
    known = shared(claimed(1, 40, 100), waits, nobodys, instances=(instance(0),), over=False, cores_per_instance=1)
    numbers, spans = laid(known, now=200)

    assert numbers == [[1, 2]]
    assert spans[0][-1] == ("providing", 2, 102, None)


def test_the_report_counts_the_jobs_of_a_core_and_names_the_one_that_went_wrong():
    wrong = claimed(3, 110, 150, return_code=7)
    jobs = (claimed(1, 40, 100), claimed(2, 40, 200), wrong)
    lines = timeline_lines(make_report(shared(*jobs, instances=(instance(0, end=400),)), at=at(400)))

    assert [(each.label, each.note) for each in lines] == [("2 jobs", "✕ job 3"), ("2", "")]
