"""The way out of instances as an ordinary user: pasta, or slirp4netns, one process for each instance.

Such a program takes an instance's packets and makes connections of this machine of them. That it does not lead where an
instance must not go is therefore arranged inside: there is no route, and what the init runs has no right to make one.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from awsac_async.local import processes

_TUN = "/dev/net/tun"
_TIMEOUT = 10.0  # s: from a program's start to the instance's being connected
_POLL = 0.02  # s
_NEVER = ["127.0.0.0/8", "169.254.0.0/16"]
_PASTA_RESOLVER, _SLIRP_RESOLVER = "198.18.0.53", "10.0.2.3"


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that connects an instance."""

    command: Callable[[int, str, int], list[str]]  # from the init's PID, a mark and a descriptor that closes at our end
    resolver: str  # where instances find the machine's resolver


def _pasta(init: int, mark: str, _: int) -> list[str]:
    ports = ("--tcp-ports=none", "--udp-ports=none", "--tcp-ns=none", "--udp-ns=none")
    options = ("--quiet", "--foreground", "--config-net", "--ipv4-only", "--no-map-gw", "--ns-ifname=eth0", *ports)
    # Its environment cannot be read: it is found by the name of the file for its PID.
    names = (f"--dns-forward={_PASTA_RESOLVER}", "--pid", mark)
    return ["pasta", *options, *names, f"--userns=/proc/{init}/ns/user", f"--netns=/proc/{init}/ns/net"]


def _slirp4netns(init: int, _: str, end: int) -> list[str]:
    options = ("--configure", "--mtu=65520", "--disable-host-loopback", "--enable-seccomp", f"--exit-fd={end}")
    place = (f"--userns-path=/proc/{init}/ns/user", "--netns-type=path", f"/proc/{init}/ns/net", "eth0")
    return ["slirp4netns", *options, *place]


_PROGRAMS = {
    "pasta": Program(command=_pasta, resolver=_PASTA_RESOLVER),
    "slirp4netns": Program(command=_slirp4netns, resolver=_SLIRP_RESOLVER),
}


def find() -> Program:
    """Return the program that this machine has. Raises OSError, which says what is missing."""
    if not os.access(_TUN, os.R_OK | os.W_OK):
        raise OSError(f"{_TUN} is not open to this user")
    for name, program in _PROGRAMS.items():
        if shutil.which(name):
            return program
    raise OSError("neither pasta (package passt) nor slirp4netns is installed")


class UserMode:
    """What leads out of the instances of one cloud."""

    def __init__(self, program: Program, cloud_id: str, *, blocked: list[str], resolver: str | None) -> None:
        self.resolver = resolver
        self.blocked = [*_NEVER, *(f"{address}/32" for address in blocked)]
        self._program, self._cloud_id = program, cloud_id
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._end, self._open = os.pipe()  # closes with this process

    def connect(self, instance_id: str, init: int, folder: Path) -> None:
        """Let an instance out. Raises OSError."""
        (mark,) = processes.mark(folder / "outward", self._cloud_id).values()
        log = folder / "outward.log"
        with log.open("wb") as file:
            running = subprocess.Popen(
                self._program.command(init, mark, self._end),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                env=dict(os.environ) | processes.mark(folder, self._cloud_id),
                cwd="/",
                start_new_session=True,
                pass_fds=[self._end],
            )
        self._running[instance_id] = running
        deadline = time.monotonic() + _TIMEOUT
        while not _has_default_route(init):
            if running.poll() is not None or time.monotonic() > deadline:
                said = " ".join(log.read_text(errors="replace").split())[-200:]
                raise OSError(f"the instance cannot be connected to the network: {said}")
            time.sleep(_POLL)  # no event tells that a namespace has a route

    def disconnect(self, instance_id: str) -> None:
        """End the program."""
        if running := self._running.pop(instance_id, None):
            running.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(1.0)
            running.kill()
            running.wait()


def _has_default_route(init: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        lines = Path(f"/proc/{init}/net/route").read_text().splitlines()[1:]
        return any(line.split()[1] == "00000000" and line.split()[7] == "00000000" for line in lines)
    return False
