"""Temporary folders of clients: they go with their process, and those of killed ones with the next."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from awsac_async.client.scratch import sweep, temporary_folder

KEPT_OPEN = """
import sys
from awsac_async.client.scratch import temporary_folder
with temporary_folder() as folder:
    (folder / "jobs.tar.bz2").write_bytes(b"a whole archive")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def holding(temporary: Path) -> "tuple[subprocess.Popen[str], Path]":
    """Start a process that holds a temporary folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", KEPT_OPEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_killed_processs_folder_goes_with_the_next_one_and_one_in_use_stays(temporary: Path) -> None:
    (killed, left), (living, used) = holding(temporary), holding(temporary)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    with temporary_folder() as own:
        sweep()
        there = {*temporary.iterdir()}
    living.communicate("")

    assert left not in there
    assert there == {own, used}
    assert [*temporary.iterdir()] == []


def test_nothing_is_swept_that_others_may_have_made(temporary: Path) -> None:
    target = temporary / "target"
    target.mkdir(mode=0o700)
    (target / "precious").touch()
    (temporary / "awsac-client-aaaaaaaa").symlink_to(target)
    (temporary / "awsac-client-bbbbbbbb").mkdir(mode=0o755)
    (temporary / "awsac-client-cccccccc").touch()
    os.mkfifo(temporary / "awsac-client-dddddddd")
    (temporary / "awsac-projects").mkdir(mode=0o700)
    if os.geteuid() == 0:
        (temporary / "awsac-client-eeeeeeee").mkdir(mode=0o700)
        os.chown(temporary / "awsac-client-eeeeeeee", 65534, 65534)
    before = {*temporary.rglob("*")}

    sweep()

    assert {*temporary.rglob("*")} == before
