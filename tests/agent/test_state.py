"""What an agent keeps for its successor reads back as it was; what is damaged or cannot be written is borne."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from awsac_async.agent import timings
from awsac_async.agent.state import End, KeptJob, RunOptions, State
from awsac_async.agent.timings import Timings
from awsac_async.session.model import JobRecord, JobState

RECORD = JobRecord(
    number=3,
    state=JobState.SAVING,
    script="/mnt/awsac/job.sh",
    instance_id="i-0123456789abcdef0",
    launch_index=1,
    run_start=datetime(2026, 11, 22, 15, 0, 1, tzinfo=UTC),
    return_code=137,
    reason="saving is delayed",
    extra={"x_attempt": "2", "x_seconds_run": "1.500"},
)
KEPT = KeptJob(record=RECORD, part="save", since=12.5, end=End(state=JobState.KILLED, reason="killed by awsac kill"))


def test_a_successor_finds_each_job_as_it_was_kept(tmp_path: Path) -> None:
    State(directory=tmp_path).keep_job(KEPT)
    successor = State(directory=tmp_path)
    assert (successor.job(3), successor.job(4)) == (KEPT, None)


def test_a_successor_is_called_as_its_predecessor_was(tmp_path: Path) -> None:
    options = RunOptions(session_info_file=Path("/s/info"), jobs_file=Path("/s/other.cfg"), instance_id="i-1")
    State(directory=tmp_path).keep_options(options)
    assert State(directory=tmp_path).options() == options
    assert State(directory=tmp_path / "another").options() == RunOptions()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"attributes": {}, "part": "", "since": "then"}'])
def test_a_record_that_is_damaged_counts_as_none(tmp_path: Path, text: str) -> None:
    state = State(directory=tmp_path)
    state.keep_job(KEPT)
    (tmp_path / "jobs" / "3" / "record.json").write_text(text)
    assert state.job(3) is None


def test_what_cannot_be_kept_fails_nobody_and_is_no_reason_to_try_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    state = State(directory=tmp_path / "state")
    state.keep_job(KEPT)
    assert "a successor will not know" in caplog.text
    assert not state.may_try_again()


def test_a_fault_that_comes_again_and_again_is_not_tried_for_ever(tmp_path: Path) -> None:
    assert [State(directory=tmp_path).may_try_again() for _ in range(6)] == [True] * 4 + [False] * 2


def test_the_seconds_of_a_job_are_counted_on_by_a_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 107.0, 110.0])
    monkeypatch.setattr(timings, "uptime", lambda: next(clock))
    first = Timings(RECORD)
    first.enter("run")
    # Its agent dies now; the job runs on.
    second = Timings(RECORD, part=first.part, since=first.since)
    second.enter("save")
    second.enter("")
    assert second.seconds == {"run": 1.5 + 7.0, "save": 3.0}
