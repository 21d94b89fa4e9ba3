"""As whom a job runs: as the agent, or, where a session asks for that (``job_user``), as an ordinary user.

Each job of such a session has a user number of its own, so that no job can reach the folder, the processes or the
temporary files of another; the groups, the home and the name are those of the user that was asked for. Owns the change
to that user. A job never runs as root because its user was unknown, or could not be changed to.
"""

import functools
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from awsac_async.session.shebang import SHELL

# Job n has the number FIRST_UID + n: nobody else uses numbers from here on, https://systemd.io/UIDS-GIDS.
FIRST_UID = 1_879_048_192
_PASSWD = Path("/etc/passwd")


class JobUserError(Exception):
    """Jobs cannot run as the user that was asked for; the text is their reason."""


@dataclass(frozen=True, kw_only=True)
class JobUser:
    """Whom a job runs as, if not as the agent itself.

    ``shielded``: no program of the job gains rights, by a setuid bit for one, that the shield does not know.
    ``processes``: how many the job may have, where no control group bounds them.
    """

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: Path
    shielded: bool = True
    processes: int | None = None

    def command(self) -> list[str]:
        """Return what stands in front of a command that is to run as this user."""
        groups = ",".join(map(str, self.groups))
        rights = ["--no-new-privs"] if self.shielded else []
        bound = [] if self.processes is None else ["prlimit", f"--nproc={self.processes}:{self.processes}"]
        return [*bound, "setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", f"--groups={groups}", *rights, "--"]

    def environment(self) -> dict[str, str]:
        """Return the variables that say who one is, as cron sets them."""
        return login_variables(self.name, self.home)

    def passwd(self) -> str:
        """Return an ``/etc/passwd`` in which the name has this job's number."""
        own = f"{self.name}:x:{self.uid}:{self.gid}::{self.home}:{SHELL}\n"
        return own + _PASSWD.read_text(errors="surrogateescape")


def login_variables(name: str, home: str | Path) -> dict[str, str]:
    """Return the variables of somebody who has logged in."""
    return {"HOME": str(home), "USER": name, "LOGNAME": name, "SHELL": SHELL}


def own_variables() -> dict[str, str]:
    """Return these variables of the agent's own user, for the jobs that run as it does."""
    try:
        entry = pwd.getpwuid(os.geteuid())
    except KeyError:
        return login_variables(str(os.geteuid()), os.environ.get("HOME", "/"))
    return login_variables(entry.pw_name, os.environ.get("HOME", entry.pw_dir))


def find_user(name: str, *, job: int, shielded: bool = True) -> JobUser | None:
    """Return whom a job of a session with this ``job_user`` runs as; None for root, the default: as the agent does.

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
    if not _is_mapped(FIRST_UID + job):
        raise JobUserError(f"job_user = {name}: this machine has one user only, and can run jobs as root only")
    return JobUser(
        name=name,
        uid=FIRST_UID + job,
        gid=entry.pw_gid,
        groups=tuple(os.getgrouplist(name, entry.pw_gid)),
        home=Path(entry.pw_dir),
        shielded=shielded,
    )


def _is_mapped(uid: int) -> bool:
    """Whether a number means a user here: in a user namespace few do (user_namespaces(7))."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        inside, _, count = map(int, line.split())
        if inside <= uid < inside + count:
            return True
    return False


@functools.cache
def has_own_mounts() -> bool:
    """Whether a process can have mounts of its own here. Blocks at first."""
    if (unshare := shutil.which("unshare")) is None:
        return False
    return subprocess.run([unshare, "--mount", "true"], capture_output=True, check=False).returncode == 0
