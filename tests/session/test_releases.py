"""A release is a snapshot or an archive in S3; an address that no instance could use is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.session.errors import FormatError
from awsac_async.session.jobs import expand, parse_jobs
from awsac_async.session.releases import Compression, archive_of, is_snapshot, need_volumes
from tests.session.outcomes import outcome


@pytest.mark.parametrize(
    ("name", "compression"),
    [
        ("a.tar", Compression.NONE),
        ("a.tar.gz", Compression.GZIP),
        ("a.tgz", Compression.GZIP),
        ("a.tar.bz2", Compression.BZIP2),
        ("a.tbz2", Compression.BZIP2),
        ("a.tar.xz", Compression.XZ),
        ("a.txz", Compression.XZ),
        ("a.tar.zst", Compression.ZSTD),
        ("a.tzst", Compression.ZSTD),
        ("releases/14.2.24/atlas#1+x=y.tar.zst", Compression.ZSTD),
    ],
)
def test_the_first_field_of_a_line_may_be_an_archive_in_s3(name, compression):
    [job] = expand(parse_jobs(f" s3://Old_Bucket.2008/{name} ; a.sh ; 1 # a comment\n", file="jobs.cfg"))
    archive = archive_of(job.release)
    assert archive is not None
    assert (archive.bucket, archive.key, archive.compression) == ("Old_Bucket.2008", name, compression)
    assert archive.address == job.release == f"s3://Old_Bucket.2008/{name}"


@pytest.mark.parametrize(
    "address",
    [
        "s3://",
        "s3://bucket",
        "s3://bucket/",
        "s3://bucket/.tar",
        "s3://bucket/a.zip",
        "s3://bucket/a.tar.lz4",
        "s3://bucket/a.tar.GZ",
        "s3://bucket/a.gz",
        "s3:///a.tar",
        "s3://x/a.tar",
        "s3://-bucket/a.tar",
        "s3://bucket//a.tar",
        "s3://bucket/../a.tar",
        "s3://bucket/./a.tar",
        "s3://bucket/a b.tar",
        "s3://bucket/a\tb.tar",
        "s3://bucket/" + "a" * 1024 + ".tar",
        "S3://bucket/a.tar",
        "https://bucket/a.tar",
    ],
)
def test_an_address_that_cannot_be_one_is_refused_with_its_line(address):
    with pytest.raises(FormatError) as caught:
        parse_jobs(f"-;a.sh;1\n{address};a.sh;1\n", file="jobs.cfg")
    assert (caught.value.line, caught.value.field) == (2, "snapshotID")


def test_only_snapshots_need_volumes():
    archive = "s3://bucket/a.tar.zst"
    assert [is_snapshot(each) for each in ("snap-0123abcd", archive, None)] == [True, False, False]
    assert [archive_of(each) is None for each in ("snap-0123abcd", archive, None)] == [True, False, True]
    assert need_volumes([archive, "snap-0123abcd"])
    assert not need_volumes([archive, None])


@given(st.text().map("s3://bucket/{}.tar".format) | st.text().map("s3://{}/a.tgz".format))
def test_what_looks_like_an_address_is_one_or_refused_with_a_format_error(text):
    result = outcome(lambda: parse_jobs(f"{text};a.sh;1", file="jobs.cfg"))
    if not isinstance(result, FormatError):
        archives = [archive_of(each.release) for each in result]
        assert [archive and archive.address for archive in archives] == [each.release for each in result]
