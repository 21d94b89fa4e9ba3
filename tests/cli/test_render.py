"""What is shown of plans and of where a job's time went."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from awsac_async.cli.plantext import plan_text
from awsac_async.client import Plan, PriceSource
from awsac_async.client.plan.places import PlannedPlace
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
    job_user="root",
    release_mount="rw",
    market="spot",
    region="us-east-1",
    status_reason="which this account may use in us-east-1",
)


def priced(plan: Plan, **changes: Any) -> Plan:
    """Return a plan with some changes, and with the one place that it then has."""
    changed = replace(plan, **changes)
    place = PlannedPlace(
        instance_type=changed.instance_type,
        cores_per_instance=changed.cores_per_instance,
        n_instances=changed.n_instances,
        price_per_hour=changed.price_per_hour,
        volumes_per_hour=changed.volumes_per_hour,
        disks_per_hour=changed.volumes_per_hour,
    )
    return replace(changed, places=(place,))


def test_a_plan_says_when_instances_end_and_until_when_jobs_may_run() -> None:
    assert plan_text(PLAN).splitlines()[4] == (
        "deadline:     each instance powers itself off 48 hours after boot; its jobs are stopped 10 minutes before"
    )
    assert plan_text(replace(PLAN, max_hours=0.5, job_timeout=5400, retries=2)).splitlines()[4:7] == [
        "deadline:     each instance powers itself off 30 minutes after boot; its jobs are stopped 3 minutes before",
        "job timeout:  90 minutes; the deadline comes first",
        "retries:      2 of a job that exits non-zero",
    ]


def test_a_plan_names_each_release_in_s3_with_its_size() -> None:
    plan = replace(PLAN, archives=(("s3://b/one.tar.zst", 1_340_000_000), ("s3://b/two.tgz", 812)))
    assert plan_text(plan).splitlines()[4:6] == [
        "from S3:      s3://b/one.tar.zst, 1.3 GB",
        "from S3:      s3://b/two.tgz, 812 bytes",
    ]


def test_a_plan_says_what_a_session_asks_for_beyond_the_defaults() -> None:
    asked = replace(PLAN, job_timeout=5400, job_user="nobody", release_mount="ro")
    assert plan_text(asked).splitlines()[5:8] == [
        "job timeout:  90 minutes",
        "job user:     nobody",
        "releases:     read-only",
    ]


def test_a_plan_says_what_it_costs_and_who_says_so_or_that_it_is_not_known() -> None:
    spot = priced(PLAN, price_per_hour=0.013, price_source=PriceSource.SPOT, n_volumes=2, volumes_gib=30)
    known = priced(spot, volumes_per_hour=0.002, price_source=PriceSource.LIST, remarks=("it rains",))
    shortened = priced(known, max_hours=2.5, shortened_from=48)
    mine = priced(spot, price_source=PriceSource.INI)

    assert plan_text(PLAN).splitlines()[3:] == [
        "volumes:      0 with 0 GiB in all",
        plan_text(PLAN).splitlines()[4],
        "status in:    SimpleDB, which this account may use in us-east-1",
        "price:        unknown; price_per_hour in session.ini can tell it",
        "worst case:   unknown",
    ]
    assert plan_text(spot).splitlines()[-2:] == [
        "price:        0.013 USD an hour for an instance (spot price of now, which may change), "
        "not known for all volumes",
        "worst case:   unknown",
    ]
    assert plan_text(known).splitlines()[-3:] == [
        "price:        0.013 USD an hour for an instance (AWS price list), 0.002 USD an hour for all volumes",
        "worst case:   1.34 USD if 2 instances run until the deadline",
        "note:         it rains",
    ]
    assert plan_text(mine).splitlines()[-1] == (
        "worst case:   1.25 USD if 2 instances run until the deadline, volumes not counted"
    )
    assert plan_text(shortened).splitlines()[4:6] == [
        "deadline:     each instance powers itself off 150 minutes after boot; its jobs are stopped 10 minutes before",
        "              (shortened from 48 hours to keep to --max-cost)",
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


def test_a_job_whose_instance_is_gone_counts_as_failed_and_cannot_be_killed_while_the_session_goes_on(
    awsac: Awsac, account: Account, tmp_path: Path
) -> None:
    file = session_file(tmp_path)
    record = read_record(file)
    tags = [{"Key": "awsac:session", "Value": record.session_id}]
    started = account.ec2.run_instances(
        ImageId=record.ami_id,
        InstanceType=record.instance_type,
        MinCount=2,
        MaxCount=2,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    lost, alive = (each["InstanceId"] for each in started["Instances"])
    account.sdb.create_domain(DomainName=record.session_id)
    for number in (1, 2):
        values = {"status": "running", "launchindex": str(number - 1)}.items()
        attributes = [{"Name": key, "Value": value} for key, value in values]
        account.sdb.put_attributes(DomainName=record.session_id, ItemName=f"job{number}", Attributes=attributes)
    try:
        account.ec2.terminate_instances(InstanceIds=[lost])
        account.ec2.get_waiter("instance_terminated").wait(InstanceIds=[lost], WaiterConfig={"Delay": 1})
        done = awsac("check", "-c", file, "--json")
        killed = awsac("kill", "-c", file, "1-2")
    finally:
        account.ec2.terminate_instances(InstanceIds=[alive])

    status = json.loads(done.stdout)
    assert (done.returncode, status["over"], status["failed_jobs"]) == (1, False, [1])
    assert status["jobs"][0]["reason"].startswith("its instance is terminated: ")
    assert [(job["status"], job["stored_status"]) for job in status["jobs"]] == [("lost", "running"), ("running",) * 2]
    assert status["jobs"][1]["reason"] is None
    assert killed.stdout == "asked for the end of job 2; it comes within some seconds\n"
    assert killed.stderr.startswith("awsac: job 1 cannot be stopped any more: it is lost, its instance is terminated: ")


def test_logs_says_of_which_jobs_there_is_none_and_when_there_may_be(awsac: Awsac, tmp_path: Path) -> None:
    done = awsac("logs", "-c", session_file(tmp_path))

    later = "what is written now is sent every minute, with --follow every two seconds"
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"awsac: there is no log of jobs 1-2; {later}\n"
