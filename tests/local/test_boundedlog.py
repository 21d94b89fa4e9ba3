"""The log of the embedded cloud stays small, whatever makes it print."""

import os
import subprocess
import sys
from pathlib import Path

from awsac_async.local.boundedlog import BoundedLog

PRINTING = """
import os, sys, traceback
from pathlib import Path
from awsac_async.local import boundedlog

boundedlog.LIMIT = 1000
boundedlog.install(Path(sys.argv[1]))
for number in range(1000):
    print("line", number, file=(sys.stdout, sys.stderr)[number % 2])
os.write(2, b"what is no text of Python\\n")
print("the last one")
"""


def test_a_flood_leaves_the_last_lines_in_two_small_files(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", limit=1000)
    for number in range(1000):
        print("line", number, file=log)
    files = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert set(files) == {"log", "log.1"}
    assert all(len(text) < 1100 for text in files.values())
    assert (files["log.1"] + files["log"]).endswith("line 997\nline 998\nline 999\n")


def test_a_text_without_an_end_is_cut_and_what_is_no_text_is_escaped(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log")
    log.write("x" * 10_000_000)
    log.write("\udc80\n")
    size = (tmp_path / "log").stat().st_size
    assert size < 100_000
    assert (tmp_path / "log").read_text().endswith("\\udc80\n")


def test_all_that_a_process_prints_goes_there(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", PRINTING, tmp_path / "log"], env=environment, capture_output=True, check=True
    )
    assert done.stdout + done.stderr == b""
    assert (tmp_path / "log").read_text().endswith("what is no text of Python\nthe last one\n")
