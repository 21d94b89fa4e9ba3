"""The places of a session in the order in which they are tried, and which instance of a spread one has which jobs."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.session.errors import FormatError
from awsac_async.session.model import SessionRecord, StartReservation
from awsac_async.session.places import cores_at, jobs_at, places_of, price_at, started_indexes
from awsac_async.session.record import format_record, parse_record
from awsac_async.session.startinfo import parse_startinfo
from tests.session.test_record import RECORD

INI = """[startinfo]
instance_type = c1.medium
ami_id = ami-c97591a0
sessionsbucket = atlassessions
ec2_uid = 201521871620
shortdescr = eventgen
n_jobs = 4
"""
A, B = "subnet-0123abcd", "subnet-0123abce"


def had(instance_type: str, n_instances: int, cores: int, price: float | None) -> StartReservation:
    return StartReservation(
        instance_type=instance_type, n_instances=n_instances, cores_per_instance=cores, price_per_hour=price
    )


SPREAD = replace(
    RECORD,
    n_instances=4,
    n_jobs=8,
    price_per_hour=0.13,
    reservations=(had("c1.medium", 2, 2, 0.13), had("m1.small", 1, 1, None), had("c1.xlarge", 1, 8, 0.52)),
)


@pytest.mark.parametrize(
    ("more", "places"),
    [
        ("", ["c1.medium"]),
        (f"subnet_id = {A}", [f"c1.medium in {A}"]),
        (f"subnet_ids = {B},{A}", [f"c1.medium in {B}", f"c1.medium in {A}"]),
        (f"subnet_id = {A}\nsubnet_ids = {B},{A},{B}", [f"c1.medium in {A}", f"c1.medium in {B}"]),
        ("instance_types = m1.small,c1.medium", ["c1.medium", "m1.small"]),
        (
            f"instance_types = m1.small\nsubnet_ids = {A},{B}",
            [f"c1.medium in {A}", f"c1.medium in {B}", f"m1.small in {A}", f"m1.small in {B}"],
        ),
    ],
)
def test_a_type_is_tried_in_all_subnets_before_the_next_and_no_place_twice(more: str, places: list[str]) -> None:
    info = parse_startinfo(INI + more, file="session.ini")
    assert [place.name for place in places_of(info)] == places


def test_each_instance_of_a_spread_session_has_the_jobs_cores_and_price_of_its_reservation() -> None:
    assert [list(jobs_at(SPREAD, index)) for index in range(5)] == [[1, 2], [3, 4], [5], [6, 7, 8], []]
    assert [cores_at(SPREAD, index) for index in range(5)] == [2, 2, 1, 8, 2]
    assert [price_at(SPREAD, index) for index in range(5)] == [0.13, 0.13, None, 0.52, 0.13]
    assert started_indexes(SPREAD) == {1: 0, 2: 0, 3: 1, 4: 1, 5: 2, 6: 3, 7: 3, 8: 3}


def test_of_a_session_whose_jobs_are_shared_nobody_knows_beforehand_which_instance_runs_which() -> None:
    record = replace(SPREAD, user_data="081215_1646--eventgen--1816;atlas;a.tar.bz2;2;schedule=shared")
    assert [list(jobs_at(record, index)) for index in range(5)] == [[]] * 5
    assert started_indexes(record) == {}
    assert [cores_at(record, index) for index in range(5)] == [2, 2, 1, 8, 2]


@given(st.integers(1, 200), st.integers(1, 16))
def test_a_session_of_one_reservation_has_the_jobs_of_2008(n_jobs: int, cores: int) -> None:
    record = replace(RECORD, n_jobs=n_jobs, cores_per_instance=cores, n_instances=-(-n_jobs // cores))
    by_instance = {number: index for index in range(record.n_instances) for number in jobs_at(record, index)}
    assert by_instance == started_indexes(record) == {number: (number - 1) // cores for number in range(1, n_jobs + 1)}


@pytest.mark.parametrize("record", [RECORD, SPREAD, replace(SPREAD, ec2_reservation_id="", step=3, reservations=())])
def test_reservations_are_read_back_from_the_session_file(record: SessionRecord) -> None:
    assert parse_record(format_record(record), file="session.cfg") == record


@pytest.mark.parametrize("bad", ["c1.medium", "c1.medium/2", "c1.medium/0/2/", "/1/1/", "c1.medium/1/1/x", "a/1/1/1/1"])
def test_what_are_no_reservations_is_refused(bad: str) -> None:
    text = format_record(SPREAD).replace("reservations = c1.medium/2/2/0.13", f"reservations = {bad}")
    with pytest.raises(FormatError) as refused:
        parse_record(text, file="session.cfg")
    assert refused.value.field == "reservations"
