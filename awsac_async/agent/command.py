"""What a job is given: its files, its command, its environment.

The command is two small shell scripts around the job's own. The outer one writes the exit code to a file, so that the
end of a job is known even if no agent was there to see it. The inner one, for a job with a release, shows it that
release at ``ATLASDir`` in a mount namespace of its own. No credential ever gets into the environment.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from awsac_async.agent.process import Exit
from awsac_async.agent.releases import Provided
from awsac_async.session import names
from awsac_async.session.names import InstancePaths

_LAST_BYTES = 4096
_INHERITED = ("PATH", "HOME", "LANG", "TZ")

# $1: the file for the exit code. A signal to the group must not end this shell before the job it waits for; unlike an
# ignored signal, one with a trap is back to its default in the job.
_KEEP_EXIT_CODE = """
trap : TERM INT HUP
file=$1; shift
"$@"
code=$?
echo "$code" >"$file.part" && mv "$file.part" "$file"
exit "$code"
"""

# $1: made when the job's own script begins.
_RUN = """
: >"$1"; shift
exec "$@"
"""

# $1: release, $2: where the job sees it, $3: folder of all releases. The namespace also inherited the other releases'
# mounts; they are dropped here, since they would keep their volumes busy when they are to be removed. The agent may be
# removing one at this very moment, and with the folder the mount goes here too: what counts is that it is gone.
_SHOW_RELEASE = """
mount --bind "$1" "$2" || exit
for mounted in "$3"/*; do
    mountpoint -q "$mounted" || continue
    said=$(umount "$mounted" 2>&1) || ! mountpoint -q "$mounted" || { echo "$said" >&2; exit 1; }
done
shift 3
exec "$@"
"""


@dataclass(frozen=True, kw_only=True)
class JobFiles:
    """A job's working directory and output, and what the agent keeps about it (``started``, ``exit``)."""

    directory: Path
    output: Path
    started: Path
    exit: Path

    @classmethod
    def of(cls, job: int, paths: InstancePaths) -> "JobFiles":
        """Return the files of a job by its number."""
        directory, state = paths.atlas_working / str(job), paths.state / "jobs" / str(job)
        return cls(
            directory=directory,
            output=directory / names.output_file(job),
            started=state / "started",
            exit=state / "exit",
        )

    def prepare(self) -> BinaryIO:
        """Make the folders, forget an earlier run of the job, and return its output, open to be read.

        So it can be read at the end whatever the job has put in the place of the file.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self.exit.parent.mkdir(parents=True, exist_ok=True)
        for file in (self.started, self.exit):
            file.unlink(missing_ok=True)
        return self.output.open("a+b")

    def read_exit(self, ended: Exit) -> int:
        """Return the exit code the job itself left; ``ended`` speaks if it had no time to leave one."""
        return int(self.exit.read_text()) if self.exit.exists() else ended.shell_code


def last_line(output: BinaryIO) -> str:
    """Return the last line of an output, or ""; of a very long line its end."""
    output.seek(max(0, output.seek(0, os.SEEK_END) - _LAST_BYTES))
    lines = output.read().decode(errors="replace").splitlines()
    return lines[-1] if lines else ""


def job_command(script: Path, *, files: JobFiles, release: Provided | None, paths: InstancePaths) -> list[str]:
    """Return the command that runs a job's script with its release at ``ATLASDir``."""
    run = _sh(_RUN, str(files.started), "/bin/sh", str(script))
    if release is not None and release.mounted:
        run = _sh(_SHOW_RELEASE, str(release.directory), str(paths.atlas), str(release.directory.parent), *run)
        run = ["unshare", "--mount", "--propagation", "private", "--", *run]
    return _sh(_KEEP_EXIT_CODE, str(files.exit), *run)


def job_environment(
    *,
    paths: InstancePaths,
    session_id: str,
    job: int,
    n_jobs: int,
    core: int,
    has_data: bool,
    release: Provided | None,
) -> dict[str, str]:
    """Return all of a job's environment: what is listed here, and nothing that the agent happens to have."""
    if release is not None and not release.mounted:
        paths = replace(paths, atlas=release.directory)
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | paths.variables()
    environment |= {
        names.JOB_SESSION_ID: session_id,
        names.JOB_NUMBER: str(job),
        names.JOB_COUNT: str(n_jobs),
        names.JOB_CORE: str(core),
    }
    if has_data:
        environment[names.JOB_DATA] = str(paths.data)
    return environment


def _sh(script: str, *arguments: str) -> list[str]:
    return ["/bin/sh", "-c", script, "awsac-job", *arguments]
