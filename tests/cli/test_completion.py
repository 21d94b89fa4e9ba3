"""What the shell offers after Tab, asked as bash asks."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from awsac_async.cli.app import app
from awsac_async.session.record import write_record
from tests.session.test_record import RECORD


def offered(line: str) -> list[str]:
    """Return what is offered at the end of a line, one that ends with a space asking for a new word."""
    words = line.split(" ")
    environment = {"_AWSAC_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = CliRunner().invoke(app, prog_name="awsac", env=environment)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs").mkdir()
    return tmp_path


def test_verbs_and_options_are_offered() -> None:
    assert offered("awsac ch") == ["check"]
    assert offered("awsac check --wat") == ["--watch"]
    assert offered("awsac local sn") == ["snapshot"]


def test_session_files_and_the_folders_that_may_hold_them_are_offered(folder: Path) -> None:
    file = write_record(folder, RECORD).name
    write_record(folder / "jobs", RECORD)
    (folder / "session.ini").touch()

    assert offered("awsac check -c ") == ["jobs/", file]
    assert offered("awsac check -c ses") == [file]
    assert offered("awsac check -c jobs/s") == [f"jobs/{file}"]
    assert offered(f"awsac check -c {folder}/s") == [f"{folder}/{file}"]


def test_numbers_of_jobs_are_those_of_the_session_also_at_the_end_of_a_list(folder: Path) -> None:
    write_record(folder, RECORD)

    assert offered("awsac kill ") == ["1", "2", "3", "4"]
    assert offered("awsac logs --job 1,3-") == ["1,3-1", "1,3-2", "1,3-3", "1,3-4"]
    assert offered("awsac kill 1 2,4") == ["2,4"]


def test_nothing_is_offered_and_nothing_said_where_the_session_is_not_known(folder: Path) -> None:
    (folder / "session-broken.cfg").touch()
    (folder / "session-another.cfg").touch()

    assert offered("awsac kill ") == []
    assert offered("awsac logs -c session-broken.cfg --job ") == []
    assert offered("awsac kill -c nowhere.cfg ") == []
