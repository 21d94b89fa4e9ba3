"""Tables of the command line: laid out by hand where they fit, folded where they do not, and never a way in."""

from rich.console import Console

from awsac_async.cli.tables import Rows


def printed(rows: list[list[str]], *, columns: int) -> list[str]:
    console = Console(width=columns, highlight=False, markup=False, color_system=None)
    with console.capture() as captured:
        console.print(Rows(["job", "status"], rows, right={"job"}, title="all jobs"))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_numbers_end_at_the_right_and_columns_are_two_spaces_apart():
    lines = printed([["9", "running"], ["10", "finished"]], columns=80)
    assert lines == ["all jobs", "job  status", "  9  running", " 10  finished"]


def test_a_table_without_rows_has_its_titles():
    assert printed([], columns=80) == ["all jobs", "job  status"]


def test_what_is_too_wide_is_folded_and_nothing_of_it_lost():
    lines = printed([["1", "abcdefghijkl"]], columns=11)
    assert max(map(len, lines)) <= 11
    assert "".join(line.split()[-1] for line in lines[2:]) == "abcdefghijkl"


def test_wide_characters_stand_in_line():
    lines = printed([["1", "終"], ["2", "ab"]], columns=80)
    assert lines[2:] == ["  1  終", "  2  ab"]


def test_what_a_job_wrote_does_not_control_the_terminal():
    lines = printed([["1", "\x1b[2J\rgone"]], columns=80)
    assert not any("\x1b" in line or "\r" in line for line in lines)
