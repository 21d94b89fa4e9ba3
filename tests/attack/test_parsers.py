"""Whatever reads what others may have written says in a sentence what is wrong with it, in bounded time and memory."""

import subprocess
import sys
from pathlib import Path

SEED, ROUNDS = 20261201, 80


def test_no_reader_breaks_its_promise_for_some_thousand_inputs_that_were_never_meant() -> None:
    command = [sys.executable, "-m", "tests.attack", "parsers", "--minutes", "0"]
    command += ["--seed", str(SEED), "--rounds", str(ROUNDS)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert ", 0 findings" in done.stdout
