"""jobs.cfg is read or refused with its place; each job belongs to one instance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.session.errors import FormatError
from awsac_async.session.jobs import (
    check_jobs,
    expand,
    instances_needed,
    parse_jobs,
    parse_numbers,
    read_jobs,
    select_jobs,
    shown_numbers,
)
from awsac_async.session.model import MAX_JOBS, Job, JobDefinition
from tests.session.outcomes import outcome

OF_2008 = "snap1;shellscriptA.sh;3\nsnap2;shellscriptA.sh;1\nsnap1;shellscriptB.sh;2\n"
SCRIPTS = {"shellscriptA.sh", "shellscriptB.sh"}


def refusal(text: str, **check) -> FormatError:
    with pytest.raises(FormatError) as caught:
        check_jobs(parse_jobs(text, file="jobs.cfg"), file="jobs.cfg", **({"n_jobs": 1, "scripts": {"a.sh"}} | check))
    return caught.value


def test_a_jobs_cfg_of_2008_is_read_as_it_is():
    jobs = expand(parse_jobs(OF_2008, file="jobs.cfg"))
    assert [(job.number, job.release, job.script) for job in jobs] == [
        (1, "snap1", "shellscriptA.sh"),
        (2, "snap1", "shellscriptA.sh"),
        (3, "snap1", "shellscriptA.sh"),
        (4, "snap2", "shellscriptA.sh"),
        (5, "snap1", "shellscriptB.sh"),
        (6, "snap1", "shellscriptB.sh"),
    ]


def test_comments_and_blank_lines_are_passed_over_and_lines_keep_their_numbers(tmp_path):
    path = tmp_path / "jobs.cfg"
    path.write_bytes(b"# all jobs\r\n\r\n  snap-0123abcd ; a.sh ; 2  # two of them\r\n")
    assert read_jobs(path) == [JobDefinition(release="snap-0123abcd", script="a.sh", count=2, line=3)]


@pytest.mark.parametrize("field", ["", "-", " - "])
def test_a_job_without_a_release_has_no_snapshot(field):
    assert parse_jobs(f"{field};a.sh;1", file="jobs.cfg")[0].release is None


def test_a_fourth_field_is_how_long_the_jobs_of_a_line_may_run():
    text = "-;a.sh;2;90s\n-;a.sh;1;1.5 h\n-;a.sh;1;20\n-;a.sh;1;-\n-;a.sh;1;\n-;a.sh;1\n"
    jobs = expand(parse_jobs(text, file="jobs.cfg"))
    assert [job.timeout for job in jobs] == [90, 90, 5400, 20, None, None, None]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("a.sh;1", None),
        ("-;a.sh;1;1h;1", None),
        ("-;a.sh", None),
        ("snap 1;a.sh;1", "snapshotID"),
        ("snap/1;a.sh;1", "snapshotID"),
        ("-;;1", "shellscriptname"),
        ("-;bin/a.sh;1", "shellscriptname"),
        ("-;..;1", "shellscriptname"),
        ("-;a\0.sh;1", "shellscriptname"),
        ("-;a.sh;", "numberofjobs"),
        ("-;a.sh;0", "numberofjobs"),
        ("-;a.sh;-1", "numberofjobs"),
        ("-;a.sh;two", "numberofjobs"),
        ("-;a.sh;1e3", "numberofjobs"),
        ("-;a.sh;" + "9" * 5000, "numberofjobs"),
        ("-;a.sh;1;0", "jobtimeout"),
        ("-;a.sh;1;-1h", "jobtimeout"),
        ("-;a.sh;1;1d", "jobtimeout"),
        ("-;a.sh;1;8761h", "jobtimeout"),
        ("-;a.sh;1;" + "9" * 5000, "jobtimeout"),
    ],
)
def test_a_line_that_is_no_definition_is_refused_with_its_number_and_field(line, field):
    error = refusal(f"-;a.sh;1\n\n{line}\n")
    assert (error.file, error.line, error.field) == ("jobs.cfg", 3, field)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_a_file_without_a_job_is_refused(text):
    assert refusal(text).found == "no job"


def test_a_number_of_jobs_other_than_n_jobs_is_refused_with_both_numbers():
    error = refusal("-;a.sh;3\n-;a.sh;2\n", n_jobs=4)
    assert "found 5 jobs in all, expected 4" in str(error)


def test_an_enormous_number_of_jobs_is_refused_before_any_job_is_made():
    error = refusal(f"-;a.sh;{MAX_JOBS}\n" * 10_000, n_jobs=4)
    assert f"{MAX_JOBS * 10_000} jobs" in str(error)


def test_all_scripts_that_are_missing_are_named_at_the_line_of_the_first():
    error = refusal("-;a.sh;1\n-;b.sh;1\n-;c.sh;1\n-;b.sh;1\n", n_jobs=4)
    assert (error.line, error.found) == (2, "b.sh, c.sh, not in the archive")


def test_a_word_that_ec2_cannot_know_as_a_snapshot_is_refused_before_the_start():
    error = refusal("snap1;a.sh;1\n")
    assert (error.line, error.field, error.found) == (1, "snapshotID", "'snap1'")


def test_a_right_file_passes():
    text = OF_2008.replace("snap1", "snap-0123abcd").replace("snap2", "snap-0123456789abcdef0")
    check_jobs(parse_jobs(text, file="jobs.cfg"), n_jobs=6, scripts=SCRIPTS, file="jobs.cfg")


@given(n_jobs=st.integers(1, 200), cores=st.integers(1, 64))
def test_each_job_runs_on_exactly_one_instance_and_no_instance_is_idle(n_jobs, cores):
    jobs = [Job(number=number, script="a.sh", release=None) for number in range(1, n_jobs + 1)]
    instances = instances_needed(n_jobs, cores)
    chosen = [select_jobs(jobs, launch_index=index, cores_per_instance=cores) for index in range(instances)]
    assert [job for of_instance in chosen for job in of_instance] == jobs
    assert all(1 <= len(of_instance) <= cores for of_instance in chosen)
    assert select_jobs(jobs, launch_index=instances, cores_per_instance=cores) == []
    assert (instances - 1) * cores < n_jobs <= instances * cores


@given(st.sets(st.integers(1, MAX_JOBS), min_size=1) | st.sets(st.integers(1, 12), min_size=1))
def test_a_list_of_job_numbers_is_read_as_it_is_shown(numbers):
    assert parse_numbers(shown_numbers(numbers)) == numbers


def test_job_numbers_are_given_singly_and_as_ranges():
    assert parse_numbers("7, 1,3-5,4") == {1, 3, 4, 5, 7}
    assert shown_numbers({7, 1, 3, 4, 5}) == "1,3-5,7"


@pytest.mark.parametrize("text", ["", "0", "-1", "1,", "5-3", "1-", "two", "1-999999999", "9" * 5000])
def test_what_is_no_list_of_job_numbers_is_refused(text):
    with pytest.raises(FormatError, match=r"^job numbers: found .* like 1,3-7$"):
        parse_numbers(text)


words = st.from_regex(r"[A-Za-z0-9_.-]+", fullmatch=True)
scripts = words.filter(lambda word: word not in {".", ".."})
counts = st.integers(1, MAX_JOBS)


@given(st.lists(st.tuples(st.none() | words.filter(lambda word: word != "-"), scripts, counts), min_size=1))
def test_what_is_written_down_is_read_back(rows):
    text = "\n".join(f"{snapshot or '-'};{script};{count}" for snapshot, script, count in rows)
    assert [(each.release, each.script, each.count) for each in parse_jobs(text, file="jobs.cfg")] == rows


pieces = st.sampled_from(["snap1", "-", "a.sh", "1", "0", ";", ";", ";", "\n", " ", "#", "/"]) | st.text(max_size=3)


@given(st.text() | st.lists(pieces).map("".join))
def test_any_text_is_read_or_refused_with_a_format_error(text):
    result = outcome(lambda: parse_jobs(text, file="jobs.cfg"))
    if isinstance(result, FormatError):
        assert str(result).startswith("jobs.cfg")
    else:
        assert all(each.count >= 1 and "/" not in each.script for each in result)
