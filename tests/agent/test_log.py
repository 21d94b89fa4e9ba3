"""The agent's log, as a process of its own writes it: what stands where, and what does not hold it up."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY="
START = """
import logging, os, sys
from pathlib import Path
from awsac_async.agent.log import flush_log, start_log, step
from awsac_async.session.redaction import secrets
log = logging.getLogger("awsac_async.agent")
start_log(Path(sys.argv[1]))
"""


def run(script: str, file: Path, **options: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", START + script, str(file)]
    return subprocess.run(command, text=True, check=False, timeout=60, **{"capture_output": True, **options})


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.with_suffix(".jsonl").read_text().splitlines()]


def test_a_step_is_a_line_of_text_and_a_line_of_json_at_its_start_and_at_its_end(tmp_path):
    file = tmp_path / "info" / "processjobs.log"
    script = """
with step("attach vol-1", volume="vol-1", instance="i-1"):
    log.info("asked")
with step("job 2: run", job="2", attempt="2"):
    pass
try:
    with step("mount vol-1"):
        raise OSError("no\\nsuch device") from ValueError("ext5")
except OSError:
    pass
from awsac_async.agent.stopping import StoppedError
from awsac_async.session.model import JobState
try:
    with step("job 3: run"):
        raise StoppedError(JobState.KILLED, "asked for by awsac kill")
except StoppedError:
    pass
"""
    ended = run(script, file)
    assert ended.returncode == 0
    assert ended.stdout == file.read_text()
    said = [line.split(" ", 1)[1] for line in file.read_text().splitlines()]
    assert said[:2] == ["INFO attach vol-1: start (instance=i-1)", "INFO asked"]
    assert said[2].startswith("INFO attach vol-1: done in 0.")
    assert said[2].endswith(" s (instance=i-1)")
    assert said[3] == "INFO job 2: run: start (attempt=2)"
    assert said[6].endswith(" s by OSError: no such device, from ValueError: ext5")
    assert said[8].startswith("WARNING job 3: run: stopped after 0.")
    assert said[8].endswith(" s: asked for by awsac kill")

    start, asked, end, *_, failed, _, _ = lines(file)
    assert all(str(line.pop("time")).endswith("Z") for line in (start, asked, end, failed))
    resources = {"volume": "vol-1", "instance": "i-1"}
    text = "attach vol-1: start (instance=i-1)"
    assert start == {"level": "INFO", "step": "attach vol-1", "event": "start", "resources": resources, "message": text}
    assert asked == {"level": "INFO", "message": "asked"}
    assert (end["event"], end["resources"]) == ("end", resources)
    assert isinstance(end["seconds"], float)
    assert (failed["level"], failed["step"], failed["event"]) == ("WARNING", "mount vol-1", "failed")


def test_no_credential_is_written_nor_lost_with_a_traceback_or_the_end_of_the_process(tmp_path):
    file = tmp_path / "processjobs.log"
    script = f"""
secrets.know({SECRET!r})
log.error("refused: %s", {{"Authorization": "AWS4 Credential=abc", "key": {SECRET!r}}})
with step("sign", key={SECRET!r}):
    raise RuntimeError("signing with {SECRET} failed")
"""
    ended = run(script, file)
    assert ended.returncode == 1
    written = ended.stdout + ended.stderr + file.read_text() + file.with_suffix(".jsonl").read_text()
    assert SECRET not in written
    assert "Credential=abc" not in written
    assert "RuntimeError: signing with [redacted] failed" in file.read_text().splitlines()[-1]
    assert "Traceback" in str(lines(file)[-1]["message"])


def test_what_is_logged_before_a_flush_is_in_the_files_though_the_process_is_killed(tmp_path):
    file = tmp_path / "processjobs.log"
    script = """
import asyncio
for number in range(1000):
    log.info("line %d", number)
asyncio.run(flush_log())
os.kill(os.getpid(), 9)
"""
    ended = run(script, file)
    assert ended.returncode == -9
    assert file.read_text().splitlines()[-1].endswith("line 999")
    assert [line["message"] for line in lines(file)] == [f"line {number}" for number in range(1000)]


@pytest.mark.parametrize("close", [(), (1,), (1, 2)], ids=str)
def test_a_full_disk_and_a_closed_console_are_no_errors_of_the_agent(tmp_path, close: Sequence[int]):
    file = tmp_path / "processjobs.log"
    file.symlink_to("/dev/full")

    def without() -> None:
        for number in close:
            os.close(number)

    ended = run('log.info("said")\n', file, preexec_fn=without)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line["message"] for line in lines(file)] == ["said"]


def test_a_console_that_nobody_reads_holds_up_neither_the_agent_nor_its_files(tmp_path):
    file = tmp_path / "processjobs.log"
    reader, writer = os.pipe()
    try:
        ended = run(
            'for n in range(3000):\n    log.info("%d %s", n, "x" * 100)\n', file, capture_output=False, stdout=writer
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert ended.returncode == 0
    assert len(lines(file)) == 3000
