"""What a job is given: its files, its command, its environment.

The command is up to three small shell scripts around the job's own: one for the mark that the job has begun, one that
shows it its release at ``ATLASDir``, and its own name, in a mount namespace of its own, one that sets the mark. All
that needs root comes before the change to the job's user. No credential ever gets into the environment.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import BinaryIO

from awsac_async.agent.jobuser import JobUser, has_own_mounts, own_variables
from awsac_async.agent.logfiles import LogFile
from awsac_async.agent.process import exit_file
from awsac_async.agent.releases import Provided
from awsac_async.session import names
from awsac_async.session.names import InstancePaths
from awsac_async.session.shebang import FIRST_BYTES, interpreter, missing_interpreter

_LAST_BYTES = 4096
_KEPT = ".awsac"  # beside the jobs' folders: what they are not to touch
_INHERITED = ("PATH", "LANG", "TZ")
_NOT_BEGUN, _BEGUN = "0\n", "1\n"

# $1: the mark that the job's own script has begun, opened here, since the job's user may not reach it by name. Like the
# exit code it is written over what is there, which needs no room on the disk.
_OPEN_MARK = """
exec 3<>"$1"; shift
exec "$@"
"""
_RUN = """
echo 1 >&3 || exit
exec "$@" 3>&-
"""

# $1: release or "", $2: where the job sees it, $3: its /etc/passwd or "", $4: folder of all releases. The namespace
# also inherited the other releases' mounts; they are dropped here, since they would keep their volumes busy when they
# are to be removed. The agent may be removing one at this very moment, and with the folder the mount goes here too:
# what counts is that it is gone.
_OWN_VIEW = """
[ -z "$1" ] || mount --bind "$1" "$2" || exit
[ -z "$3" ] || mount --bind "$3" /etc/passwd || exit
for mounted in "$4"/*; do
    mountpoint -q "$mounted" || continue
    said=$(umount "$mounted" 2>&1) || ! mountpoint -q "$mounted" || { echo "$said" >&2; exit 1; }
done
shift 4
exec "$@"
"""


@dataclass(frozen=True, kw_only=True)
class JobFiles:
    """The files of one attempt at a job.

    directory: where it works; when another attempt follows, that becomes ``set_aside``.
    output: what it prints, in its directory. ``kept_output`` is the same file in a folder that the job does not know:
        whatever it does to its own name, the bytes stay there.
    claim, exit: as in ``process.py``. started: the mark that the job's script has begun.
    passwd: what is ``/etc/passwd`` for a job that has a user of its own.
    """

    job: int
    attempt: int
    directory: Path
    set_aside: Path
    output: Path
    kept_output: Path
    claim: Path
    started: Path
    exit: Path
    passwd: Path

    @classmethod
    def of(cls, job: int, attempt: int, paths: InstancePaths) -> "JobFiles":
        """Return the files of an attempt (from 1) at a job, by its number."""
        directory, state = paths.atlas_working / str(job), paths.state / "jobs" / str(job) / str(attempt)
        return cls(
            job=job,
            attempt=attempt,
            directory=directory,
            set_aside=directory.with_name(f"{job}.attempt_{attempt}"),
            output=directory / names.output_file(job),
            kept_output=paths.atlas_working / _KEPT / f"{job}-{attempt}.log",
            claim=state / "pid",
            started=state / "started",
            exit=exit_file(state / "pid"),
            passwd=state / "passwd",
        )

    def prepare(self, user: JobUser | None) -> None:
        """Make what the attempt needs and has not yet; what an earlier agent has made stays. Raises OSError."""
        if self.claim.exists():
            return
        self.claim.parent.mkdir(parents=True, exist_ok=True)
        if not self.started.exists() or not self.started.stat().st_size:
            self.started.write_text(_NOT_BEGUN)
        self._set_earlier_aside()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._make_output()
        if user is not None:
            self.passwd.write_text(user.passwd(), errors="surrogateescape")
            # By our own name of the output: a job beside this one may have put something else in place of the other.
            for path, flags, mode in ((self.kept_output, 0, None), (self.directory, os.O_DIRECTORY, 0o700)):
                descriptor = os.open(path, flags | os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    if mode is not None:
                        os.fchmod(descriptor, mode)
                    os.fchown(descriptor, user.uid, user.gid)
                finally:
                    os.close(descriptor)

    def begun(self) -> bool:
        """Whether the job's own script has begun; it has if the mark is gone, which nobody but a job removes."""
        try:
            return self.started.read_bytes() == _BEGUN.encode()
        except OSError:
            return True

    def log_file(self) -> LogFile:
        """Return its output as it is followed: by the name that the job sees, too, wherever its directory is now."""
        directory = self.set_aside if os.path.lexists(self.set_aside) else self.directory
        return LogFile(path=self.kept_output, shown=directory / self.output.name, spare=self._spare_output)

    @property
    def _spare_output(self) -> Path:
        return self.claim.with_name("output")

    def _set_earlier_aside(self) -> None:
        aside = self.directory.with_name(f"{self.job}.attempt_{self.attempt - 1}")
        if self.attempt > 1 and not os.path.lexists(aside) and os.path.lexists(self.directory):
            self.directory.rename(aside)

    def _make_output(self) -> None:
        self.kept_output.parent.mkdir(mode=0o700, exist_ok=True)
        self.kept_output.touch()
        with suppress(FileExistsError):
            self.output.hardlink_to(self.kept_output)
        spare = self._spare_output
        with suppress(OSError):  # on another file system, for one
            if not spare.exists() or not spare.samefile(self.kept_output):
                spare.unlink(missing_ok=True)
                spare.hardlink_to(self.kept_output)


def set_all_aside(job: int, paths: InstancePaths) -> None:
    """Leave nothing of a job where it works, so that it begins in an empty folder should it come back. Blocks.

    What cannot be moved stays. Nothing is removed: a job that is root may have mounted something there.
    """
    folder = paths.atlas_working
    found = [folder / str(job), *folder.glob(f"{job}.attempt_*"), *(folder / _KEPT).glob(f"{job}-*.log*")]
    with suppress(OSError):
        aside = Path(mkdtemp(prefix=f"given-up-{job}-", dir=folder / _KEPT))
        for path in found:
            with suppress(OSError):
                path.rename(aside / path.name)


def last_line(output: BinaryIO) -> str:
    """Return the last line of an output, or ""; of a very long line its end."""
    output.seek(max(0, output.seek(0, os.SEEK_END) - _LAST_BYTES))
    lines = output.read().decode(errors="replace").splitlines()
    return lines[-1] if lines else ""


def job_command(
    script: Path, *, files: JobFiles, release: Provided | None, paths: InstancePaths, user: JobUser | None
) -> list[str]:
    """Return the command that runs a job's script, as its user, with its release at ``ATLASDir``. Blocks.

    Raises:
        JobUserError, OSError: the script cannot be read, or nothing here can run it.
    """
    run = _sh(_RUN, *_interpreter(script), str(script))
    if user is not None:
        run = [*user.command(), *run]
    shown = str(release.directory) if release is not None and release.mounted else ""
    passwd = str(files.passwd) if user is not None and has_own_mounts() else ""
    if shown or passwd:
        releases = release.directory.parent if release else paths.state / "releases"
        run = _sh(_OWN_VIEW, shown, str(paths.atlas), passwd, str(releases), *run)
        run = ["unshare", "--mount", "--propagation", "private", "--", *run]
    return _sh(_OPEN_MARK, str(files.started), *run)


def _interpreter(script: Path) -> list[str]:
    """Return the words of the program that runs a script; raises OSError if it is not on this instance."""
    with script.open("rb") as file:
        words = interpreter(file.read(FIRST_BYTES))
    if missing := missing_interpreter(words, os.environ.get("PATH", os.defpath)):
        raise FileNotFoundError(f"{script.name} begins with #!{' '.join(words)}, and there is no {missing} here")
    return words


def job_environment(
    *,
    paths: InstancePaths,
    session_id: str,
    job: int,
    attempt: int,
    n_jobs: int,
    core: int,
    has_data: bool,
    release: Provided | None,
    interrupt_at: Path,
    user: JobUser | None,
) -> dict[str, str]:
    """Return all of a job's environment: what is listed here, and nothing that the agent happens to have."""
    if release is not None and not release.mounted:
        paths = replace(paths, atlas=release.directory)
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | paths.variables()
    environment |= user.environment() if user else own_variables()
    environment |= {
        names.JOB_SESSION_ID: session_id,
        names.JOB_NUMBER: str(job),
        names.JOB_ATTEMPT: str(attempt),
        names.JOB_COUNT: str(n_jobs),
        names.JOB_CORE: str(core),
        names.JOB_INTERRUPT_AT: str(interrupt_at),
    }
    if has_data:
        environment[names.JOB_DATA] = str(paths.data)
    return environment


def _sh(script: str, *arguments: str) -> list[str]:
    return ["/bin/sh", "-c", script, "awsac-job", *arguments]
