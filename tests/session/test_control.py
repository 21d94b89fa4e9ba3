"""The control document is read back as it was written, keeps what was asked, and is refused when it is nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.session.control import Control, format_control, parse_control
from awsac_async.session.errors import FormatError
from awsac_async.session.model import MAX_JOBS
from tests.session.outcomes import outcome


@given(kill=st.frozensets(st.integers(1, MAX_JOBS)), stop=st.booleans(), follow=st.integers(0, 2**53))
def test_what_is_written_is_read_back(kill, stop, follow):
    control = Control(kill=kill, stop=stop, follow=follow)
    assert parse_control(format_control(control), file="control.json") == control


def test_commands_stay_and_those_of_a_later_version_are_kept():
    later = parse_control(b'{"version": 2, "kill": [7], "pause": [1]}', file="control.json")
    grown = later.killing({3}).stopping().following().killing({3, 4})
    assert grown == Control(kill=frozenset({3, 4, 7}), stop=True, follow=1, others={"pause": [1]})
    assert b'"pause": [1]' in format_control(grown)
    assert parse_control(format_control(grown), file="control.json") == grown


def test_a_retry_withdraws_what_was_asked_of_its_jobs_and_of_the_session_and_nothing_else():
    asked = Control(kill=frozenset({3, 4, 7}), stop=True, follow=2, others={"pause": [1]})
    assert asked.withdrawing({3, 7, 9}) == Control(kill=frozenset({4}), follow=2, others={"pause": [1]})


def test_an_empty_document_asks_for_nothing():
    assert parse_control(b"{}", file="control.json") == Control()


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", None),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b'{"kill": 3}', "kill"),
        (b'{"kill": [0]}', "kill"),
        (b'{"kill": [true]}', "kill"),
        (b'{"kill": ["3"]}', "kill"),
        (b'{"kill": [1e999]}', "kill"),
        (b'{"stop": 1}', "stop"),
        (b'{"follow": "now"}', "follow"),
    ],
)
def test_nonsense_is_refused_with_its_place(content, field):
    with pytest.raises(FormatError) as caught:
        parse_control(content, file="control.json")
    assert (caught.value.file, caught.value.field) == ("control.json", field)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_format_error(content):
    assert isinstance(outcome(lambda: parse_control(content, file="control.json")), Control | FormatError)
