"""How soon a command answers: ``awsac --help`` and a small ``awsac check`` beside ``aws --version`` and s5cmd.

In turns, in one run; ``awsac check`` asks the embedded cloud about a session of four jobs that is over.
"""

import os
import statistics
import sys
from pathlib import Path

from awsac_async.local.settings import Settings
from benchmarks import commands
from benchmarks.sessions import embedded, finish

ROUNDS = 15


async def run() -> list[tuple[str, ...]]:
    """Return the table."""
    with embedded(Settings()) as bench:
        session = await bench.start(["-;true.sh;4"], {"true.sh": "true\n"})
        await finish(session)
        places = Path(sys.executable).parent
        measured = {
            "awsac --help": [str(places / "awsac"), "--help"],
            "awsac check": [str(places / "awsac"), "check", "-c", str(session)],
            "aws --version": [str(places / "aws"), "--version"],
            "s5cmd version": [commands.s5cmd(), "version"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(ROUNDS):
            for name, command in measured.items():
                seconds[name].append(commands.run(command, dict(os.environ)).seconds)
    rows = [(name, f"{statistics.median(each):.2f} s") for name, each in seconds.items()]
    return [("command", f"median of {ROUNDS}"), *rows]
