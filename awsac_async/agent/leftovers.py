"""What a job left in its directories that is to be saved, and how it is read.

Owns the program that reads results (``packer``), from its start to its end; what counts as results is said there. Which
files are a job's output is said by ``logfiles``. Everything here blocks.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from awsac_async.agent import packer
from awsac_async.agent.command import JobFiles
from awsac_async.agent.jobuser import JobUser
from awsac_async.agent.logfiles import written_files
from awsac_async.agent.packer import Found
from awsac_async.agent.packing import Remarks, packed_files, size_of_tree
from awsac_async.session.errors import InputError
from awsac_async.session.names import RESULTS_DIRECTORY, RESULTS_FILE, output_file
from awsac_async.session.wording import shown_size

_BLOCK = 1 << 20  # bytes
_LOOK_SECONDS = 300.0  # its own bounds are shorter; a network that a file system hangs on has none
_TICK_SECONDS = 1.0
_END_SECONDS = 10.0
# No bzip2 packs faster, and no line of EC2 is faster: what does not fit by these does not fit at all.
_PACKED_A_SECOND, _SENT_A_SECOND = 200e6, 10e9
_INHERITED = ("PATH", "HOME", "TZ", "MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX")


@dataclass(kw_only=True)
class Source:
    """Something to be saved: how its bytes are made, about how many they are, and what was wrong when it was read."""

    read: Callable[[Remarks], Iterator[bytes]]
    about: int
    remarks: Remarks

    def read_anew(self) -> Iterator[bytes]:
        """Yield the bytes from the beginning; the remarks are those of this reading."""
        self.remarks.clear()
        return self.read(self.remarks)


def find_results(
    directory: Path, *, user: JobUser | None, seconds: float, most: int | None
) -> tuple[Source | None, str]:
    """Return a job's results, if it made any, and what is to be said of them, or "".

    Args:
        directory: the job's folder.
        user: as whom the job ran, None for the agent's own user: its results are read as that user.
        seconds: how long there is to save them.
        most: how many bytes they may have, holes included; None: what can be saved in that time.

    Raises:
        InputError: there are some, and they cannot be saved.
    """
    if _has_none(directory):
        return None, ""
    asked = {"directory": str(directory), "user": user and (user.uid, user.gid, user.groups)}
    found = _look(asked)
    if found.trouble:
        raise InputError(found.trouble)
    if not found.names:
        return None, found.remark
    if too_much := _too_much(found, seconds=seconds, most=most):
        raise InputError(too_much)
    name = found.names[0]
    source = Source(
        read=lambda remarks: _sent(asked | {"names": found.names, "packed": found.packed}, remarks),
        about=found.about,
        remarks=Remarks(of=f"{name}/" if name == RESULTS_DIRECTORY else name),
    )
    return source, found.remark


def find_output(job: int, attempts: Sequence[JobFiles]) -> Source:
    """Return the output of all attempts, packed: the last by the name of 2008, earlier ones by their number."""
    *earlier, last = attempts
    name = output_file(job)
    members = [
        (name, written_files(last.log_file())),
        *((f"{Path(name).stem}.attempt_{one.attempt}.log", written_files(one.log_file())) for one in earlier),
    ]
    return Source(
        read=lambda remarks: packed_files(members, remarks),
        about=sum(size_of_tree(path) for _, paths in members for path in paths),
        remarks=Remarks(of="output"),
    )


def _has_none(directory: Path) -> bool:
    """Whether a job's folder is there and has nothing that could be results, as of most jobs that only print."""
    try:
        top = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        for name in (RESULTS_FILE, RESULTS_DIRECTORY):
            with suppress(FileNotFoundError):
                os.stat(name, dir_fd=top, follow_symlinks=False)
                return False
        return True
    except OSError:
        return False
    finally:
        os.close(top)


def _too_much(found: Found, *, seconds: float, most: int | None) -> str:
    rate = _PACKED_A_SECOND if found.packed else _SENT_A_SECOND
    if most is not None and found.size > most:
        return f"{found.names[0]} has {shown_size(found.size)}, more than max_results, {shown_size(most)}"
    if most is None and found.about > rate * max(0.0, seconds):
        return f"{found.names[0]} has {shown_size(found.about)}, more than can be saved before the deadline"
    return ""


def _look(request: Mapping[str, Any]) -> Found:
    """Return what there is; raises InputError if that cannot be found out."""
    with _started(request) as program:
        try:
            _, said = program.communicate(timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            raise InputError(f"they could not be looked at in {_LOOK_SECONDS:.0f} s") from None
    return Found(**_report(program, said))


def _sent(request: Mapping[str, Any], remarks: Remarks) -> Iterator[bytes]:
    """Yield what the program sends; raises InputError for what cannot be sent."""
    with _started(request) as program:
        stream, poller = program.stdout.fileno(), select.poll()  # type: ignore[union-attr]  # it is a pipe
        poller.register(stream, select.POLLIN)
        while True:
            # Nothing, now and then: who reads this may then stop, also where a file system hangs.
            block = os.read(stream, _BLOCK) if poller.poll(1000 * _TICK_SECONDS) else None
            if block == b"":
                break
            yield block or b""
        _, said = program.communicate(timeout=_LOOK_SECONDS)
    report = _report(program, said)
    if "error" in report:
        raise InputError(report["error"])
    remarks.names[:], remarks.count = report["names"], report["count"]


@contextmanager
def _started(request: Mapping[str, Any]) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the program, and leave none behind."""
    program = subprocess.Popen(
        (sys.executable, "-P", "-X", "utf8", "-m", packer.__name__, json.dumps(request)),
        env={name: os.environ[name] for name in _INHERITED if name in os.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,  # it stays in our session, see tree.reap_orphans
    )
    try:
        yield program
    finally:
        if program.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # the kernel holds it, as where a disk hangs
                program.wait(_END_SECONDS)
        for pipe in (program.stdout, program.stderr):
            if pipe is not None:
                pipe.close()


def _report(program: "subprocess.Popen[bytes]", said: bytes) -> dict[str, Any]:
    """Return what the program reports at its end; raises RuntimeError if it did not come to that."""
    try:
        report = json.loads(said)
    except ValueError:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise RuntimeError(f"packing ended with {program.returncode}: {last or 'nothing said'}") from None
    return dict(report)
