"""Saving through a proxy that fails: what a job left is in the bucket, or its reason says what is not."""

import asyncio
import io
import os
import tarfile
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from awsac_async.agent.results import SaveError, Saver
from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.session.errors import CloudError
from tests.agent.account import BUCKET
from tests.cloud.faults import Asked, Proxy, error, proxy_to
from tests.conftest import Embedded


@pytest.fixture
async def proxied(embedded: Embedded, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Bucket, Proxy]]:
    """The bucket, through a proxy that can fail."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with proxy_to(embedded.endpoint) as proxy:
        async with connect(endpoint_url=proxy.endpoint) as aws:
            yield Bucket(aws, BUCKET), proxy


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A job's working directory after its end."""
    directory = tmp_path / "1"
    directory.mkdir()
    (directory / "stdouterr_job_1.log").write_text("printed\n")
    (directory / "results.tar.bz2").write_bytes(b"results")
    return directory


def saver(bucket: Bucket, directory: Path, *, seconds: float) -> tuple[Saver, str]:
    session_id = f"261122_1500--test--{uuid.uuid4().hex[:4]}"
    deadline = asyncio.get_running_loop().time() + seconds
    return Saver(bucket=bucket, session_id=session_id, directory=directory / "packed", deadline=deadline), session_id


async def save(saving: Saver, work: Path, on_trouble: Callable[[CloudError], None] = lambda _: None) -> str:
    with await asyncio.to_thread((work / "stdouterr_job_1.log").open, "rb") as output:
        return await saving.save_job(1, work, output, on_trouble=on_trouble)


def uploads(asked: Asked) -> bool:
    return asked.method == "PUT"


async def test_results_and_output_are_saved_though_uploads_fail_at_first(
    proxied: tuple[Bucket, Proxy], work: Path
) -> None:
    bucket, proxy = proxied
    proxy.fail(uploads, error(403, "AccessDenied"), times=1)
    proxy.fail(uploads, error(503, "SlowDown"), times=1)
    troubles: list[CloudError] = []
    saving, session_id = saver(bucket, work.parent, seconds=60)

    await save(saving, work, on_trouble=troubles.append)

    assert await bucket.read(f"{session_id}/results_job_1.tar.bz2") == b"results"
    packed = await bucket.read(f"{session_id}/stdouterr_job_1.tar.bz2")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["stdouterr_job_1.log"]
    assert [trouble.code for trouble in troubles] == ["AccessDenied", "SlowDown"]


async def test_at_the_deadline_it_says_what_could_not_be_saved(proxied: tuple[Bucket, Proxy], work: Path) -> None:
    bucket, proxy = proxied
    proxy.fail(uploads, error(403, "AccessDenied"))
    saving, session_id = saver(bucket, work.parent, seconds=0)
    with pytest.raises(SaveError, match=rf"^not saved in time: .*{session_id}/results_job_1\.tar\.bz2.*AccessDenied"):
        await save(saving, work)


async def test_a_job_that_made_no_results_still_has_its_output_saved(proxied: tuple[Bucket, Proxy], work: Path) -> None:
    bucket, _ = proxied
    (work / "results.tar.bz2").unlink()
    saving, session_id = saver(bucket, work.parent, seconds=60)
    await save(saving, work)
    assert [info.key for info in await bucket.list(f"{session_id}/")] == [f"{session_id}/stdouterr_job_1.tar.bz2"]


async def test_output_that_cannot_be_packed_does_not_cost_the_results(
    proxied: tuple[Bucket, Proxy], work: Path
) -> None:
    bucket, _ = proxied
    (work.parent / "packed").write_text("a file where the folder should be")
    saving, session_id = saver(bucket, work.parent, seconds=60)
    with pytest.raises(SaveError, match=r"packing stdouterr_job_1\.log: File exists"):
        await save(saving, work)
    assert await bucket.read(f"{session_id}/results_job_1.tar.bz2") == b"results"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
async def test_results_that_are_no_file_are_not_dropped_in_silence(
    proxied: tuple[Bucket, Proxy], work: Path, make: Callable[[Path], None]
) -> None:
    bucket, _ = proxied
    (work / "results.tar.bz2").unlink()
    make(work / "results.tar.bz2")
    saving, session_id = saver(bucket, work.parent, seconds=60)
    assert await save(saving, work) == "results.tar.bz2 is not a file"
    assert [info.key for info in await bucket.list(f"{session_id}/")] == [f"{session_id}/stdouterr_job_1.tar.bz2"]
