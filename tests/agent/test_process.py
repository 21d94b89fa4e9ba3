"""Real processes: how they end, what they are given, that one is run once whoever starts it, and that none is left."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from awsac_async.agent.process import Process, ToolError, adopt, processor, run_tool, start
from awsac_async.agent.tree import ProcessGroup
from tests.waiting import until

PATH = {"PATH": os.defpath}


class Shell:
    """Starts shells in one folder, with their output in one file, each as the job that has its number."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._session_id = uuid.uuid4().hex
        self._started: list[Process] = []

    async def __call__(self, script: str, *, job: int = 1, core: int | None = None) -> Process:
        command = ["/bin/sh", "-c", script]
        environment = PATH | {"AWSAC_SESSION_ID": self._session_id, "AWSAC_JOB": str(job)}
        process = await start(
            command,
            directory=self.directory,
            environment=environment,
            output=self.directory / "output",
            claim=self.claim(job),
            group=self._group(job),
            core=core,
        )
        self._started.append(process)
        return process

    async def adopt(self, job: int = 1) -> Process | None:
        """Do what an agent does that finds the job started."""
        return await adopt(self.claim(job), self._group(job))

    def claim(self, job: int) -> Path:
        folder = self.directory / f"state-{job}"
        folder.mkdir(exist_ok=True)
        return folder / "pid"

    async def end(self) -> None:
        for process in self._started:
            await process.clear()
            await process.wait()

    def _group(self, job: int) -> ProcessGroup:
        return ProcessGroup(session_id=self._session_id, job=job, cgroup=None)


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Shell]:
    """What a test starts ends with it, also when it fails."""
    shell = Shell(tmp_path)
    yield shell
    await shell.end()


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended, but that nobody has collected yet, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def output(directory: Path) -> str:
    return (directory / "output").read_text()


async def test_a_process_that_ends_by_itself_has_an_exit_code(run: Shell) -> None:
    assert await (await run("exit 7")).wait() == 7


async def test_a_process_ended_by_a_signal_names_it_as_a_shell_does(run: Shell) -> None:
    assert await (await run("kill -USR1 $$")).wait() == 128 + signal.SIGUSR1


async def test_output_and_errors_go_to_one_file_in_their_order(run: Shell, tmp_path: Path) -> None:
    await (await run("echo one; echo two >&2; echo three")).wait()
    assert output(tmp_path) == "one\ntwo\nthree\n"


async def test_a_process_has_no_environment_but_the_one_given(run: Shell, tmp_path: Path) -> None:
    await (await run("env")).wait()
    assert {line.partition("=")[0] for line in output(tmp_path).splitlines()} == {
        "PATH", "PWD", "AWSAC_SESSION_ID", "AWSAC_JOB"
    }  # fmt: skip


async def test_a_process_is_pinned_to_its_core(run: Shell, tmp_path: Path) -> None:
    core = processor(1)
    await (await run("grep Cpus_allowed_list /proc/self/status", core=core)).wait()
    assert output(tmp_path).split() == ["Cpus_allowed_list:", str(core)]


async def test_slots_beyond_the_processors_begin_again() -> None:
    assert processor(len(os.sched_getaffinity(0))) == processor(0)


async def test_stopping_asks_first(run: Shell, tmp_path: Path) -> None:
    child = await run("trap 'echo saved; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    await until(lambda: "ready" in output(tmp_path))
    assert await child.stop(grace=30) == 5
    assert output(tmp_path).endswith("saved\n")


async def test_stopping_leaves_each_process_its_time_to_save_though_the_script_has_ended(
    run: Shell, tmp_path: Path
) -> None:
    worker = "trap 'sleep 0.5; echo saved; exit' TERM; echo ready; while :; do sleep 0.05; done"
    child = await run(f'setsid sh -c "{worker}" & wait')
    await until(lambda: "ready" in output(tmp_path))
    assert await child.stop(grace=30) == 128 + signal.SIGTERM
    assert output(tmp_path).endswith("saved\n")


async def test_one_that_ignores_term_is_killed_with_all_its_descendants(run: Shell, tmp_path: Path) -> None:
    child = await run("trap '' TERM; setsid sleep 300 & echo $!; while :; do sleep 1; done")
    await until(lambda: output(tmp_path).endswith("\n"))
    grandchild = int(output(tmp_path))
    assert await child.stop(grace=0.2) == 128 + signal.SIGKILL
    assert not alive(grandchild)
    assert not alive(child.pid)


async def test_a_grandchild_that_holds_the_output_does_not_hold_up_the_end(run: Shell, tmp_path: Path) -> None:
    child = await run("sleep 300 & echo $!; exit 0")
    assert await child.wait() == 0
    grandchild = int(output(tmp_path))
    assert alive(grandchild)
    await child.clear()
    assert not alive(grandchild)


async def test_a_process_that_cannot_be_claimed_is_not_run_and_the_error_says_why(run: Shell, tmp_path: Path) -> None:
    run.claim(1).symlink_to("nowhere")  # a name that is taken, and tells nobody
    with pytest.raises(OSError, match=r"ln: .*pid"):
        await run("echo never")
    assert output(tmp_path) == ""


async def test_what_was_started_once_is_never_run_again(run: Shell, tmp_path: Path) -> None:
    first = await run("echo run; exit 3")
    assert await first.wait() == 3
    for again in (await run("echo run; exit 4"), await run.adopt()):
        assert again is not None
        assert (again.pid, await again.wait()) == (first.pid, 3)
    assert output(tmp_path) == "run\n"


async def test_of_two_that_start_the_same_at_once_both_have_the_one_that_runs(run: Shell, tmp_path: Path) -> None:
    one, two = await asyncio.gather(run("echo run; exit 3"), run("echo run; exit 3"))
    assert one.pid == two.pid
    assert (await one.wait(), await two.wait()) == (3, 3)
    assert output(tmp_path) == "run\n"


async def test_nobody_can_adopt_what_was_never_started(run: Shell) -> None:
    assert await run.adopt() is None


async def test_a_tool_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"^ls /no/such/place: .*No such file"):
        await run_tool("ls", "/no/such/place")


async def test_a_tool_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", PATH["PATH"])  # a folder that may not be read would have the last word
    with pytest.raises(ToolError, match=r"^no-such-tool: No such file"):
        await run_tool("no-such-tool")
