"""Standard streams that are closed, and readers that go away: the work is done all the same."""

import os
import subprocess
from pathlib import Path

import pytest

from awsac_async.session.archive import pack
from tests.cli.conftest import AWSAC, BUCKET, Account, Awsac, write_ini, write_jobs
from tests.cli.proxy import PATIENCE
from tests.cli.test_interrupts import session_file


@pytest.fixture
def file(tmp_path: Path, account: Account) -> Path:
    """Give the file of a session of which three objects are left."""
    file = session_file(tmp_path)
    for number in range(3):
        key = f"{file.stem.removeprefix('session-')}/results_job_{number}.tar.bz2"
        account.s3.put_object(Bucket=BUCKET, Key=key, Body=b"saved")
    return file


def with_closed(
    stream: str, awsac: Awsac, *arguments: str | Path, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run awsac as ``awsac … <&-`` does."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {stream}', AWSAC, *map(str, arguments)],
        cwd=awsac.folder,
        env=awsac.environment | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def read_one_line(awsac: Awsac, *arguments: str) -> tuple[int, str, str]:
    """Run awsac as ``awsac … | head -1`` does; return its exit code, the line, and its standard error."""
    with awsac.begin(*arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        return process.wait(PATIENCE), line, said


def test_a_closed_standard_input_has_ended(awsac: Awsac, file: Path) -> None:
    done = with_closed("<&-", awsac, "cleanup", "-c", file)

    assert done.returncode == 2
    assert done.stderr.endswith("standard input has ended; --yes answers with yes\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("stream", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_a_closed_output_changes_nothing_but_what_is_said(awsac: Awsac, file: Path, stream: str) -> None:
    checked = with_closed(stream, awsac, "check", "-c", file)
    cleaned = with_closed(stream, awsac, "cleanup", "--yes", "-c", file)

    assert (checked.returncode, checked.stderr) == (1, "")
    assert (cleaned.returncode, cleaned.stderr) == (0, "")
    assert not file.exists()


def test_cleanup_goes_on_when_nobody_reads_its_lines(awsac: Awsac, account: Account, file: Path) -> None:
    code, line, said = read_one_line(awsac, "cleanup", "--yes", "-c", str(file))

    assert (code, said) == (0, "")
    assert line.startswith("deleted ")
    assert account.keys(f"{file.stem.removeprefix('session-')}/") == []
    assert not file.exists()


def test_start_and_watching_go_on_when_nobody_reads_their_lines(awsac: Awsac, tmp_path: Path) -> None:
    write_ini(tmp_path)
    pack(write_jobs(tmp_path, job="exit 3\n"), tmp_path / "jobs.tar.bz2")

    started = read_one_line(awsac, "start", "--yes", "-i", "session.ini", "-a", "jobs.tar.bz2")
    (file,) = tmp_path.glob("session-*.cfg")
    watched = read_one_line(awsac, "check", "--watch", "-c", str(file))
    over = awsac("check", "-c", file)
    awsac.ok("cleanup", "--yes", "-c", file)

    assert started == (0, "jobs:         2\n", "")
    assert (watched[0], watched[2]) == (1, "")
    assert "is over" in over.stdout


def test_a_full_disk_under_standard_output_is_said_and_what_was_asked_for_is_done(awsac: Awsac, file: Path) -> None:
    version = with_closed(">/dev/full", awsac, "--version")
    checked = with_closed(">/dev/full", awsac, "check", "-c", file)
    cleaned = with_closed(">/dev/full", awsac, "cleanup", "--yes", "-c", file)
    silent = with_closed(">/dev/full 2>/dev/full", awsac, "--version")

    said = "awsac: standard output: No space left on device, what was printed is not all there\n"
    assert (version.returncode, version.stderr) == (2, said)
    assert (checked.returncode, checked.stderr) == (1, said)
    assert (cleaned.returncode, cleaned.stderr) == (2, said)
    assert not file.exists()
    assert silent.returncode == 2


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_what_the_encoding_of_a_terminal_cannot_show_is_replaced(encoding: str, awsac: Awsac) -> None:
    odd = os.fsdecode(b"caf\xe9\xe2\x80\xa6.ini")  # a name in Latin-1, and one character beyond it
    helped = with_closed("", awsac, "image", "build", "--help", PYTHONIOENCODING=encoding)
    refused = with_closed("2>&1", awsac, "plan", "-i", odd, "-a", "nowhere", PYTHONIOENCODING=encoding)

    assert (helped.returncode, helped.stderr) == (0, "")  # an ellipsis in it
    assert refused.returncode == 2
    assert refused.stdout.startswith(r"awsac: caf\xe9?.ini: found no such file")
