"""What counts as a job's results, read as the job's user by a program of its own, whatever its folder has become."""

import bz2
import io
import os
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from awsac_async.agent.jobuser import JobUser, find_user
from awsac_async.agent.leftovers import find_results
from awsac_async.session.errors import InputError

SECRET = b"for root only\n"


def packed(**members: bytes) -> bytes:
    """A session's tar.bz2 as a job makes it, by the name in the archive with ``__`` for ``/``."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:bz2") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


WHOLE = packed(results__out=b"precious")


@pytest.fixture
def work() -> Iterator[Path]:
    """A job's folder, as others may reach it; deeper than Python's own removal goes at the end."""
    with tempfile.TemporaryDirectory(prefix="awsac-test-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        (Path(name) / "work").mkdir()
        yield Path(name) / "work"


def found(work: Path, *, as_whom: JobUser | None = None, most: int | None = None) -> tuple[bytes, str]:
    """What would be sent, and what is said of it."""
    source, remark = find_results(work, user=as_whom, seconds=3600, most=most)
    if source is None:
        return b"", remark
    sent = b"".join(source.read_anew())
    return sent, "; ".join(filter(None, (remark, str(source.remarks))))


def members(archive: bytes) -> dict[str, bytes]:
    """The members of an archive: of a file what it holds, of a link where it leads."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:bz2") as tar:
        return {one.name: _content(tar, one) for one in tar.getmembers()}


def _content(tar: tarfile.TarFile, one: tarfile.TarInfo) -> bytes:
    if one.issym():
        return one.linkname.encode()
    file = tar.extractfile(one)
    return file.read() if file else b""


def folder(work: Path) -> None:
    (work / "results").mkdir()
    (work / "results" / "out").write_bytes(b"precious")


def linked(work: Path) -> None:
    folder(work)
    (work / "results").rename(work.parent / "scratch")
    (work / "results").symlink_to(work.parent / "scratch")


def whole_and_more(work: Path) -> None:
    folder(work)
    (work / "results" / "log").write_bytes(b"kept out")
    (work / "results.tar.bz2").write_bytes(WHOLE)


def whole_from_inside(work: Path) -> None:
    folder(work)
    (work / "results.tar.bz2").write_bytes(packed(out=b"precious"))


def link_out(work: Path) -> None:
    folder(work)
    (work / "results" / "python").symlink_to(shutil.which("sh") or "")
    (work / "results" / "same").symlink_to("out")
    (work / "results" / "lost").symlink_to("nowhere")


def no_files(work: Path) -> None:
    folder(work)
    os.mkfifo(work / "results" / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(work / "results" / "socket"))


def beside(archive: bytes) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        folder(work)
        (work / "results.tar.bz2").write_bytes(archive)

    return make


RESULTS = {"results": b"", "results/out": b"precious"}
SHORT = WHOLE[:-20]
UNENDED = bz2.compress(
    bz2.decompress(packed(results__out=b"precious" * 1000))[:3000]
)  # its tar was killed, not its bzip2


@pytest.mark.parametrize(
    ("make", "saved", "remark"),
    [
        (folder, RESULTS, ""),
        (linked, RESULTS, ""),
        (lambda work: (work / "results").symlink_to("."), {"results": b"", "results/results": b"."}, ""),
        (lambda work: (work / "results").write_bytes(b"a file"), {"results": b"a file"}, ""),
        (
            beside(b""),
            RESULTS | {"results.tar.bz2": b""},
            "results.tar.bz2 is empty: saved in one archive with results",
        ),
        (
            beside(SHORT),
            RESULTS | {"results.tar.bz2": SHORT},
            "results.tar.bz2 is cut off: saved in one archive with results",
        ),
        (
            beside(UNENDED),
            RESULTS | {"results.tar.bz2": UNENDED},
            "results.tar.bz2 is damaged: saved in one archive with results",
        ),
        (
            link_out,
            RESULTS
            | {
                "results/python": (shutil.which("sh") or "").encode(),
                "results/same": b"out",
                "results/lost": b"nowhere",
            },
            f"links in results/ to what is not in it: results/python ({os.path.realpath(shutil.which('sh') or '')})",
        ),
        (no_files, RESULTS, "not whole in results/: results/pipe (a special file) and 1 more"),
    ],
    ids=["folder", "link", "itself", "file", "empty", "cut off", "unended", "links out", "no files"],
)
def test_what_a_job_left_as_its_results_is_saved_or_named(
    work: Path, make: Callable[[Path], None], saved: dict[str, bytes], remark: str
) -> None:
    make(work)
    sent, said = found(work)
    assert (members(sent), said) == (saved, remark)


@pytest.mark.parametrize(
    ("make", "saved", "remark"),
    [
        (beside(WHOLE), WHOLE, ""),
        (beside(WHOLE + bytes(512)), WHOLE + bytes(512), ""),
        (whole_from_inside, packed(out=b"precious"), ""),
        (whole_and_more, WHOLE, "not saved: results/log, which results.tar.bz2 does not hold as it is now"),
        (lambda work: (work / "results.tar.bz2").write_bytes(SHORT), SHORT, "results.tar.bz2 is cut off"),
    ],
    ids=["both", "with zeros behind", "packed from inside", "of a part", "cut off alone"],
)
def test_an_archive_goes_as_it_is_and_what_beside_it_does_not_is_named(
    work: Path, make: Callable[[Path], None], saved: bytes, remark: str
) -> None:
    make(work)
    assert found(work) == (saved, remark)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/", "results leads to a folder that the job's own is in"),
        ("/proc", "results leads to a file system of the kernel"),
        ("/proc/self/fd", "results leads to a file system of the kernel"),
        ("..", "results leads to a folder that the job's own is in"),
    ],
)
def test_results_that_lead_to_everything_are_refused(work: Path, target: str, why: str) -> None:
    (work / "results").symlink_to(target)
    with pytest.raises(InputError, match=f"^{why}$"):
        found(work)


def test_results_larger_than_they_may_be_are_refused_and_those_of_the_same_size_are_not(work: Path) -> None:
    folder(work)
    with (work / "results" / "sparse").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(InputError, match=r"^results has 1\.0 TB, more than max_results, 1\.0 TB$"):
        found(work, most=10**12)
    sent, said = found(work, most=10**12 + 8)
    assert (len(sent) < 1000, said) == (True, "")
    (work / "results.tar.bz2").mkdir()
    with pytest.raises(InputError, match=r"^results has .*, more than can be saved before the deadline$"):
        find_results(work, user=None, seconds=0, most=None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads what others left as those")
def test_nothing_that_a_jobs_user_cannot_read_is_sent_whatever_that_user_links_to_it(work: Path) -> None:
    secrets, nobody = work.parent / "secrets", find_user("nobody", job=7)
    assert nobody is not None
    secrets.mkdir(mode=0o700)
    (secrets / "secret").write_bytes(SECRET)
    shutil.chown(work, nobody.uid)
    (work / "results.tar.bz2").symlink_to(secrets / "secret")
    (work / "results").symlink_to(secrets)
    with pytest.raises(
        InputError, match=r"results\.tar\.bz2 cannot be read: Permission denied.*cannot read .*/results"
    ):
        found(work, as_whom=nobody)

    (work / "results").unlink()
    folder(work)
    os.link(secrets / "secret", work / "results" / "hard")
    (secrets / "secret").chmod(0o600)
    (work / "results" / "own").write_bytes(b"unreadable, but this user's own")
    (work / "results" / "own").chmod(0)
    (work / "results").chmod(0)
    for each in (work / "results", work / "results" / "own"):
        shutil.chown(each, nobody.uid)
    sent, said = found(work, as_whom=nobody)
    assert members(sent) == RESULTS | {"results/own": b"unreadable, but this user's own"}
    assert said == (
        "results.tar.bz2 cannot be read: Permission denied; not whole in results/: results/hard (Permission denied)"
    )
