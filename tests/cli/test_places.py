"""Sessions whose first place has no room: another one takes them, or several together, or nothing is left of them."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from awsac_async.local import cloud
from awsac_async.session.record import read_record
from tests.cli.conftest import Account, Awsac, write_ini, write_jobs
from tests.cli.proxy import Request, proxy_before
from tests.conftest import Embedded
from tests.waiting import wait_until

START = ("start", "--yes", "-i", "session.ini", "-a", "jobs")
JOB = 'echo "job $AWSAC_JOB, attempt $AWSAC_ATTEMPT"\n'
SLOW_AGENTS = '[[fault]]\nservice = "metadata"\nkind = "delay"\nseconds = 5\n'
NOT_SHOWN_YET = "".join(
    f'[[fault]]\nservice = "ec2"\noperation = "{operation}"\nkind = "stale"\nseconds = 5\n'
    for operation in ("DescribeInstances", "TerminateInstances")
)


def room(instances: int, *resource: str) -> str:
    """Return the fault of a place that has room for so many instances."""
    return (
        '[[fault]]\nservice = "ec2"\noperation = "RunInstances"\nkind = "room"\n'
        f"room = {instances}\nresource = {json.dumps(resource)}\n"
    )


@contextmanager
def faults(embedded: Embedded, *tables: str) -> Iterator[None]:
    cloud.set_faults(embedded.directory, "".join(tables))
    try:
        yield
    finally:
        cloud.set_faults(embedded.directory, "")


@pytest.fixture(scope="module")
def embedded(embedded_on_host: Embedded) -> Embedded:
    return embedded_on_host


@pytest.fixture(scope="module")
def subnets(account: Account) -> tuple[str, str]:
    """Two subnets of two zones."""
    first, second, *_ = account.ec2.describe_subnets()["Subnets"]
    assert first["AvailabilityZone"] != second["AvailabilityZone"]
    return first["SubnetId"], second["SubnetId"]


def begin(awsac: Awsac, subnets: tuple[str, str], *, n_jobs: int, more: str = "") -> None:
    keys = f"subnet_id = {subnets[0]}\nsubnet_ids = {subnets[1]}\n"
    write_ini(awsac.folder, n_jobs=str(n_jobs), more=keys + more)
    write_jobs(awsac.folder, f"-;job.sh;{n_jobs}\n", job=JOB)


def over(account: Account, session_id: str) -> bool:
    return all(each["State"]["Name"] == "terminated" for each in account.instances(session_id))


def test_a_place_without_room_is_passed_over_and_the_next_type_with_other_cores_runs_all_jobs(
    awsac: Awsac, account: Account, embedded: Embedded, subnets: tuple[str, str]
) -> None:
    begin(awsac, subnets, n_jobs=2, more="instance_types = m1.small\nstatus_store = s3\n")
    with faults(embedded, room(0, "c1.medium"), room(0, "m1.small", subnets[0])):
        shown = awsac.ok(*START)
    (file,) = awsac.folder.glob("session-*.cfg")
    session_id = file.stem.removeprefix("session-")
    wait_until(lambda: over(account, session_id))
    checked = json.loads(awsac.ok("check", "--json", "-c", file))
    launched = account.instances(session_id)
    awsac.ok("cleanup", "--yes", "-c", file)

    no_room = [line.split(": ")[1].strip() for line in shown.splitlines() if line.startswith("no room:")]
    assert no_room == [f"c1.medium in {subnets[0]}", f"c1.medium in {subnets[1]}", f"m1.small in {subnets[0]}"]
    assert [(each["InstanceType"], each["SubnetId"]) for each in launched] == [("m1.small", subnets[1])] * 2
    assert len({each["Reservation"] for each in launched}) == 1
    assert [(each["number"], each["launch_index"], each["status"]) for each in checked["jobs"]] == [
        (1, 0, "finished"),
        (2, 1, "finished"),
    ]


def nth(number: int, operation: str, path: str = "") -> Callable[[Request], bool]:
    """Return what wants the request that is the so manyth of its kind."""
    counter = itertools.count(1)
    return lambda request: request.operation == operation and path in request.path and next(counter) == number


def die_at(death: Callable[[Request], bool], awsac: Awsac, embedded: Embedded, proxies: ExitStack) -> None:
    """Kill a start when the cloud has done what it asked there."""
    proxy, address = proxies.enter_context(proxy_before(embedded.endpoint, hold=death))
    dying = awsac.begin(*START, AWS_ENDPOINT_URL=address)
    proxy.wait()
    dying.kill()
    dying.communicate()
    proxy.released.set()


def test_a_session_is_spread_over_places_and_a_start_that_dies_between_them_launches_nothing_twice(
    awsac: Awsac, account: Account, embedded: Embedded, subnets: tuple[str, str]
) -> None:
    begin(awsac, subnets, n_jobs=6, more="instance_types = m1.small\n")
    with ExitStack() as proxies:  # instances are told to reach the cloud as their client does
        with faults(embedded, room(2, "c1.medium", subnets[0]), room(0, "c1.medium"), room(2, "m1.small")):
            die_at(nth(1, "PUT", "/launches/2.json"), awsac, embedded, proxies)  # the first one is there
        (file,) = awsac.folder.glob("session-*.cfg")
        session_id = file.stem.removeprefix("session-")
        uncompleted = awsac("retry", "--yes", "-c", file)
        wait_until(lambda: [each["status"] for each in account.items(session_id).values()].count("finished") == 4)
        with faults(embedded, room(0, "c1.medium"), room(0, "m1.small")):
            kept = awsac(*START)
        with faults(embedded, room(0, "c1.medium"), room(2, "m1.small")):
            # Again the first one, then two refusals: the second reservation is there.
            die_at(nth(4, "RunInstances"), awsac, embedded, proxies)
        attached = json.loads(awsac.ok("attach", session_id, "--bucket", "awsac-sessions", "--json", "--quiet"))
        continued = json.loads(awsac.ok(*START, "--json"))
        wait_until(lambda: over(account, session_id))
        launched = account.instances(session_id)
        checked = json.loads(awsac.ok("check", "--json", "-c", file))
        logs = awsac.ok("logs", "--job", "1-6", "-c", file)
        agents = awsac.ok("logs", "--agent", "-c", file)
        report = json.loads(awsac.ok("report", "--json", "-c", file))
        document = json.loads(account.content(f"awsac/{session_id}/launches/2.json"))
        retried = json.loads(awsac.ok("retry", "--yes", "--json", "--jobs", "5", "-c", file))
        wait_until(lambda: over(account, session_id))
        again = json.loads(awsac.ok("check", "--json", "-c", file))
        awsac.ok("cleanup", "--yes", "-c", file)

    assert (uncompleted.returncode, kept.returncode) == (2, 3)
    assert f"{file.name} is kept (its instances are there): the same start continues it" in kept.stdout
    assert (attached["reservation_id"], attached["written"]) == (None, True)
    assert continued["session_id"] == session_id
    assert sorted(each["InstanceType"] for each in launched) == ["c1.medium", "c1.medium", "m1.small", "m1.small"]
    reservations = {each["InstanceId"]: each["Reservation"] for each in launched}
    assert continued["reservation_id"] != document["reservation_id"]
    assert set(reservations.values()) == {continued["reservation_id"], document["reservation_id"]}
    assert (document["first_launch_index"], document["n_instances"], document["cores_per_instance"]) == (2, 2, 1)
    assert document["jobs"] == [{"number": 5, "attempt": 1}, {"number": 6, "attempt": 1}]
    where = [(each["number"], each["launch_index"], each["status"], each["attempt"]) for each in checked["jobs"]]
    indexes = {1: 0, 2: 0, 3: 1, 4: 1, 5: 2, 6: 3}
    assert where == [(number, index, "finished", 1) for number, index in indexes.items()]
    assert [each["launch_index"] for each in checked["instances"]] == [0, 1, 2, 3]
    assert sorted(logs.splitlines()) == [f"job {number} | job {number}, attempt 1" for number in indexes]
    assert {line.partition(" | ")[0] for line in agents.splitlines()} == {f"agent {index}" for index in range(4)}
    assert report["unknown_instances"] == 0
    assert (retried["launch"], retried["jobs"], retried["instance_type"]) == (3, [5], "c1.medium")
    (five,) = [each for each in again["jobs"] if each["number"] == 5]
    assert (five["launch_index"], five["attempt"], five["status"]) == (4, 2, "finished")


@pytest.mark.parametrize("instances", [0, 1])
def test_where_all_places_together_have_not_enough_room_nothing_is_left(
    awsac: Awsac, account: Account, embedded: Embedded, subnets: tuple[str, str], instances: int
) -> None:
    begin(awsac, subnets, n_jobs=4)
    before = account.everything()
    with faults(embedded, SLOW_AGENTS, NOT_SHOWN_YET, room(instances, subnets[0]), room(0, subnets[1])):
        failed = awsac(*START)
    launched, keys, domains = account.everything()

    assert failed.returncode == 3
    (said,) = failed.stderr.splitlines()
    assert said.startswith(
        "awsac: RunInstances ami-0a35ac00000000001 failed: no place has room for the whole session: "
    )
    assert f"c1.medium in {subnets[1]}: We currently do not have sufficient capacity" in said
    assert ("room for 1 of 2 instances" in said) == (instances == 1)
    assert "nothing was started, and all that was prepared is removed" in failed.stdout
    assert (keys, domains) == before[1:]
    assert len(launched - before[0]) == instances
    assert {each["State"]["Name"] for each in account.instances() if each["InstanceId"] in launched - before[0]} <= {
        "terminated"
    }
    assert not list(awsac.folder.glob("session-*"))


def test_a_shared_session_goes_on_with_what_there_is_room_for_and_no_start_of_it_launches_anything_twice(
    awsac: Awsac, account: Account, embedded: Embedded, subnets: tuple[str, str]
) -> None:
    # Eight cores of four instances are wanted. Beside the first one no type of eight cores keeps to nine.
    limits = "schedule = shared\nn_instances = 4\nmax_cores = 9\n"
    begin(awsac, subnets, n_jobs=9, more=f"{limits}instance_types = c1.xlarge,m1.small\n")
    nowhere = [room(0, each) for each in ("c1.medium", "c1.xlarge", "m1.small")]
    with (
        ExitStack() as proxies,
        faults(embedded, SLOW_AGENTS, room(1, subnets[0], "c1.medium"), room(2, "m1.small"), *nowhere),
    ):
        # Six places without room for all, one with room for one, one without, and the one with room for two.
        die_at(nth(9, "RunInstances"), awsac, embedded, proxies)
        (file,) = awsac.folder.glob("session-*.cfg")
        session_id = file.stem.removeprefix("session-")
        items = account.items(session_id)
        document = json.loads(account.content(f"awsac/{session_id}/launches/2.json"))
    with faults(embedded, SLOW_AGENTS, *nowhere):
        shown = awsac.ok(*START)
    launched = account.instances(session_id)
    completed = json.loads(account.content(f"awsac/{session_id}/launches/2.json"))
    record = read_record(file)
    keys = account.keys(f"awsac/{session_id}/launches/")
    awsac.ok("cleanup", "--yes", "--force", "-c", file)

    assert {(each["status"], each["launchindex"], each["x_claim"]) for each in items.values()} == {
        ("pending", "0", "1.0")
    }
    assert len(items) == 9
    assert (document["pool"], document["jobs"], document["n_instances"], document["cores_per_instance"]) == (
        1,
        [],
        3,
        1,
    )
    assert document["reservation_id"] == ""
    assert (completed["n_instances"], completed["client_token"]) == (2, document["client_token"])
    fewer = "the session goes on with 3 instances and 4 of 8 cores"
    assert f"less room:    {fewer}: no room for more within its limits" in shown
    assert sorted(each["InstanceType"] for each in launched) == ["c1.medium", "m1.small", "m1.small"]
    assert {each["Reservation"] for each in launched} == {record.ec2_reservation_id, completed["reservation_id"]}
    assert (record.n_instances, record.unused_cores, len(record.reservations)) == (3, 0, 2)
    assert keys == [f"awsac/{session_id}/launches/2.json"]
