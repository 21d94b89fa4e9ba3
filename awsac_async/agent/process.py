"""The only place that starts and stops processes; it knows nothing of jobs.

A started process does not depend on the agent's life. Its files, beside one another, say all that a successor must
know: ``claim``, who runs it, and ``exit``, how it ended. A small shell stands in front of it and writes both, so a
fresh agent and one that came back take the same path: start, if nobody has claimed it yet; then adopt who has.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from awsac_async.agent import procfs
from awsac_async.agent.procfs import ProcessId
from awsac_async.agent.tree import ProcessTree, reap_orphans

_TOOL_SECONDS = 120.0
_KILLED = 128 + signal.SIGKILL
_NO_EXIT = "    \n"  # room for the exit code, so that a disk that is full by then does not lose it

# $1: claim, $2: exit, $3: how many cgroups follow. Only one shell can make the link and run the command; others end.
# Standard error is the agent's until the command is claimed: its end tells the agent so, or what it read tells why not.
# A signal to all must not end this shell before the command it waits for; unlike an ignored signal, one with a trap is
# back to its default in the command. The exit code is written over what is there: that needs no room on the disk.
# When memory is short the kernel is to kill a job before the agent, from whom this shell has its place in that order. A
# core dump is for those who ask for one: it would fill the disk.
_WRAPPER = """
trap : TERM INT HUP
{ echo 200 >/proc/self/oom_score_adj; } 2>/dev/null
ulimit -S -c 0
claim=$1 exit=$2 cgroups=$3; shift 3
while [ "$cgroups" -gt 0 ]; do echo 0 >"$1/cgroup.procs"; shift; cgroups=$((cgroups - 1)); done
claim() {
    read -r boot </proc/sys/kernel/random/boot_id && read -r stat <"/proc/$$/stat" || return
    set -- ${stat##*) }
    echo "$$ ${20} $boot" >"$claim.$$" && ln "$claim.$$" "$claim"
}
claim; claimed=$?
rm -f "$claim.$$"
[ "$claimed" = 0 ] || exit 1
exec 2>&1
"$@"
code=$?
printf '%-4d\n' "$code" 1<>"$exit"
exit "$code"
"""

# The wrappers that are this process's children, until they are collected.
_wrappers: "dict[int, subprocess.Popen[bytes]]" = {}


class ToolError(Exception):
    """A system tool failed; the text is its command and what it printed."""


class Process:
    """A process and all that descends from it; made by :func:`start` and :func:`adopt`."""

    def __init__(self, *, pid: int, pidfd: int | None, exit_file: Path, tree: ProcessTree) -> None:
        self.pid = pid
        self._pidfd = pidfd  # None: it has ended
        self._exit_file = exit_file
        self._tree = tree
        self._status: int | None = None  # as its parent was told it
        self.written = True  # whether the shell in front of it lived to say how it ended

    async def wait(self) -> int:
        """Wait until the process has ended, whoever of its children still runs or holds its output.

        Returns:
            the exit code as a shell gives it: 128 plus the signal if one ended it; 137 if nothing tells how.
        """
        if self._pidfd is not None:
            await procfs.ended(self._pidfd)
            self._collect()
        written = await asyncio.to_thread(_read_exit, self._exit_file)
        self.written = written is not None
        return next((code for code in (written, self._status) if code is not None), _KILLED)

    async def stop(self, *, grace: float) -> int:
        """End it and all that descends from it: TERM, then after ``grace`` seconds KILL; returns as :meth:`wait`."""
        await self._tree.terminate(grace=grace)
        await self._tree.kill()
        return await self.wait()

    async def clear(self) -> None:
        """Kill whatever is left of it, also after its own end."""
        await self._tree.kill()
        await self._tree.remove()
        await reap_orphans(_wrappers.keys())

    def _collect(self) -> None:
        if self._pidfd is None:
            return  # somebody else has waited too
        os.close(self._pidfd)
        self._pidfd = None
        if wrapper := _wrappers.pop(self.pid, None):
            status = wrapper.wait()
            self._status = status if status >= 0 else 128 - status


@dataclass(frozen=True, kw_only=True)
class _Claim:
    """Who runs a command, on which boot of the machine."""

    holder: ProcessId
    boot: str

    @classmethod
    def read(cls, file: Path) -> "_Claim | None":
        try:
            pid, start, boot = file.read_text().split()
        except FileNotFoundError:
            return None
        except ValueError:  # given up, or the machine lost its power as it was written: nobody runs it any more
            return cls(holder=ProcessId(0, 0), boot="")
        return cls(holder=ProcessId(int(pid), int(start)), boot=boot)

    def open(self) -> int | None:
        """Return a pidfd of the holder; None when it has ended."""
        return procfs.open_pidfd(self.holder) if self.boot == procfs.boot_id() else None


def processor(slot: int) -> int:
    """Return the processor for a slot, counted from 0, among those this process may use; slots beyond begin again."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[slot % len(allowed)]


def exit_file(claim: Path) -> Path:
    """Return the file that takes the exit code of what is claimed there: blank until the end."""
    return claim.with_name("exit")


def claimed_at(claim: Path) -> float:
    """Return the seconds of CLOCK_BOOTTIME at which somebody claimed; 0 if nothing tells. Raises OSError."""
    found = _Claim.read(claim)
    return found.holder.start / os.sysconf("SC_CLK_TCK") if found else 0.0


async def adopt(claim: Path, tree: ProcessTree) -> Process | None:
    """Return the process that has claimed, whether or not it still runs; None when nobody ever has."""
    claimed = await asyncio.to_thread(_Claim.read, claim)
    if claimed is None:
        return None
    pidfd = claimed.open()
    if pidfd is not None:
        tree.lead(claimed.holder)
    return Process(pid=claimed.holder.pid, pidfd=pidfd, exit_file=exit_file(claim), tree=tree)


def give_up(claim: Path) -> bool:
    """Claim and run nothing, so that a shell left by a dead agent cannot either; False if somebody has claimed.

    Raises OSError.
    """
    try:
        claim.touch(exist_ok=False)  # empty: that needs no room on the disk
    except FileExistsError:
        return False
    except FileNotFoundError:  # there is no folder to claim in, so nobody was ever about to
        pass
    return True


async def start(
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    output: Path,
    claim: Path,
    tree: ProcessTree,
    core: int | None = None,
) -> Process:
    """Start a command in a session of its own, unless it has been started before; return whoever runs or ran it.

    Args:
        command: program and arguments; no shell reads them.
        directory: its working directory.
        environment: all of its environment.
        output: the file for standard output and error together, appended to. There is no standard input.
        claim: the file that says who runs it; its folder also takes the exit code.
        tree: what holds its processes together.
        core: the processor it and its children are pinned to, or None.

    Raises:
        OSError: it could not be started.
    """
    if (earlier := await adopt(claim, tree)) is not None:
        return earlier
    await asyncio.to_thread(_make_room, exit_file(claim))
    cgroups = [str(folder) for folder in await asyncio.to_thread(tree.prepare)]
    pin = () if core is None else ("taskset", "--cpu-list", str(core))
    files = (str(claim), str(exit_file(claim)), str(len(cgroups)), *cgroups)
    wrapped = ("/bin/sh", "-c", _WRAPPER, "awsac-job", *files, *pin, *command)
    with await asyncio.to_thread(output.open, "ab") as file:
        wrapper, errors = _spawn(wrapped, directory, environment, file.fileno())
    try:
        said = await asyncio.to_thread(_read_all, errors)
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            os.killpg(wrapper.pid, signal.SIGKILL)  # nobody will wait for it, or stop it
        raise
    holder = await adopt(claim, tree)
    if holder is None or holder.pid != wrapper.pid:
        code = await asyncio.to_thread(_wrappers.pop(wrapper.pid).wait)
    if holder is None:
        raise OSError(said or f"the shell in front of it ended with {code}")
    return holder


def _spawn(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], output: int
) -> "tuple[subprocess.Popen[bytes], int]":
    """Start a wrapper; returns it, and the end of the pipe that takes its errors.

    It is not asyncio's child, whose end would be asyncio's to collect: it is watched by pidfd, like one adopted.
    """
    reader, writer = os.pipe()
    try:
        wrapper = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=writer,
            start_new_session=True,
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    _wrappers[wrapper.pid] = wrapper
    return wrapper, reader


def _read_all(descriptor: int) -> str:
    with open(descriptor, "rb") as pipe:
        return pipe.read().decode(errors="replace").strip()


def _make_room(file: Path) -> None:
    if not file.exists() or file.stat().st_size < len(_NO_EXIT):
        file.write_text(_NO_EXIT)


def _read_exit(file: Path) -> int | None:
    try:
        text = file.read_bytes().strip()
    except OSError:  # gone, or something else by now: a job of root can do that
        return None
    return int(text[:4]) if text.isdigit() else None


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
            process_group=0,  # it stays in our session, see reap_orphans
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
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    text = printed.decode(errors="replace")
    if process.returncode:
        raise ToolError(f"{line}: {' '.join(text.split()) or f'exit code {process.returncode}'}")
    return text
