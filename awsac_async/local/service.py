"""The service manager of an instance: runs the boot script, and again by the rule of its unit file.

Owns the process that the boot script is, or has become by ``exec``. Of the unit file beside the script it knows the
keys Restart, RestartSec and SuccessExitStatus, as systemd.service(5) explains them; without one nothing is restarted.
What the script has started is left alone, which is systemd's ``KillMode=process``.
"""

import contextlib
import math
import os
import signal
import time
from collections.abc import Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

UNIT = "awsac-agent.service"
_CLEAN_SIGNALS = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE}  # to Restart=on-failure


def report(message: str) -> None:
    """Print a line of the instance's init on the console."""
    print(f"[init] {message}", flush=True)


@dataclass(frozen=True, kw_only=True)
class RestartRule:
    """When a service is started again. Exit codes are as ``os.waitstatus_to_exitcode`` gives them."""

    restart: str = "no"  # or "on-failure", or "always"
    seconds: float = 0.1  # systemd's default
    success: frozenset[int] = frozenset()

    @classmethod
    def read(cls, unit: Path) -> "RestartRule":
        """Read a unit file; one that is missing starts nothing again."""
        parser = ConfigParser(strict=False, interpolation=None, delimiters="=")
        parser.read(unit)
        section: Mapping[str, str] = parser["Service"] if parser.has_section("Service") else {}
        return cls(
            restart=section.get("Restart", cls.restart),
            seconds=float(section.get("RestartSec", cls.seconds)),
            success=frozenset(map(int, section.get("SuccessExitStatus", "").split())),
        )

    def restarts(self, code: int) -> bool:
        """Say whether a service that ended with this code is started again."""
        clean = code in self.success | {0} or (code < 0 and -code in _CLEAN_SIGNALS)
        return self.restart == "always" or (self.restart == "on-failure" and not clean)


class BootScript:
    """The boot script of one instance."""

    def __init__(self, script: Path, environment: Mapping[str, str]) -> None:
        self._script = script
        self._environment = environment
        self._rule = RestartRule.read(script.with_name(UNIT))
        self._pid: int | None = None
        self._next_start = math.inf  # monotonic

    def start(self) -> None:
        """Start it now."""
        self._next_start = math.inf
        try:
            self._pid = os.posix_spawn(
                self._script,
                [str(self._script)],
                self._environment,
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE],
            )
        except OSError as error:
            report(f"cannot run the boot script: {error}")

    def start_if_due(self) -> None:
        """Start it again if it is time."""
        if time.monotonic() >= self._next_start:
            self.start()

    def seconds_to_start(self) -> float | None:
        """Return how long it is until it is to be started again; None if it is not."""
        return None if math.isinf(self._next_start) else max(0.0, self._next_start - time.monotonic())

    def collected(self, pid: int, code: int) -> None:
        """Take note of a process that has ended."""
        if pid != self._pid:
            return
        self._pid = None
        again = self._rule.restarts(code)
        when = f", and is started again in {self._rule.seconds:g} s" if again else ""
        report(f"the boot script ended with status {code}{when}")
        if again:
            self._next_start = time.monotonic() + self._rule.seconds

    def stay_down(self) -> None:
        """Never start it again."""
        self._rule, self._next_start = RestartRule(), math.inf

    def kill(self) -> None:
        """Kill it alone, if it runs; it has been collected by nobody else, so the number is still its own."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
