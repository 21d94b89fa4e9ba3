"""A session whose jobs run as an ordinary user (``job_user``), on an instance whose agent is root."""

import os
import pwd
from pathlib import Path

import pytest

from awsac_async.agent import phases
from awsac_async.cloud.aws import connect
from awsac_async.local import hypervisor
from awsac_async.local.settings import Isolation
from awsac_async.session.model import JobState
from tests.agent.account import Session
from tests.agent.test_departure import agent_of
from tests.conftest import Embedded

WHO = """#!/bin/bash
(exec 3<>/dev/tcp/169.254.169.254/80) 2>/dev/null || echo "no metadata service"
id -un
echo "$HOME $AWSAC_ATTEMPT"
touch "$AWSACworkingDir/mine" 2>/dev/null || echo "the archive is not mine"
echo result >result && python3 -m tarfile -c results.tar.bz2 result
[ "$AWSAC_ATTEMPT" = 2 ]
"""


@pytest.mark.skipif(
    hypervisor.detect_isolation() is not Isolation.NAMESPACES, reason="only root runs jobs as another user"
)
def test_jobs_run_as_the_user_of_their_session_and_what_they_leave_is_saved(session: Session) -> None:
    session.upload_archive({"jobs.cfg": "-;who.sh;1\n", "who.sh": WHO})
    session.run(more=";n_jobs=1;max_hours=1;job_user=nobody;retries=1")
    item = session.items()["job1"]
    assert (item.status, item.returncode, item.x_attempt) == ("finished", "0", "2")
    assert session.output(1).splitlines()[-4:] == [
        "no metadata service",
        "nobody",
        f"{pwd.getpwnam('nobody').pw_dir} 2",
        "the archive is not mine",
    ]
    assert session.members("results_job_1.tar.bz2") == {"result": "result\n"}


NOT_SHIELDED = (
    "job_user = nobody: jobs could take the credentials of the instance's role, since the metadata service is at "
    "http://127.0.0.1:9, and no rule can be made for that; job_user_shield = optional runs them all the same"
)


@pytest.fixture
def unshielded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the metadata service where nobody is kept from it."""
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")


@pytest.mark.usefixtures("unshielded")
@pytest.mark.parametrize(
    ("job_user", "reason"),
    [
        ("no-such-user", "job_user = no-such-user: there is no such user on this image"),
        pytest.param("nobody", NOT_SHIELDED, marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root")),
    ],
)
async def test_a_job_that_cannot_run_as_it_should_is_not_run_at_all(
    embedded: Embedded, session: Session, tmp_path: Path, *, job_user: str, reason: str
) -> None:
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, job_user=job_user)
        agent.paths.awsac_working.mkdir()
        (agent.paths.awsac_working / "job.sh").write_text(f"touch {tmp_path}/ran\n")
        agent.jobs_file.write_text("-;job.sh;3\n")
        await phases.select(agent)
        await phases.work(agent)
        await agent.reporter.close(within=60)
    (record,) = agent.reporter.records()
    assert (record.state, record.return_code) == (JobState.FAILED, None)
    assert record.reason == reason
    assert not (tmp_path / "ran").exists()
