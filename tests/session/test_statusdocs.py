"""Status documents: what a writer says comes back, and of several that speak of a job the right one counts."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.names import agent_status_key, client_status_key
from awsac_async.session.statusdocs import StatusDocument, StatusWriter, format_status, latest, parse_status, status_key

ID = "261128_1200--test--0a1b"
START, RETRY = StatusWriter(), StatusWriter(launch=2)


def parsed(content: bytes, writer: StatusWriter) -> StatusDocument:
    found = parse_status(content, session_id=ID, key=status_key(ID, writer), file="doc")
    assert found is not None
    return found


def says(writer: StatusWriter, *records: JobRecord) -> StatusDocument:
    return parsed(format_status(records, writer), writer)


def agent(launch_index: int, launch: int = 1) -> StatusWriter:
    return StatusWriter(launch=launch, launch_index=launch_index)


def test_keys_are_named_by_launch_and_by_launch_index():
    assert status_key(ID, RETRY) == client_status_key(ID, 2) == f"awsac/{ID}/status/launch-2.json"
    assert status_key(ID, agent(3, launch=2)) == agent_status_key(ID, 3) == f"awsac/{ID}/status/3.json"


@given(
    st.lists(
        st.builds(
            JobRecord,
            number=st.integers(1, 10**5),
            state=st.sampled_from(JobState),
            script=st.text(min_size=1),
            launch_index=st.none() | st.integers(0, 10**6),
            return_code=st.none() | st.integers(-(2**31), 2**31 - 1),
            extra=st.dictionaries(st.text().map("x_{}".format), st.text(min_size=1)),
        ),
        unique_by=lambda record: record.number,
    ),
    st.builds(StatusWriter, launch=st.integers(1, 9), launch_index=st.none() | st.integers(0, 10**6)),
)
def test_what_is_written_is_read_back_with_its_writer(records, writer):
    assert says(writer, *records) == StatusDocument(writer=writer, records=tuple(records))


def test_what_is_not_known_takes_no_room():
    content = format_status([JobRecord(number=1, script="/mnt/awsac/a.sh", launch_index=0)], START)
    assert json.loads(content) == {
        "launch": 1,
        "items": {"job1": {"jobnr": "1", "status": "pending", "launchindex": "0", "shellscript": "/mnt/awsac/a.sh"}},
    }


def test_the_last_that_speaks_of_a_job_counts_later_launches_after_earlier_ones_and_agents_after_the_client():
    pending, running = JobRecord(number=1, launch_index=0), JobRecord(number=1, state=JobState.RUNNING, launch_index=0)
    again = JobRecord(number=1, launch_index=9, extra={"x_attempt": "2"})
    done = JobRecord(number=1, state=JobState.FINISHED, launch_index=9)
    other = JobRecord(number=2, state=JobState.FINISHED, launch_index=0)
    documents = [
        says(START, pending, JobRecord(number=2)),
        says(agent(0), running, other),
        says(RETRY, again),
        says(agent(9, launch=2), done),
    ]
    for n, counts in enumerate((pending, running, again, done), 1):
        for order in itertools.permutations(documents[:n]):
            assert latest(order)[0] == counts
    assert latest(documents) == [done, other]
    assert latest([*documents[:2], documents[3]]) == [done, other]


def test_members_and_attributes_of_later_versions_are_passed_over():
    item = {"status": "running", "colour": "blue", "x_core": "1", "returncode": 3, "reason": None}
    content = json.dumps({"launch": 2, "version": 7, "items": {"job1": item, "notes": {}, "job2": "x"}}).encode()
    found = parsed(content, agent(0))
    assert found.writer == agent(0, launch=2)
    assert found.records == (JobRecord(number=1, state=JobState.RUNNING, extra={"x_core": "1"}), JobRecord(number=2))


def test_a_document_without_a_launch_is_of_the_first():
    assert parsed(b'{"items": {}}', agent(4)).writer == agent(4)


@pytest.mark.parametrize(
    "name", ["", "1", "x.json", "-1.json", "01.json", "launch-.json", "launch-02.json", "a/1.json"]
)
def test_other_names_are_those_of_no_document(name):
    assert parse_status(b"{}", session_id=ID, key=f"awsac/{ID}/status/{name}", file="doc") is None


@pytest.mark.parametrize(
    ("content", "damage"),
    [
        (b"\xff", "doc, line 1: found byte 0xff, expected text in UTF-8 or ASCII"),
        (b"", "doc: found nothing, expected a JSON object"),
        (b"[1]", "doc: found '[1]', expected a JSON object"),
        (b"{}", "doc, items: found nothing, expected a JSON object"),
        (b'{"launch": true, "items": {}}', "doc, launch: found 'true', expected the number of a launch"),
        (b"[" * 100_000, "doc: found '"),
    ],
)
def test_a_damaged_document_is_named_in_one_sentence(content, damage):
    found = parsed(content, agent(0))
    assert found.damage.startswith(damage)
    assert "\n" not in found.damage
    assert found.records == ()


def test_the_jobs_of_a_damaged_document_stand_as_those_before_it_say_and_name_it():
    damaged = parsed(b"{}", agent(1))
    first, second = JobRecord(number=1, launch_index=0), JobRecord(number=2, launch_index=1)
    assert latest([damaged, says(START, first, second)]) == [
        first,
        JobRecord(number=2, launch_index=1, reason="doc, items: found nothing, expected a JSON object"),
    ]
