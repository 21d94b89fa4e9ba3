"""Sessions whose agents are killed again and again: no job runs twice, none is lost, nothing is left."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from awsac_async.local import cloud
from tests.agent.account import BUCKET, Account, Session, session_of
from tests.conftest import Embedded
from tests.waiting import wait_until

# What an agent says when it is killed, each time just after. Between two of these a successor has come.
EARLY = ("phase fetch: done", ": create volume in us-east-1a: done", "job 3: waitforsave")
LATE = ("phase select: done", "job 1: running", "departure remove_releases: start")
DIED = "the boot script ended with status -9"
# Appended to its output, a second run of a job would show. Job 1 runs through most deaths, and ends after them.
LONG = """echo "$AWSAC_JOB.$AWSAC_ATTEMPT $(cat "$ATLASDir/setup.sh")"
until [ -e {go} ]; do sleep 0.1; done
echo over
"""
RETRIED = 'echo "$AWSAC_JOB.$AWSAC_ATTEMPT"\nsleep 1\nexit $((4 - AWSAC_ATTEMPT))\n'
RESULTS = 'echo "$AWSAC_JOB.$AWSAC_ATTEMPT"\nmkdir results\necho result >results/result\n'


@pytest.fixture
def snapshot(embedded: Embedded, account: Account, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "setup.sh").write_text("the release")
    made = cloud.import_snapshot(embedded.directory, tmp_path, description="release")
    yield made
    account.ec2.delete_snapshot(SnapshotId=made)


def test_sessions_come_to_their_end_though_their_agents_are_killed_at_every_step_and_at_random_times(
    embedded: Embedded, account: Account, snapshot: str, tmp_path: Path
) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"{seed=}")  # pytest shows this beside the failure
    chance = random.Random(seed)  # noqa: S311  nobody is to guess a key from it
    with ExitStack() as stack:
        victims = [
            Victim(embedded=embedded, session=started(stack, account, snapshot, go), moments=moments, go=go)
            for go, moments in (
                (tmp_path / "early", (*EARLY, chance.uniform(0, 6))),
                (tmp_path / "late", (*LATE[:2], chance.uniform(0, 6), LATE[2])),
            )
        ]
        wait_until(lambda: sum(victim.over() for victim in victims) == len(victims))
        for victim in victims:
            assert victim.deaths >= len(victim.moments) - 1  # the instance may have gone before the last
            assert_all_is_there(victim.session)


def started(stack: ExitStack, account: Account, snapshot: str, go: Path) -> Session:
    session = stack.enter_context(session_of(account))
    jobs = f"{snapshot};long.sh;1\n-;retried.sh;1\n-;results.sh;1\n"
    session.upload_archive(
        {"jobs.cfg": jobs, "long.sh": LONG.format(go=go), "retried.sh": RETRIED, "results.sh": RESULTS}
    )
    session.start(cores=3, more=";n_jobs=3;max_hours=1;retries=3")
    return session


@dataclass(kw_only=True)
class Victim:
    """A session whose agent is killed at each moment: a text on its console, or so many seconds after it last died.

    ``go`` is the file for which its first job waits, if it does: that comes before the last of them.
    """

    embedded: Embedded
    session: Session
    moments: Sequence[str | float]
    go: Path | None = None
    deaths: int = 0
    since: float = field(default_factory=time.monotonic)

    def over(self) -> bool:
        """Kill the agent if its time has come; returns whether the instance is gone."""
        states = self.session.account.states(self.session.instance_ids)
        console = self.session.console()
        if (deaths := console.count(DIED)) > self.deaths:
            self.deaths, self.since = deaths, time.monotonic()
        left = self.moments[deaths:]
        if self.go and len(left) <= 1:
            self.go.touch()
        if states == {"running"} and left and self._has_come(left[0], console):
            cloud.instance_event(self.embedded.directory, self.session.instance_ids[0], "agent-killed")
        return states == {"terminated"}

    def _has_come(self, moment: str | float, console: str) -> bool:
        if isinstance(moment, str):
            return moment in console
        return time.monotonic() - self.since >= moment


def assert_all_is_there(session: Session) -> None:
    items = session.items()
    assert {name: (item.status, item.returncode, item.x_attempt) for name, item in items.items()} == {
        "job1": ("finished", "0", "1"),
        "job2": ("finished", "0", "4"),
        "job3": ("finished", "0", "1"),
    }
    assert session.output(1) == session.chunks(1) == "1.1 the release\nover\n"
    outputs = session.members("stdouterr_job_2.tar.bz2")
    assert sorted(outputs.values()) == [f"2.{attempt}\n" for attempt in (1, 2, 3, 4)]
    assert session.chunks(2) == "2.1\n2.2\n2.3\n2.4\n"
    assert session.output(3) == session.chunks(3) == "3.1\n"
    assert session.members("results_job_3.tar.bz2")["results/result"] == "result\n"
    assert "processjobslog_LI_0.tar.bz2" in session.objects()
    assert session.volumes() == []
    uploads = session.account.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    assert [upload["Key"] for upload in uploads if session.id in upload["Key"]] == []
