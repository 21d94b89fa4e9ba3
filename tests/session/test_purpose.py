"""What a session of one job is for: written into the user data, and read from there as it was."""

from dataclasses import replace

import pytest

from awsac_async.session.errors import FormatError
from awsac_async.session.model import Schedule, UserData
from awsac_async.session.purpose import Build, PackTo, Purpose, fit_for, packed_address, purpose_fields, read_purpose
from awsac_async.session.startinfo import parse_startinfo
from awsac_async.session.userdata import check_fields, format_user_data, parse_user_data
from tests.session.test_startinfo import OF_2008
from tests.session.test_userdata import PARSED

PACK = PackTo(archive=packed_address("s3://atlas/14.2.24.tar.zst"))


def with_fields(**fields: str) -> UserData:
    return replace(PARSED, extra=fields)


@pytest.mark.parametrize("purpose", [None, Build(name="atlas-14.2.24", gib=16, file_system="xfs"), PACK])
def test_a_purpose_is_read_from_the_user_data_as_it_was_written(purpose: Purpose | None) -> None:
    written = format_user_data(replace(PARSED, extra=purpose_fields(purpose)))

    assert read_purpose(parse_user_data(written)) == purpose


def test_the_file_system_of_a_release_is_ext4_unless_it_is_said() -> None:
    assert read_purpose(with_fields(build_name="a", build_size="1")) == Build(name="a", gib=1, file_system="ext4")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"build_size": "1"}, "build_name beside build_size"),
        ({"build_size": "0", "build_name": "a"}, "from 1 to 16384"),
        ({"build_size": "1", "build_name": "a/b"}, "a name like atlas-14.2.24"),
        ({"build_size": "1", "build_name": "a", "build_fs": "ntfs"}, "ext4 or xfs"),
        ({"pack_to": "s3://atlas/14.2.24.tar.gz"}, "ends in .tar.zst"),
        ({"pack_to": "/tmp/14.2.24.tar.zst"}, "an address like s3://"),
    ],
)
def test_a_purpose_that_cannot_be_read_is_refused(fields: dict[str, str], says: str) -> None:
    with pytest.raises(FormatError, match=says):
        check_fields(with_fields(**fields))


@pytest.mark.parametrize(("purpose", "mount"), [(Build(name="a", gib=1), "rw"), (PACK, "ro")])
def test_of_the_ini_counts_what_the_instance_is_and_not_how_jobs_are_run(purpose: Purpose, mount: str) -> None:
    more = "retries = 2\njob_user = nobody\nrelease_mount = ro\nmax_hours = 3\nschedule = shared\nn_instances = 3\n"
    info = fit_for(purpose, parse_startinfo(OF_2008 + more, file="i"))

    assert (info.n_jobs, info.retries, info.job_user, info.release_mount) == (1, 0, "root", mount)
    assert (info.max_hours, info.instance_type) == (3.0, "c1.medium")
    assert (info.schedule, info.n_instances) == (Schedule.FIXED, None)
