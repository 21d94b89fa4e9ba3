"""The power switch of an instance: how what runs inside can set the instance's end, which then comes from outside.

On EC2 a timer of systemd powers the machine off. An instance of the embedded cloud has no systemd of its own, and must
never reach that of the machine it runs on: its boot script finds in ``VARIABLE`` the command to ask instead, with
``in SECONDS``, ``never`` or ``now``. The last word counts. A request is a line in a FIFO that the hypervisor reads, so
the end comes whatever the instance's processes do.
"""

import math
import os
import select
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

VARIABLE = "AWSACPower"
_LONGEST_WAIT = 60.0  # s: poll() does not count the time that a machine is suspended
_COMMAND = """\
#!/bin/sh
# Sets when this instance of the embedded cloud is powered off: in SECONDS, never, or now.
echo "$@" 1<>{requests}
"""


class PowerSwitch:
    """The power switch of one instance, from its start until ``follow`` returns."""

    def __init__(self, folder: Path) -> None:
        """Make the command, below the instance's folder."""
        self.command = folder / "awsac-power"
        requests = folder / "power"
        os.mkfifo(requests, 0o600)
        self._requests = os.open(requests, os.O_RDWR | os.O_NONBLOCK)  # to read; who writes may come and go
        self._end = math.inf
        self.command.write_text(_COMMAND.format(requests=shlex.quote(str(requests))))
        self.command.chmod(0o755)

    def follow(self, init: subprocess.Popen[bytes], power_off: Callable[[], None]) -> None:
        """Return when the instance's first process has ended; until then take requests, and ``power_off`` in time."""
        ended = os.pidfd_open(init.pid)
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        poller.register(self._requests, select.POLLIN)
        ready: set[int] = set()
        while ended not in ready:
            if self._requests in ready:
                self._take(os.read(self._requests, select.PIPE_BUF).decode(errors="replace"))
            if _now() >= self._end:
                self._end = math.inf
                power_off()
            seconds = min(_LONGEST_WAIT, max(0.0, self._end - _now()))
            ready = {descriptor for descriptor, _ in poller.poll(seconds * 1000)}
        os.close(ended)
        os.close(self._requests)
        init.wait()

    def _take(self, lines: str) -> None:
        for line in lines.splitlines():
            match line.split():
                case ["now"]:
                    self._end = _now()
                case ["never"]:
                    self._end = math.inf
                case ["in", seconds] if seconds.isdecimal():
                    self._end = _now() + int(seconds)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
