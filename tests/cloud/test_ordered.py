"""The bytes of one object come in order and once, whatever happens on the way, with little of them in memory."""

import asyncio
import os
import threading

import pytest

from awsac_async.cloud import ordered
from awsac_async.cloud.bucket import ObjectInfo, Upload
from awsac_async.cloud.ordered import AT_ONCE
from awsac_async.session.errors import (
    CloudError,
    ConflictError,
    DeniedError,
    NotFoundError,
    ThrottledError,
    UnavailableError,
)
from tests.cloud.faults import Fault, error

RANGE = 1 << 20
LARGE = 5 * RANGE + 12345


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test be about so many ranges in a quarter of the bytes."""
    monkeypatch.setattr(ordered, "RANGE", RANGE)
    monkeypatch.setattr(ordered, "_CHUNK", RANGE // 4)


@pytest.fixture(scope="module")
def content() -> bytes:
    return os.urandom(LARGE)


async def put(bucket, content: bytes) -> ObjectInfo:
    await bucket.upload([Upload(source=content, key="object")])
    return await bucket.head("object")


async def read(bucket, info: ObjectInfo) -> bytes:
    chunks: list[bytes] = []
    await bucket.read_in_order(info, chunks.append)
    return b"".join(chunks)


def transfer_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("transfer")]


def range_from(start: int):
    return lambda asked: asked.headers.get("range", "").startswith(f"bytes={start}-")


@pytest.mark.parametrize("size", [0, 1, RANGE - 1, RANGE, RANGE + 1, LARGE])
async def test_an_object_of_any_size_comes_as_it_is(bucket, content, size):
    info = await put(bucket, content[:size])
    assert info.size == size
    assert await read(bucket, info) == content[:size]
    assert transfer_threads() == []


async def test_ranges_are_asked_for_ahead_each_of_the_version_seen_first(faulty_bucket, proxy, content):
    info = await put(faulty_bucket, content)
    assert await read(faulty_bucket, info) == content
    asked = [asked.headers for asked in proxy.asked if asked.method == "GET"]
    assert sorted(int(headers["range"][6:].split("-")[0]) for headers in asked) == list(range(0, LARGE, RANGE))
    assert {headers["if-match"] for headers in asked} == {info.etag}


@pytest.mark.parametrize("fault", [Fault(cut=0), Fault(cut=400_000), error(503, "SlowDown")])
@pytest.mark.parametrize("number", [0, 3])
async def test_what_fails_for_now_goes_on_where_it_stopped(faulty_bucket, proxy, content, fault, number):
    info = await put(faulty_bucket, content)
    proxy.fail(range_from(number * RANGE), fault, times=1)
    assert await read(faulty_bucket, info) == content


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(Fault(cut=0), UnavailableError), (error(503, "SlowDown"), ThrottledError)],
    ids=["cut", "503"],
)
async def test_what_fails_again_and_again_ends_it_after_the_bytes_before_it(faulty_bucket, proxy, content, fault, kind):
    info = await put(faulty_bucket, content)
    proxy.fail(range_from(2 * RANGE), fault)
    chunks: list[bytes] = []
    with pytest.raises(kind):
        await faulty_bucket.read_in_order(info, chunks.append)
    assert content.startswith(b"".join(chunks))
    assert sum(map(len, chunks)) <= 2 * RANGE
    assert transfer_threads() == []


@pytest.mark.parametrize("start", [1, RANGE, LARGE - 1, LARGE])
async def test_it_can_begin_anywhere(bucket, content, start):
    info = await put(bucket, content)
    chunks: list[bytes] = []
    await bucket.read_in_order(info, chunks.append, start=start)
    assert b"".join(chunks) == content[start:]


async def test_an_object_that_is_replaced_meanwhile_ends_it(bucket, content):
    info = await put(bucket, content)
    await put(bucket, content[::-1])
    with pytest.raises(ConflictError, match="object"):
        await read(bucket, info)


async def test_an_answer_about_another_version_ends_it_though_the_server_heeds_no_condition(bucket, content):
    info = await put(bucket, content)
    other = ObjectInfo(key=info.key, size=info.size - 1, etag="", modified=info.modified)
    with pytest.raises(ConflictError, match="replaced"):
        await read(bucket, other)


async def test_an_object_that_is_not_there_is_said_so(bucket):
    with pytest.raises(NotFoundError, match=rf"HeadObject s3://{bucket.name}/nothing failed: there is no such object"):
        await bucket.head("nothing")


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [(403, DeniedError, "S3 does not show it to you"), (301, CloudError, "the bucket is in another region")],
)
async def test_an_object_that_cannot_be_read_is_said_so(faulty_bucket, proxy, status, kind, says):
    proxy.fail(lambda asked: asked.method == "HEAD", Fault(status=status))
    with pytest.raises(kind, match=rf"HeadObject s3://{faulty_bucket.name}/object failed: {says}"):
        await faulty_bucket.head("object")


async def test_who_takes_the_bytes_slowly_is_waited_for_and_little_is_fetched_ahead(faulty_bucket, proxy):
    many = os.urandom(RANGE)
    info = await put(faulty_bucket, many * (AT_ONCE + 4))
    taken = threading.Event()
    chunks: list[bytes] = []

    def write(chunk: bytes) -> None:
        assert taken.wait(30)
        chunks.append(chunk)

    reading = asyncio.create_task(faulty_bucket.read_in_order(info, write))
    asked = [asked for asked in proxy.asked if "range" in asked.headers]
    while len(asked) < AT_ONCE:
        await asyncio.sleep(0.01)
        asked = [asked for asked in proxy.asked if "range" in asked.headers]
    await asyncio.sleep(0.3)  # within which more would be asked for
    assert len([asked for asked in proxy.asked if "range" in asked.headers]) == AT_ONCE
    taken.set()
    await reading
    assert b"".join(chunks) == many * (AT_ONCE + 4)


async def test_what_the_taker_raises_ends_it(bucket, content):
    info = await put(bucket, content)

    def write(_: bytes) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await bucket.read_in_order(info, write)
    assert transfer_threads() == []


async def test_it_can_be_cancelled_and_leaves_no_thread(bucket, content):
    info = await put(bucket, content)
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    go_on = threading.Event()

    def write(_: bytes) -> None:
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(30)

    reading = asyncio.create_task(bucket.read_in_order(info, write))
    await begun.wait()
    reading.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert transfer_threads() == []
