"""What getresults brings, what it takes for complete, and what it says is missing, damaged or refused."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from awsac_async.client import FileState, Only, Overwrite, Results, get_results
from awsac_async.client.results.files import STAGING_PREFIX
from awsac_async.client.results.record import ETAGS_FILE, RECORD_FILE, Entry, opened
from awsac_async.cloud.aws import connect
from awsac_async.cloud.status import status_store
from awsac_async.session import names
from awsac_async.session.errors import InputError
from awsac_async.session.manifest import Manifest, SavedFile, format_copies, format_manifest
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.record import read_record, write_record
from awsac_async.session.times import format_time, now
from tests.cli.conftest import BUCKET, Account
from tests.cli.test_interrupts import session_file


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A session of which only what it saved is there."""

    file: Path
    folder: Path
    id: str
    account: Account

    def put(self, key: str, content: bytes) -> None:
        self.account.s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    def read(self, key: str) -> bytes:
        content: bytes = self.account.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def save(
        self,
        job: int,
        *,
        results: bytes | None = b"results",
        manifest: bool = True,
        attempt: int = 1,
        remark: str = "",
    ) -> None:
        """Do what an agent does at a job's end."""
        output = f"output {job}.{attempt}".encode()
        contents = {names.output_key(self.id, job): output}
        if results is not None:
            contents[names.results_key(self.id, job)] = results
        for key, content in contents.items():
            self.put(key, content)
        if manifest:
            self.put(names.manifest_key(self.id, job), self.manifest(job, contents, attempt, remark))

    def manifest(self, job: int, contents: dict[str, bytes], attempt: int = 1, remark: str = "") -> bytes:
        files = [
            SavedFile(
                key=key,
                name=key.rpartition("/")[2],
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                remark=remark if key == names.results_key(self.id, job) else "",
            )
            for key, content in contents.items()
        ]
        return format_manifest(Manifest(session_id=self.id, job=job, attempt=attempt, files=tuple(files)))

    async def get(self, *, answer: Overwrite | None = None, **options: Any) -> Results:
        """Get the results; None: nothing is to be asked."""

        async def on_existing(path: Path) -> Overwrite:
            assert answer is not None, path
            return answer

        return await get_results(self.file, self.folder.parent, on_existing=on_existing, **options)

    def there(self) -> set[str]:
        return {path.name for path in self.folder.iterdir() if not path.name.startswith(".")}


@pytest.fixture
def saved(tmp_path: Path, account: Account) -> Saved:
    file = session_file(tmp_path)
    started = replace(read_record(file), n_jobs=4, started=format_time(now()))
    file = write_record(tmp_path, started)
    return Saved(file=file, folder=tmp_path / file.stem, id=started.session_id, account=account)


def states(results: Results) -> dict[str, tuple[str, bool]]:
    return {file.path.name: (file.state.value, file.verified) for file in results.files}


def tarball(*members: tuple[str, bytes], link: str = "") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:bz2") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            archive.addfile(info)
    return packed.getvalue()


async def test_what_is_verified_is_skipped_by_the_record_and_a_newer_attempt_is_a_file_that_differs(
    saved: Saved,
) -> None:
    saved.save(1)
    saved.put(names.agent_log_key(saved.id, 0), b"log")
    first = await saved.get()
    saved.put(names.manifest_key(saved.id, 1), b"what would be named as damaged if it was read")
    second = await saved.get()
    saved.save(1, results=b"another attempt", attempt=2)
    third = await saved.get(answer=Overwrite.ALL)

    log = "processjobslog_LI_0.tar.bz2"
    assert states(first) == {
        "results_job_1.tar.bz2": ("downloaded", True),
        "stdouterr_job_1.tar.bz2": ("downloaded", True),
        log: ("downloaded", False),
    }
    assert states(second) == {name: ("complete", verified) for name, (_, verified) in states(first).items()}
    assert (second.damaged, second.all_well) == ({}, True)
    assert states(third) == states(first) | {log: ("complete", False)}
    assert (saved.folder / "results_job_1.tar.bz2").read_bytes() == b"another attempt"


async def test_what_a_manifest_contradicts_has_no_file_and_everything_else_comes(saved: Saved) -> None:
    for job in (1, 2, 3):
        saved.save(job, results=b"results")
    saved.put(names.results_key(saved.id, 1), b"RESULTS")  # of the same size
    saved.put(names.results_key(saved.id, 2), b"short")
    saved.put(names.manifest_key(saved.id, 3), b"{}")
    results = await saved.get()

    reasons = {file.path.name: file.reason for file in results.files if file.reason}
    assert set(reasons) == {"results_job_1.tar.bz2", "results_job_2.tar.bz2"}
    assert "its SHA-256 is " in reasons["results_job_1.tar.bz2"]
    assert "it has 5 bytes, what was saved has 7" in reasons["results_job_2.tar.bz2"]
    assert results.damaged == {names.manifest_key(saved.id, 3): "found nothing, expected 1"}
    assert not results.all_well
    assert saved.there() == {"results_job_3.tar.bz2", *(f"stdouterr_job_{job}.tar.bz2" for job in (1, 2, 3))}
    assert states(results)["results_job_3.tar.bz2"] == ("downloaded", False)


async def test_copies_of_manifests_save_requests_and_count_only_as_long_as_they_are_of_what_is_there(
    saved: Saved, caplog: pytest.LogCaptureFixture
) -> None:
    for job in (1, 2, 3, 4):
        saved.save(job)
    manifests = [saved.read(names.manifest_key(saved.id, job)) for job in (1, 2, 3)]
    saved.put(names.manifest_copies_key(saved.id, 0), format_copies(manifests))
    saved.save(2, results=b"of a retry", attempt=2)  # elsewhere, before or after its first instance went
    saved.account.s3.delete_object(Bucket=BUCKET, Key=names.manifest_key(saved.id, 3))  # it is being repeated
    saved.put(names.manifest_copies_key(saved.id, 1), b"{}")
    with caplog.at_level("DEBUG", logger="awsac_async.cloud"):
        results = await saved.get()

    read = {message.split()[1].rpartition("/")[2] for message in caplog.messages if "/manifests/job_" in message}
    assert read == {"job_2.json:", "job_4.json:"}
    assert (results.all_well, {file.state.value for file in results.files}) == (True, {"downloaded"})
    assert {file.path.name for file in results.files if not file.verified} == {
        "results_job_3.tar.bz2",
        "stdouterr_job_3.tar.bz2",
    }
    assert (saved.folder / "results_job_2.tar.bz2").read_bytes() == b"of a retry"


async def test_a_file_that_was_changed_here_is_asked_about_even_if_its_size_is_the_same(saved: Saved) -> None:
    saved.save(1)
    await saved.get()
    (saved.folder / "results_job_1.tar.bz2").write_bytes(b"my own")
    (saved.folder / "stdouterr_job_1.tar.bz2").write_bytes(b"ouTput 1.1")
    kept = await saved.get(answer=Overwrite.NO)
    assert set(states(kept).values()) == {("kept", False)}
    replaced = await saved.get(answer=Overwrite.YES)
    assert set(states(replaced).values()) == {("downloaded", True)}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"jobs": {2}}, {"results_job_2", "stdouterr_job_2"}),
        ({"only": Only.RESULTS}, {"results_job_1", "results_job_2"}),
        ({"only": Only.LOGS}, {"stdouterr_job_1", "stdouterr_job_2", "processjobslog_LI_0"}),
        ({"only": Only.LOGS, "jobs": {1}}, {"stdouterr_job_1"}),
    ],
    ids=["job 2", "results", "logs", "logs of job 1"],  # sets print in another order in each process of xdist
)
async def test_a_part_of_what_was_saved_can_be_asked_for(
    saved: Saved, options: dict[str, Any], expected: Collection[str]
) -> None:
    saved.save(1)
    saved.save(2)
    saved.put(names.agent_log_key(saved.id, 0), b"log")
    saved.put(names.archive_key(saved.id, "jobs.tar.bz2"), b"archive")
    await saved.get(**options)
    assert saved.there() == {f"{name}.tar.bz2" for name in expected}


async def test_jobs_that_a_session_does_not_have_are_refused(saved: Saved) -> None:
    with pytest.raises(InputError, match=r"there is no job 5,9: session .* has 1-4"):
        await saved.get(jobs={1, 5, 9})


async def test_a_session_under_way_gives_what_is_there_and_says_what_is_missing_and_why(saved: Saved) -> None:
    saved.save(1, remark="not whole in results/: results/pipe (a special file)")
    saved.save(2, results=None)
    saved.save(3, results=None)
    async with connect(endpoint_url=saved.account.s3.meta.endpoint_url) as aws:
        store = status_store(aws, saved.id)
        await store.create()
        await store.write(
            [
                JobRecord(number=1, state=JobState.FINISHED, return_code=0),
                JobRecord(number=2, state=JobState.FINISHED, return_code=0, reason="results is not a file or a folder"),
                JobRecord(number=3, state=JobState.SAVEFAILED, reason="not saved: the disk is broken"),
                JobRecord(number=4, state=JobState.RUNNING),
            ]
        )
        results = await saved.get()
        logs = await saved.get(only=Only.LOGS, jobs={1, 2, 3})
        await store.delete()

    assert [(each.job, each.what, each.status, each.reason) for each in results.missing] == [
        (2, ("results",), "finished", "none were left: results is not a file or a folder"),
        (3, ("results",), "savefailed", "not saved: the disk is broken"),
        (4, ("results", "output"), "running", "running"),
        (1, ("part of results",), "saved", "not whole in results/: results/pipe (a special file)"),
    ]
    assert results.all_well
    assert logs.missing == ()


async def test_archives_are_unpacked_once_and_none_leads_out_of_its_folder(saved: Saved) -> None:
    saved.save(1, results=tarball(("results/data.txt", b"42"), ("sessioninfo", b"a name"), link="results"))
    saved.save(2, results=tarball(("../../evil.txt", b"evil")))
    saved.save(3, results=tarball(("fine.txt", b"fine"), link="/etc/passwd"))
    saved.put(f"{saved.id}/...tar.bz2", tarball(("evil.txt", b"evil")))
    for job in (1, 2, 3):
        saved.put(names.output_key(saved.id, job), tarball((f"stdouterr_job_{job}.log", b"said")))
        saved.account.s3.delete_object(Bucket=BUCKET, Key=names.manifest_key(saved.id, job))
    first = await saved.get(extract=True)
    unpacked = saved.folder / "job_1" / "results" / "data.txt"
    assert unpacked.read_bytes() == b"42"
    assert (saved.folder / "job_1" / "link" / "data.txt").read_bytes() == b"42"
    unpacked.unlink()
    second = await saved.get(extract=True)
    saved.put(names.results_key(saved.id, 1), tarball(("results/data.txt", b"43")))
    third = await saved.get(extract=True, answer=Overwrite.YES)

    assert {folder.name for folder in first.unpacked} == {"job_1", "job_2", "job_3"}
    assert {path.name: [each.name for each in members] for path, members in first.left_out.items()} == {
        "results_job_2.tar.bz2": ["../../evil.txt"],
        "results_job_3.tar.bz2": ["link"],
    }
    assert not first.all_well
    assert not second.all_well
    assert saved.folder / "job_1" not in second.unpacked
    assert saved.folder / "job_1" in third.unpacked
    assert (saved.folder / "job_3" / "fine.txt").read_bytes() == b"fine"
    assert unpacked.read_bytes() == b"43"
    assert {path.name for path in (saved.folder / "job_2").iterdir()} == {"stdouterr_job_2.log"}
    assert {path.name for path in saved.folder.parent.iterdir()} == {saved.file.name, saved.folder.name}
    assert {path.name for path in saved.folder.iterdir() if path.is_dir()} == {"job_1", "job_2", "job_3"}
    assert (saved.folder / "results_job_3.tar.bz2").exists()


async def test_unpacking_removes_what_a_kill_left_of_it_and_a_file_in_its_place_keeps_only_its_own_archive(
    saved: Saved,
) -> None:
    for job in (1, 2):
        saved.save(job, results=tarball((".hidden", b"42")), manifest=False)
    (saved.folder / "job_1").mkdir(parents=True)
    left = saved.folder / f"{STAGING_PREFIX}{hashlib.sha256(b'job_1').hexdigest()[:16]}"
    left.mkdir()
    (left / "half").write_bytes(b"4")
    (saved.folder / "job_2").write_bytes(b"of the user")
    results = await saved.get(extract=True, only=Only.RESULTS)

    assert {path.name for path in (saved.folder / "job_1").iterdir()} == {".hidden"}
    assert not left.exists()
    assert (saved.folder / "job_2").read_bytes() == b"of the user"
    assert {path.name for path in results.not_unpacked} == {"results_job_2.tar.bz2"}


async def test_the_record_of_an_earlier_version_is_read_once_and_replaced(saved: Saved) -> None:
    saved.save(1, manifest=False)
    saved.folder.mkdir()
    (saved.folder / "results_job_1.tar.bz2").write_bytes(b"RESULTS")
    [info] = saved.account.s3.list_objects_v2(Bucket=BUCKET, Prefix=names.results_key(saved.id, 1))["Contents"]
    (saved.folder / ETAGS_FILE).write_text(json.dumps({"results_job_1.tar.bz2": info["ETag"]}))
    partly = await saved.get(jobs={1}, only=Only.LOGS)
    assert (saved.folder / ETAGS_FILE).exists()
    results = await saved.get()
    again = await saved.get()

    assert states(partly) == {"stdouterr_job_1.tar.bz2": ("downloaded", False)}
    assert set(states(results).values()) == set(states(again).values()) == {("complete", False)}
    assert not (saved.folder / ETAGS_FILE).exists()


async def test_every_object_becomes_a_file_whatever_its_name_and_keeps_no_other_from_arriving(saved: Saved) -> None:
    written = {
        RECORD_FILE: f"%2E{RECORD_FILE[1:]}",
        "..": "%2E%2E",
        "../../evil": "..%2F..%2Fevil",
        "-rf": "%2Drf",
        "job_1": "%6Aob_1",
        "results_job_1.tar.bz2.part": "%72esults_job_1.tar.bz2.part",
        "deep/results_job_1.tar.bz2": "deep%2Fresults_job_1.tar.bz2",
        "deep/plot.png": "plot.png",
        "README": "README",
        "readme": "%72eadme",
        "n" * 255: "n" * 255,
    }
    for number, name in enumerate(written):
        saved.put(f"{saved.id}/{name}", b"%d" % number)
    saved.put(f"{saved.id}/{'l' * 250}", b"x" * 300_000)  # too large for one request, and its name for an ending
    saved.put(f"{saved.id}/{'m' * 300}", b"long")
    saved.save(1)
    (saved.folder / "in-the-way").mkdir(parents=True)
    saved.put(f"{saved.id}/in-the-way", b"x")
    results = await saved.get(answer=Overwrite.ALL, extract=True)
    again = await saved.get(answer=Overwrite.NO)

    assert [file.path.name for file in results.of(FileState.FAILED)] == ["in-the-way"]
    assert not results.all_well
    assert not results.refused
    for number, name in enumerate(written.values()):
        assert (saved.folder / name).read_bytes() == b"%d" % number
    [long] = saved.folder.glob("mmm*")
    assert {file.key.removeprefix(f"{saved.id}/"): file.path.name for file in results.files if file.spelled} == {
        **{name: file for name, file in written.items() if name.rpartition("/")[2] != file},
        "m" * 300: long.name,
    }
    assert (saved.folder / ("l" * 250)).stat().st_size == 300_000
    assert (saved.folder / "results_job_1.tar.bz2").read_bytes() == b"results"
    assert not again.of(FileState.DOWNLOADED)
    assert {path.name for path in saved.folder.parent.iterdir()} == {saved.file.name, saved.folder.name}


def test_a_folder_is_filled_by_one_run_at_a_time(tmp_path: Path) -> None:
    again = opened(tmp_path / "results")
    with opened(tmp_path / "results"), pytest.raises(InputError, match="another getresults fills"), again:
        raise AssertionError("two fill it")
    with opened(tmp_path / "results"):
        pass


@pytest.mark.parametrize("name", [RECORD_FILE, "results_job_1.tar.bz2.part", "results_job_1.tar.bz2.part.ranges"])
def test_nothing_is_written_to_a_pipe_or_through_a_link(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is no plain file"), opened(tmp_path):
        raise AssertionError("a link is followed")
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="is no plain file"), opened(tmp_path):
        raise AssertionError("a pipe is waited for")


def test_a_record_outlives_a_kill_at_any_byte_and_nonsense_in_it(tmp_path: Path) -> None:
    one, two = (Entry(etag=f'"{n}"', size=n, mtime_ns=n, sha256="0" * 64, verified=True) for n in (1, 2))
    with opened(tmp_path) as record:
        record.note({"one": one, "two": one})
        record.note({"two": two})
    file = tmp_path / RECORD_FILE
    whole = file.read_bytes()
    nonsense = (
        b'[]\n{"name": 1}\n\xff\n{"name": "x", "etag": 1, "size": "", "mtime_ns": 0, "sha256": "", "verified": 1}\n'
    )
    for cut in range(len(whole)):
        file.write_bytes(nonsense + whole[:cut])
        with opened(tmp_path) as record:
            assert set(record.entries) <= {"one", "two"}
            record.note({"three": one})
        with opened(tmp_path) as record:
            assert record.entries["three"] == one
    file.write_bytes(whole)
    with opened(tmp_path) as record:
        assert record.entries == {"one": one, "two": two}
