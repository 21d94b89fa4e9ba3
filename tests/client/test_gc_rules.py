"""What ``gc`` takes for garbage, rule by rule: above all what it must never take."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from awsac_async.client.gc.rules import YOUNGEST, GarbageKind, Owner, Resources, judged, judged_builder
from awsac_async.cloud.builders import BuilderInfo
from awsac_async.cloud.instances import InstanceInfo
from awsac_async.cloud.unfinished import UnfinishedUpload
from awsac_async.cloud.volumes import VolumeInfo
from awsac_async.session.model import SessionRecord
from awsac_async.session.times import format_time


@pytest.fixture(autouse=True)
def workstation() -> None:
    """Need no cloud: nothing here asks one."""


ID = "261101_1200--eventgen--1816"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def instance(*, age: timedelta = HOUR, state: str = "running") -> InstanceInfo:
    return InstanceInfo(
        instance_id="i-1",
        session_id=ID,
        reservation_id="r-1",
        state=state,
        reason="",
        launch_index=0,
        host="",
        instance_type="c5.large",
        zone="us-east-1a",
        launched=NOW - age,
    )


def volume(*, age: timedelta = HOUR, state: str = "available") -> Resources:
    found = VolumeInfo(
        volume_id="vol-1",
        session_id=ID,
        state=state,
        gib=20,
        snapshot_id="snap-1",
        zone="us-east-1a",
        instance_id="",
        device="",
        created=NOW - age,
    )
    return Resources(volumes=[found])


def upload(*, age: timedelta = HOUR) -> Resources:
    key = f"{ID}/results_job_1.tar.bz2"
    return Resources(uploads=[UnfinishedUpload(bucket="b", key=key, upload_id="u", initiated=NOW - age)])


def record(*, started: timedelta = 3 * DAY, reservation: str = "r-1") -> SessionRecord:
    return SessionRecord(
        session_id=ID,
        ec2_reservation_id=reservation,
        n_instances=1,
        unused_cores=0,
        cores_per_instance=2,
        user_data=f"{ID};bucket;a.tar.bz2;2;max_hours=2",
        shortdescr="eventgen",
        bucket="bucket",
        n_jobs=2,
        ami_id="ami-1",
        ec2_uid="1",
        instance_type="c5.large",
        client_token="t",
        input_digest="d",
        region="us-east-1",
        started=format_time(NOW - started),
        price_per_hour=0.5,
    )


NOTHING = Owner(
    session_id=ID, instances=(), record=None, elsewhere=False, buckets=(), domain=False, unread=(), max_hours=None
)
OBJECTS = replace(NOTHING, buckets=("bucket",))
SESSION = replace(OBJECTS, record=record(), domain=True, max_hours=2.0)
STARTING = replace(SESSION, record=record(started=timedelta(minutes=1), reservation=""))
UNSURE = replace(NOTHING, unread=("ListObjectsV2 failed",))
DOMAIN = Resources(domain=True)


def kinds(owned: Resources, owner: Owner, *, at: datetime = NOW) -> list[GarbageKind]:
    with_instances = replace(owner, instances=owner.instances or owned.instances)
    return [found.kind for found in judged(owned, with_instances, at=at, older_than=YOUNGEST)]


def of_instance(**values: object) -> Resources:
    return Resources(instances=[instance(**values)])  # type: ignore[arg-type]  # as instance() takes them


@pytest.mark.parametrize(
    ("owned", "owner"),
    [
        pytest.param(of_instance(age=4 * HOUR), SESSION, id="an instance an hour after its deadline"),
        pytest.param(of_instance(age=4 * HOUR, state="stopped"), SESSION, id="a stopped one"),
        pytest.param(of_instance(), NOTHING, id="an instance of which nothing else is left"),
        pytest.param(volume(), SESSION, id="a volume of a session that is over"),
        pytest.param(volume(state="error"), NOTHING, id="a broken volume"),
        pytest.param(upload(), SESSION, id="an upload of a session that is over"),
        pytest.param(upload(age=8 * DAY), NOTHING, id="an upload of nobody, a week old"),
        pytest.param(DOMAIN, NOTHING, id="a domain of which nothing else is left"),
    ],
)
def test_what_no_living_session_owns_is_garbage(owned: Resources, owner: Owner) -> None:
    assert len(kinds(owned, owner)) == 1


@pytest.mark.parametrize(
    ("owned", "owner"),
    [
        pytest.param(of_instance(age=2.5 * HOUR), SESSION, id="an instance that may still save"),
        pytest.param(of_instance(age=DAY), replace(SESSION, max_hours=48.0), id="an instance before its deadline"),
        pytest.param(of_instance(age=5 * DAY), OBJECTS, id="an instance whose deadline is not owner"),
        pytest.param(of_instance(age=5 * DAY), UNSURE, id="an instance whose session may be where nobody can look"),
        pytest.param(of_instance(), replace(NOTHING, domain=True), id="an instance whose status can be seen"),
        pytest.param(of_instance(age=timedelta(minutes=9)), NOTHING, id="an instance of some minutes"),
        pytest.param(of_instance(age=DAY, state="shutting-down"), NOTHING, id="an instance on its way out"),
        pytest.param(volume(), replace(SESSION, instances=(instance(),)), id="a volume between creation and use"),
        pytest.param(volume(), replace(SESSION, instances=(instance(state="stopped"),)), id="a stopped instance's"),
        pytest.param(volume(state="in-use"), NOTHING, id="a volume in use"),
        pytest.param(volume(state="creating"), NOTHING, id="a volume in the making"),
        pytest.param(volume(age=timedelta(minutes=9)), NOTHING, id="a volume of some minutes"),
        pytest.param(upload(), replace(SESSION, instances=(instance(),)), id="an upload of a running session"),
        pytest.param(upload(), NOTHING, id="input data of a start that has not written its file yet"),
        pytest.param(upload(), replace(SESSION, record=record(reservation="")), id="an upload of a start that died"),
        pytest.param(DOMAIN, OBJECTS, id="a status whose objects are there"),
        pytest.param(DOMAIN, UNSURE, id="a status whose objects may be where nobody can look"),
        pytest.param(DOMAIN, replace(NOTHING, instances=(instance(state="terminated"),)), id="a status of late"),
        *(
            pytest.param(owned, STARTING, id=f"{name} of a session that just starts")
            for name, owned in {"an upload": upload(age=8 * DAY), "a volume": volume(), "a domain": DOMAIN}.items()
        ),
        *(
            pytest.param(owned, replace(SESSION, elsewhere=True), id=f"{name} of a session in another region")
            for name, owned in {"an upload": upload(age=8 * DAY), "a volume": volume()}.items()
        ),
    ],
)
def test_what_a_session_may_still_want_is_not(owned: Resources, owner: Owner) -> None:
    assert kinds(owned, owner) == []


def test_a_domain_is_left_alone_for_two_days_since_its_name_has_the_local_time_of_some_place() -> None:
    begun = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
    assert kinds(DOMAIN, NOTHING, at=begun + 2 * DAY - HOUR) == []
    assert kinds(DOMAIN, NOTHING, at=begun + 2 * DAY + HOUR) == [GarbageKind.DOMAIN]


def test_a_domain_that_no_session_named_is_nobodys_to_delete() -> None:
    assert kinds(DOMAIN, replace(NOTHING, session_id="customers")) == []


def test_garbage_says_since_when_it_is_there_and_what_it_has_cost() -> None:
    (found,) = judged(of_instance(age=4 * HOUR), SESSION, at=NOW, older_than=YOUNGEST)
    assert (found.name, found.session_id, found.since, found.cost) == ("i-1", ID, NOW - 4 * HOUR, 2.0)
    assert found.reason == "it is running, and its deadline was 2026-11-22T10:00:00Z"


@pytest.mark.parametrize("state", ["running", "stopped"])
@pytest.mark.parametrize(("hours", "age", "garbage"), [(0.5, 1.9, False), (0.5, 2.1, True), (None, 100, False)])
def test_a_builder_is_nobodys_when_no_client_can_be_waiting_for_its_image(
    state: str, hours: float | None, age: float, garbage: bool
) -> None:
    builder = BuilderInfo(
        instance_id="i-1", build_id="b1", state=state, reason="", launched=NOW - age * HOUR, max_hours=hours
    )
    found = list(judged_builder(builder, at=NOW, older_than=YOUNGEST))
    assert [(each.kind, each.name, each.session_id) for each in found] == [(GarbageKind.BUILDER, "i-1", "b1")] * garbage
    gone = replace(builder, state="terminated", launched=NOW - 2 * DAY)
    assert list(judged_builder(gone, at=NOW, older_than=YOUNGEST)) == []
