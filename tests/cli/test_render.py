"""What is shown of plans and of where a job's time went."""

import json
from dataclasses import replace
from pathlib import Path

from awsac_async.cli.render import plan_text
from awsac_async.client import Plan
from awsac_async.session.record import read_record
from tests.cli.conftest import Account, Awsac
from tests.cli.test_interrupts import session_file

PLAN = Plan(
    n_jobs=3,
    n_instances=2,
    instance_type="c1.medium",
    cores_per_instance=2,
    max_hours=48,
    job_timeout=None,
    retries=0,
    market="spot",
    region="us-east-1",
)


def test_a_plan_says_when_instances_end_and_until_when_jobs_may_run() -> None:
    *_, deadline = plan_text(PLAN).splitlines()
    assert deadline == (
        "deadline:     each instance powers itself off 48 hours after boot; its jobs are stopped 10 minutes before"
    )
    assert plan_text(replace(PLAN, max_hours=0.5, job_timeout=5400, retries=2)).splitlines()[3:] == [
        "deadline:     each instance powers itself off 30 minutes after boot; its jobs are stopped 3 minutes before",
        "job timeout:  90 minutes",
        "retries:      2 of a job that exits non-zero",
    ]


def test_check_shows_attempts_reasons_and_where_the_time_went(awsac: Awsac, account: Account, tmp_path: Path) -> None:
    file = session_file(tmp_path)
    domain = read_record(file).session_id
    items = {
        "job1": {"status": "finished", "returncode": "0", "x_attempt": "2", "x_seconds_run": "3.25"},
        "job2": {"status": "interrupted", "reason": "the spot instance is taken away", "x_attempt": "1"},
    }
    account.sdb.create_domain(DomainName=domain)
    for name, values in items.items():
        attributes = [{"Name": key, "Value": value} for key, value in values.items()]
        account.sdb.put_attributes(DomainName=domain, ItemName=name, Attributes=attributes)

    text = awsac("check", "-c", file, "--timings")
    values = json.loads(awsac("check", "-c", file, "--json").stdout)

    lines = [line.split() for line in text.stdout.splitlines()]
    assert text.returncode == 1
    assert lines[2][-3:] == ["rc", "attempt", "reason"]
    assert lines[3] == ["1", "finished", "0", "2"]
    assert lines[4][:3] == ["2", "interrupted", "1"]
    assert text.stdout.splitlines()[4].endswith("the spot instance is taken away")
    assert lines[-3] == ["job", "attempt", "boot", "fetch", "provide", "queue", "run", "save"]
    assert lines[-2:] == [["1", "2", "3.2"], ["2", "1"]]
    assert [(job["attempt"], job["seconds"]) for job in values["jobs"]] == [(2, {"run": 3.25}), (1, {})]
