"""The user data string: four fields of 2008, ours after them, and nothing that reads back differently."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.session.durations import MAX_SECONDS
from awsac_async.session.errors import FormatError
from awsac_async.session.model import Access, JobSettings, StatusKind, UserData
from awsac_async.session.startinfo import parse_startinfo
from awsac_async.session.userdata import (
    access_fields,
    check_fields,
    format_user_data,
    launch_number,
    parse_user_data,
    read_access,
    read_settings,
    settings_fields,
    status_fields,
    status_kind,
    with_launch,
)
from tests.session.outcomes import outcome
from tests.session.test_startinfo import OF_2008 as INI_OF_2008

OF_2008 = "081215_1646--eventgen--1816;atlassessions;sessionarchive.tar.bz2;2"
PARSED = UserData(
    session_id="081215_1646--eventgen--1816",
    bucket="atlassessions",
    archive_name="sessionarchive.tar.bz2",
    cores_per_instance=2,
)


def test_a_user_data_string_of_2008_is_read_and_written_as_it_is():
    assert parse_user_data(OF_2008) == PARSED
    assert format_user_data(PARSED) == OF_2008


def test_our_fields_follow_the_four_that_an_agent_of_2008_reads():
    written = format_user_data(replace(PARSED, extra={"n_jobs": "4", "max_hours": "1.5"}))
    assert written == OF_2008 + ";n_jobs=4;max_hours=1.5"
    assert written.split(";")[:4] == OF_2008.split(";")


def test_fields_that_are_not_known_are_kept():
    assert parse_user_data(OF_2008 + ";later=x=y;empty=").extra == {"later": "x=y", "empty": ""}


def test_white_space_inside_and_around_fields_is_dropped():
    assert parse_user_data("\n " + OF_2008.replace(";", " ; ").replace("atlas", "atlas ") + ";\n") == PARSED


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "0 lines"),
        (" \n", "0 lines"),
        (OF_2008 + "\n" + OF_2008, "2 lines"),
        ("a;b;c", "3 in 'a;b;c'"),
        ("#!/bin/sh", "1 in '#!/bin/sh'"),
        (OF_2008 + ";" + "x" * 16384, "16451 bytes"),
        (OF_2008 + ";plain", "'plain'"),
        (OF_2008 + ";=x", "nothing"),
        (OF_2008 + ";a=1;a=2", "the same key a second time"),
        (OF_2008.replace(";2", ";two"), "'two'"),
        (OF_2008.replace(";2", ";0"), "'0'"),
        (OF_2008.replace("081215", "../081215"), "'../081215_1646--eventgen--1816'"),
        (OF_2008.replace("sessionarchive", "a/b"), "'a/b.tar.bz2'"),
        (OF_2008.replace("bz2", "gz"), "'sessionarchive.tar.gz'"),
        (OF_2008.replace("atlassessions", ""), "nothing"),
    ],
)
def test_what_is_no_user_data_string_is_refused_with_what_was_found(text, found):
    with pytest.raises(FormatError) as caught:
        parse_user_data(text, file="user-data")
    assert (caught.value.file, caught.value.found) == ("user-data", found)


@pytest.mark.parametrize(
    "wrong",
    [
        {"archive_name": "a;b.tar.bz2"},
        {"archive_name": "my archive.tar.bz2"},
        {"bucket": "a\nb"},
        {"cores_per_instance": 0},
        {"extra": {"key": "a;b"}},
        {"extra": {"key": "a b"}},
        {"extra": {"a=b": "c"}},
        {"extra": {"Key": "c"}},
        {"extra": {"data": "x" * 16384}},
    ],
)
def test_a_value_that_a_reader_would_not_get_back_is_not_written(wrong):
    with pytest.raises(FormatError):
        format_user_data(replace(PARSED, **wrong))


def test_how_jobs_are_run_is_said_only_where_it_is_not_as_in_2008():
    startinfo = parse_startinfo(INI_OF_2008, file="session.ini")
    assert settings_fields(startinfo) == {}
    assert read_settings(PARSED) == JobSettings()
    assert settings_fields(replace(startinfo, job_timeout=0.5, release_mount="ro")) == {
        "job_timeout": "0.5",
        "release_mount": "ro",
    }


@given(
    timeout=st.none() | st.integers(1, int(MAX_SECONDS) * 1000).map(lambda milliseconds: milliseconds / 1000),
    retries=st.integers(0, 100),
    user=st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", fullmatch=True),
    mount=st.sampled_from(["rw", "ro"]),
    encrypted=st.booleans(),
)
def test_an_instance_reads_how_jobs_are_run_as_the_client_was_told(timeout, retries, user, mount, encrypted):
    settings = {"job_timeout": timeout, "retries": retries, "job_user": user, "release_mount": mount}
    settings |= {"encrypted": encrypted}
    startinfo = replace(parse_startinfo(INI_OF_2008, file="session.ini"), **settings)
    sent = format_user_data(replace(PARSED, extra=settings_fields(startinfo)))
    assert read_settings(parse_user_data(sent)) == JobSettings(**settings)


@pytest.mark.parametrize(
    "field",
    [
        "job_timeout=soon",
        "job_timeout=",
        "retries=many",
        "job_user=a/b",
        "release_mount=x",
        "encrypted=perhaps",
        "n_jobs=many",
        "data=-1",
        "max_hours=nan",
    ],
)
def test_a_field_that_cannot_be_read_is_refused_by_its_name(field):
    with pytest.raises(FormatError) as caught:
        check_fields(parse_user_data(f"{OF_2008};{field}"))
    assert caught.value.field == field.partition("=")[0]


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{2,60}", fullmatch=True)
values = st.text(max_size=50).map(lambda text: "".join(text.replace(";", "").split()))


@given(
    session_id=names,
    bucket=names,
    archive=names,
    cores=st.integers(1, 10**9),
    extra=st.dictionaries(st.from_regex("[a-z][a-z0-9_]{0,20}", fullmatch=True), values, max_size=5),
)
def test_what_is_written_is_read_back(session_id, bucket, archive, cores, extra):
    user_data = UserData(
        session_id=session_id,
        bucket=bucket,
        archive_name=f"{archive}.tar.bz2",
        cores_per_instance=cores,
        extra=extra,
    )
    assert parse_user_data(format_user_data(user_data)) == user_data


@given(st.text() | st.text().map(lambda text: f"{OF_2008};{text}"))
def test_any_text_is_read_or_refused_with_a_format_error(text):
    result = outcome(lambda: parse_user_data(text))
    if isinstance(result, FormatError):
        assert str(result).startswith("user data")
    else:
        assert result.cores_per_instance > 0


def test_the_instances_of_a_further_launch_are_told_its_number_and_all_else_as_before():
    first = OF_2008 + ";n_jobs=4"
    assert with_launch(first, 2, cores=2) == first + ";launch=2"
    assert with_launch(with_launch(first, 2, cores=2), 13, cores=2) == first + ";launch=13"
    assert [launch_number(parse_user_data(text)) for text in (OF_2008, first + ";launch=13")] == [1, 13]


@pytest.mark.parametrize("launch", ["0", "1", "-2", "two", ""])
def test_a_launch_that_is_none_is_refused(launch):
    with pytest.raises(FormatError, match="launch"):
        check_fields(parse_user_data(f"{OF_2008};launch={launch}"))


def test_where_the_services_are_is_told_to_instances_only_where_that_is_not_as_on_aws():
    assert access_fields(Access()) == {}
    access = Access(
        endpoint_url="https://cloud.example.org",
        endpoint_url_s3="http://[::1]:9000/s3",
        s3_addressing_style="virtual",
        request_checksum_calculation="when_supported",
    )
    user_data = replace(PARSED, extra=access_fields(access))
    assert read_access(parse_user_data(format_user_data(user_data))) == access


def test_an_address_with_a_password_in_it_is_refused_since_it_would_be_told_to_everybody():
    with pytest.raises(FormatError, match="endpoint_url"):
        check_fields(replace(PARSED, extra={"endpoint_url": "https://user:secret@s3.example.org"}))


def test_an_address_that_is_none_is_named_and_does_not_hide_the_others():
    user_data = replace(PARSED, extra={"endpoint_url": "storage", "endpoint_url_s3": "http://127.0.0.1:9"})
    with pytest.raises(FormatError, match="endpoint_url: found 'storage', expected an address like https://"):
        check_fields(user_data)
    assert read_access(user_data) == Access(endpoint_url_s3="http://127.0.0.1:9")


def test_instances_are_told_where_the_status_is_kept_unless_it_is_as_in_2008():
    assert [status_fields(kind) for kind in StatusKind] == [{}, {"status": "s3"}]
    told = [status_kind(parse_user_data(OF_2008 + more)) for more in ("", ";status=s3", ";status=simpledb")]
    assert told == [StatusKind.SIMPLEDB, StatusKind.S3, StatusKind.SIMPLEDB]
    with pytest.raises(FormatError, match="status: found 'dynamodb', expected simpledb or s3"):
        check_fields(parse_user_data(f"{OF_2008};status=dynamodb"))
