"""A session that is stopped from the workstation: job by job, and then all of it, by agents that are really running."""

import io
import json
import tarfile
from pathlib import Path

from tests.cli.conftest import Account, Awsac, write_ini, write_jobs
from tests.waiting import wait_until

LONG = 'echo "attempt ${AWSAC_ATTEMPT}"\ntrap "echo told; exit 5" TERM\nsleep 1000 & wait\n'


def test_jobs_end_when_they_are_killed_timed_out_retried_or_stopped_and_all_they_wrote_is_saved(
    awsac: Awsac, account: Account, tmp_path: Path
) -> None:
    ini = write_ini(tmp_path, n_jobs="4", more="retries = 1\n")
    write_jobs(tmp_path, "-;long.sh;1\n-;long.sh;1\n-;bad.sh;1\n-;long.sh;1;1s\n", long=LONG, bad="exit 7\n")
    awsac.ok("pack", "jobs")
    awsac.ok("start", "--yes", "-i", ini, "-a", "jobs.tar.bz2")
    (file,) = tmp_path.glob("session-*.cfg")
    session_id = file.stem.removeprefix("session-")

    def status(job: int) -> str:
        return account.items(session_id)[f"job{job}"]["status"]

    wait_until(lambda: {status(1), status(2)} == {"running"})
    awsac.ok("kill", "-c", file, "1")
    wait_until(lambda: status(1) == "killed")
    assert status(2) == "running"
    awsac.ok("stop", "-c", file, "--yes")
    ended = awsac("check", "-c", file, "--watch", "--json")

    jobs = json.loads(ended.stdout.splitlines()[-1])["jobs"]
    assert ended.returncode == 1
    assert [(job["status"], job["return_code"], job["attempt"], job["reason"]) for job in jobs] == [
        ("killed", 5, 1, "killed by awsac kill"),
        ("killed", 5, 1, "stopped by awsac stop"),
        ("finished", 7, 2, None),
        ("timedout", 5, 1, "ran longer than its job_timeout, 1 second"),
    ]
    assert [list(job["seconds"]) for job in jobs] == [["boot", "fetch", "provide", "queue", "run", "save"]] * 4
    for number in (1, 2, 4):
        with tarfile.open(
            fileobj=io.BytesIO(account.content(f"{session_id}/stdouterr_job_{number}.tar.bz2"))
        ) as packed:
            output = packed.extractfile(f"stdouterr_job_{number}.log")
            assert output is not None
            assert output.read() == b"attempt 1\ntold\n"
    awsac.ok("cleanup", "--yes", "-c", file)
