"""session.ini is read as in 2008, with our keys, or refused with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.session.errors import FormatError, ProblemsError
from awsac_async.session.model import Schedule, StatusKind
from awsac_async.session.startinfo import parse_startinfo, read_startinfo
from tests.session.outcomes import outcome

OF_2008 = """[startinfo]
instance_type = c1.medium
ami_id = ami-c97591a0
sessionsbucket = atlassessions
ec2_uid = 201521871620
shortdescr = eventgen
n_jobs = 4
"""


def refusal(text: str) -> FormatError:
    with pytest.raises(FormatError) as caught:
        parse_startinfo(text, file="session.ini")
    return caught.value


def test_a_session_ini_of_2008_is_read_as_it_is():
    info = parse_startinfo(OF_2008, file="session.ini")
    assert (info.instance_type, info.ami_id, info.bucket) == ("c1.medium", "ami-c97591a0", "atlassessions")
    assert (info.ec2_uid, info.shortdescr, info.n_jobs) == ("201521871620", "eventgen", 4)


def test_without_our_keys_a_session_behaves_as_in_2008():
    info = parse_startinfo(OF_2008, file="session.ini")
    assert (info.market, info.region, info.cores_per_instance, info.key_name) == ("on-demand", None, None, None)
    assert (info.instance_profile, info.max_hours) == ("awsac-agent", 48.0)
    assert (info.job_timeout, info.retries, info.job_user, info.release_mount) == (None, 0, "root", "rw")
    assert (info.public_ip, info.encrypted) == (None, True)
    assert info.status_store is None  # SimpleDB, if the account may use it
    assert (info.bootstrap, info.agent_wheel) == ("image", "")
    assert (info.schedule, info.n_instances, info.max_cores) == (Schedule.FIXED, None, None)


def test_our_keys_are_read():
    ours = """region = eu-west-1
instance_profile = cms
key_name = mine
security_group_ids = sg-0123abcd, sg-0123abce
subnet_id = subnet-0123abcd
subnet_ids = subnet-0123abce, subnet-0123abcd
instance_types = m1.large,c1.medium,m1.small
market = spot
cores_per_instance = 16
max_hours = 1.5
job_timeout = 30m
retries = 100
job_user = cms-prod
release_mount = ro
public_ip = no
encrypted = no
status_store = s3
bootstrap = cloud-init
agent_wheel = dist/awsac_async-0.1.0-py3-none-any.whl
schedule = shared
n_instances = 3
max_cores = 40
lease = 90s
"""
    info = parse_startinfo(OF_2008 + ours, file="session.ini")
    assert (info.region, info.instance_profile, info.key_name) == ("eu-west-1", "cms", "mine")
    assert (info.security_group_ids, info.subnet_id) == (("sg-0123abcd", "sg-0123abce"), "subnet-0123abcd")
    assert (info.subnet_ids, info.instance_types) == (
        ("subnet-0123abce", "subnet-0123abcd"),
        ("m1.large", "c1.medium", "m1.small"),
    )
    assert (info.market, info.cores_per_instance, info.max_hours) == ("spot", 16, 1.5)
    assert (info.job_timeout, info.retries, info.job_user, info.release_mount) == (1800, 100, "cms-prod", "ro")
    assert (info.public_ip, info.encrypted) == (False, False)
    assert info.status_store is StatusKind.S3
    assert (info.bootstrap, info.agent_wheel) == ("cloud-init", "dist/awsac_async-0.1.0-py3-none-any.whl")
    assert (info.schedule, info.n_instances, info.max_cores, info.lease) == (Schedule.SHARED, 3, 40, 90)


@pytest.mark.parametrize("schedule", ["", "schedule = fixed\n"], ids=["not said", "fixed"])
@pytest.mark.parametrize("key", ["n_instances = 3", "max_cores = 40", "lease = 5m"])
def test_what_limits_a_shared_session_is_refused_where_each_job_has_its_own_core(key: str, schedule: str) -> None:
    name, _, value = key.partition(" = ")
    error = refusal(OF_2008 + key + "\n" + schedule)
    expected = "expected schedule = shared with it: else each job has a core of its own"
    assert str(error) == f"session.ini, line 8, {name}: found {value!r}, {expected}"


def test_a_schedule_that_nobody_knows_is_said_alone() -> None:
    error = refusal(OF_2008 + "schedule = dynamic\nn_instances = 3\n")
    assert str(error) == "session.ini, line 8, schedule: found 'dynamic', expected fixed or shared"


def test_white_space_inside_a_value_is_dropped():
    assert parse_startinfo(OF_2008.replace("2015", "2015 \t"), file="session.ini").ec2_uid == "201521871620"


def test_a_long_description_is_cut_at_8_characters_as_in_2008():
    assert parse_startinfo(OF_2008.replace("eventgen", "event generation"), file="i").shortdescr == "eventgen"


def test_comments_capital_keys_windows_lines_and_a_byte_order_mark_are_no_obstacle(tmp_path):
    path = tmp_path / "session.ini"
    text = OF_2008.replace("n_jobs = 4", "; how many\nN_JOBS: 4 ; four\n# done").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_startinfo(path).n_jobs == 4


@pytest.mark.parametrize(
    ("good", "bad", "line"),
    [
        ("n_jobs = 4", "n_jobs = four", 7),
        ("n_jobs = 4", "n_jobs = 0", 7),
        ("n_jobs = 4", "n_jobs = -4", 7),
        ("n_jobs = 4", "n_jobs = 4.0", 7),
        ("n_jobs = 4", "n_jobs = 1000000000000", 7),
        ("n_jobs = 4", "n_jobs = " + "9" * 5000, 7),
        ("n_jobs = 4", "n_jobs =", 7),
        ("n_jobs = 4", "n_jobs = %(ec2_uid)s", 7),
        ("eventgen", "événts", 6),
        ("eventgen", "a/b", 6),
        ("201521871620", "201521871", 5),
        ("atlassessions", "s3://atlas", 4),
        ("ami-c97591a0", "c97591a0", 3),
        ("c1.medium", "c1", 2),
    ],
)
def test_a_bad_value_is_refused_with_its_line_key_and_what_was_found(good, bad, line):
    error = refusal(OF_2008.replace(good, bad))
    key = OF_2008.split("\n")[line - 1].split(" =", maxsplit=1)[0]
    assert str(error).startswith(f"session.ini, line {line}, {key}: found ")
    assert error.expected


@pytest.mark.parametrize(
    "bad",
    [
        "market = cheap",
        "status_store = dynamodb",
        "max_hours = 0",
        "max_hours = nan",
        "max_hours = inf",
        "region = x",
        "job_timeout = 0s",
        "job_timeout = 1e3",
        "job_timeout = 2 days",
        "retries = 101",
        "retries = -1",
        "job_user = -rf",
        "job_user = a;b",
        "release_mount = r",
        "public_ip = maybe",
        "encrypted = 1",
        "subnet_ids = subnet-0123abcd,,subnet-0123abce",
        "subnet_ids = subnet-0123abcd;subnet-0123abce",
        "instance_types = c1",
    ],
)
@pytest.mark.parametrize("before", ["", "\n\n# a comment\n"])
def test_a_bad_value_of_our_keys_is_refused_with_its_line(bad, before):
    error = refusal(OF_2008 + before + bad)
    assert (error.line, error.field) == (8 + before.count("\n"), bad.split(" =")[0])


def test_a_second_section_is_refused_since_what_stands_in_it_would_not_count():
    error = refusal(OF_2008 + "[other]\nmax_hours = 2\n")
    assert str(error) == "session.ini: found [startinfo], [other], expected one section, [startinfo]"


def test_an_unknown_key_is_refused_naming_the_nearest_known_one():
    error = refusal(OF_2008 + "marked = spot\n")
    assert error.line == 8
    assert str(error).endswith("the nearest is market")


def test_all_missing_keys_are_named_at_once():
    error = refusal("[startinfo]\nami_id = ami-c97591a0\nn_jobs = 4\nshortdescr = x\nsessionsbucket = bbb\n")
    assert str(error).startswith("session.ini, instance_type, ec2_uid: found no such keys")


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("", None, "no section"),
        ("[session]\nn_jobs = 4\n", None, "[session]"),
        ("n_jobs = 4\n", 1, "'n_jobs = 4'"),
        (OF_2008 + "n_jobs = 5\n", 8, "the same key a second time"),
        (OF_2008 + "[startinfo]\n", 8, "[startinfo] a second time"),
        (OF_2008 + "nonsense\n", 8, "'nonsense'"),
    ],
)
def test_what_is_no_ini_file_is_refused_where_it_goes_wrong(text, line, found):
    error = refusal(text)
    assert (error.line, error.found) == (line, found)


def test_a_missing_file_a_directory_and_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "binary.ini").write_bytes(OF_2008.encode() + b"key_name = \xff\n")
    (tmp_path / "huge.ini").write_bytes(b"#" * 2_000_000)
    for name, found in {
        "none.ini": "no such file",
        "binary.ini": "byte 0xff",
        ".": "a directory",
        "huge.ini": "larger",
    }.items():
        with pytest.raises(FormatError, match=found) as caught:
            read_startinfo(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path))
        assert caught.value.line == (8 if name == "binary.ini" else None)


keys = st.sampled_from(["instance_type", "n_jobs", "shortdescr", "max_hours", "security_group_ids", "x", "%", "[", ""])
lines = st.tuples(st.sampled_from(["", " ", "#", "["]), keys, st.sampled_from(["=", ":", " = ", ""]), st.text()).map(
    "".join
)


@given(st.text() | st.lists(lines).map(lambda each: "[startinfo]\n" + "\n".join(each)) | lines.map(OF_2008.__add__))
def test_any_text_is_read_or_refused_with_a_format_error(text):
    result = outcome(lambda: parse_startinfo(text, file="session.ini"))
    if isinstance(result, (FormatError, ProblemsError)):
        assert str(result).startswith("session.ini")
    else:
        assert result.n_jobs > 0


def test_all_that_is_wrong_is_said_at_once_and_a_misspelt_key_is_not_missing_as_well():
    text = OF_2008.replace("n_jobs = 4", "n_jobs = four").replace("ami_id", "ami_ids").replace("ec2_uid", "# ")
    with pytest.raises(ProblemsError) as raised:
        parse_startinfo(text, file="session.ini")
    lines = str(raised.value).splitlines()
    assert raised.value.exit_code == 2
    assert len(lines) == 3
    assert "unknown key 'ami_ids', expected a key that awsac knows; the nearest is ami_id" in lines[0]
    assert "n_jobs: found 'four'" in lines[1]
    assert lines[2].startswith("session.ini, ec2_uid: found no such key")
