"""``awsac plan``: what is shown before a session is started, as text and as JSON."""

import json
from pathlib import Path

from tests.cli.conftest import Account, Awsac, write_ini, write_jobs


def test_a_plan_shows_what_a_session_is_and_costs_and_leaves_nothing(
    awsac: Awsac, account: Account, tmp_path: Path
) -> None:
    write_ini(tmp_path)
    write_jobs(tmp_path, job="a=(1 2)\n")
    before = account.everything()
    command = ("plan", "-i", "session.ini", "-a", "jobs", "--max-cost", "2", "--shorten-deadline")

    text = awsac.ok(*command).splitlines()
    values = json.loads(awsac.ok(*command, "--json"))

    assert text[3:-1] == [
        "volumes:      1 with 15 GiB in all",
        "deadline:     each instance powers itself off 15.26 hours after boot; its jobs are stopped 10 minutes before",
        "              (shortened from 48 hours to keep to --max-cost)",
        "status in:    SimpleDB, which this account may use in us-east-1",
        "price:        0.13 USD an hour for an instance (AWS price list), 0.001 USD an hour for all volumes",
        "worst case:   2.00 USD if 1 instance runs until the deadline",
    ]
    assert text[-1].startswith("note:         jobs: job.sh, line 1: sh cannot read it (Syntax error: ")
    assert values["remarks"] == [text[-1].removeprefix("note:         ")]
    assert (values["n_instances"], values["max_hours"], values["shortened_from"]) == (1, 15.26, 48)
    assert (values["price_per_hour"], values["price_source"]) == (0.13, "AWS price list")
    assert 1.99 < values["worst_case"] <= 2
    assert account.everything() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jobs", "session.ini"]


def test_a_session_without_public_addresses_and_encryption_is_said_to_be_so(awsac: Awsac, tmp_path: Path) -> None:
    write_ini(tmp_path, more="public_ip = no\nencrypted = no\n")
    write_jobs(tmp_path)

    text = awsac.ok("plan", "-i", "session.ini", "-a", "jobs").splitlines()

    assert "encryption:   only of volumes whose image or snapshot is encrypted" in text
    (note,) = [line for line in text if line.startswith("note:")]
    assert "the instances get no public address: they reach S3" in note


def test_a_plan_of_a_shared_session_says_how_many_jobs_share_how_many_cores(awsac: Awsac, tmp_path: Path) -> None:
    write_ini(tmp_path, n_jobs="9", more="schedule = shared\nn_instances = 2\nlease = 90s\n")
    write_jobs(tmp_path, "-;job.sh;9\n")
    command = ("plan", "-i", "session.ini", "-a", "jobs")

    text = awsac.ok(*command).splitlines()
    values = json.loads(awsac.ok(*command, "--json"))

    assert text[1:4] == [
        "instances:    2 of type c1.medium, on-demand, in us-east-1",
        "cores:        2 per instance, 0 unused",
        "schedule:     shared: 9 jobs on 4 cores, each on whichever is free; those of an instance that is silent for "
        "90 seconds run on others",
    ]
    assert (values["schedule"], values["lease"], values["n_instances"], values["unused_cores"]) == ("shared", 90, 2, 0)


def test_a_plan_shows_where_else_the_session_may_be_started(awsac: Awsac, account: Account, tmp_path: Path) -> None:
    first, second, *_ = (each["SubnetId"] for each in account.ec2.describe_subnets()["Subnets"])
    write_ini(tmp_path, more=f"subnet_id = {first}\nsubnet_ids = {second}\ninstance_types = m1.small\n")
    write_jobs(tmp_path)
    command = ("plan", "-i", "session.ini", "-a", "jobs")

    text = awsac.ok(*command).splitlines()
    values = json.loads(awsac.ok(*command, "--json"))

    assert f"subnets:      {first}, {second}, the next where one has no room" in text
    assert "or else:      2 of type m1.small, 1 core per instance, 0.044 USD an hour for one" in text
    assert (
        "worst case:   12.58 USD if the dearest of these types runs until the deadline, and one instance more" in text
    )
    assert [(each["instance_type"], each["subnet_id"], each["n_instances"]) for each in values["places"]] == [
        ("c1.medium", first, 1),
        ("c1.medium", second, 1),
        ("m1.small", first, 2),
        ("m1.small", second, 2),
    ]
