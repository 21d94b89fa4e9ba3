"""Items of the domain, as 2008 wrote them and as we do."""

import dataclasses
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.session.items import from_attributes, to_attributes
from awsac_async.session.model import JobRecord, JobState
from tests.contract import ITEM_ATTRIBUTES

OF_2008 = {
    "jobnr": "3",
    "status": "finished",
    "instance_id": "i-0a1b2c3d",
    "launchindex": "1",
    "shellscript": "/mnt/awsac/gen_30.sh",
    "runstarttime": "08-12-15 16:50:12",
    "runendtime": "08-12-15 17:20",
    "returncode": "0",
    "savestarttime": "08-12-15 17:20:01",
    "saveendtime": "08-12-15 17:20:30",
}


def test_a_pending_job_has_all_ten_attributes_of_2008_and_a_reason_to_replace_one_before():
    attributes = to_attributes(JobRecord(number=1))
    assert tuple(attributes) == (*ITEM_ATTRIBUTES, "reason")
    assert attributes["reason"] == ""
    assert {key: value for key, value in attributes.items() if value} == {"jobnr": "1", "status": "pending"}


def test_a_job_that_ran_is_written_with_times_in_utc():
    start = datetime(2026, 11, 22, 16, 50, 39, tzinfo=timezone(timedelta(hours=1)))
    record = JobRecord(number=12, state=JobState.FAILED, return_code=-9, run_start=start, reason="no release")
    attributes = to_attributes(record)
    assert attributes["runstarttime"] == "2026-11-22T15:50:39Z"
    assert (attributes["returncode"], attributes["reason"]) == ("-9", "no release")


def test_an_item_of_2008_is_read_with_its_local_times():
    record = from_attributes("job3", OF_2008)
    assert (record.number, record.state, record.launch_index, record.return_code) == (3, JobState.FINISHED, 1, 0)
    assert (record.script, record.instance_id) == ("/mnt/awsac/gen_30.sh", "i-0a1b2c3d")
    assert record.run_start == datetime(2008, 12, 15, 16, 50, 12).astimezone(UTC)
    assert record.run_end == datetime(2008, 12, 15, 17, 20).astimezone(UTC)
    assert record.succeeded


def test_attributes_that_are_missing_are_not_known_yet():
    assert from_attributes("job7", {}) == JobRecord(number=7)


def test_our_own_attributes_are_kept_and_others_passed_over():
    assert from_attributes("job1", {"x_core": "1", "colour": "blue"}).extra == {"x_core": "1"}


@pytest.mark.parametrize(
    ("attribute", "value", "field"),
    [
        ("status", "exploded", "state"),
        ("jobnr", "4", None),
        ("jobnr", "three", None),
        ("launchindex", "-1", "launch_index"),
        ("returncode", "none", "return_code"),
        ("runstarttime", "yesterday", "run_start"),
        ("saveendtime", "2026-11-22", "save_end"),
        ("runstarttime", "0001-01-01T00:00:00Z", "run_start"),
        ("saveendtime", "9999-12-31T23:59:59Z", "save_end"),
    ],
)
def test_a_value_that_no_agent_writes_is_not_known_and_the_reason_says_so(attribute, value, field):
    record = from_attributes("job3", OF_2008 | {attribute: value})
    assert record.reason.startswith(f"{attribute} is '{value}', not ")
    good = from_attributes("job3", OF_2008)
    unknown = {field: getattr(JobRecord(number=3), field)} if field else {}
    assert record == dataclasses.replace(good, reason=record.reason, **unknown)


def test_what_cannot_be_read_is_said_after_the_reason_that_is_there():
    reason = from_attributes("job3", {"reason": "no release", "returncode": "x"}).reason
    assert reason == "no release; returncode is 'x', not an exit status"


@pytest.mark.parametrize("name", ["job", "job0", "job01", "jobs1", "Job1", "x", "1"])
def test_an_item_that_is_no_job_is_passed_over(name):
    assert from_attributes(name, OF_2008) is None


def test_a_reason_is_written_as_simpledb_takes_it():
    reason = to_attributes(JobRecord(number=1, reason="mount:\n\x1b[31mno\0 " + "é" * 1000))["reason"]
    assert reason.startswith("mount: [31mno ééé")
    assert len(reason.encode()) <= 1024


times = st.none() | st.datetimes(datetime(2008, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda time: time.replace(microsecond=0)
)
texts = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=50)
records = st.builds(
    JobRecord,
    number=st.integers(1, 10**6),
    state=st.sampled_from(JobState),
    script=texts,
    instance_id=texts,
    launch_index=st.none() | st.integers(0, 10**6),
    run_start=times,
    run_end=times,
    return_code=st.none() | st.integers(-64, 255),
    save_start=times,
    save_end=times,
    reason=texts,
    extra=st.dictionaries(texts.map("x_".__add__), texts),
)


@given(records)
def test_what_is_written_is_read_back(record):
    assert from_attributes(f"job{record.number}", to_attributes(record)) == record


attributes = st.dictionaries(
    st.sampled_from([*ITEM_ATTRIBUTES, "reason", "x_"]), st.text() | st.sampled_from([*OF_2008.values()])
)


@given(st.sampled_from(["job3", "x"]) | st.text(), attributes)
def test_any_item_is_read_or_passed_over(name, attributes):
    record = from_attributes(name, attributes)
    assert record is None or f"job{record.number}" == name
