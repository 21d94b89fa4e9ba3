"""What a job is given: its release in a real mount namespace, its files, its environment, and its user."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from awsac_async.agent.command import JobFiles, job_command, job_environment, set_all_aside
from awsac_async.agent.jobuser import JobUserError, find_user
from awsac_async.agent.mounts import MountKind
from awsac_async.agent.releases import Provided
from awsac_async.session.names import InstancePaths

NAMESPACE = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount"]
MOUNT_TWO = 'for name in one two; do mount -t tmpfs none "$1/$name" && echo $name >"$1/$name/name"; done; shift; "$@"\n'
# The agent is quicker: when the job's umount runs, the mount of the other release has just gone.
GONE_MEANWHILE = '#!/bin/sh\ncase $1 in */two) {umount} "$1" ;; esac\n{umount} "$1"\n'
REFUSED = '#!/bin/sh\necho "umount: target is busy" >&2; exit 32\n'


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs jobs as another user")
# Prints who it is, where it may write, and reads what the archive brought.
WHO = """
id -un; id -gn; echo $HOME $USER $LOGNAME; cat "$AWSACworkingDir/input"
echo mine >results.txt && echo more >>stdouterr_job_1.log
ls "$ATLASworkingDir/.awsac" 2>/dev/null || echo hidden
"""


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A folder that every user can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="awsac-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


def paths_below(directory: Path) -> InstancePaths:
    names = ("ATLASDir", "ATLASworkingDir", "AWSACworkingDir")
    return InstancePaths.from_environment({name: str(directory / name) for name in names})


def test_a_job_that_comes_back_after_it_was_given_up_begins_in_an_empty_folder(tmp_path: Path) -> None:
    """Its attempts are counted on from what others know, who may not have heard of the last one."""
    paths = paths_below(tmp_path)
    for attempt in (1, 2):
        files = JobFiles.of(1, attempt, paths)
        files.prepare(None)
        (files.directory / "results.tar.bz2").write_text(f"of attempt {attempt}")
        files.output.write_text("of before")
    JobFiles.of(11, 1, paths).prepare(None)
    set_all_aside(1, paths)
    shutil.rmtree(paths.state / "jobs/1")  # as the state of a job that is given up goes
    files.prepare(None)
    assert [each.name for each in files.directory.iterdir()] == [files.output.name]
    assert files.output.read_text() == ""
    assert JobFiles.of(11, 1, paths).output.exists()


def environment_of(paths: InstancePaths, *, job_user: str) -> dict[str, str]:
    return job_environment(
        paths=paths,
        session_id="a-session",
        job=1,
        attempt=2,
        n_jobs=3,
        core=0,
        has_data=True,
        release=None,
        interrupt_at=paths.state / "interrupted",
        user=find_user(job_user),
    )


def run(directory: Path, umount: str) -> tuple[subprocess.CompletedProcess[str], JobFiles]:
    """Run a job with release "one", "two" being mounted beside it, and with this ``umount``."""
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow mount namespaces")
    paths = paths_below(directory)
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


@AS_ROOT
def test_a_job_runs_as_its_user_who_owns_what_it_works_with(everybodys: Path) -> None:
    paths, user = paths_below(everybodys), find_user("nobody")
    assert user is not None
    (paths.awsac_working / "input").parent.mkdir()
    (paths.awsac_working / "input").write_text("input\n")
    (paths.awsac_working / "job.sh").write_text(WHO)
    files = JobFiles.of(1, 1, paths)
    files.prepare(user)
    command = job_command(paths.awsac_working / "job.sh", files=files, release=None, paths=paths, user=user)
    environment = environment_of(paths, job_user="nobody")
    ended = subprocess.run(command, cwd=files.directory, env=environment, capture_output=True, text=True, check=False)
    entry = pwd.getpwnam("nobody")
    group = subprocess.run(["id", "-gn", "nobody"], capture_output=True, text=True, check=True).stdout.strip()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == ["nobody", group, f"{entry.pw_dir} nobody nobody", "input", "hidden"]
    assert {(files.directory / name).stat().st_uid for name in (".", "results.txt", files.output.name)} == {
        entry.pw_uid
    }
    assert files.begun()
    assert files.kept_output.read_text() == "more\n"


def test_a_user_that_the_image_does_not_know_is_refused() -> None:
    with pytest.raises(JobUserError, match=r"^job_user = no-such-user: there is no such user on this image$"):
        find_user("no-such-user")


def test_an_agent_that_is_not_root_refuses_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(JobUserError, match="the agent is not root"):
        find_user("nobody")
    assert find_user("root") is None  # the default: as the agent runs


def test_what_the_agent_has_in_its_environment_does_not_reach_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "HF_TOKEN"):
        monkeypatch.setenv(name, "secret")
    paths = paths_below(tmp_path)
    environment = environment_of(paths, job_user="root")
    assert "secret" not in environment.values()
    assert environment.keys() - {"PATH", "HOME", "LANG", "TZ"} == {
        *paths.variables(),
        *(f"AWSAC_{name}" for name in ("SESSION_ID", "JOB", "ATTEMPT", "N_JOBS", "CORE", "DATA", "INTERRUPT_AT")),
    }
    assert environment["AWSAC_ATTEMPT"] == "2"


def test_another_attempt_begins_in_a_fresh_folder_and_the_one_before_is_kept(tmp_path: Path) -> None:
    paths = paths_below(tmp_path)
    first, second = JobFiles.of(1, 1, paths), JobFiles.of(1, 2, paths)
    first.prepare(None)
    (first.directory / "partial").touch()
    first.output.write_text("first\n")
    second.prepare(None)
    second.output.write_text("second\n")
    second.prepare(None)  # as a successor does whose predecessor died before it could start the attempt
    assert [path.name for path in second.directory.iterdir()] == ["stdouterr_job_1.log"]
    assert (first.set_aside / "partial").exists()
    assert (first.kept_output.read_text(), second.kept_output.read_text()) == ("first\n", "second\n")


def test_an_attempt_that_was_started_is_not_prepared_again(tmp_path: Path) -> None:
    files = JobFiles.of(1, 1, paths_below(tmp_path))
    files.prepare(None)
    files.started.write_text("1\n")
    files.claim.write_text("1 1 boot\n")
    files.output.unlink()  # the job's own doing
    files.prepare(None)
    assert files.begun()
    assert not files.output.exists()
