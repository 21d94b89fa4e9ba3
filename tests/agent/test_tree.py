"""All that a job starts ends with it, however it hides; others are not touched. With cgroups and without."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from awsac_async.agent import cgroup, procfs
from awsac_async.agent.process import ToolError, run_tool
from awsac_async.agent.tree import ProcessTree
from tests.agent.shell import Shell, alive
from tests.waiting import until

# Leaves the session twice, ignores what it is asked, and says its number.
DAEMON = "setsid sh -c '(trap \"\" TERM; echo $$; while :; do sleep 1; done) & wait' & "


@pytest.fixture
def hierarchy(tmp_path: Path) -> Iterator[Path]:
    """A group that a test may make others in, removed with all in it afterwards."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup2 " in line]
    if os.geteuid() != 0 or not mounts:
        pytest.skip("needs root and cgroup v2")
    group = cgroup.Cgroup(Path(mounts[0][4]) / f"awsac-test-{os.getpid()}")
    if not group.make():
        pytest.skip("cgroup v2 cannot be written here")
    yield group.folder
    group.kill()
    group.remove()
    assert not group.folder.exists()


@pytest.fixture(params=["cgroup", "walk"])
async def run(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shell]:
    cgroups = request.getfixturevalue("hierarchy") if request.param == "cgroup" else None
    shell = Shell(tmp_path, cgroups=cgroups)
    yield shell
    await shell.end()


def numbers(run: Shell) -> list[int]:
    """The processes that have said their numbers."""
    output = run.directory / "output"
    return [int(word) for word in output.read_text().split() if word.isdigit()] if output.exists() else []


async def test_a_daemon_that_left_its_session_ends_with_the_job(run: Shell) -> None:
    child = await run(DAEMON + "while [ ! -s output ]; do sleep 0.05; done")
    assert await child.wait() == 0
    (daemon,) = numbers(run)
    assert alive(daemon)
    await child.clear()
    assert not alive(daemon)


async def test_stopping_a_job_ends_what_ignores_term_and_leaves_the_others_alone(run: Shell) -> None:
    other = await run(DAEMON + "wait", job=11)
    await until(lambda: len(numbers(run)) == 1)
    child = await run(DAEMON + "wait", job=1)
    await until(lambda: len(numbers(run)) == 2)
    others, own = numbers(run)
    assert await child.stop(grace=0.5) == 128 + signal.SIGTERM
    await child.clear()
    assert not alive(own)
    assert alive(others)
    assert alive(other.pid)


async def test_a_process_that_cleared_its_environment_ends_with_the_job(run: Shell) -> None:
    child = await run("env -i sleep 300 & echo $!; exit 0")
    assert await child.wait() == 0
    (hidden,) = numbers(run)
    assert alive(hidden)
    await child.clear()
    assert not alive(hidden)


async def test_processes_that_fork_while_they_are_killed_are_all_gone(run: Shell) -> None:
    fork = "f() { (while :; do (sleep 0.1; :) & sleep 0.02; done) & }; f; f; f; echo 1; wait"
    child = await run(fork)
    await until(lambda: numbers(run) == [1])
    await child.stop(grace=0)
    await child.clear()
    mark = f"AWSAC_SESSION_ID={run.session_id}".encode()
    assert [pid for pid in procfs.processes() if alive(pid) and mark in procfs.environment(pid)] == []


async def test_nobody_is_killed_when_there_is_no_reason_any_more(run: Shell) -> None:
    """An agent came back, and may have begun a job, while its jobs were being killed for it."""
    job = await run("echo 1; exec sleep 600")
    await until(lambda: numbers(run) == [1])
    tree, reasons = ProcessTree(session_id=run.session_id, job=None, cgroup=None), iter([False, True, False])
    await tree.kill(as_long_as=lambda: next(reasons))
    assert alive(job.pid)
    await tree.kill(as_long_as=lambda: next(reasons))
    assert not alive(job.pid)


async def test_the_cgroup_of_a_job_goes_with_it_and_so_do_those_it_made(tmp_path: Path, hierarchy: Path) -> None:
    run, own = Shell(tmp_path, cgroups=hierarchy), hierarchy / "1" / "own"
    child = await run(f"mkdir {own} && echo 0 >{own}/cgroup.procs && env -i setsid sleep 300 & wait")
    await until(lambda: own.exists() and "sleep" in commands(own))
    await child.stop(grace=30)
    await run.end()
    assert not (hierarchy / "1").exists()


def commands(group: Path) -> list[str]:
    """The programs that run in a group."""
    pids = (group / "cgroup.procs").read_text().split()
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]


def test_an_agent_finds_its_own_cgroup_and_takes_the_root_of_all_for_none(hierarchy: Path) -> None:
    enter = (
        'echo 0 >"$1/cgroup.procs" && exec "$2" -c "from awsac_async.agent import cgroup; print(cgroup.own_cgroup())"'
    )
    found = {
        group: subprocess.run(
            ["sh", "-c", enter, "sh", str(group), sys.executable], capture_output=True, text=True, check=True
        ).stdout.strip()
        for group in (hierarchy, hierarchy.parent)
    }
    assert found == {hierarchy: str(hierarchy), hierarchy.parent: "None"}


async def test_orphans_of_a_job_are_collected_and_the_agents_own_children_are_not(tmp_path: Path) -> None:
    run = Shell(tmp_path)
    child = await run("for i in 1 2 3; do (sh -c 'echo $$' &); done; sleep 0.2")
    tool = asyncio.create_task(run_tool("sh", "-c", "sleep 0.4; exit 3"), name="tool")
    await child.wait()
    await run.end()
    assert [pid for pid in numbers(run) if (found := procfs.stat(pid)) and found.parent == os.getpid()] == []
    with pytest.raises(ToolError, match="exit code 3"):
        await tool


def test_a_process_is_another_one_when_its_number_was_given_anew() -> None:
    with subprocess.Popen(["sleep", "300"]) as child:
        found = procfs.stat(child.pid)
        assert found is not None
        assert procfs.open_pidfd(found.id._replace(start=found.id.start + 1)) is None
        descriptor = procfs.open_pidfd(found.id)
        assert descriptor is not None
        os.close(descriptor)
        child.kill()
