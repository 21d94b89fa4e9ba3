"""What a process inherits from whoever starts it, besides its environment: made what it is when a machine has booted.

Without this an instance would have the umask, the limits, the ignored signals and the priority of the shell in which
the cloud was brought up. What only root may raise again stays where it is for an ordinary user.
"""

import os
import resource
import signal
from contextlib import suppress
from pathlib import Path

_PYTHONS = {signal.SIGPIPE, signal.SIGXFSZ}  # which Python itself ignores, and an instance's services do not
_INFINITY = resource.RLIM_INFINITY
# Soft and hard limits of services of systemd, systemd-system.conf(5); of processes and open files the cloud says more.
_LIMITS = {
    resource.RLIMIT_AS: (_INFINITY, _INFINITY),
    resource.RLIMIT_CORE: (0, _INFINITY),
    resource.RLIMIT_CPU: (_INFINITY, _INFINITY),
    resource.RLIMIT_DATA: (_INFINITY, _INFINITY),
    resource.RLIMIT_FSIZE: (_INFINITY, _INFINITY),
    resource.RLIMIT_MEMLOCK: (8 << 20, 8 << 20),
    resource.RLIMIT_NPROC: (_INFINITY, _INFINITY),
    resource.RLIMIT_STACK: (8 << 20, _INFINITY),
}


def renew() -> None:
    """Make this process' surroundings those of a service, and its own all that it starts from now on."""
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP} - _PYTHONS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    for kind, (soft, hard) in _LIMITS.items():
        limit(kind, soft, hard)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    with suppress(OSError):
        os.setgroups([os.getgid()])
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("0")


def limit(kind: int, soft: int, hard: int) -> None:
    """Set a limit; the hard one stays where it is if this process may not raise it."""
    _, most = resource.getrlimit(kind)
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (soft, hard))
        return
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (_lesser(soft, most), most))


def _lesser(one: int, other: int) -> int:
    return min((one, other), key=lambda value: float("inf") if value == _INFINITY else value)
