"""Results and input data, whole commands: ``awsac getresults`` and ``start -d`` beside s5cmd and ``aws s3 cp``.

All on one SeaweedFS server in memory, in one run, round by round in turns; medians. Every file is checked by SHA-256
after each command, outside the clock. Beside the files, ``awsac getresults`` fetches the manifests of each two of them,
of 16 jobs in one document.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, product
from pathlib import Path

from awsac_async.session import names
from awsac_async.session.record import write_record
from benchmarks import commands, namespace, proxy, weed, workloads
from benchmarks.commands import Run
from benchmarks.records import record
from benchmarks.workloads import SESSION_ID, Files, Workload

TOOLS = ("awsac", "s5cmd", "aws", "loop")
WAYS = {"download": 200, "upload": 400}  # MB that awsac may need at most
ENDPOINTS = {
    "near": f"http://127.0.0.1:{weed.PORT}",
    "far": f"http://127.0.0.1:{proxy.PORT}",
    "tls": f"https://127.0.0.1:{weed.TLS_PORT}",
}
LINES = {"near": "", "far": ", 30 ms a request", "tls": ", TLS"}
DELAY = 0.03  # seconds
# Speed relative to s5cmd's that is to be reached; the rest is measured without a goal.
GOALS = {
    ("download", "small", "near"): 1.2,
    ("download", "mix", "near"): 0.95,
    ("download", "large", "near"): 0.95,
    ("download", "small", "tls"): 3.0,
    ("download", "mix", "tls"): 0.9,
    ("download", "large", "tls"): 0.75,
    ("download", "small", "far"): 1.2,
    ("download", "mix", "far"): 0.9,
    ("upload", "small", "near"): 1.1,
    ("upload", "mix", "near"): 1.3,
    ("upload", "large", "near"): 1.3,
}
_RATIOS = ("s5cmd / awsac", "goal", "s5cmd / loop", "aws / awsac", "peak of awsac", "goal")
_STORE, _TARGET = "bench-sessions", "bench-uploads"  # buckets
_START_SECONDS = 30.0
_BIN = Path(sys.executable).parent


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where tools work: a server's endpoint, a folder in memory, and one workload in it."""

    endpoint: str
    folder: Path
    files: Files

    @property
    def environment(self) -> dict[str, str]:
        """What a tool is told, and nothing else: no profile or credentials of whoever runs this."""
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": weed.KEY,
            "AWS_SECRET_ACCESS_KEY": weed.SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CA_BUNDLE": str(self.folder / weed.CERTIFICATE),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def s5cmd(self, *arguments: str) -> list[str]:
        """Return a command of s5cmd."""
        return [commands.s5cmd(), "--endpoint-url", self.endpoint, "--log", "error", *arguments]

    def do(self, *arguments: str) -> None:
        """Let s5cmd do something that is not measured."""
        near = replace(self, endpoint=ENDPOINTS["near"])
        commands.run(near.s5cmd(*arguments), near.environment)

    def make_bucket(self, name: str) -> None:
        """Make a bucket; a server that has just started refuses, or makes half of one, for some seconds."""
        end = time.monotonic() + _START_SECONDS
        for command in cycle((self.s5cmd("mb", f"s3://{name}"), self.s5cmd("ls", f"s3://{name}"))):
            made = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
            if made.returncode == 0:
                return
            if time.monotonic() > end:
                raise commands.FailedError(made.stderr)
            time.sleep(0.2)  # it tells nobody

    def download(self, tool: str) -> Run:
        """Measure how a tool fetches all results of the session."""
        target = self.folder / "downloaded"
        source = f"s3://{_STORE}/{names.session_prefix(SESSION_ID)}"
        command = {
            "awsac": [str(_BIN / "awsac"), "getresults", "-c", str(self._session()), "-o", str(target)],
            "s5cmd": self.s5cmd("cp", f"{source}*", f"{target}/"),
            "aws": [str(_BIN / "aws"), "s3", "cp", "--recursive", "--only-show-errors", source, str(target)],
            "loop": [
                sys.executable,
                "-m",
                "benchmarks.bareloop",
                _STORE,
                names.session_prefix(SESSION_ID),
                str(target),
            ],
        }
        run = commands.run(command[tool], self.environment)
        self._check(target)
        return run

    def upload(self, tool: str) -> Run:
        """Measure how a tool sends all files to a new bucket."""
        source, target = self.files.results, f"s3://{_TARGET}/data/"
        command = {
            "awsac": [sys.executable, "-m", "benchmarks.uploading", _TARGET, "data/", str(source)],
            "s5cmd": self.s5cmd("cp", f"{source}/", target),
            "aws": [str(_BIN / "aws"), "s3", "cp", "--recursive", "--only-show-errors", str(source), target],
        }
        self.make_bucket(_TARGET)
        run = commands.run(command[tool], self.environment)
        uploaded = self.folder / "uploaded"
        self.do("cp", f"{target}*", f"{uploaded}/")
        self._check(uploaded)
        self.do("rb", f"s3://{_TARGET}")  # with all that is in it, as only this server does
        return run

    def store(self) -> None:
        """Put the session's results and manifests where its agents would have put them."""
        self.do("cp", f"{self.files.results}/", f"s3://{_STORE}/{names.session_prefix(SESSION_ID)}")
        self.do("cp", f"{self.files.manifests}/", f"s3://{_STORE}/{names.manifests_prefix(SESSION_ID)}")

    def _check(self, folder: Path) -> None:
        workloads.verify(folder, self.files.sums)
        shutil.rmtree(folder)

    def _session(self) -> Path:
        n_jobs = (len(self.files.sums) + 1) // 2
        return write_record(self.folder, record(SESSION_ID, _STORE, n_jobs=n_jobs, cores=workloads.CORES))


async def run(*options: str) -> list[tuple[str, ...]]:
    """Return the table; see ``--help`` for the options."""
    chosen = _options(options)
    namespace.enter()
    rows: list[tuple[str, ...]] = [("", *TOOLS, *_RATIOS)]
    with tempfile.TemporaryDirectory(prefix="awsac-bench-", dir="/dev/shm") as name:
        folder = Path(name)
        with weed.serving(folder), proxy.running(weed.PORT, DELAY) as far:
            busy = _Busy(far)
            for workload in (each for each in workloads.WORKLOADS if each.name in chosen.workload):
                rows += _rows(workload, folder, chosen, busy)
                shutil.rmtree(folder / workload.name)
    print(f"The proxy was busy for at most {busy.most:.0%} of a core.\n")
    return rows


class _Busy:
    """The largest part of a core that a process has used during a run."""

    def __init__(self, process: int) -> None:
        self._process, self.most = process, 0.0

    def during(self, measure: Callable[[], Run]) -> Run:
        """Let a run be measured, and look how busy the process was."""
        before = commands.processor_seconds(self._process)
        run = measure()
        self.most = max(self.most, (commands.processor_seconds(self._process) - before) / run.seconds)
        return run


def _rows(workload: Workload, folder: Path, chosen: argparse.Namespace, busy: _Busy) -> list[tuple[str, ...]]:
    """Measure all that is asked of a workload."""
    files = workloads.make(workload, folder / workload.name)
    bench = Bench(endpoint=ENDPOINTS["near"], folder=folder, files=files)
    bench.make_bucket(_STORE)
    bench.store()
    rows = []
    for way, line in product(chosen.way, chosen.line):
        at = replace(bench, endpoint=ENDPOINTS[line])
        measure = {"download": at.download, "upload": at.upload}[way]
        tools = [tool for tool in chosen.tool if tool != "loop" or way == "download"]
        runs: dict[str, list[Run]] = {tool: [] for tool in tools}
        for _, tool in product(range(chosen.rounds), tools):
            runs[tool].append(busy.during(partial(measure, tool)))
        goal = GOALS.get((way, workload.name, line))
        rows.append(_row(f"{way} {workload.title}{LINES[line]}", runs, goal, WAYS[way]))
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)  # all of them take long
    bench.do("rb", f"s3://{_STORE}")
    return rows


def _row(title: str, runs: dict[str, list[Run]], goal: float | None, memory: int) -> tuple[str, ...]:
    median = {tool: statistics.median(run.seconds for run in runs[tool]) for tool in runs}
    ratio = {tool: f"{median[tool] / median['awsac']:.2f}" for tool in runs if "awsac" in runs}
    return (
        title,
        *(f"{median[tool]:.2f} s" if tool in median else "" for tool in TOOLS),
        ratio.get("s5cmd", ""),
        f"{goal}" if goal else "",
        f"{median['s5cmd'] / median['loop']:.2f}" if {"s5cmd", "loop"} <= median.keys() else "",
        ratio.get("aws", ""),
        f"{max((run.memory for run in runs.get('awsac', [])), default=0):.0f} MB",
        f"{memory} MB",
    )


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks transfers")
    of = {"workload": [each.name for each in workloads.WORKLOADS], "line": list(LINES), "way": list(WAYS)}
    for option, choices in (of | {"tool": list(TOOLS)}).items():
        parser.add_argument(f"--{option}", nargs="+", choices=choices, default=choices)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(words)
