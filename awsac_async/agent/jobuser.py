"""The ordinary user whom jobs run as, where a session asks for one (``job_user``).

Owns the change to that user. A job never runs as root because its user was unknown, or could not be changed to.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path


class JobUserError(Exception):
    """Jobs cannot run as the user that was asked for; the text is their reason."""


@dataclass(frozen=True, kw_only=True)
class JobUser:
    """A user that is not the agent's own."""

    name: str
    uid: int
    gid: int
    home: Path

    def command(self) -> list[str]:
        """Return what stands in front of a command that is to run as this user, with all groups of that user."""
        return ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--init-groups", "--"]

    def environment(self) -> dict[str, str]:
        """Return the variables that say who one is."""
        return {"HOME": str(self.home), "USER": self.name, "LOGNAME": self.name}


def find_user(name: str) -> JobUser | None:
    """Return the user of this name; None for root, the default: then jobs run as the agent does.

    Raises:
        JobUserError: there is no such user, or the agent may not run jobs as that user.
    """
    if name == "root":
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise JobUserError(f"job_user = {name}: there is no such user on this image") from None
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise JobUserError(f"job_user = {name}: the agent is not root, and can run jobs as its own user only")
    return JobUser(name=name, uid=entry.pw_uid, gid=entry.pw_gid, home=Path(entry.pw_dir))
