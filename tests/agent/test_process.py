"""Real processes: how they end, what they are given, and that nothing of them is left when they are stopped."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from awsac_async.agent.process import Process, ToolError, processor, run_tool, start
from tests.waiting import until

PATH = {"PATH": os.defpath}


class Shell:
    """Starts shells in one folder, with their output in one file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[Process] = []

    async def __call__(self, script: str, core: int | None = None) -> Process:
        command, output = ["/bin/sh", "-c", script], self._directory / "output"
        process = await start(command, directory=self._directory, environment=PATH, output=output, core=core)
        self._started.append(process)
        return process

    def end(self) -> None:
        for process in self._started:
            process.kill_group()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Shell]:
    """What a test starts ends with it, also when it fails."""
    shell = Shell(tmp_path)
    yield shell
    shell.end()


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended, but that nobody has collected yet, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def output(directory: Path) -> str:
    return (directory / "output").read_text()


async def test_a_process_that_ends_by_itself_has_an_exit_code(run: Shell) -> None:
    ended = await (await run("exit 7")).wait()
    assert (ended.returncode, ended.shell_code) == (7, 7)


async def test_a_process_ended_by_a_signal_names_it(run: Shell) -> None:
    ended = await (await run("kill -USR1 $$")).wait()
    assert (ended.returncode, ended.shell_code) == (-signal.SIGUSR1, 128 + signal.SIGUSR1)


async def test_output_and_errors_go_to_one_file_in_their_order(run: Shell, tmp_path: Path) -> None:
    await (await run("echo one; echo two >&2; echo three")).wait()
    assert output(tmp_path) == "one\ntwo\nthree\n"


async def test_a_process_has_no_environment_but_the_one_given(run: Shell, tmp_path: Path) -> None:
    await (await run("env")).wait()
    assert "AWS_" not in output(tmp_path)
    assert f"PATH={os.defpath}" in output(tmp_path)


async def test_a_process_is_pinned_to_its_core(run: Shell, tmp_path: Path) -> None:
    core = processor(1)
    await (await run("grep Cpus_allowed_list /proc/self/status", core=core)).wait()
    assert output(tmp_path).split() == ["Cpus_allowed_list:", str(core)]


async def test_slots_beyond_the_processors_begin_again() -> None:
    assert processor(len(os.sched_getaffinity(0))) == processor(0)


async def test_stopping_asks_first(run: Shell, tmp_path: Path) -> None:
    child = await run("trap 'echo saved; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    await until(lambda: "ready" in output(tmp_path))
    assert (await child.stop(grace=30)).returncode == 5
    assert output(tmp_path).endswith("saved\n")


async def test_stopping_kills_the_whole_group_of_one_that_ignores_term(run: Shell, tmp_path: Path) -> None:
    child = await run("trap '' TERM; sleep 300 & echo $!; while :; do sleep 1; done")
    await until(lambda: output(tmp_path).endswith("\n"))
    assert (await child.stop(grace=0.2)).returncode == -signal.SIGKILL
    grandchild = int(output(tmp_path))
    await until(lambda: not alive(grandchild))
    assert not alive(child.pid)


async def test_a_grandchild_that_holds_the_output_does_not_hold_up_the_end(run: Shell, tmp_path: Path) -> None:
    child = await run("sleep 300 & echo $!; exit 0")
    assert (await child.wait()).returncode == 0
    grandchild = int(output(tmp_path))
    assert alive(grandchild)
    child.kill_group()
    await until(lambda: not alive(grandchild))


async def test_a_command_that_does_not_exist_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await start(["/no/such/program"], directory=tmp_path, environment=PATH, output=tmp_path / "output")


async def test_a_tool_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"^ls /no/such/place: .*No such file"):
        await run_tool("ls", "/no/such/place")


async def test_a_tool_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", PATH["PATH"])  # a folder that may not be read would have the last word
    with pytest.raises(ToolError, match=r"^no-such-tool: No such file"):
        await run_tool("no-such-tool")
