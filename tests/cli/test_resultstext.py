"""The text of getresults stays short whatever a session has saved, and JSON names everything."""

from pathlib import Path

from awsac_async.cli.resultstext import results_errors, results_text, results_values
from awsac_async.client import FileState, Missing, ResultFile, Results
from awsac_async.client.results.files import Kind
from awsac_async.session.wording import shown_size

FOLDER = Path("results/session-x")


def file(job: int, state: FileState, *, verified: bool = False, reason: str = "") -> ResultFile:
    path = FOLDER / f"results_job_{job}.tar.bz2"
    return ResultFile(path=path, job=job, kind=Kind.RESULTS, size=1500, state=state, verified=verified, reason=reason)


def results(*files: ResultFile, missing: tuple[Missing, ...] = ()) -> Results:
    return Results(directory=FOLDER, files=files, missing=missing, refused=(), damaged={}, unpacked=(), not_unpacked={})


def missing(job: int, reason: str) -> Missing:
    return Missing(job=job, what=("results", "output"), status="running", reason=reason)


def test_thousands_of_files_are_a_few_lines_of_text_and_all_named_in_json() -> None:
    files = [file(job, FileState.DOWNLOADED, verified=job > 1) for job in range(1, 3001)]
    whole = results(*files, missing=tuple(missing(job, "running") for job in range(3001, 3011)))

    assert results_text(whole).splitlines() == [
        "downloaded    3000 files, 4.5 MB, 2999 verified by SHA-256, 1 complete by size and ETag",
        "missing       results and output of jobs 3001-3010: running",
        f"folder        {FOLDER}",
    ]
    values = results_values(whole)
    assert values["downloaded"] == [each.path.name for each in files]
    assert values["verified"] == [each.path.name for each in files[1:]]
    assert values["missing"][0] == {
        "job": 3001,
        "what": ["results", "output"],
        "status": "running",
        "reason": "running",
    }


def test_many_different_reasons_are_cut_short() -> None:
    lines = results_text(results(missing=tuple(missing(job, f"lost: {job}") for job in range(1, 51)))).splitlines()
    assert len(lines) == 21
    assert lines[-2] == "missing       and 31 more reasons (--json has all)"


def test_what_failed_is_named_with_its_reason_and_what_was_kept_by_name() -> None:
    both = results(file(1, FileState.FAILED, reason="its SHA-256 is another"), file(2, FileState.KEPT))
    assert not both.all_well
    assert results_errors(both) == ["results_job_1.tar.bz2 was not downloaded: its SHA-256 is another"]
    assert "kept          1 file of yours: results_job_2.tar.bz2" in results_text(both)


def test_nothing_saved_is_said() -> None:
    assert results_text(results()).startswith("The session has saved nothing of that.\n")


def test_sizes_are_shown_in_the_unit_in_which_they_are_read_best() -> None:
    assert [shown_size(size) for size in (0, 1, 999, 1000, 3_400_000, 2 * 10**9, 10**13)] == [
        "0 bytes",
        "1 byte",
        "999 bytes",
        "1.0 kB",
        "3.4 MB",
        "2.0 GB",
        "10.0 TB",
    ]
