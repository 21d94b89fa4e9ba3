"""The only place that starts and stops processes; it knows nothing of jobs.

A process gets a session and a process group of its own and writes to a file, so that it outlives the agent if it must.
How it ended is a value. Stopping escalates, for the whole group: TERM, a time of grace, KILL.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TOOL_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a process ended; ``returncode`` as in ``subprocess``: an exit code, or a signal as a negative number."""

    returncode: int

    @property
    def shell_code(self) -> int:
        """The one number a shell would give: the exit code, or 128 plus the signal."""
        return self.returncode if self.returncode >= 0 else 128 - self.returncode


class ToolError(Exception):
    """A system tool failed; the text is its command and what it printed."""


class Process:
    """A started process; made by :func:`start`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def wait(self) -> Exit:
        """Wait until the process itself has ended, whoever of its children still runs or holds its output."""
        return Exit(returncode=await self._process.wait())

    async def stop(self, *, grace: float) -> Exit:
        """End the group: TERM, then after ``grace`` seconds KILL; returns when the process is gone."""
        self._signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._process.wait()
        self.kill_group()
        return await self.wait()

    def kill_group(self) -> None:
        """Kill whoever is still in the process's group, also after its own end."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # start_new_session made the process the leader of a group with its own number.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def processor(slot: int) -> int:
    """Return the processor for a slot, counted from 0, among those this process may use; slots beyond begin again."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[slot % len(allowed)]


async def start(
    command: Sequence[str], *, directory: Path, environment: Mapping[str, str], output: Path, core: int | None = None
) -> Process:
    """Start a process with standard output and error together in the file ``output``, and no standard input.

    Args:
        command: program and arguments; no shell reads them.
        directory: its working directory.
        environment: all of its environment.
        output: the file, appended to.
        core: the processor it and its children are pinned to, or None.

    Raises:
        OSError: it could not be started.
    """
    # The pinning is a program in front, since code run between fork and exec is not safe beside threads.
    pin = () if core is None else ("taskset", "--cpu-list", str(core))
    with await asyncio.to_thread(output.open, "ab") as file:
        process = await asyncio.create_subprocess_exec(
            *pin,
            *command,
            cwd=directory,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return Process(process)


async def run_tool(*command: str) -> str:
    """Run a short-lived system tool to its end, and return what it printed.

    Raises:
        ToolError: it is missing, failed, or took longer than two minutes.
    """
    line = " ".join(command)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"{line}: {error.strerror}") from error
    try:
        async with asyncio.timeout(_TOOL_SECONDS):
            printed, _ = await process.communicate()
    except TimeoutError:
        raise ToolError(f"{line}: still running after {_TOOL_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            Process(process).kill_group()
            await process.wait()
    text = printed.decode(errors="replace")
    if process.returncode:
        raise ToolError(f"{line}: {' '.join(text.split()) or f'exit code {process.returncode}'}")
    return text
