"""What jobs may have of a machine's memory and processes, and what becomes of one that takes more: in real groups."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from awsac_async.agent import cgroup
from awsac_async.agent.bounds import Bound

MEBI = 1 << 20
# Both run in groups of a test, and take no more than 200 MB and 60 processes of the machine.
GREEDY = f"import time; taken = []\nwhile True: taken.append(b'x' * {8 * MEBI})"
FORKS = "i=0; while [ $i -lt 500 ]; do sleep 30 & i=$((i+1)); done"
# Runs jobs as an agent does that is in the test's own groups; prints the end of each.
AGENT = """
import asyncio, sys
from pathlib import Path
from awsac_async.agent import bounds, process
from awsac_async.agent.tree import ProcessTree

async def run(job, command):
    folder = Path(sys.argv[1], str(job)); folder.mkdir()
    tree = ProcessTree.of(session_id="a-session", job=job, attempt=1, jobs=2)
    child = await process.start(command, directory=folder, environment={"PATH": "/usr/bin:/bin"},
        output=folder / "output", claim=folder / "claim", tree=tree)
    code = await child.wait()
    met = tree.met()
    await child.clear()
    return code, met

async def main():
    limits = bounds.bounds(2)
    print("memory", limits["memory"].all >> 20, "processes", limits["pids"].all)
    other = asyncio.create_task(run(1, ["sleep", "6"]))
    print(await run(2, [sys.executable, "-S", "-c", sys.argv[2]]))
    print(await run(3, ["sh", "-c", sys.argv[3]]))
    print(await run(4, ["true"]))
    print(await other)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("total", "jobs", "shared", "bound"),
    [
        (1000 * MEBI, 1, True, Bound(all=744 * MEBI, each=744 * MEBI)),  # 256 MB for the system
        (10_000 * MEBI, 1, True, Bound(all=9000 * MEBI, each=9000 * MEBI)),  # a tenth of it
        (10_000 * MEBI, 4, True, Bound(all=9000 * MEBI, each=9000 * MEBI - 3 * 9000 * MEBI // 16)),
        (100 * MEBI, 1, True, Bound(all=50 * MEBI, each=50 * MEBI)),  # never more than half
        (30_000 * MEBI, 3, False, Bound(all=27_000 * MEBI, each=9000 * MEBI)),
    ],
)
def test_a_reserve_is_kept_for_the_system_and_of_memory_something_for_each_job(
    total: int, jobs: int, shared: bool, bound: Bound
) -> None:
    assert Bound.of(total, least_reserve=256 * MEBI, jobs=jobs, shared=shared) == bound


@pytest.fixture
def groups() -> Iterator[list[Path]]:
    """Groups of version 1 that bound an agent, with all that it runs, to 400 MB and 200 processes."""
    made = []
    for controller, file, most in (("memory", "memory.limit_in_bytes", 400 * MEBI), ("pids", "pids.max", 200)):
        folder = Path("/sys/fs/cgroup", controller, f"awsac-test-{os.getpid()}")
        try:
            folder.mkdir()
            made.append(folder)
            (folder / file).write_text(str(most))
        except OSError:
            for each in made:
                each.rmdir()
            pytest.skip("needs root and control groups of version 1 for memory and pids")
    yield made
    for each in made:
        cgroup.Cgroup(each).remove()
        assert not each.exists()


def test_a_job_that_takes_too_much_is_ended_with_the_reason_and_the_others_are_not(
    groups: list[Path], tmp_path: Path
) -> None:
    enter = 'for each in "$1" "$2"; do echo 0 >"$each/cgroup.procs"; done; shift 2; exec "$@"'
    command = ["sh", "-c", enter, "sh", *groups, sys.executable, "-c", AGENT, tmp_path, GREEDY, FORKS]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.stderr == ""
    first, greedy, forks, after, other = ended.stdout.splitlines()
    assert first == "memory 200 processes 100"
    # One may have 200 MB but for a quarter of the other's 100, and half of the processes.
    said = (
        "out of memory: the kernel ended 1 process of the job, which may have 183.5 MB, and all jobs together 209.7 MB"
    )
    assert greedy == f"(137, '{said}')"
    assert forks == "(2, 'too many processes: the job may have 50 at the same time')"
    assert (after, other) == ("(0, '')", "(0, '')")
