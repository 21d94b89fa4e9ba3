"""The parts of a job's time are read back as they were written, and whatever else stands there is passed over."""

from awsac_async.session.items import from_attributes, to_attributes
from awsac_async.session.model import JobRecord
from awsac_async.session.timings import read_attempt, read_seconds, timing_attributes


def test_the_parts_of_a_jobs_time_and_its_attempt_go_through_its_item():
    spent = {"run": 3600.25, "boot": 12.5, "fetch": 0.0}
    job = JobRecord(number=3, extra=timing_attributes(spent, attempt=2))
    read = from_attributes("job3", to_attributes(job))
    assert read is not None
    assert list(read_seconds(read).items()) == [("boot", 12.5), ("fetch", 0.0), ("run", 3600.25)]
    assert read_attempt(read) == 2


def test_a_job_of_an_agent_of_2008_and_one_with_nonsense_have_no_timings():
    odd = {"x_seconds_run": "long", "x_seconds_save": "inf", "x_seconds_boot": "-1", "x_attempt": "second"}
    huge = dict.fromkeys(odd, "1e308")
    for job in (JobRecord(number=1), JobRecord(number=1, extra=odd), JobRecord(number=1, extra=huge)):
        assert (read_seconds(job), read_attempt(job)) == ({}, None)
