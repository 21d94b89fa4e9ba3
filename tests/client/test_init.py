"""``init``: a folder that runs at once, and explains every key that a session.ini may have."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from awsac_async.client import init
from awsac_async.client.init import ini_text
from awsac_async.session.archive import pack, read_archive
from awsac_async.session.errors import InputError
from awsac_async.session.startinfo import parse_startinfo, read_startinfo
from awsac_async.session.startkeys import KEYS

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"


def test_the_folder_is_one_that_start_takes(tmp_path: Path) -> None:
    files = init(tmp_path / "first")

    assert [path.relative_to(tmp_path).as_posix() for path in files] == [
        "first/session.ini",
        "first/jobs/jobs.cfg",
        "first/jobs/pi.sh",
    ]
    pack(tmp_path / "first" / "jobs", tmp_path / "jobs.tar.bz2")
    contents = read_archive(tmp_path / "jobs.tar.bz2", file="jobs.tar.bz2")
    assert [(each.script, each.count) for each in contents.definitions] == [("pi.sh", 4)]
    assert read_startinfo(files[0]).n_jobs == 4


def test_nothing_that_is_there_is_replaced_and_nothing_is_written_beside_it(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "jobs.cfg").write_text("mine\n")

    with pytest.raises(InputError, match=r"jobs/jobs\.cfg is there already"):
        init(tmp_path)

    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["jobs.cfg"]
    assert (tmp_path / "jobs" / "jobs.cfg").read_text() == "mine\n"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "first").touch()

    with pytest.raises(InputError, match=r"first.* cannot be written"):
        init(tmp_path / "first")


def test_every_key_is_written_and_its_example_can_be_read() -> None:
    all_set = re.sub(r"^;(?=\w+ = )", "", ini_text(), flags=re.MULTILINE)

    assert re.findall(r"^(\w+) = ", all_set, re.MULTILINE) == list(KEYS)
    parse_startinfo(ini_text(), file="session.ini")
    parse_startinfo(all_set, file="session.ini")


def test_the_documentation_explains_the_keys_in_the_same_words() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:\*\*new\*\*: )?(.+) \| (.+) \|$", PROTOCOL.read_text(), re.MULTILINE)
    documented = {name: (meaning, default) for name, meaning, default in rows if name in KEYS}

    assert documented == {name: (key.meaning, key.default or "required") for name, key in KEYS.items()}


def test_the_script_shows_its_variables_and_leaves_a_result(tmp_path: Path) -> None:
    script = init(tmp_path / "first")[2]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers").touch()
    folder = tmp_path / "job"
    folder.mkdir()
    variables = dict.fromkeys(("AWSAC_JOB", "AWSAC_N_JOBS", "AWSAC_ATTEMPT", "AWSAC_CORE", "AWSAC_SESSION_ID"), "3")
    variables |= {"PATH": os.environ["PATH"], "AWSAC_DATA": str(tmp_path / "data")}

    ran = subprocess.run(
        ["/bin/sh", script], cwd=folder, env=variables, capture_output=True, text=True, check=True, timeout=60
    )

    assert "job 3 of 3" in ran.stdout
    assert f"{tmp_path}/data/numbers" in ran.stdout
    assert abs(float((folder / "results" / "pi.txt").read_text()) - 3.14159) < 0.02
