"""The document of a launch is read back as it was written, gives each job one instance, and is refused as nonsense."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.session.errors import FormatError
from awsac_async.session.jobs import instances_needed
from awsac_async.session.launches import LaunchDocument, LaunchedJob, format_launch, parse_launch
from awsac_async.session.model import MAX_JOBS
from tests.session.outcomes import outcome

GOOD = {
    "version": 1,
    "launch": 2,
    "first_launch_index": 2,
    "n_instances": 2,
    "cores_per_instance": 2,
    "client_token": "0123",
    "reservation_id": "",
    "started": "2026-11-22T15:50:39Z",
    "jobs": [{"number": 2, "attempt": 2}, {"number": 3, "attempt": 1}, {"number": 9, "attempt": 4}],
}


def document(numbers: list[int], cores: int = 2) -> LaunchDocument:
    return LaunchDocument(
        launch=3,
        first_launch_index=5,
        n_instances=instances_needed(len(numbers), cores),
        cores_per_instance=cores,
        client_token="token",
        reservation_id="r-1",
        started="2026-11-22T15:50:39Z",
        jobs=tuple(LaunchedJob(number=number, attempt=number % 3 + 1) for number in numbers),
    )


@given(st.lists(st.integers(1, MAX_JOBS), min_size=1, unique=True), st.integers(1, 64))
def test_what_is_written_is_read_back_and_every_job_runs_on_one_instance(numbers, cores):
    launch = document(numbers, cores)
    slices = [launch.jobs_of(index) for index in range(launch.n_instances)]
    assert parse_launch(format_launch(launch), file="2.json") == launch
    assert [job.number for each in slices for job in each] == numbers
    assert all(1 <= len(each) <= cores for each in slices)
    assert launch.launch_indexes() == {job.number: 5 + index for index, each in enumerate(slices) for job in each}
    assert launch.jobs_of(launch.n_instances) == ()


def test_where_a_launch_is_is_written_only_if_it_is_not_where_the_session_file_says():
    usual = document([2, 3, 9])
    elsewhere = dataclasses.replace(usual, instance_type="m1.small", subnet_id="subnet-0123abcd")
    assert parse_launch(format_launch(elsewhere), file="2.json") == elsewhere
    assert json.loads(format_launch(elsewhere)).keys() - json.loads(format_launch(usual)).keys() == {
        "instance_type",
        "subnet_id",
    }


def test_launch_indexes_go_on_behind_those_of_the_launch():
    assert document([2, 3, 9]).end_launch_index == 7


def test_members_of_a_later_version_are_passed_over():
    later = json.dumps({**GOOD, "zone": "us-east-1a"}).encode()
    assert parse_launch(later, file="2.json").numbers == {2, 3, 9}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("version", 2),
        ("version", True),
        ("launch", 1),
        ("first_launch_index", 0),
        ("n_instances", 1),
        ("n_instances", "2"),
        ("cores_per_instance", 0),
        ("client_token", ""),
        ("reservation_id", None),
        ("started", ""),
        ("started", "yesterday"),
        ("jobs", []),
        ("jobs", [{"number": 2, "attempt": 2}, {"number": 2, "attempt": 2}]),
        ("number", [{"number": 0, "attempt": 2}]),
        ("attempt", [{"number": 2}]),
        (None, [3]),
        ("instance_type", 1),
    ],
)
def test_nonsense_is_refused_with_its_place(member, value):
    content = json.dumps(GOOD | {"jobs" if member in {"number", "attempt", None} else member: value}).encode()
    with pytest.raises(FormatError) as caught:
        parse_launch(content, file="2.json")
    assert (caught.value.file, caught.value.field) == ("2.json", member)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_format_error(content):
    assert isinstance(outcome(lambda: parse_launch(content, file="2.json")), LaunchDocument | FormatError)


def test_a_document_deeper_or_larger_than_any_is_refused():
    for content in (b"[" * 100_000, b" " * (9 << 20)):
        with pytest.raises(FormatError):
            parse_launch(content, file="2.json")
