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
id -un; id -gn; echo $HOME $USER $LOGNAME $SHELL; cat "$AWSACworkingDir/input"
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
        user=find_user(job_user, job=1),
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
    paths, user = paths_below(everybodys), find_user("nobody", job=1)
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
    assert ended.stdout.splitlines() == ["nobody", group, f"{entry.pw_dir} nobody nobody /bin/sh", "input", "hidden"]
    assert {(files.directory / name).stat().st_uid for name in (".", "results.txt", files.output.name)} == {user.uid}
    assert files.begun()
    assert files.kept_output.read_text() == "more\n"


# Each line does what it can to job 1, whose process is $1.
ATTACK = """
cd "$ATLASworkingDir/1" || echo no folder
cat "$ATLASworkingDir/1/secret" || echo not read
echo tampered >"$ATLASworkingDir/1/results.tar.bz2" || echo not written
mv "$ATLASworkingDir/1" "$ATLASworkingDir/2" || echo not moved
kill -KILL "$1" || echo not killed
cat "/proc/$1/environ" || echo not seen
ls "/proc/$1/cwd" || echo not entered
kill -KILL -1
"""


@AS_ROOT
def test_a_job_of_a_user_reaches_neither_the_folder_nor_the_processes_of_another(everybodys: Path) -> None:
    paths = paths_below(everybodys)
    paths.awsac_working.mkdir()
    (paths.awsac_working / "victim.sh").write_text("umask 0; echo secret >secret; exec sleep 60\n")
    (paths.awsac_working / "attack.sh").write_text("#!/bin/sh\nset -- $VICTIM\n" + ATTACK)
    running = []
    try:
        for job, script in ((1, "victim.sh"), (2, "attack.sh")):
            user = find_user("nobody", job=job)
            files = JobFiles.of(job, 1, paths)
            files.prepare(user)
            command = job_command(paths.awsac_working / script, files=files, release=None, paths=paths, user=user)
            environment = environment_of(paths, job_user="nobody") | {"VICTIM": str(running[0].pid if running else "")}
            with files.kept_output.open("wb") as output:
                running.append(
                    subprocess.Popen(command, cwd=files.directory, env=environment, stdout=output, stderr=output)
                )
            if job == 1:
                while not (files.directory / "secret").exists():
                    assert running[0].poll() is None
        running[1].wait()
        said = files.kept_output.read_text().splitlines()
        assert [line for line in said if line.startswith(("no", "secret"))] == [
            "no folder",
            *(f"not {done}" for done in ("read", "written", "moved", "killed", "seen", "entered")),
        ]
        assert running[0].poll() is None
        assert {each.name for each in JobFiles.of(1, 1, paths).directory.iterdir()} == {"secret", "stdouterr_job_1.log"}
    finally:
        for each in running:
            each.kill()
            each.wait()


BASH = 'set -o pipefail; [[ -n "$HOME" ]] && ps -o comm= -p $$\n'


@pytest.mark.parametrize(
    "first",
    [
        b"#!/bin/bash\n",
        b"#! /bin/bash  -e \n",
        b"#!/bin/bash\r\n",
        b"#!/usr/bin/env bash\n",
        b"#!/usr/bin/env -S bash -e\n",
    ],
)
def test_a_script_runs_by_the_program_that_its_first_line_names(tmp_path: Path, first: bytes) -> None:
    (tmp_path / "script").write_bytes(first + BASH.encode())  # not executable, as an archive may bring it
    assert _said(tmp_path) == "bash\n"


@pytest.mark.parametrize("first", [b"", b"#!\n", b"# a comment\n", b"#!/bin/sh\n", b"\n#!/bin/bash\n"])
def test_any_other_script_runs_by_sh_as_in_2008(tmp_path: Path, first: bytes) -> None:
    (tmp_path / "script").write_bytes(first + b"ps -o comm= -p $$\n")
    assert _said(tmp_path) == "sh\n"


@pytest.mark.parametrize(
    ("first", "missing"),
    [
        (b"#!/opt/no/such/python -u\n", "/opt/no/such/python"),
        (b"#!python3\n", "python3"),
        (b"#!/usr/bin/env no-such-shell\n", "no-such-shell"),
        (b"#!/etc/passwd\n", "/etc/passwd"),
    ],
)
def test_a_script_of_a_program_that_is_not_there_is_not_run_by_another(
    tmp_path: Path, first: bytes, missing: str
) -> None:
    (tmp_path / "script").write_bytes(first + b"touch ran\n")
    with pytest.raises(OSError, match=rf"^script begins with #!.*, and there is no {missing} here$"):
        _said(tmp_path)


def _said(directory: Path) -> str:
    """Run the script of a folder as a job; returns what it prints."""
    paths = paths_below(directory)
    files = JobFiles.of(1, 1, paths)
    files.prepare(None)
    command = job_command(directory / "script", files=files, release=None, paths=paths, user=None)
    environment = environment_of(paths, job_user="root")
    ended = subprocess.run(command, cwd=files.directory, env=environment, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    return ended.stdout


def test_a_user_that_the_image_does_not_know_is_refused() -> None:
    with pytest.raises(JobUserError, match=r"^job_user = no-such-user: there is no such user on this image$"):
        find_user("no-such-user", job=1)


def test_an_agent_that_is_not_root_refuses_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(JobUserError, match="the agent is not root"):
        find_user("nobody", job=1)
    assert find_user("root", job=1) is None  # the default: as the agent runs


def test_what_the_agent_has_in_its_environment_does_not_reach_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "HF_TOKEN"):
        monkeypatch.setenv(name, "secret")
    paths = paths_below(tmp_path)
    environment = environment_of(paths, job_user="root")
    assert "secret" not in environment.values()
    assert environment.keys() - {"PATH", "LANG", "TZ"} == {
        *("HOME", "USER", "LOGNAME", "SHELL"),
        *paths.variables(),
        *(f"AWSAC_{name}" for name in ("SESSION_ID", "JOB", "ATTEMPT", "N_JOBS", "CORE", "DATA", "INTERRUPT_AT")),
    }
    assert environment["AWSAC_ATTEMPT"] == "2"


def test_a_job_of_the_agents_own_user_knows_who_it_is_as_under_cron(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = pwd.getpwuid(os.geteuid())
    for name in ("HOME", "USER", "LOGNAME", "SHELL"):
        monkeypatch.delenv(name, raising=False)
    environment = environment_of(paths_below(tmp_path), job_user="root")
    assert [environment[name] for name in ("HOME", "USER", "LOGNAME", "SHELL")] == [
        entry.pw_dir,
        entry.pw_name,
        entry.pw_name,
        "/bin/sh",
    ]


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
