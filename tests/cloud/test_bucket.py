"""Small documents, listings and deletion in a bucket, also when S3 refuses or is busy."""

import threading

import pytest

from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket, Upload
from awsac_async.session.errors import ConflictError, DamagedError, DeniedError, InputError, NotFoundError
from tests.cloud.faults import Fault, Proxy, error


async def test_an_existing_bucket_passes_the_check(bucket):
    await bucket.check()


async def test_a_bucket_that_is_not_there_is_named_as_not_found(aws):
    with pytest.raises(NotFoundError, match="no-such-bucket-here"):
        await Bucket(aws, "no-such-bucket-here").check()


async def test_a_bucket_in_another_region_is_refused_before_anything_is_sent_there(aws):
    elsewhere = "awsac-test-elsewhere"
    s3 = await aws.client("s3")
    await s3.create_bucket(Bucket=elsewhere, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    try:
        with pytest.raises(InputError, match=f"{elsewhere} is in eu-west-1, the session is to run in us-east-1"):
            await Bucket(aws, elsewhere).check()
    finally:
        await s3.delete_bucket(Bucket=elsewhere)


async def test_a_bucket_of_somebody_else_is_denied(faulty_bucket: Bucket, proxy: Proxy):
    proxy.fail(lambda asked: asked.method == "HEAD", Fault(status=403))
    with pytest.raises(DeniedError, match=f"HeadBucket {faulty_bucket.name} failed"):
        await faulty_bucket.check()


async def test_what_is_written_is_read_back_byte_for_byte(bucket):
    etag = await bucket.write("a/document.json", b"\x00\xff text", etag=None)
    assert await bucket.read("a/document.json") == (b"\x00\xff text", etag)


async def test_reading_an_object_that_is_not_there_names_its_place(bucket):
    with pytest.raises(NotFoundError, match=f"GetObject s3://{bucket.name}/missing failed"):
        await bucket.read("missing")


async def test_an_object_is_created_once_and_the_threads_that_do_it_end_with_the_connection(bucket, proxy):
    async with connect(endpoint_url=proxy.endpoint) as aws:
        created = Bucket(aws, bucket.name)
        await created.create("chunks/0", b"first")
        with pytest.raises(ConflictError):
            await created.create("chunks/0", b"second")
        assert await bucket.read("chunks/0") == (b"first", (await bucket.list("chunks/0"))[0].etag)
    for thread in threading.enumerate():
        if thread.name.startswith("create object"):
            thread.join(timeout=60)
            assert not thread.is_alive()


async def test_an_object_that_has_not_changed_is_not_read_again(bucket):
    etag = await bucket.write("document", b"first", etag=None)
    assert await bucket.read_if_changed("document", None) == (b"first", etag)
    assert await bucket.read_if_changed("document", etag) is None

    changed = await bucket.write("document", b"second", etag=etag)
    assert await bucket.read_if_changed("document", etag) == (b"second", changed)
    await bucket.delete(["document"])
    with pytest.raises(NotFoundError):
        await bucket.read_if_changed("document", changed)


async def test_a_document_is_replaced_only_if_it_is_the_one_that_was_read(bucket):
    read = await bucket.write("document", b"first", etag=None)
    written = await bucket.write("document", b"second", etag=read)
    for etag in (None, read):
        with pytest.raises(ConflictError):
            await bucket.write("document", b"third", etag=etag)
    assert await bucket.read("document") == (b"second", written)


async def test_a_listing_of_more_than_one_page_is_complete_and_keeps_to_its_prefix(bucket):
    wanted = [f"s/{number:04}" for number in range(1005)]
    await bucket.upload([Upload(source=b"x", key=key) for key in [*wanted, "s2/other", "s"]])
    listed = await bucket.list("s/")
    assert [info.key for info in listed] == wanted
    assert {info.size for info in listed} == {1}

    await bucket.delete([info.key for info in listed])
    assert [info.key for info in await bucket.list("")] == ["s", "s2/other"]


async def test_deleting_what_is_not_there_is_fine(bucket):
    await bucket.delete(["never/was"])


async def test_keys_that_xml_cannot_carry_are_deleted_like_others(bucket):
    keys = ["odd/\x1b]0;owned\x07", "odd/new\tline", "odd/-rf", "odd/plain"]
    for key in keys:
        await bucket.put(key, b"x")
    await bucket.delete(keys)
    assert await bucket.list("odd/") == []


async def test_a_large_object_is_no_small_document_and_is_not_read(bucket):
    await bucket.put("large", bytes(65 << 20))
    with pytest.raises(DamagedError, match=r"large failed: found 68\.2 MB, expected a small object"):
        await bucket.read("large")


async def test_a_key_that_could_not_be_deleted_is_an_error_although_the_answer_is_200(faulty_bucket, proxy):
    body = b"<DeleteResult><Error><Key>kept</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    proxy.fail(lambda asked: asked.method == "POST", Fault(status=200, body=body))
    with pytest.raises(DeniedError, match="kept"):
        await faulty_bucket.delete(["gone", "kept"])


async def test_a_request_that_is_throttled_is_sent_again(faulty_bucket, proxy):
    proxy.fail(lambda asked: asked.method == "PUT", error(503, "SlowDown"), times=1)
    etag = await faulty_bucket.write("document", b"content", etag=None)
    assert await faulty_bucket.read("document") == (b"content", etag)
    assert [asked.method for asked in proxy.asked] == ["PUT", "PUT", "GET"]
