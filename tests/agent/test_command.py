"""A job's command in a real mount namespace: the job sees its release, whatever happens to the others meanwhile."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from awsac_async.agent.command import JobFiles, job_command
from awsac_async.agent.devices import MountKind
from awsac_async.agent.releases import Provided
from awsac_async.session.names import InstancePaths

NAMESPACE = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount"]
MOUNT_TWO = 'for name in one two; do mount -t tmpfs none "$1/$name" && echo $name >"$1/$name/name"; done; shift; "$@"\n'
# The agent is quicker: when the job's umount runs, the mount of the other release has just gone.
GONE_MEANWHILE = '#!/bin/sh\ncase $1 in */two) {umount} "$1" ;; esac\n{umount} "$1"\n'
REFUSED = '#!/bin/sh\necho "umount: target is busy" >&2; exit 32\n'


def run(directory: Path, umount: str) -> tuple[subprocess.CompletedProcess[str], JobFiles]:
    """Run a job with release "one", "two" being mounted beside it, and with this ``umount``."""
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow mount namespaces")
    paths = InstancePaths.from_environment(
        {name: str(directory / name) for name in ("ATLASDir", "ATLASworkingDir", "AWSACworkingDir")}
    )
    for folder in ("bin", "ATLASDir", "releases/one", "releases/two"):
        (directory / folder).mkdir(parents=True)
    (directory / "script").write_text("cat ATLASDir/name; ls releases/two\n")
    fake = directory / "bin" / "umount"
    fake.write_text(umount.format(umount=shutil.which("umount")))
    fake.chmod(0o755)
    files = JobFiles.of(1, 1, paths)
    files.prepare(None)
    release = Provided(directory=directory / "releases" / "one", kind=MountKind.DEVICE)
    command = job_command(directory / "script", files=files, release=release, paths=paths, user=None)
    ended = subprocess.run(
        [*NAMESPACE, "sh", "-c", MOUNT_TWO, "sh", str(directory / "releases"), *command],
        cwd=directory,
        env={"PATH": f"{directory / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended, files


def test_a_release_that_is_removed_meanwhile_does_not_concern_the_job_of_another(tmp_path: Path) -> None:
    ended, _ = run(tmp_path, GONE_MEANWHILE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "one\n", "")


def test_a_release_that_stays_mounted_is_why_the_job_does_not_begin(tmp_path: Path) -> None:
    ended, files = run(tmp_path, REFUSED)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "umount: target is busy\n")
    assert not files.begun()
