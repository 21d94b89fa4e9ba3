"""A session whose agent is killed again and again: no job runs twice, none is lost, nothing is left."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from awsac_async.local import cloud
from tests.agent.account import Account, Session, session_of
from tests.conftest import Embedded
from tests.waiting import wait_until

# What the agent says when it is killed, each time just after. Between two of these a successor has come.
MOMENTS = (
    "phase fetch: done",
    "phase select: done",
    ": create volume in us-east-1a: done",
    "job 1: running",
    "job 3: waitforsave",
    "departure remove_releases: start",
)
# Job 1 runs through most deaths. Appended to its output, a second run would show.
LONG = 'echo "$AWSAC_JOB.$AWSAC_ATTEMPT $(cat "$ATLASDir/setup.sh")"\nsleep 9\necho over\n'
RETRIED = 'echo "$AWSAC_JOB.$AWSAC_ATTEMPT"\nexit $((4 - AWSAC_ATTEMPT))\n'
RESULTS = 'echo "$AWSAC_JOB.$AWSAC_ATTEMPT"\necho result >result\ntar -cjf results.tar.bz2 result\n'


@pytest.fixture
def snapshot(embedded: Embedded, account: Account, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "setup.sh").write_text("the release")
    made = cloud.import_snapshot(embedded.directory, tmp_path, description="release")
    yield made
    account.ec2.delete_snapshot(SnapshotId=made)


def test_a_session_comes_to_its_end_though_its_agent_is_killed_at_every_step(
    embedded: Embedded, account: Account, snapshot: str
) -> None:
    with session_of(account) as session:
        session.upload_archive(
            {
                "jobs.cfg": f"{snapshot};long.sh;1\n-;retried.sh;1\n-;results.sh;1\n",
                "long.sh": LONG,
                "retried.sh": RETRIED,
                "results.sh": RESULTS,
            }
        )
        session.start(cores=3, more=";n_jobs=3;max_hours=1;retries=3")
        for deaths, moment in enumerate(MOMENTS, 1):
            wait_until(partial(said, session, moment))
            wait_until(partial(killed, embedded, session, deaths))
        wait_until(lambda: account.states(session.instance_ids) == {"terminated"})

        assert session.console().count("the boot script ended with status -9") >= len(MOMENTS) - 1
        assert_all_is_there(session)


def said(session: Session, moment: str) -> bool:
    return moment in session.console()


def killed(embedded: Embedded, session: Session, deaths: int) -> bool:
    """Kill the agent unless it has died so often already; between two lives there is nobody to kill."""
    over = session.account.states(session.instance_ids) != {"running"}
    dead = session.console().count("the boot script ended with status -9") >= deaths
    if not (over or dead):
        cloud.instance_event(embedded.directory, session.instance_ids[0], "agent-killed")
    return over or dead


def assert_all_is_there(session: Session) -> None:
    items = session.items()
    assert {name: (item.status, item.returncode, item.x_attempt) for name, item in items.items()} == {
        "job1": ("finished", "0", "1"),
        "job2": ("finished", "0", "4"),
        "job3": ("finished", "0", "1"),
    }
    assert session.output(1) == "1.1 the release\nover\n"
    assert set(session.members("stdouterr_job_2.tar.bz2").values()) == {f"2.{attempt}\n" for attempt in (1, 2, 3, 4)}
    assert session.output(3) == "3.1\n"
    assert session.members("results_job_3.tar.bz2") == {"result": "result\n"}
    assert "processjobslog_LI_0.tar.bz2" in session.objects()
    assert session.volumes() == []
