"""Whatever a job has packed: the good members arrive, nothing gets out of its folder, and what is left out is named."""

import asyncio
import bz2
import contextlib
import io
import os
import stat
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.client.results.files import STAGING_PREFIX, Kind, Target
from awsac_async.client.results.record import Entry, opened
from awsac_async.client.results.spelling import folded, read_back, spell
from awsac_async.client.results.tree import remove
from awsac_async.client.results.unpacking import Unpacked, unpack_all
from awsac_async.client.tarreader import TarError, TarReader
from awsac_async.cloud.objects import ObjectInfo

LINK, HARD, DEVICE, FIFO = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE


def info(name: str, **attributes: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(found, key, value)
    return found


def packed(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", errors="surrogateescape") as archive:
        for member in members:
            if isinstance(member, tuple):
                archive.addfile(info(member[0], size=len(member[1]), mode=0o644), io.BytesIO(member[1]))
            else:
                archive.addfile(member)
    return out.getvalue()


def unpack(folder: Path, tar: bytes, *, compressed: bytes | None = None) -> Unpacked:
    """Unpack the results of job 1."""
    path = folder / "results_job_1.tar.bz2"
    path.write_bytes(bz2.compress(tar, 1) if compressed is None else compressed)
    entry = Entry(etag='"x"', size=path.stat().st_size, mtime_ns=0, sha256="", verified=False)
    key = ObjectInfo(key="s/results_job_1.tar.bz2", size=entry.size, etag=entry.etag, modified=datetime.now(UTC))
    with opened(folder) as record:
        record.note({path.name: entry})
        return asyncio.run(unpack_all([Target(path=path, info=key, kind=Kind.RESULTS, job=1)], record))


def left_out(done: Unpacked) -> dict[str, str]:
    return {each.name: each.reason for members in done.left_out.values() for each in members}


def everything(folder: Path) -> set[str]:
    """Return all paths below a folder, also of folders that are too deep for a path."""
    walked = os.fwalk(folder, follow_symlinks=False)
    return {str((Path(top) / name).relative_to(folder)) for top, dirs, files, _ in walked for name in dirs + files}


def test_every_member_that_may_not_be_is_named_and_all_others_arrive(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "results"
    folder.mkdir()
    done = unpack(
        folder,
        packed(
            ("out", b"precious"),
            ("../evil", b"evil"),
            (f"{outside}/evil", b"evil"),
            ("a/../../evil", b"evil"),
            info("python", type=LINK, linkname="/usr/bin/python3"),
            info("up", type=LINK, linkname="../results_job_1.tar.bz2"),
            info("a/up", type=LINK, linkname="../.."),
            info("by", type=LINK, linkname="inside/.."),
            info("dangling", type=LINK, linkname="nowhere"),
            info("round", type=LINK, linkname="round"),
            info("inside", type=LINK, linkname="a"),
            info("through", type=LINK, linkname="inside/file"),
            ("a/file", b"in a"),
            ("inside/evil", b"through a link"),
            info("hard", type=HARD, linkname="out"),
            info("hard-up", type=HARD, linkname="../results_job_1.tar.bz2"),
            info("hard-nowhere", type=HARD, linkname="nowhere"),
            info("hard-link", type=HARD, linkname="inside"),
            info("device", type=DEVICE, devmajor=1, devminor=3),
            info("fifo", type=FIFO),
            info("setuid", mode=0o6777),
            info("script", mode=0o700),
            ("n" * 300, b"too long"),
            ("out/below", b"a file as a folder"),
            ("a", b"a folder as a file"),
            ("twice", b"first"),
            ("twice", b"second"),
            ("shot\xa0at 10.12.png", b"x"),
            ("caf\udce9", b"x"),
            ("👩\u200d🔬", b"x"),
            ("new\nline\x1b]0;owned\x07", b"x"),
            ("/".join(["d" * 100] * 11), b"a path of 1,100 bytes"),
        ),
    )
    job = folder / "job_1"

    assert set(left_out(done)) == {
        *("../evil", f"{outside}/evil", "a/../../evil", "python", "up", "a/up", "by", "dangling", "round"),
        *("inside/evil", "hard-up", "hard-nowhere", "hard-link", "device", "fifo", "n" * 300, "out/below", "a"),
    }
    assert left_out(done)["python"] == "it is a link to /usr/bin/python3, which leads out of the folder"
    assert left_out(done)["dangling"] == "it is a link to nowhere, and nothing is there"
    assert left_out(done)["inside/evil"] == "inside is no folder in this archive"
    assert left_out(done)["n" * 300] == "file name too long"
    assert not done.faults
    assert (job / "out").read_bytes() == (job / "hard").read_bytes() == b"precious"
    assert (job / "out").stat().st_ino == (job / "hard").stat().st_ino
    assert (job / "through").read_bytes() == b"in a"
    assert (job / "twice").read_bytes() == b"second"
    assert [stat.S_IMODE((job / name).stat().st_mode) for name in ("setuid", "script", "out")] == [0o755, 0o755, 0o644]
    assert everything(job) >= {"shot\xa0at 10.12.png", "caf\udce9", "👩\u200d🔬", "new\nline\x1b]0;owned\x07"}
    assert (job / "/".join(["d" * 100] * 11)).read_bytes() == b"a path of 1,100 bytes"
    assert not any(outside.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "results"}
    assert {path.name for path in folder.iterdir()} == {".awsac-results.jsonl", "job_1", "results_job_1.tar.bz2"}


def test_a_tree_of_any_depth_is_unpacked_replaced_and_removed(tmp_path: Path) -> None:
    tar = packed(("d/" * 1500 + "f", b"deep"), ("d/g", b"flat"))
    for _ in range(2):
        done = unpack(tmp_path, tar)
        assert done.folders == (tmp_path / "job_1",)
        assert not done.faults
        assert not done.left_out
    found = subprocess.run(["find", "job_1", "-name", "f"], cwd=tmp_path, capture_output=True, check=True)
    assert found.stdout.count(b"d/") == 1500

    descriptor = os.open(tmp_path, os.O_RDONLY)
    remove("job_1", folder=descriptor)
    os.close(descriptor)
    assert not (tmp_path / "job_1").exists()


def test_links_that_earlier_results_left_are_replaced_and_never_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").write_bytes(b"kept")
    folder = tmp_path / "results"
    (folder / "job_1").mkdir(parents=True)
    for name in ("a", "b"):
        (folder / "job_1" / name).symlink_to(victim)
    unpack(folder, packed(("a/kept", b"new"), ("b", b"new")))
    assert (victim / "kept").read_bytes() == b"kept"
    assert (folder / "job_1" / "a" / "kept").read_bytes() == (folder / "job_1" / "b").read_bytes() == b"new"

    remaining = folder / "job_1"
    remaining.rename(folder / "mine")
    remaining.symlink_to(victim)
    done = unpack(folder, packed(("kept", b"new")))
    assert list(done.faults.values()) == ["job_1 is there, and no folder"]
    assert (victim / "kept").read_bytes() == b"kept"


@pytest.mark.parametrize(
    ("tar", "arrives", "fault"),
    [
        (packed(("a", b"1"), ("b", bytes(5000)))[:2000], {"a"}, "the archive is cut off"),
        (packed(("a", b"1"))[:1024], {"a"}, "the archive is cut off"),
        (packed(("a", b"1"))[:1024] + b"nonsense" * 64 + bytes(1024), {"a"}, "the archive is damaged: a header has a"),
        (b"", set(), "the archive is empty"),
        (info("bomb", size=1 << 52).tobuf(), set(), "it has 4503.6 TB of bomb, and "),
        (info("member").tobuf() * 20_000 + bytes(1024), {"member"}, "it has more than 1"),
        (info("L", type=b"L", size=1 << 30).tobuf() + bytes(1024), set(), "the archive has a header of 1073741824 by"),
        (info("x", type=b"x", size=512).tobuf() + b"9" * 512 + bytes(1024), set(), "the archive is damaged: a header"),
    ],
)
def test_what_comes_before_the_damage_arrives(tmp_path: Path, tar: bytes, arrives: set[str], fault: str) -> None:
    done = unpack(tmp_path, tar)
    assert [each[: len(fault)] for each in done.faults.values()] == [fault]
    assert everything(tmp_path / "job_1") == arrives


def test_what_is_no_archive_at_all_is_named_and_is_tried_again_next_time(tmp_path: Path) -> None:
    assert list(unpack(tmp_path, b"", compressed=b"x").faults.values()) == [
        "the archive cannot be read (invalid data stream)"
    ]
    assert list(unpack(tmp_path, b"", compressed=bz2.compress(b"x" * 512)[:20]).faults.values()) == [
        "the archive is cut off"
    ]
    assert unpack(tmp_path, packed(("a", b"1"))).faults == {}
    assert not list(tmp_path.glob(f"{STAGING_PREFIX}*"))


SPARSE = ["--format=gnu", "--format=posix", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"]


@pytest.mark.parametrize("form", SPARSE)
def test_holes_stay_holes_in_every_form_that_there_is(tmp_path: Path, form: str) -> None:
    size = 40 << 30
    with (tmp_path / "sparse").open("wb") as file:
        for place in range(0, 400 << 20, 8 << 20):  # more than fit into a header
            file.seek(place)
            file.write(b"data at %d" % place)
        file.truncate(size)
    (tmp_path / "behind").write_bytes(b"behind")
    form = f"{form} --format=posix" if "version" in form else form
    packing = ["tar", "--create", "--sparse", *form.split(), "sparse", "behind"]
    tar = subprocess.run(packing, cwd=tmp_path, capture_output=True, check=True).stdout
    done = unpack(tmp_path, tar)
    there = tmp_path / "job_1" / "sparse"

    assert not done.faults
    assert not done.left_out
    assert there.stat().st_size == size
    assert there.stat().st_blocks * 512 < 4 << 20
    with there.open("rb") as file:
        for place in range(0, 400 << 20, 8 << 20):
            file.seek(place)
            assert file.read(20).rstrip(b"\0") == b"data at %d" % place
    assert (tmp_path / "job_1" / "behind").read_bytes() == b"behind"


@pytest.mark.parametrize(
    "records",
    [
        {"GNU.sparse.size": "10", "GNU.sparse.map": "5,2,0,2"},
        {"GNU.sparse.size": "10", "GNU.sparse.map": "0,2,9"},
        {"GNU.sparse.size": "10", "GNU.sparse.map": "0,20"},
        {"GNU.sparse.size": "9" * 30, "GNU.sparse.map": "0,2"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "10"},
        {"GNU.sparse.size": "1000", "GNU.sparse.map": "0,900"},
    ],
)
def test_a_file_with_an_impossible_map_of_holes_is_left_out_alone(tmp_path: Path, records: dict[str, str]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info("sparse", size=600, pax_headers=records), io.BytesIO(b"x" * 600))
        archive.addfile(info("behind", size=1), io.BytesIO(b"1"))
    done = unpack(tmp_path, out.getvalue())
    assert left_out(done) == {"sparse": "its map of holes is damaged"}
    assert (tmp_path / "job_1" / "behind").read_bytes() == b"1"


@given(st.data())
def test_no_bytes_make_the_reader_fail_otherwise_than_by_saying_so(data: st.DataObject) -> None:
    whole = bytearray(packed(("a", b"1"), info("l", type=LINK, linkname="a"), ("n" * 200, b"2"), info("d", type=b"5")))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    reader = TarReader(io.BytesIO(bytes(whole[: data.draw(st.integers(0, len(whole)))])))
    with contextlib.suppress(TarError):
        while reader.next():
            assert all(offset >= 0 and piece for offset, piece in reader.pieces())


# --- names ---


def names_of(*keys: str) -> dict[str, str]:
    taken: set[str] = set()
    found = {}
    for key in sorted(keys):
        name = spell(key, is_taken=taken.__contains__, is_reserved=lambda name: name.startswith(".awsac-"))
        assert name is not None
        taken.add(folded(name))
        found[key] = name
    return found


@pytest.mark.parametrize(
    "name", ["out.txt", "a b", "é", "100%", "a%20b", "shot\xa0at", "👩\u200d🔬", "x-", "CON", "n" * 255]
)
def test_a_good_name_stays_itself(name: str) -> None:
    assert names_of(name) == {name: name}


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("-rf", "%2Drf"),
        ("a/../../b", "a%2F..%2F..%2Fb"),
        ("..", "%2E%2E"),
        ("new\nline", "new%0Aline"),
        ("rtl\u202egnp.exe", "rtl%E2%80%AEgnp.exe"),
        ("%2Drf", "%252Drf"),
        ("%252Drf", "%25252Drf"),
        (".awsac-results.jsonl", "%2Eawsac-results.jsonl"),
    ],
)
def test_an_odd_name_is_spelled(name: str, written: str) -> None:
    assert names_of(name) == {name: written}
    assert read_back(written) == name


def test_names_that_some_disks_take_for_one_are_two() -> None:
    twins = names_of("README", "readme", "e\u0301", "\u00e9", "-rf", "%2Drf")
    assert len({folded(name) for name in twins.values()}) == 6
    assert {read_back(name) for name in twins.values()} == set(twins)


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40), unique=True, max_size=8))
def test_no_two_names_become_one_and_each_can_be_read_back(keys: list[str]) -> None:
    found = names_of(*keys)
    assert len({folded(name) for name in found.values()}) == len(keys)
    for key, name in found.items():
        assert "/" not in name
        assert name not in {"", ".", ".."}
        assert not name.startswith("-")
        assert len(name.encode()) <= 255
        assert read_back(name) == key or len(key.encode()) > 80
