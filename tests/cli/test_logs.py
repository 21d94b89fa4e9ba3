"""``awsac logs`` of a real session: live, and when its instance is gone."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import AWSAC, Awsac, environment_for, write_ini, write_jobs
from tests.cli.proxy import PATIENCE
from tests.conftest import Embedded

JOB = r"""printf 'job %s has begun\n\377\000' "$AWSAC_JOB"
rm "stdouterr_job_${AWSAC_JOB}.log"
echo 'in another file' > "stdouterr_job_${AWSAC_JOB}.log"
while [ ! -e "{gate}" ]; do sleep 0.1; done
printf 'no end of line'
"""


@pytest.fixture(scope="module")
def workstation(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Awsac]:
    """Give a folder with one session of two jobs, which wait until there is a file ``gate`` in it."""
    folder = tmp_path_factory.mktemp("workstation")
    awsac = Awsac(folder=folder, environment=environment_for(embedded))
    write_ini(folder)
    write_jobs(folder, job=JOB.replace("{gate}", str(folder / "gate")))
    awsac.ok("pack", "jobs")
    awsac.ok("start", "--yes", "-i", "session.ini", "-a", "jobs.tar.bz2")
    yield awsac
    awsac.end()
    awsac("cleanup", "--yes", "--force", "-c", session_file(awsac))


def session_file(awsac: Awsac) -> Path:
    (file,) = awsac.folder.glob("session-*.cfg")
    return file


def output(awsac: Awsac, *arguments: str) -> bytes:
    command = [AWSAC, "logs", "-c", str(session_file(awsac)), *arguments]
    return subprocess.run(
        command, cwd=awsac.folder, env=awsac.environment, stdout=subprocess.PIPE, timeout=2 * PATIENCE, check=True
    ).stdout


def following(awsac: Awsac, *arguments: str) -> "subprocess.Popen[bytes]":
    """Begin to follow; the caller closes what it reads."""
    command = [AWSAC, "logs", "-c", str(session_file(awsac)), "--follow", *arguments]
    return subprocess.Popen(command, env=awsac.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


# The first test of the module: the jobs end by it.
def test_a_follower_sees_a_line_while_the_job_runs_and_all_of_it_by_the_end(workstation: Awsac) -> None:
    with following(workstation, "--job", "1") as one, following(workstation) as leaving:
        assert one.stdout is not None
        assert leaving.stdout is not None
        assert leaving.stderr is not None
        first, prefixed = one.stdout.readline(), leaving.stdout.readline()
        running = json.loads(workstation("check", "-c", session_file(workstation), "--json").stdout)
        leaving.stdout.close()
        (workstation.folder / "gate").touch()
        rest = one.stdout.read()

        assert [first, prefixed[:8]] == [b"job 1 has begun\n", b"job 1 | "]
        assert [job["status"] for job in running["jobs"]] == ["running", "running"]
        assert rest == b"\xff\x00in another file\nno end of line"
        assert one.wait(PATIENCE) == 0
        assert (leaving.wait(PATIENCE), leaving.stderr.read()) == (0, b"")


def test_all_logs_are_shown_when_the_instance_is_gone(workstation: Awsac) -> None:
    workstation.ok("check", "--watch", "-c", session_file(workstation))
    agent = output(workstation, "--agent").decode()

    whole = [b"job %d has begun\n\xff\x00in another file\nno end of line" % number for number in (1, 2)]
    lines = [b"job %d | %s\n" % (number, line) for number in (1, 2) for line in whole[number - 1].split(b"\n")]
    assert sorted(output(workstation, "-f").splitlines(keepends=True)) == sorted(lines)
    assert output(workstation, "--job", "2") == whole[1]
    assert output(workstation, "--job", "2", "--tail", "2") == b"\xff\x00in another file\nno end of line"
    assert "phase work: start" in agent


def test_a_job_that_does_not_exist_is_bad_input(workstation: Awsac) -> None:
    done = workstation("logs", "-c", session_file(workstation), "--job", "1,7")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("awsac: there is no job 7: session ")
