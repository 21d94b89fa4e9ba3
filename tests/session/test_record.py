"""The session file: what clients of 2008 read in it, and what we read in theirs."""

import configparser
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.session.errors import FormatError, InputError
from awsac_async.session.model import MAX_JOBS, SessionRecord, StatusKind
from awsac_async.session.record import new_session_id, read_record, write_record
from awsac_async.session.times import format_time
from tests.session.outcomes import outcome

RECORD = SessionRecord(
    session_id="081215_1646--eventgen--1816",
    ec2_reservation_id="r-8f7a14e6",
    n_instances=2,
    unused_cores=0,
    cores_per_instance=2,
    user_data="081215_1646--eventgen--1816;atlassessions;sessionarchive.tar.bz2;2;note=100%",
    shortdescr="eventgen",
    bucket="atlassessions",
    n_jobs=4,
    ami_id="ami-c97591a0",
    ec2_uid="201521871620",
    instance_type="c1.medium",
    client_token="5c1d",
    input_digest="00ff",
    region="eu-west-1",
    started="2026-11-22T15:50:39Z",
)
OF_2008 = """[sessionconfig]
ec2_uid = 201521871620
n_instances = 2
shortdescr = eventgen
ec2_reservation_id = r-8f7a14e6
bucket = atlassessions
runuserdata = 081215_1646--eventgen--1816;atlassessions;sessionarchive.tar.bz2;2
cores_per_instance = 2
instance_type = c1.medium
session_id = 081215_1646--eventgen--1816
unused_cores = 0
n_jobs = 4
ami_id = ami-c97591a0

"""
KEYS_2008 = [line.split(" = ")[0] for line in OF_2008.split("\n") if " = " in line]


def as_2008_reads(path: Path) -> dict[str, str]:
    """Read as the ConfigParser of Python 2 does."""
    parser = configparser.ConfigParser(strict=False, inline_comment_prefixes=(";",))
    parser.read_string(path.read_text())
    return {key: parser.get("sessionconfig", key) for key in KEYS_2008}


def test_a_client_of_2008_reads_its_twelve_keys(tmp_path):
    assert as_2008_reads(write_record(tmp_path, RECORD)) == {
        "session_id": "081215_1646--eventgen--1816",
        "ec2_reservation_id": "r-8f7a14e6",
        "n_instances": "2",
        "unused_cores": "0",
        "cores_per_instance": "2",
        "runuserdata": RECORD.user_data,
        "shortdescr": "eventgen",
        "bucket": "atlassessions",
        "n_jobs": "4",
        "ami_id": "ami-c97591a0",
        "ec2_uid": "201521871620",
        "instance_type": "c1.medium",
    }


def test_a_file_of_2008_is_read_and_our_keys_get_what_was_so_in_2008(tmp_path):
    path = tmp_path / "session-081215_1646--eventgen--1816.cfg"
    path.write_text(OF_2008)
    user_data = RECORD.user_data.removesuffix(";note=100%")
    assert read_record(path) == replace(
        RECORD, user_data=user_data, client_token="", input_digest="", region="us-east-1", started=""
    )


def test_where_the_status_is_kept_and_whether_there_may_be_volumes_is_remembered(tmp_path):
    assert (RECORD.status_store, RECORD.volumes) == (StatusKind.SIMPLEDB, True)
    in_s3 = replace(RECORD, status_store=StatusKind.S3, volumes=False)
    path = write_record(tmp_path, in_s3)
    assert {"status_store = s3", "volumes = no"} <= set(path.read_text().splitlines())
    assert read_record(path) == in_s3


def test_keys_of_a_later_version_are_passed_over(tmp_path):
    path = write_record(tmp_path, RECORD)
    path.write_text(path.read_text().rstrip() + "\nlater = x\n")
    assert read_record(path) == RECORD


def test_the_file_is_named_by_the_session_and_only_its_owner_reads_it(tmp_path):
    path = write_record(tmp_path, RECORD)
    assert path == tmp_path / "session-081215_1646--eventgen--1816.cfg"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_is_replaced_and_nothing_else_is_left(tmp_path):
    write_record(tmp_path, replace(RECORD, ec2_reservation_id=""))
    path = write_record(tmp_path, RECORD)
    assert read_record(path).ec2_reservation_id == "r-8f7a14e6"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("bad", [{"shortdescr": "a\nb"}, {"ami_id": "a b"}, {"session_id": "../x"}, {"region": "\0"}])
def test_a_value_that_could_not_be_read_back_leaves_the_old_file_as_it_was(tmp_path, bad):
    path = write_record(tmp_path, RECORD)
    with pytest.raises(FormatError, match=next(iter(bad))):
        write_record(tmp_path, replace(RECORD, **bad))
    assert read_record(path) == RECORD


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot write the session file .*none.*No such file"):
        write_record(tmp_path / "none", RECORD)


@pytest.mark.parametrize("key", KEYS_2008)
def test_each_of_the_twelve_keys_is_required(tmp_path, key):
    path = tmp_path / "session.cfg"
    path.write_text("\n".join(line for line in OF_2008.split("\n") if not line.startswith(f"{key} =")))
    with pytest.raises(FormatError, match="found no such key") as caught:
        read_record(path)
    assert caught.value.field == key


@pytest.mark.parametrize(
    ("good", "bad", "line", "field"),
    [
        ("n_jobs = 4", "n_jobs = x", 12, "n_jobs"),
        ("unused_cores = 0", "unused_cores = -1", 11, "unused_cores"),
        ("eventgen--1816\nunused", "/etc\nunused", 10, "session_id"),
        ("n_instances = 2", "n_instances = 5%", 3, "n_instances"),
        ("[sessionconfig]\n", "", 1, None),
    ],
)
def test_a_damaged_file_is_refused_where_it_is_wrong(tmp_path, good, bad, line, field):
    path = tmp_path / "session.cfg"
    path.write_text(OF_2008.replace(good, bad))
    with pytest.raises(FormatError) as caught:
        read_record(path)
    assert (caught.value.file, caught.value.line, caught.value.field) == (str(path), line, field)


def test_a_session_id_has_the_form_of_2008():
    time = datetime(2008, 12, 15, 16, 46)
    assert new_session_id("eventgeneration", time, b"\x00") == "081215_1646--eventgen--6e34"


plain = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=30)


@pytest.mark.parametrize(
    ("bad", "expected"),
    [("n_jobs = 100001", "a number of jobs from 1 to 100000"), ("n_jobs = 4\nstarted = soon", "a time like 2026")],
)
def test_a_number_of_jobs_or_a_time_that_no_start_wrote_is_refused(tmp_path, bad, expected):
    path = tmp_path / "session.cfg"
    path.write_text(OF_2008.replace("n_jobs = 4", bad))
    with pytest.raises(FormatError, match=f"expected {expected}"):
        read_record(path)


@given(
    record=st.builds(
        SessionRecord,
        session_id=st.from_regex(r"[A-Za-z0-9_.-]{3,40}", fullmatch=True),
        ec2_reservation_id=plain,
        n_instances=st.integers(1, 10**6),
        unused_cores=st.integers(0, 10**6),
        cores_per_instance=st.integers(1, 10**6),
        user_data=plain,
        shortdescr=plain,
        bucket=st.from_regex(r"[a-z0-9][a-z0-9.-]{2,40}", fullmatch=True),
        n_jobs=st.integers(1, MAX_JOBS),
        ami_id=plain,
        ec2_uid=plain,
        instance_type=plain,
        client_token=plain,
        input_digest=plain,
        region=plain,
        started=st.just("")
        | st.datetimes(datetime(2008, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)).map(format_time),
    )
)
def test_what_is_written_is_read_back_also_when_it_holds_percent_signs(tmp_path_factory, record):
    path = write_record(tmp_path_factory.mktemp("record"), record)
    assert read_record(path) == record


@given(st.text() | st.text().map(lambda text: f"{OF_2008}{text}"))
def test_any_text_is_read_or_refused_with_a_format_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("record") / "session.cfg"
    path.write_text(text)
    result = outcome(lambda: read_record(path))
    if isinstance(result, FormatError):
        assert str(result).startswith(str(path))
    else:
        assert result.session_id == RECORD.session_id
