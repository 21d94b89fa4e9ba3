"""A process that has imported the command line and the SDK, and forks for each call of ``awsac``.

For most of what a call costs are imports, and tests make hundreds. A call has its own streams, folder, environment and
exit code, as if it had been started; whatever is about the start itself, signals or terminals needs a real process.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

HEAVY = ("aioboto3.s3.inject", "awsac_async.local.cloud", "rich.live", "rich.table", "typer._adapters")
PACKAGES = ("cli", "client", "cloud", "session")
LONGEST = 1 << 17  # bytes of a call


@dataclass(frozen=True, kw_only=True)
class Forks:
    """The way to the server; it ends when this is closed, with all that still runs."""

    server: socket.socket
    process: "subprocess.Popen[bytes]"

    def run(
        self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], answers: str, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, whose first word is awsac's path, as ``subprocess.run`` does."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as said:
            given.write(answers.encode())
            given.seek(0)
            call = json.dumps({"command": command, "folder": str(folder), "environment": dict(environment)})
            files = [stream.fileno() for stream in (given, printed, said)]
            code = self._call(call.encode(), files, timeout)
            texts = [_text(stream.fileno()) for stream in (printed, said)]
            if code is None:
                sentence = f"did not end within {timeout:.0f} s, and was killed; it printed {''.join(texts)[-1000:]!r}"
                raise TimeoutError(f"{' '.join(command)} {sentence}")
        return subprocess.CompletedProcess([*command], code, *texts)

    def _call(self, call: bytes, streams: list[int], timeout: float) -> int | None:
        """Return the exit code; None if it did not end in time, and is ended: whoever waits for it sees us gone."""
        answer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with answer:
            with theirs:
                socket.send_fds(self.server, [call], [*streams, theirs.fileno()])
            answer.settimeout(timeout)
            try:
                return int(answer.recv(LONGEST))
            except TimeoutError:
                return None

    def close(self) -> None:
        self.server.close()
        self.process.wait()


def _text(file: int) -> str:
    """Return what was printed, with the ends of lines that a pipe in text mode gives."""
    content = os.pread(file, os.fstat(file).st_size, 0).decode()
    return content.replace("\r\n", "\n").replace("\r", "\n")


@functools.cache
def forks() -> Forks:
    """Return the server of this process, which the first call starts."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    made = Forks(server=ours, process=process)
    atexit.register(made.close)
    return made


def serve(calls: socket.socket) -> NoReturn:
    """Fork for each call, until nobody can call any more."""
    for name in HEAVY:
        importlib.import_module(name)
    for package in PACKAGES:
        for module in pkgutil.walk_packages([f"awsac_async/{package}"], f"awsac_async.{package}."):
            importlib.import_module(module.name)
    gc.freeze()  # a collection in a fork would copy all that was imported
    while True:
        call, files, _, _ = socket.recv_fds(calls, LONGEST, 4)
        if not call:
            os.killpg(0, signal.SIGKILL)
        if not os.fork():
            calls.close()
            _run(call, files)
        for file in files:
            os.close(file)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # those that have waited for their command
                pass


def _run(call: bytes, files: list[int]) -> NoReturn:
    """Be a command in a fork, and its waiting parent in this process."""
    *streams, answer = files
    if child := os.fork():
        poller = select.poll()
        poller.register(os.pidfd_open(child), select.POLLIN)
        poller.register(answer, 0)  # its end alone is of interest: nobody waits any more
        if answer in dict(poller.poll()):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(BrokenPipeError):
            os.write(answer, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    for number, file in enumerate(streams):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    _become(**json.loads(call))


def _become(command: list[str], folder: str, environment: dict[str, str]) -> NoReturn:
    from awsac_async.cli.main import main

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = command
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code or 0
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else 1)  # to take all modules down would cost more than the call


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
