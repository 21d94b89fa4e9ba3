"""How somebody on this machine enters an instance of the embedded cloud, as one would log in to a real one.

Owns the command only, which whoever asked for it runs: in the namespaces of the instance's init, or, where instances
have none, in its folder with its variables. It takes nothing of the caller's environment along but the terminal.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from awsac_async.local.settings import Isolation

# Of a mount namespace alone one would see its first root: with a cloud that runs in a chroot, the machine's own.
_NAMESPACES = ("--mount", "--root", "--wd", "--pid", "--uts", "--ipc")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def entering_command(
    isolation: Isolation,
    *,
    init: int,
    folder: Path,
    own_network: bool,
    variables: Mapping[str, str],
    command: Sequence[str],
) -> list[str]:
    """Return the command that enters an instance.

    Args:
        isolation: what the instance is.
        init: the PID of its init on this machine.
        folder: of the instance.
        own_network: whether it has one.
        variables: of the instance, for what runs there.
        command: what to run instead of a shell; its words are joined by spaces and read by a shell, as ``ssh`` does.
    """
    environment = {"PATH": _PATH, "TERM": os.environ.get("TERM", "dumb"), **variables}
    clean = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
    shell = ["/bin/sh", "-c", " ".join(command)] if command else ["/bin/sh", "-i"]
    if isolation is Isolation.PLAIN:
        return ["env", f"--chdir={folder}", *clean[1:], *shell]
    network = ("--net",) if own_network else ()
    users = ("--user", "--preserve-credentials") if isolation is Isolation.USER_NAMESPACES else ()
    return ["nsenter", f"--target={init}", *users, *_NAMESPACES, *network, *clean, *shell]
