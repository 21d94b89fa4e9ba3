"""Bytes come back as they went, whatever their size and key; what is interrupted leaves nothing false."""

import asyncio
import hashlib
import json
import os
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import obstore
import pytest
import pytest_asyncio
from moto.server import ThreadedMotoServer
from obstore.exceptions import GenericError

from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket, Download, Downloaded, Progress, Upload
from awsac_async.cloud.objects import Stream
from awsac_async.session.errors import (
    ConflictError,
    DamagedError,
    DeniedError,
    InputError,
    NotFoundError,
    ThrottledError,
    UnavailableError,
)
from tests.cloud.faults import Asked, Fault, Proxy, error, proxy_to

LARGE = 40 << 20


async def downloads_of(bucket: Bucket, directory: Path, prefix: str = "") -> list[Download]:
    return [
        Download(key=info.key, target=directory / f"{number}", size=info.size, etag=info.etag)
        for number, info in enumerate(await bucket.list(prefix))
    ]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def complete_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if ".part" not in path.name]


def is_last_range(asked: Asked) -> bool:
    return asked.headers.get("range", "").endswith(f"-{LARGE - 1}")


async def outcomes_of(bucket: Bucket, items: list[Download]) -> dict[str, Downloaded]:
    told: list[Downloaded] = []
    await bucket.download(items, on_done=told.append)
    assert len(told) == len(items)
    return {done.item.key: done for done in told}


def transfer_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("transfer")]


async def cancelled_under_way(transfer: Callable[[Callable[[Progress], None]], Coroutine[Any, Any, None]]) -> None:
    """Cancel a transfer when some of its bytes, but not all, are done; fail if it ends before."""
    started = asyncio.Event()

    def begun(progress: Progress) -> None:
        if 0 < progress.bytes_done < progress.bytes_total:
            started.set()

    task = asyncio.create_task(transfer(begun), name="transfer")
    waiting = asyncio.create_task(started.wait(), name="wait for bytes")
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_many_small_objects_come_back_as_they_went(bucket, tmp_path):
    contents = {f"many/{number:04}": os.urandom(number * 37) for number in range(120)}
    await bucket.upload([Upload(source=content, key=key) for key, content in contents.items()])
    items = await downloads_of(bucket, tmp_path / "new" / "folder")
    await bucket.download(items)
    assert {item.key: item.target.read_bytes() for item in items} == contents
    assert not list(tmp_path.rglob("*.part"))
    assert transfer_threads() == []


async def test_a_large_file_goes_and_comes_by_parts(faulty_bucket, proxy, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(LARGE + 1))
    await faulty_bucket.upload([Upload(source=source, key="large")])
    [item] = await downloads_of(faulty_bucket, tmp_path)
    await faulty_bucket.download([item])
    assert digest(item.target.read_bytes()) == digest(source.read_bytes())

    parts = [asked for asked in proxy.asked if asked.method == "PUT" and "partNumber" in asked.path]
    ranges = {asked.headers["range"] for asked in proxy.asked if "range" in asked.headers}
    assert len(parts) == 6
    assert max(len(asked.body) for asked in parts) == 8 << 20
    assert ranges == {"bytes=0-16777215", "bytes=16777216-33554431", "bytes=33554432-41943040"}


async def test_files_and_bytes_of_every_size_class_can_be_mixed(bucket, tmp_path):
    sizes = [0, 1, 256 << 10, (256 << 10) + 1, 8 << 20, (8 << 20) + 1, 17 << 20]
    contents = {f"{size}": os.urandom(size) for size in sizes}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    await bucket.upload(
        [Upload(source=tmp_path / name, key=f"file/{name}") for name in contents]
        + [Upload(source=content, key=f"bytes/{name}") for name, content in contents.items()]
    )
    items = await downloads_of(bucket, tmp_path / "back")
    await bucket.download(items)
    assert len(items) == 2 * len(sizes)
    assert {item.key: digest(item.target.read_bytes()) for item in items} == {
        f"{kind}/{name}": digest(content) for kind in ("file", "bytes") for name, content in contents.items()
    }


@pytest.mark.parametrize(
    "key", ["a//b", "a/./b", "a/../b", "folder/", "/a", "tab\there", "a b#c%20d?e&f=g+h~ü", "x" * 900, ".a/..b/c."]
)
async def test_every_key_that_s3_takes_can_be_uploaded_and_downloaded(bucket, tmp_path, key):
    await bucket.upload([Upload(source=key.encode(), key=key)])
    await bucket.upload([Upload(source=b"another", key="a"), Upload(source=b"another", key="folder")])
    [info] = [info for info in await bucket.list("") if info.key == key]
    target = tmp_path / "target"
    await bucket.download([Download(key=key, target=target, size=info.size, etag=info.etag)])
    assert target.read_bytes() == key.encode()


async def test_progress_is_told_on_the_loop_and_ends_complete(bucket, tmp_path):
    told: list[tuple[Progress, str]] = []

    def tell(progress: Progress) -> None:
        told.append((progress, threading.current_thread().name))

    sizes = [100] * 20 + [9 << 20]
    await bucket.upload([Upload(source=bytes(size), key=f"o{n}") for n, size in enumerate(sizes)], on_progress=tell)
    end = Progress(files_done=21, files_total=21, bytes_done=sum(sizes), bytes_total=sum(sizes))
    assert told[0][0] == Progress(files_done=0, files_total=21, bytes_done=0, bytes_total=sum(sizes))
    assert told[-1][0] == end

    told.clear()
    await bucket.download(await downloads_of(bucket, tmp_path), on_progress=tell)
    assert told[-1][0] == end
    assert [progress.bytes_done for progress, _ in told] == sorted(progress.bytes_done for progress, _ in told)
    assert {name for _, name in told} == {threading.main_thread().name}


async def test_an_object_that_was_replaced_since_it_was_listed_is_an_error_and_no_file(bucket, tmp_path):
    await bucket.upload([Upload(source=b"listed", key="small"), Upload(source=bytes(LARGE), key="large")])
    items = await downloads_of(bucket, tmp_path)
    await bucket.upload([Upload(source=b"newer!", key="small"), Upload(source=b"\1" * LARGE, key="large")])
    for item in items:
        with pytest.raises(ConflictError, match=item.key):
            await bucket.download([item])
        assert not item.target.exists()


async def test_an_object_that_is_replaced_during_its_download_is_an_error_and_no_file(faulty_bucket, proxy, tmp_path):
    await faulty_bucket.upload([Upload(source=bytes(LARGE), key="large")])
    [item] = await downloads_of(faulty_bucket, tmp_path)
    # The last range finds another version: what S3 says to If-Match.
    proxy.fail(is_last_range, error(412, "PreconditionFailed"))
    with pytest.raises(ConflictError):
        await faulty_bucket.download([item])
    assert list(tmp_path.iterdir()) == []
    assert all(asked.headers["if-match"] == item.etag for asked in proxy.asked if "range" in asked.headers)


async def test_an_interrupted_download_leaves_only_part_files_and_a_second_run_completes_it(
    faulty_bucket, proxy, tmp_path
):
    contents = {"large": os.urandom(LARGE), **{f"small{n}": os.urandom(1000) for n in range(20)}}
    await faulty_bucket.upload([Upload(source=content, key=key) for key, content in contents.items()])
    items = await downloads_of(faulty_bucket, tmp_path)
    proxy.fail(is_last_range, Fault(cut=2 << 20), times=2)
    with pytest.raises(UnavailableError):
        await faulty_bucket.download(items)
    assert all(path.read_bytes() in contents.values() for path in complete_files(tmp_path))
    assert (tmp_path / "0.part").exists()
    assert transfer_threads() == []

    await faulty_bucket.download([item for item in items if not item.target.exists()])
    assert {item.key: digest(item.target.read_bytes()) for item in items} == {
        key: digest(content) for key, content in contents.items()
    }
    assert not list(tmp_path.glob("*.part*"))


async def test_what_is_resumed_fetches_only_the_missing_ranges_and_is_hashed_whole(faulty_bucket, proxy, tmp_path):
    content = os.urandom(LARGE)
    await faulty_bucket.upload([Upload(source=content, key="large")])
    [item] = await downloads_of(faulty_bucket, tmp_path)
    proxy.fail(is_last_range, error(403, "AccessDenied"), times=1)
    outcomes = await outcomes_of(faulty_bucket, [item])
    assert isinstance(outcomes["large"].error, DeniedError)
    assert list(tmp_path.iterdir()) == []  # nothing can come of it, as far as one knows

    proxy.fail(is_last_range, error(503, "SlowDown"), times=2)
    with pytest.raises(ThrottledError):
        await faulty_bucket.download([item])
    noted = item.target.with_name(f"{item.target.name}.part.ranges").read_text().splitlines()[1:]
    assert set(noted) <= {"0", "1"}
    proxy.reset()

    outcomes = await outcomes_of(faulty_bucket, [replace(item, sha256=digest(content))])
    assert len([asked for asked in proxy.asked if "range" in asked.headers]) == 3 - len(noted)
    assert outcomes["large"].sha256 == digest(content)
    assert digest(item.target.read_bytes()) == digest(content)
    assert [path.name for path in tmp_path.iterdir()] == [item.target.name]


async def test_a_part_file_of_another_version_or_shorter_than_its_note_is_not_resumed(bucket, tmp_path):
    content = os.urandom(LARGE)
    await bucket.upload([Upload(source=content, key="large")])
    [item] = await downloads_of(bucket, tmp_path)
    part, note = (item.target.with_name(f"{item.target.name}{suffix}") for suffix in (".part", ".part.ranges"))
    for etag, size in [('"another"', LARGE), (item.etag, 100)]:
        header = {"etag": etag, "size": LARGE, "range": 16 << 20}
        part.write_bytes(bytes(size))
        note.write_text(f"{json.dumps(header)}\n0\n1\n2\n7\nx\n")
        await bucket.download([item])
        assert digest(item.target.read_bytes()) == digest(content)
        assert [path.name for path in tmp_path.iterdir()] == [item.target.name]


async def test_a_damaged_object_is_named_has_no_file_and_does_not_end_the_other_downloads(bucket, tmp_path):
    contents = {"good": b"good", "large": bytes(LARGE), "small": b"small", "odd//key": b"odd"}
    await bucket.upload([Upload(source=content, key=key) for key, content in contents.items()])
    items = [
        replace(item, sha256=digest(contents[item.key] if item.key == "good" else b"what was saved"))
        for item in await downloads_of(bucket, tmp_path)
    ]
    outcomes = await outcomes_of(bucket, [*items, replace(items[0], key="gone", target=tmp_path / "gone")])
    assert outcomes["good"].sha256 == digest(b"good")
    assert outcomes["good"].mtime_ns == outcomes["good"].item.target.stat().st_mtime_ns
    assert {key for key, outcome in outcomes.items() if isinstance(outcome.error, DamagedError)} == {
        "large",
        "small",
        "odd//key",
    }
    assert isinstance(outcomes["gone"].error, NotFoundError)
    assert list(tmp_path.iterdir()) == [outcomes["good"].item.target]
    with pytest.raises(DamagedError, match=f"GetObject s3://{bucket.name}/large failed: its SHA-256 is "):
        await bucket.download([item for item in items if item.key == "large"])


async def test_many_small_objects_are_read_at_once_but_not_what_was_deleted_or_replaced(bucket):
    contents = {f"{number}": f"content {number}".encode() for number in range(20)}
    await bucket.upload([Upload(source=content, key=key) for key, content in contents.items()])
    listed = await bucket.list("")
    await bucket.delete(["3"])
    await bucket.upload([Upload(source=b"another", key="4")])
    assert await bucket.read_all(listed) == {key: contents[key] for key in contents if key not in {"3", "4"}}


async def test_a_cancelled_download_ends_its_threads_and_leaves_no_incomplete_file(bucket, tmp_path):
    content = os.urandom(LARGE)
    await bucket.upload([Upload(source=content, key=f"large{n}") for n in range(2)])
    items = await downloads_of(bucket, tmp_path)
    await cancelled_under_way(lambda tell: bucket.download(items, on_progress=tell))
    assert transfer_threads() == []
    assert all(path.read_bytes() == content for path in complete_files(tmp_path))


@pytest_asyncio.fixture(loop_scope="session")
async def disturbed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Bucket, Proxy]]:
    """A bucket of the test's own in a moto server, through a proxy.

    moto stumbles over a part that arrives while or after its upload is aborted, which S3 does not mind: it is asked one
    thing at a time, and is not the embedded cloud, whose log must show no such thing.
    """
    name = f"disturbed-{uuid.uuid4().hex}"  # all moto servers of a process have the same buckets
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        with proxy_to("http://{}:{}".format(*server.get_host_and_port()), one_at_a_time=True) as proxy:
            async with connect(endpoint_url=proxy.endpoint) as aws:
                await (await aws.client("s3")).create_bucket(Bucket=name)
                yield Bucket(aws, name), proxy
    finally:
        server.stop()


async def unfinished_uploads(bucket: Bucket, proxy: Proxy) -> list[object]:
    async with connect(endpoint_url=proxy.endpoint) as aws:
        answer = await (await aws.client("s3")).list_multipart_uploads(Bucket=bucket.name)
    return answer.get("Uploads", [])


def aborts(asked: Asked) -> bool:
    return asked.method == "DELETE" and "uploadId" in asked.path


async def test_a_cancelled_upload_ends_its_threads_and_leaves_neither_object_nor_parts(disturbed):
    bucket, proxy = disturbed
    proxy.fail(aborts, error(500, "InternalError"), times=2)  # as often as obstore asks
    item = Upload(source=Stream(read=lambda: repeat(bytes(1 << 20), 200), about=200 << 20), key="large")
    await cancelled_under_way(lambda tell: bucket.upload([item], on_progress=tell))
    assert transfer_threads() == []
    assert await bucket.list("") == []
    assert await unfinished_uploads(bucket, proxy) == []


@pytest.mark.parametrize("fault", [error(503, "SlowDown"), error(500, "InternalError"), Fault(cut=0)], ids=str)
async def test_a_request_that_fails_for_now_is_sent_again(faulty_bucket, proxy, tmp_path, fault):
    for method in ("PUT", "GET"):
        proxy.fail(lambda asked, method=method: asked.method == method and "/object" in asked.path, fault, times=1)
    await faulty_bucket.upload([Upload(source=b"content", key="object")])
    items = await downloads_of(faulty_bucket, tmp_path)
    await faulty_bucket.download(items)
    assert items[0].target.read_bytes() == b"content"


async def test_a_body_that_was_cut_short_is_continued_from_where_it_ended(faulty_bucket, proxy: Proxy, tmp_path):
    content = os.urandom(12 << 20)
    await faulty_bucket.upload([Upload(source=content, key="object")])
    items = await downloads_of(faulty_bucket, tmp_path)
    proxy.fail(lambda asked: "range" in asked.headers, Fault(cut=5 << 20), times=1)
    await faulty_bucket.download(items)
    assert digest(items[0].target.read_bytes()) == digest(content)
    first, second = [asked.headers["range"] for asked in proxy.asked if "range" in asked.headers]
    assert first == "bytes=0-12582911"
    assert int(second.removeprefix("bytes=").partition("-")[0]) >= 4 << 20


async def test_throttling_that_does_not_end_is_reported_as_such(faulty_bucket, proxy):
    proxy.fail(lambda asked: asked.method == "PUT", error(503, "SlowDown"))
    with pytest.raises(ThrottledError, match=f"PutObject s3://{faulty_bucket.name}/object failed: by the test"):
        await faulty_bucket.upload([Upload(source=b"content", key="object")])


@pytest.mark.parametrize("part", [1, 5], ids=["first", "last"])
async def test_a_multipart_upload_that_fails_is_aborted_and_no_other(disturbed, part):
    bucket, proxy = disturbed
    proxy.fail(lambda asked: f"partNumber={part}&" in asked.path, error(403, "AccessDenied"))
    proxy.fail(aborts, error(500, "InternalError"), times=2)
    async with connect(endpoint_url=proxy.endpoint) as aws:
        await (await aws.client("s3")).create_multipart_upload(Bucket=bucket.name, Key="large.too")
    with pytest.raises(UnavailableError):  # what it said last
        await bucket.upload([Upload(source=bytes(LARGE), key="large")])
    assert [upload["Key"] for upload in await unfinished_uploads(bucket, proxy)] == ["large.too"]


async def test_a_missing_object_a_denied_one_and_a_missing_bucket_are_told_apart(
    faulty_bucket, proxied, proxy, tmp_path
):
    proxy.fail(lambda asked: asked.path.endswith("/denied"), error(403, "AccessDenied"))
    with pytest.raises(NotFoundError, match=r"s3://.*/missing"):
        await faulty_bucket.download([Download(key="missing", target=tmp_path / "x", size=1, etag='"e"')])
    with pytest.raises(DeniedError, match=r"s3://.*/denied"):
        await faulty_bucket.download([Download(key="denied", target=tmp_path / "x", size=1, etag='"e"')])
    with pytest.raises(NotFoundError, match="NoSuchBucket"):
        await Bucket(proxied, "no-such-bucket").upload([Upload(source=b"", key="x")])
    assert list(tmp_path.iterdir()) == []


async def test_a_source_that_is_not_there_and_a_target_that_cannot_be_are_input_errors(bucket, tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*/missing: No such file or directory"):
        await bucket.upload([Upload(source=tmp_path / "missing", key="x")])
    await bucket.upload([Upload(source=b"content", key="x")])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write .*/file: File exists"):
        await bucket.download([Download(key="x", target=tmp_path / "file" / "x", size=7, etag="")])


@pytest.mark.parametrize("size", [0, 100, 8 << 20, (8 << 20) + 1, 20 << 20])
async def test_a_stream_becomes_an_object_whatever_its_size_and_its_chunks(bucket, tmp_path, size):
    content = os.urandom(size)

    def read() -> Iterator[bytes]:
        yield b""
        yield from (content[start : start + 1_000_003] for start in range(0, size, 1_000_003))

    await bucket.upload([Upload(source=Stream(read=read, about=1), key="streamed/object")])
    [item] = await downloads_of(bucket, tmp_path, "streamed/")
    await bucket.download([item])
    assert digest(item.target.read_bytes()) == digest(content)


async def test_a_stream_that_breaks_leaves_neither_object_nor_parts_and_its_error(disturbed):
    bucket, proxy = disturbed

    def read() -> Iterator[bytes]:
        yield from [bytes(1 << 20)] * 20
        raise InputError("the source is gone")

    with pytest.raises(InputError, match="the source is gone"):
        await bucket.upload([Upload(source=Stream(read=read, about=1), key="broken")])
    assert await bucket.list("") == []
    assert await unfinished_uploads(bucket, proxy) == []


async def test_a_request_that_stands_still_ends_by_patience(faulty_bucket, proxy):
    released = threading.Event()

    def stand_still(_: Asked) -> bool:
        return released.wait(60)

    proxy.fail(stand_still, error(403, "AccessDenied"))
    try:
        with pytest.raises(UnavailableError, match="timed out"):
            await faulty_bucket.upload([Upload(source=b"content", key="object")], patience=timedelta(seconds=0.2))
    finally:
        released.set()


@pytest.mark.parametrize("odd", ["below/a//b", "below/./c", "below/folder/", "below/empty", None])
async def test_a_quick_listing_is_the_listing_whatever_keys_there_are(bucket, odd):
    items = [Upload(source=b"content", key=f"below/{name}") for name in ("b", "a c+ü%20", "deep/x", "a")]
    odd_one = [Upload(source=b"" if odd in {"below/folder/", "below/empty"} else b"odd", key=odd)] if odd else []
    await bucket.upload([*items, *odd_one, Upload(source=b"not below", key="below2")])
    listed = await bucket.list_below("below/")
    assert list(listed) == await bucket.list("below/")
    assert len(listed) == len(items) + len(odd_one)


async def test_a_connection_that_breaks_behind_the_last_byte_does_not_keep_a_file_from_its_name(
    bucket, tmp_path, monkeypatch
):
    content = os.urandom(1 << 20)
    await bucket.put("k", content)
    get, asked = obstore.get, []

    class Broken:
        """An answer whose stream ends with an error, when all its bytes have come."""

        def __init__(self, answer):
            self.meta, self._answer = answer.meta, answer

        def stream(self, **options):
            yield from self._answer.stream(**options)
            raise GenericError("Generic S3 error: HTTP error: request or response body error, kind: Body")

    def get_and_break(*words, **options):
        asked.append(options)
        return Broken(get(*words, **options)) if len(asked) == 1 else get(*words, **options)

    monkeypatch.setattr(obstore, "get", get_and_break)
    [info] = await bucket.list("k")
    await bucket.download([Download(key="k", target=tmp_path / "f", size=info.size, etag=info.etag)])
    assert (tmp_path / "f").read_bytes() == content
    assert (len(asked), [path.name for path in tmp_path.iterdir()]) == (1, ["f"])
