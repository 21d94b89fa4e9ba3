"""Saving through a proxy that fails: what a job left is in the bucket, or its reason says what is not."""

import asyncio
import hashlib
import io
import json
import os
import resource
import tarfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from awsac_async.agent.command import JobFiles
from awsac_async.agent.logfiles import LogFile, LogStream
from awsac_async.agent.results import SaveError, Saver
from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.session.errors import CloudError
from awsac_async.session.names import InstancePaths
from tests.agent.account import BUCKET
from tests.cloud.faults import Asked, Proxy, error, proxy_to
from tests.conftest import Embedded

OUTPUT = "stdouterr_job_1.log"


@dataclass(kw_only=True)
class Saving:
    """What one job left, a saver for it, and what is in the bucket afterwards."""

    bucket: Bucket
    proxy: Proxy
    paths: InstancePaths
    session_id: str = field(default_factory=lambda: f"261122_1500--test--{uuid.uuid4().hex[:4]}")
    troubles: list[CloudError] = field(default_factory=list)

    def attempt(self, number: int = 1) -> JobFiles:
        """Make the files of an attempt, as the agent does."""
        files = JobFiles.of(1, number, self.paths)
        files.prepare(None)
        files.kept_output.write_text(f"printed by {number}\n")
        return files

    def saver(self, *, seconds: float = 60) -> Saver:
        deadline = asyncio.get_running_loop().time() + seconds
        return Saver(bucket=self.bucket, session_id=self.session_id, deadline=deadline, on_manifest=lambda *_: None)

    async def save(self, *attempts: JobFiles, seconds: float = 60, again: bool = False) -> str:
        saver = self.saver(seconds=seconds)
        return await saver.save_job(1, attempts, on_trouble=self.troubles.append, again=again)

    async def read(self, name: str) -> bytes:
        return (await self.bucket.read(f"{self.session_id}/{name}"))[0]

    async def members(self, name: str) -> dict[str, bytes]:
        """The files in a packed object, by name; of a link its target, of a folder nothing."""
        with tarfile.open(fileobj=io.BytesIO(await self.read(name)), mode="r:bz2") as tar:
            return {one.name: content(tar, one) for one in tar.getmembers()}

    async def keys(self) -> set[str]:
        return {info.key.rpartition("/")[2] for info in await self.bucket.list(f"{self.session_id}/")}

    async def listed(self) -> dict[str, tuple[int, str]]:
        """What the manifest says: size and checksum by key."""
        document, _ = await self.bucket.read(f"awsac/{self.session_id}/manifests/job_1.json")
        manifest = json.loads(document)
        assert (manifest["session_id"], manifest["job"]) == (self.session_id, 1)
        return {file["key"]: (file["size"], file["sha256"]) for file in manifest["files"]}


def content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.issym():
        return member.linkname.encode()
    file = tar.extractfile(member)
    return file.read() if file else b""


@pytest.fixture
async def saving(embedded: Embedded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Saving]:
    """A job to be saved through a proxy that can fail."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    paths = InstancePaths.from_environment(
        {"ATLASworkingDir": str(tmp_path / "work"), "AWSACworkingDir": str(tmp_path / "awsac")}
    )
    with proxy_to(embedded.endpoint) as proxy:
        async with connect(endpoint_url=proxy.endpoint) as aws:
            yield Saving(bucket=Bucket(aws, BUCKET), proxy=proxy, paths=paths)


def uploads(asked: Asked) -> bool:
    return asked.method == "PUT"


@contextmanager
def full_disk() -> Iterator[None]:
    """Let every write to a file fail in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_results_and_output_are_saved_though_uploads_fail_at_first_and_the_manifest_lists_them_last(
    saving: Saving,
) -> None:
    files = saving.attempt()
    (files.directory / "results.tar.bz2").write_bytes(b"results")
    saving.proxy.fail(uploads, error(403, "AccessDenied"), times=1)
    saving.proxy.fail(uploads, error(503, "SlowDown"), times=1)

    assert await saving.save(files) == ""

    assert await saving.read("results_job_1.tar.bz2") == b"results"
    assert await saving.members("stdouterr_job_1.tar.bz2") == {OUTPUT: b"printed by 1\n"}
    assert {trouble.code for trouble in saving.troubles} == {"AccessDenied", "SlowDown"}
    assert await saving.listed() == {
        f"{saving.session_id}/{name}": (len(body), hashlib.sha256(body).hexdigest())
        for name in ("results_job_1.tar.bz2", "stdouterr_job_1.tar.bz2")
        for body in [await saving.read(name)]
    }
    assert [asked for asked in saving.proxy.asked if uploads(asked)][-1].path.endswith("/manifests/job_1.json")


async def test_at_the_deadline_it_says_what_could_not_be_saved_and_has_saved_the_rest(saving: Saving) -> None:
    files = saving.attempt()
    (files.directory / "results.tar.bz2").write_bytes(b"results")
    saving.proxy.fail(lambda asked: "/results_job_1" in asked.path, error(403, "AccessDenied"))
    expected = rf"^not saved in time: .*{saving.session_id}/results_job_1\.tar\.bz2.*AccessDenied"
    with pytest.raises(SaveError, match=expected):
        await saving.save(files, seconds=6)
    assert await saving.keys() == {"stdouterr_job_1.tar.bz2"}
    assert set(await saving.listed()) == {f"{saving.session_id}/stdouterr_job_1.tar.bz2"}


async def test_a_disk_without_room_keeps_nothing_from_being_saved(saving: Saving) -> None:
    files = saving.attempt()
    large = os.urandom(20 << 20)
    (files.directory / "results.tar.bz2").write_bytes(large)
    with full_disk():
        assert await saving.save(files) == ""
    assert await saving.members("stdouterr_job_1.tar.bz2") == {OUTPUT: b"printed by 1\n"}
    listed = (await saving.listed())[f"{saving.session_id}/results_job_1.tar.bz2"]
    assert listed == (len(large), hashlib.sha256(large).hexdigest())
    assert await saving.read("results_job_1.tar.bz2") == large


async def test_a_folder_of_results_is_packed_with_its_links_and_without_what_is_no_file(saving: Saving) -> None:
    files = saving.attempt()
    results = files.directory / "results"
    (results / "deep" / "empty").mkdir(parents=True)
    (results / "deep" / ("long" * 50)).write_bytes(b"deep")
    (results / "link").symlink_to("deep")
    (results / "lost").symlink_to("nowhere")
    (results / "umlaut-\udcfc").write_bytes(b"not UTF-8")
    os.mkfifo(results / "pipe")
    assert await saving.save(files) == "not whole in results/: results/pipe (a special file)"
    assert await saving.members("results_job_1.tar.bz2") == {
        "results": b"",
        "results/deep": b"",
        "results/deep/empty": b"",
        f"results/deep/{'long' * 50}": b"deep",
        "results/link": b"deep",
        "results/lost": b"nowhere",
        "results/umlaut-\udcfc": b"not UTF-8",
    }


async def test_the_output_of_each_attempt_is_kept_whatever_the_job_did_to_its_file(saving: Saving) -> None:
    first = saving.attempt(1)
    first.output.unlink()
    second = saving.attempt(2)
    second.output.unlink()
    second.output.write_text("written by the job itself\n")
    await saving.save(first, second)
    assert await saving.members("stdouterr_job_1.tar.bz2") == {
        OUTPUT: b"printed by 2\nwritten by the job itself\n",
        "stdouterr_job_1.attempt_1.log": b"printed by 1\n",
    }


async def test_what_was_shown_while_a_job_ran_is_what_is_saved_at_its_end(saving: Saving, tmp_path: Path) -> None:
    files, stream = saving.attempt(), LogStream(tmp_path / "note")
    stream.add(LogFile(path=files.kept_output, shown=files.output))
    for replacement in (b"the first in its place\n", b"moved over that\n", b"the last, before anybody looked\n"):
        stream.look()
        new = files.directory / "new"
        new.write_bytes(replacement)
        new.replace(files.output)
    assert await saving.save(files) == ""
    saved = await saving.members("stdouterr_job_1.tar.bz2")
    stream.look()
    shown = stream.read(1000)
    assert shown is not None
    assert saved == {OUTPUT: bytes(shown.body)}
    assert saved[OUTPUT].splitlines() == [
        b"printed by 1",
        b"the first in its place",
        b"moved over that",
        b"the last, before anybody looked",
    ]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("nowhere")], ids=["pipe", "link"])
async def test_results_that_are_no_file_are_not_dropped_in_silence(
    saving: Saving, make: Callable[[Path], None]
) -> None:
    files = saving.attempt()
    make(files.directory / "results.tar.bz2")
    assert await saving.save(files) == "results.tar.bz2 is not a file"
    assert await saving.keys() == {"stdouterr_job_1.tar.bz2"}


async def test_what_vanishes_while_it_is_to_be_saved_is_said_and_not_tried_for_ever(saving: Saving) -> None:
    files = saving.attempt()
    results = files.directory / "results.tar.bz2"
    results.write_bytes(b"results")
    saving.proxy.fail(lambda asked: "/results_job_1" in asked.path, error(503, "SlowDown"), times=1)

    def vanish(_: CloudError) -> None:
        results.unlink()

    with pytest.raises(SaveError, match=r"^not saved: cannot read .*/results\.tar\.bz2: No such file"):
        await saving.saver(seconds=3600).save_job(1, [files], on_trouble=vanish)


async def test_parts_that_an_agent_left_when_it_died_are_dropped_before_its_successor_saves(saving: Saving) -> None:
    files = saving.attempt()
    async with connect(endpoint_url=saving.proxy.endpoint) as aws:
        s3 = await aws.client("s3")
        for name in ("results_job_1.tar.bz2", "results_job_2.tar.bz2"):
            await s3.create_multipart_upload(Bucket=BUCKET, Key=f"{saving.session_id}/{name}")
        await saving.save(files, again=True)
        left = await s3.list_multipart_uploads(Bucket=BUCKET, Prefix=saving.session_id)
    assert [each["Key"].rpartition("/")[2] for each in left["Uploads"]] == ["results_job_2.tar.bz2"]
    assert await saving.bucket.abort_uploads(saving.session_id) == 1


async def test_files_that_are_there_are_saved_by_their_names(saving: Saving, tmp_path: Path) -> None:
    (tmp_path / "processjobs.log").write_text("text\n")
    await saving.saver().save_files([tmp_path / "processjobs.log", tmp_path / "missing"], f"{saving.session_id}/log")
    assert await saving.members("log") == {"processjobs.log": b"text\n"}
