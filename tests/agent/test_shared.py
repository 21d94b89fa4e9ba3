"""Instances that share jobs: each is run by whoever is free, once; and again only if its instance was lost."""

from tests.agent.account import Session

SHARED = ";n_jobs=12;max_hours=1;status=s3;schedule=shared;lease=20"
SLOW = 'echo "job $AWSAC_JOB on $(hostname)"; sleep 0.3\n'


def test_few_instances_run_many_jobs(session: Session) -> None:
    session.upload_archive({"jobs.cfg": "-;slow.sh;12\n", "slow.sh": SLOW})
    session.run(instances=2, cores=2, more=SHARED)
    items = session.items()
    assert {item.status for item in items.values()} == {"finished"}
    assert len(items) == 12
