"""A network namespace of the benchmark's own: only loopback is up in it, so that no server reaches, or is reached.

Owns nothing that outlives the process: the namespace ends with the last process in it.
"""

import ctypes
import os
import subprocess
from pathlib import Path

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET of unshare(2)


def enter() -> None:
    """Put this process, which must have one thread, and all that it will start into a new network namespace."""
    user, group = os.getuid(), os.getgid()
    flags = _NEW_NETWORK if user == 0 else _NEW_NETWORK | _NEW_USER
    libc = ctypes.CDLL(None, use_errno=True)  # os.unshare() came with Python 3.12
    if libc.unshare(flags) != 0:
        error = os.strerror(ctypes.get_errno())
        raise SystemExit(f"this benchmark needs a network namespace of its own, as root or by user namespaces: {error}")
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # noqa: S607  iproute2, wherever it is
