"""Instances that share jobs: each is run by whoever is free, once; and again only if its instance was lost.

Jobs say so themselves, on this machine: each holds a lock while it runs, which the kernel frees however it ends.
"""

import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from awsac_async.agent import procfs
from awsac_async.local import cloud
from awsac_async.local.settings import Settings
from awsac_async.session.claims import Claim, claim_of, lease_index, parse_claim
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.statusdocs import latest, parse_status
from tests.agent.account import ARCHIVE, BUCKET, Account, Session, session_of
from tests.conftest import Embedded, embedded_cloud
from tests.waiting import wait_until

JOB = """
exec 9>>"{folder}/lock_$AWSAC_JOB"
flock --nonblock 9 || echo "twice $AWSAC_JOB" >>"{folder}/journal"
echo "begin $AWSAC_JOB" >>"{folder}/journal"
echo "attempt $AWSAC_ATTEMPT"
{work}
echo "end $AWSAC_JOB" >>"{folder}/journal"
echo "attempt $AWSAC_ATTEMPT" >results.tar.bz2
"""
# Of the first job the first attempt goes on until it is ended; of the others all are soon done.
ENDLESS = '[ "$AWSAC_JOB-$AWSAC_ATTEMPT" != 1-1 ] || sleep 600'


@pytest.fixture(scope="module")
def troubled() -> Iterator[Embedded]:
    """A cloud of the module's own, in which spot instances go ten seconds after their notice."""
    with (
        tempfile.TemporaryDirectory(prefix="awsac-test-") as parent,
        embedded_cloud(Path(parent) / "cloud", Settings(spot_warning=10.0)) as running,
    ):
        yield running


@dataclass(kw_only=True)
class Shared:
    """A session whose instances share its jobs, and what these have written on this machine."""

    session: Session
    cloud: Embedded
    folder: Path
    n_jobs: int

    def launch(self, *, instances: int, cores: int = 2, lease: int = 120, faults: str = "", spot: bool = False) -> None:
        """Start its instances in a cloud with these faults."""
        account, session = self.session.account, self.session
        cloud.set_faults(self.cloud.directory, faults)
        options: dict[str, Any] = {"InstanceMarketOptions": {"MarketType": "spot"}} if spot else {}
        answer = account.ec2.run_instances(
            ImageId="ami-0a35ac00000000001",
            InstanceType="c5.large",
            MinCount=instances,
            MaxCount=instances,
            UserData=f"{session.id};{BUCKET};{ARCHIVE};{cores};n_jobs={self.n_jobs};max_hours=1;status=s3"
            f";schedule=shared;lease={lease}",
            IamInstanceProfile={"Name": "awsac-agent"},
            InstanceInitiatedShutdownBehavior="terminate",
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "awsac:session", "Value": session.id}]}],
            **options,
        )
        session.instance_ids[:] = [instance["InstanceId"] for instance in answer["Instances"]]

    def wait(self) -> None:
        wait_until(lambda: self.session.account.states(self.session.instance_ids) == {"terminated"})

    def struck(self, events: list[str]) -> set[int]:
        """The launch indexes of the instances that one of these kinds of event has struck."""
        found = cloud.faults(self.cloud.directory)["events"]
        ids = {each for event in found if event["kind"] in events for each in event["instances"]}
        return {index for index, each in enumerate(self.session.instance_ids) if each in ids}

    def gave_up(self, index: int | None, job: int) -> bool:
        """Whether the agent of an instance says that it had a job no more."""
        return index is not None and f"job {job}: given up here" in self.session.log(index)

    def journal(self) -> Counter[str]:
        """How often each line was written."""
        return Counter((self.folder / "journal").read_text().splitlines())

    def records(self) -> list[JobRecord]:
        """How each job stands, as a client sees it."""
        documents = self._contents(f"awsac/{self.session.id}/status/").items()
        parsed = [parse_status(body, session_id=self.session.id, key=key, file=key) for key, body in documents]
        return latest(each for each in parsed if each)

    def claims(self) -> dict[int, list[Claim]]:
        """All claims that were ever made on each job, in order."""
        found: dict[int, list[Claim]] = {}
        for key, content in self._contents(f"awsac/{self.session.id}/claims/1/").items():
            claim = parse_claim(content.decode())
            assert claim
            assert key.endswith(f"/{claim.count}")
            found.setdefault(int(key.split("/")[-2]), []).append(claim)
        return {job: sorted(claims, key=lambda claim: claim.count) for job, claims in found.items()}

    def _contents(self, prefix: str) -> dict[str, bytes]:
        s3 = self.session.account.s3
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


@contextmanager
def shared(running: Embedded, folder: Path, *, n_jobs: int, work: str = "sleep 0.3") -> Iterator[Shared]:
    """A session of so many jobs, each of which does this work."""
    with session_of(Account(running)) as session:
        script = JOB.format(folder=folder, work=work)
        session.upload_archive({"jobs.cfg": f"-;job.sh;{n_jobs}\n", "job.sh": script})
        yield Shared(session=session, cloud=running, folder=folder, n_jobs=n_jobs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of this machine in which jobs can write."""
    tmp_path.chmod(0o777)
    return tmp_path


def test_no_job_runs_twice_at_once_and_none_again_unless_its_instance_was_lost(
    troubled: Embedded, folder: Path
) -> None:
    """8 instances, 200 jobs: three instances are lost, one is taken away, and the agents of two are killed."""
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)  # noqa: S311  no secret
    print("seed", seed)  # pytest shows it beside a failure
    victims = chance.sample(range(8), 6)
    kinds = ["lost", "lost", "lost", "spot-notice", "agent-killed", "agent-killed"]
    events = [
        f'[[event]]\nkind = "{kind}"\ninstance = {index}\nafter = {chance.uniform(3, 15):.1f}\n'
        for kind, index in zip(kinds, victims, strict=True)
    ]
    with shared(troubled, folder, n_jobs=200) as running:
        running.launch(instances=8, lease=20, faults="\n".join(events), spot=True)
        running.wait()
        journal, claims, records = running.journal(), running.claims(), running.records()
        gone = running.struck(["lost", "spot-notice"])
        assert len(gone) == 4
        assert [record.number for record in records if not record.succeeded] == []
        assert len(records) == 200
        assert [line for line in journal if line.startswith("twice")] == []
        for job in range(1, 201):
            holders = [lease_index(claim.lease) for claim in claims[job]]
            # On a machine that is very busy an instance may be cut off from S3 as well: it then says so.
            cut_off = {each for each in holders[:-1] if each not in gone and running.gave_up(each, job)}
            assert set(holders[:-1]) <= gone | cut_off, f"job {job}"
            assert 1 <= journal[f"begin {job}"] <= len(holders), f"job {job}"
            assert records[job - 1].launch_index == holders[-1]
            assert claim_of(records[job - 1]) == claims[job][-1]
        assert any(len(each) > 1 for each in claims.values())  # else nothing was taken over, and nothing shown
        results = {name for name in running.session.objects() if name.startswith("results_")}
        assert results == {f"results_job_{job}.tar.bz2" for job in range(1, 201)}


def agent_that_runs(session_id: str, job: int) -> int:
    """Return the number of the agent's process on this machine."""
    marks = {f"AWSAC_SESSION_ID={session_id}".encode(), f"AWSAC_JOB={job}".encode()}
    there = procfs.processes()
    found = next(pid for pid in there if marks <= procfs.environment(pid))
    while b"awsac-agent" not in Path(f"/proc/{found}/cmdline").read_bytes():
        found = there[found].parent
    return found


def test_the_jobs_of_an_agent_that_hangs_end_before_others_run_them(troubled: Embedded, folder: Path) -> None:
    """It is stopped as if it hung, and goes on when somebody else has its job."""
    with shared(troubled, folder, n_jobs=2, work=ENDLESS) as running:
        running.launch(instances=2, cores=1, lease=20)
        wait_until(lambda: (folder / "journal").exists() and running.journal()["begin 1"] == 1)
        agent = agent_that_runs(running.session.id, 1)
        os.kill(agent, signal.SIGSTOP)
        try:
            wait_until(lambda: running.journal()["end 1"] == 1)
        finally:
            os.kill(agent, signal.SIGCONT)
        running.wait()
        journal = running.journal()
        assert [line for line in journal if line.startswith("twice")] == []
        assert journal["begin 1"] >= 2  # more often, where the machine is so busy that the others are cut off as well
        assert [record.state for record in running.records()] == [JobState.FINISHED] * 2
        assert running.session.output(1) != "attempt 1\n"
        assert "job 1: given up here: the lease could not be renewed" in running.session.log(0)
        assert "fence: " in running.session.console(0)


def test_an_agent_that_dies_while_it_claims_jobs_runs_each_once(troubled: Embedded, folder: Path) -> None:
    """It dies before or after a claim is made, of the first two jobs, which are claimed at once, and of later ones."""
    claims = {"000001/1": "before", "000002/1": "after", "000004/1": "before", "000005/1": "after"}
    events = [
        f'[[event]]\nkind = "agent-killed"\non = "PutObject"\norder = "{order}"\nresource = "{claim}"\n'
        for claim, order in claims.items()
    ]
    with shared(troubled, folder, n_jobs=6) as running:
        running.launch(instances=1, faults="\n".join(events))
        running.wait()
        assert running.journal() == Counter({f"{what} {job}": 1 for what in ("begin", "end") for job in range(1, 7)})
        assert [record.state for record in running.records()] == [JobState.FINISHED] * 6
        assert [each["instances"] for each in cloud.faults(troubled.directory)["events"]] == [
            running.session.instance_ids
        ] * 4
        assert {len(each) for each in running.claims().values()} == {1}


def test_jobs_that_nobody_has_begun_are_killed_when_that_is_asked(troubled: Embedded, folder: Path) -> None:
    """One by its number, while the only core is busy; the others with the session."""
    with shared(troubled, folder, n_jobs=4, work="sleep 600") as running:
        running.launch(instances=1, cores=1)
        wait_until((folder / "journal").exists)
        key = f"awsac/{running.session.id}/control.json"
        running.session.account.put(key, b'{"kill": [3]}')
        wait_until(lambda: [record.state for record in running.records() if record.number == 3] == [JobState.KILLED])
        running.session.account.put(key, b'{"kill": [3], "stop": true}')
        running.wait()
        assert running.journal() == Counter({"begin 1": 1})
        records = running.records()
        assert [record.state for record in records] == [JobState.KILLED] * 4
        assert len({record.script for record in records}) == 1
        assert [record.reason for record in records] == [
            "stopped by awsac stop",
            "stopped by awsac stop",
            "killed by awsac kill",
            "stopped by awsac stop",
        ]


def test_jobs_keep_their_release_from_one_to_the_next_and_begin_while_the_one_before_is_saved(
    troubled: Embedded, tmp_path: Path
) -> None:
    slow = '[[fault]]\nservice = "s3"\nkind = "delay"\nseconds = 3\nresource = "stdouterr_job_1.tar.bz2"\n'
    cloud.set_faults(troubled.directory, slow)
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "name").write_text("release\n")
    snapshot_id = cloud.import_snapshot(troubled.directory, tmp_path / "release", description="a release")
    with session_of(Account(troubled)) as session:
        jobs = f"{snapshot_id};show.sh;2\n-;none.sh;2\n{snapshot_id};show.sh;2\nsnap-0123456789abcdef0;show.sh;1\n"
        session.upload_archive({"jobs.cfg": jobs, "show.sh": 'cat "$ATLASDir/name"\n', "none.sh": "true\n"})
        session.run(cores=1, more=";n_jobs=7;max_hours=1;status=s3;schedule=shared;lease=120")
        assert [session.output(job) for job in (1, 2, 5, 6)] == ["release\n"] * 4
        states = {name: item.status for name, item in session.items().items()}
        assert states == {f"job{job}": "finished" for job in range(1, 7)} | {"job7": "failed"}
        log = session.log(0)
        assert log.count("create volume in us-east-1a: done") == 1
        assert log.index("job 1: saving") < log.index("job 2: running") < log.index("job 1: finished")
        assert session.volumes() == []
