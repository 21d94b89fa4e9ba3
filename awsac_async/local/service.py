"""The service manager of an instance: runs the boot script, or the units of its disk, and again by their rules.

Owns the process that a boot script or a unit's command is, or has become by ``exec``. Of a unit file it knows the keys
ExecStart, Environment, Restart, RestartSec, SuccessExitStatus, WatchdogSec, Slice, OOMScoreAdjust and LimitNOFILE, as
systemd explains them; a boot script goes by the unit file beside it, and without one is not restarted. What a service
has started is left alone, which is systemd's ``KillMode=process``.
"""

import contextlib
import math
import os
import shlex
import signal
import time
from collections.abc import Mapping, Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

from awsac_async.local.watch import Watch

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
        section = _section(unit)
        return cls(
            restart=section.get("Restart", cls.restart),
            seconds=float(section.get("RestartSec", cls.seconds)),
            success=frozenset(map(int, section.get("SuccessExitStatus", "").split())),
        )

    def restarts(self, code: int) -> bool:
        """Say whether a service that ended with this code is started again."""
        clean = code in self.success | {0} or (code < 0 and -code in _CLEAN_SIGNALS)
        return self.restart == "always" or (self.restart == "on-failure" and not clean)


# $1: the control group to enter, $2: its place in the order in which the kernel kills, $3 and $4: how many files it may
# have open, and may ask for; "": as it is. What this machine does not allow stays as it is.
_PREPARE = """
[ -z "$1" ] || echo 0 >"$1/cgroup.procs"
[ -z "$2" ] || echo "$2" >/proc/self/oom_score_adj
[ -z "$4" ] || ulimit -H -n "$4"
[ -z "$3" ] || ulimit -S -n "$3" || ulimit -S -n "$(ulimit -H -n)"
"""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a service is given of the machine: its slice, and what the shell above makes of a unit's keys."""

    slice: str = ""
    score: str = ""
    files: str = ""

    @classmethod
    def read(cls, unit: Path) -> "Limits":
        """Read a unit file; one that is missing changes nothing."""
        section = _section(unit)
        names = {"slice": "Slice", "score": "OOMScoreAdjust", "files": "LimitNOFILE"}
        return cls(**{name: section.get(key, "") for name, key in names.items()})

    def command(self, unit: str, group: Path | None) -> list[str]:
        """Return what stands before the command of a service; ``group`` is the instance's control group (version 2)."""
        own = group / self.slice / unit if group and self.slice else None
        if own:
            own.mkdir(parents=True, exist_ok=True)
        soft, _, hard = self.files.partition(":")
        words = [str(own or ""), self.score, soft, hard or soft]
        script = f'{{ {_PREPARE} }} 2>/dev/null; shift 4; exec "$@"'
        return ["/bin/sh", "-c", script, unit, *words] if any(words) else []


def _section(unit: Path) -> Mapping[str, str]:
    parser = ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.read(unit)
    return parser["Service"] if parser.has_section("Service") else {}


class Service:
    """One service of one instance, "the boot script" for one: what it runs, and whether it runs."""

    def __init__(
        self,
        title: str,
        command: list[str],
        environment: Mapping[str, str],
        *,
        rule: RestartRule = RestartRule(),
        watch: Watch | None = None,
    ) -> None:
        self.title = title
        self._command = command
        self._environment = environment
        self._rule, self._watch = rule, watch
        self._pid: int | None = None
        self._next_start = math.inf  # monotonic

    def start(self) -> None:
        """Start it now, unless it runs."""
        if self._pid is not None:
            return
        self._next_start = math.inf
        try:
            watched = self._watch.begin() if self._watch else {}
            self._pid = os.posix_spawn(
                self._command[0],
                self._command,
                {**self._environment, **watched},
                setsid=True,
                setsigmask=[],
                setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
            )
        except OSError as error:
            report(f"cannot run {self.title}: {error}")

    def act(self) -> None:
        """Start it again if it is time, and kill it if it has been silent for too long."""
        if time.monotonic() >= self._next_start:
            self.start()
        if self._pid is not None and self._watch and self._watch.is_over():
            report(f"{self.title} does not say any more that it lives: killing it")
            self._watch.end()
            self.kill()

    def seconds_to_act(self) -> float | None:
        """Return how long it is until there may be something to do; None if there is nothing."""
        left = self._watch.left() if self._watch and self._pid is not None else math.inf
        soon = min(left, self._next_start - time.monotonic())
        return None if math.isinf(soon) else max(0.0, soon)

    def collected(self, pid: int, code: int) -> None:
        """Take note of a process that has ended."""
        if pid != self._pid:
            return
        self._pid = None
        again = self._rule.restarts(code)
        when = f", and is started again in {self._rule.seconds:g} s" if again else ""
        report(f"{self.title} ended with status {code}{when}")
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


def boot_script(script: Path, environment: Mapping[str, str], *, group: Path | None, run: Path) -> Service:
    """Return the service that a boot script is; ``group`` as for ``Limits.command``, ``run`` a folder for sockets."""
    unit = script.with_name(UNIT)
    command = [*Limits.read(unit).command(UNIT, group), str(script)]
    return Service("the boot script", command, environment, rule=RestartRule.read(unit), watch=_watch(unit, run))


def unit_service(unit: Path, environment: Mapping[str, str], root: str, *, group: Path | None, run: Path) -> Service:
    """Return the service that a unit file describes; ``root`` stands before the paths of the instance."""
    section = _section(unit)
    own = dict(word.partition("=")[::2] for word in shlex.split(section.get("Environment", "")) if "=" in word)
    program, *arguments = shlex.split(section.get("ExecStart", "")) or [""]
    command = [*Limits.read(unit).command(unit.name, group), root + program, *arguments]
    watch = _watch(unit, run)
    return Service(unit.name, command, {**environment, **own}, rule=RestartRule.read(unit), watch=watch)


def _watch(unit: Path, run: Path) -> Watch | None:
    seconds = _section(unit).get("WatchdogSec", "")
    return Watch(run / f"{unit.name}.notify", float(seconds)) if seconds else None


class Services:
    """All services of one instance."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = list(services)

    def start(self) -> None:
        """Start all of them."""
        for service in self._services:
            service.start()

    def add(self, service: Service) -> None:
        """Start a further one, unless one of its name is there: that one is started if it does not run."""
        known = next((each for each in self._services if each.title == service.title), None)
        if known is None:
            self._services.append(service)
        (known or service).start()

    def collected(self, pid: int, code: int) -> None:
        """Take note of a process that has ended."""
        for service in self._services:
            service.collected(pid, code)

    def act(self) -> None:
        """Start again those whose time has come, and kill those that have been silent for too long."""
        for service in self._services:
            service.act()

    def seconds_to_act(self) -> float | None:
        """Return how long it is until there may be something to do for one; None if there is nothing."""
        return min((seconds for each in self._services if (seconds := each.seconds_to_act()) is not None), default=None)

    def stay_down(self) -> None:
        """Never start any of them again."""
        for service in self._services:
            service.stay_down()

    def kill(self) -> None:
        """Kill their own processes, and nothing that those have started."""
        for service in self._services:
            service.kill()
