"""Real processes: how they end, what they are given, that one is run once whoever starts it, and that none is left."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from awsac_async.agent.process import ToolError, give_up, processor, run_tool
from tests.agent.shell import Shell, alive
from tests.waiting import until

# An agent that starts one job and waits for it: $1 its folder, $2 the session, $3 the job's script.
AGENT = """
import asyncio, sys
from pathlib import Path
from tests.agent.shell import Shell

async def main():
    run = Shell(Path(sys.argv[1]), session_id=sys.argv[2])
    await (await run(sys.argv[3])).wait()

asyncio.run(main())
"""
# In the place of ln: it comes to the claim when the gate is open.
SLOW_LN = """#!/bin/sh
echo waiting >>{gate}.waiting
while [ ! -e {gate} ]; do sleep 0.05; done
exec {ln} "$@"
"""


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Shell]:
    """What a test starts ends with it, also when it fails."""
    shell = Shell(tmp_path)
    yield shell
    await shell.end()


async def test_a_process_that_ends_by_itself_has_an_exit_code(run: Shell) -> None:
    assert await (await run("exit 7")).wait() == 7


async def test_a_process_ended_by_a_signal_names_it_as_a_shell_does(run: Shell) -> None:
    assert await (await run("kill -USR1 $$")).wait() == 128 + signal.SIGUSR1


async def test_output_and_errors_go_to_one_file_in_their_order(run: Shell) -> None:
    await (await run("echo one; echo two >&2; echo three")).wait()
    assert run.said() == "one\ntwo\nthree\n"


async def test_a_process_has_no_environment_but_the_one_given(run: Shell) -> None:
    await (await run("env")).wait()
    assert {line.partition("=")[0] for line in run.said().splitlines()} == {
        "PATH", "PWD", "AWSAC_SESSION_ID", "AWSAC_JOB"
    }  # fmt: skip


async def test_a_process_is_pinned_to_its_core(run: Shell) -> None:
    core = processor(1)
    await (await run("grep Cpus_allowed_list /proc/self/status", core=core)).wait()
    assert run.said().split() == ["Cpus_allowed_list:", str(core)]


async def test_slots_beyond_the_processors_begin_again() -> None:
    assert processor(len(os.sched_getaffinity(0))) == processor(0)


async def test_stopping_asks_first(run: Shell) -> None:
    child = await run("trap 'echo saved; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    await until(lambda: "ready" in run.said())
    assert await child.stop(grace=30) == 5
    assert run.said().endswith("saved\n")


async def test_stopping_leaves_each_process_its_time_to_save_though_the_script_has_ended(
    run: Shell,
) -> None:
    worker = "trap 'sleep 0.5; echo saved; exit' TERM; echo ready; while :; do sleep 0.05; done"
    child = await run(f'setsid sh -c "{worker}" & wait')
    await until(lambda: "ready" in run.said())
    assert await child.stop(grace=30) == 128 + signal.SIGTERM
    assert run.said().endswith("saved\n")


async def test_one_that_ignores_term_is_killed_with_all_its_descendants(run: Shell) -> None:
    child = await run("trap '' TERM; setsid sleep 300 & echo $!; while :; do sleep 1; done")
    await until(lambda: run.said().endswith("\n"))
    grandchild = int(run.said())
    assert await child.stop(grace=0.2) == 128 + signal.SIGKILL
    assert not alive(grandchild)
    assert not alive(child.pid)


async def test_a_grandchild_that_holds_the_output_does_not_hold_up_the_end(run: Shell) -> None:
    child = await run("sleep 300 & echo $!; exit 0")
    assert await child.wait() == 0
    grandchild = int(run.said())
    assert alive(grandchild)
    await child.clear()
    assert not alive(grandchild)


async def test_a_process_that_cannot_be_claimed_is_not_run_and_the_error_says_why(run: Shell) -> None:
    run.claim(1).symlink_to("nowhere")  # a name that is taken, and tells nobody
    with pytest.raises(OSError, match=r"ln: .*pid"):
        await run("echo never")
    assert run.said() == ""


async def test_what_was_started_once_is_never_run_again(run: Shell) -> None:
    first = await run("echo run; exit 3")
    assert await first.wait() == 3
    for again in (await run("echo run; exit 4"), await run.adopt()):
        assert again is not None
        assert (again.pid, await again.wait()) == (first.pid, 3)
    assert run.said() == "run\n"


async def test_of_two_that_start_the_same_at_once_both_have_the_one_that_runs(run: Shell) -> None:
    one, two = await asyncio.gather(run("echo run; exit 3"), run("echo run; exit 3"))
    assert one.pid == two.pid
    assert (await one.wait(), await two.wait()) == (3, 3)
    assert run.said() == "run\n"


async def test_nobody_can_adopt_what_was_never_started(run: Shell) -> None:
    assert await run.adopt() is None


@asynccontextmanager
async def agent(run: Shell, script: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """An agent in a process of its own, that is killed at the end."""
    command = [sys.executable, "-c", AGENT, str(run.directory), run.session_id, script]
    process = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[2])
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_job_outlives_its_agent_and_its_successor_learns_how_it_ended(run: Shell) -> None:
    script = "echo run; while [ ! -e go ]; do sleep 0.05; done; exit 7"
    async with agent(run, script):
        await until(lambda: (run.directory / "output").exists() and "run" in run.said())
    successor = await run(script)
    assert alive(successor.pid)
    (run.directory / "go").touch()
    assert await successor.wait() == 7
    assert run.said() == "run\n"


async def test_a_job_that_ended_while_no_agent_lived_has_its_exit_code(run: Shell) -> None:
    async with agent(run, "echo run; exit 7") as first:
        assert await first.wait() == 0
    successor = await run("echo run; exit 8")
    assert await successor.wait() == 7
    assert run.said() == "run\n"


def slow_claims(run: Shell, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Let nobody claim before a gate is open; returns it, and the file that has a line from each who waits there."""
    gate, ln = run.directory / "gate", run.directory / "bin" / "ln"
    ln.parent.mkdir()
    ln.write_text(SLOW_LN.format(gate=gate, ln=shutil.which("ln")))
    ln.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ln.parent}:{os.environ['PATH']}")
    return gate, gate.with_name("gate.waiting")


async def test_when_the_agent_dies_before_its_start_is_claimed_the_job_runs_once(
    run: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, waiting = slow_claims(run, monkeypatch)
    async with agent(run, "echo run; exit 7"):
        await until(waiting.exists)
    successor = asyncio.create_task(run("echo run; exit 7"), name="successor")
    await until(lambda: waiting.read_text().count("waiting") == 2)
    gate.touch()
    assert await (await successor).wait() == 7
    assert run.said() == "run\n"


async def test_a_shell_left_by_a_dead_agent_runs_nothing_once_its_job_is_given_up(
    run: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, waiting = slow_claims(run, monkeypatch)
    async with agent(run, "echo run"):
        await until(waiting.exists)
    assert give_up(run.claim(1))
    gate.touch()
    await until(lambda: not any(each.name.startswith("pid.") for each in run.claim(1).parent.iterdir()))
    assert run.said() == ""
    adopted = await run.adopt()
    assert adopted is not None
    assert await adopted.wait() == 128 + signal.SIGKILL


async def test_what_somebody_has_started_cannot_be_given_up(run: Shell) -> None:
    started = await run("exit 7")
    assert not give_up(run.claim(1))
    assert await started.wait() == 7


async def test_a_job_whose_end_nobody_could_write_down_was_killed(run: Shell) -> None:
    async with agent(run, "echo run; sleep 300"):
        await until(lambda: (run.directory / "output").exists() and "run" in run.said())
    successor = await run("echo run; sleep 300")
    os.killpg(successor.pid, signal.SIGKILL)
    assert await successor.wait() == 128 + signal.SIGKILL


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk needs root")
async def test_a_full_disk_does_not_lose_an_exit_code(run: Shell) -> None:
    disk = run.claim(1).parent
    await run_tool("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk))
    try:
        child = await run(f"cat /dev/zero >{disk}/filling; exit 9")
        assert await child.wait() == 9
        assert "No space left" in run.said()
    finally:
        await run_tool("umount", str(disk))


async def test_a_tool_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"^ls /no/such/place: .*No such file"):
        await run_tool("ls", "/no/such/place")


async def test_a_tool_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)  # a folder that may not be read would have the last word
    with pytest.raises(ToolError, match=r"^no-such-tool: No such file"):
        await run_tool("no-such-tool")
