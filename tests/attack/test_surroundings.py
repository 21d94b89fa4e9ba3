"""Whatever surrounds a client, it ends with what was asked for, or with a sentence and the right exit code."""

import subprocess
import sys
from pathlib import Path

SEED, ROUNDS = 20261201, 40


def test_no_variable_file_cache_process_or_stream_around_a_client_becomes_a_fault_of_awsac() -> None:
    command = [sys.executable, "-m", "tests.attack", "surroundings", "--minutes", "0"]
    command += ["--seed", str(SEED), "--rounds", str(ROUNDS)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{ROUNDS} rounds, 0 findings" in done.stdout
