"""Packing what changes meanwhile: the archive can always be read, and what is missing in it is said."""

import io
import os
import resource
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from awsac_async.agent import walking
from awsac_async.agent.packing import Remarks, packed_directory, packed_files, packed_tree
from awsac_async.session.errors import InputError

MIB = 1 << 20


def changed_under_way(blocks: Iterator[bytes], change: Callable[[], object]) -> tarfile.TarFile:
    """Read the header and the first block of a file, change something, read the rest."""
    packed = next(blocks) + next(blocks)
    change()
    return tarfile.open(fileobj=io.BytesIO(packed + b"".join(blocks)), mode="r:bz2")


def content(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()


def grow(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"more" * MIB)


@pytest.mark.parametrize(
    ("change", "left", "remark"),
    [
        (lambda file: file.unlink(), 3 * MIB, ""),
        (grow, 3 * MIB, ""),
        (lambda file: file.write_bytes(b"1" * MIB), MIB, "not whole in output: log (it became shorter meanwhile)"),
    ],
    ids=["removed", "grown", "shortened"],
)
def test_a_file_is_packed_as_long_as_it_was_when_it_was_begun(
    tmp_path: Path, change: Callable[[Path], object], left: int, remark: str
) -> None:
    file, remarks = tmp_path / "log", Remarks(of="output")
    file.write_bytes(b"1" * (3 * MIB))
    with changed_under_way(packed_files([("log", [file])], remarks), lambda: change(file)) as tar:
        assert content(tar, "log") == (b"1" * left).ljust(3 * MIB, b"\0")
    assert str(remarks) == remark


def test_a_folder_that_loses_what_it_held_is_packed_as_far_as_it_is_there(tmp_path: Path) -> None:
    folder, remarks = tmp_path / "results", Remarks(of="results/")
    (folder / "b").mkdir(parents=True)
    for name in ("a", "b/lost", "c"):
        (folder / name).write_text(name)

    def lose() -> None:
        (folder / "b" / "lost").unlink()
        (folder / "b").rmdir()
        (folder / "c").unlink()

    with changed_under_way(packed_directory(folder, "results", remarks), lose) as tar:
        assert tar.getnames() == ["results", "results/a"]
    assert str(remarks) == "not whole in results/: results/b (No such file or directory) and 1 more"


def test_names_of_any_length_and_folders_of_any_depth_are_packed(tmp_path: Path) -> None:
    folder = tmp_path.joinpath("results", *["d" * 100] * 20)
    folder.mkdir(parents=True)
    (folder / ("f" * 255)).write_text("deep")
    with tarfile.open(
        fileobj=io.BytesIO(b"".join(packed_directory(tmp_path / "results", "results", Remarks(of="results/")))),
        mode="r:bz2",
    ) as tar:
        assert content(tar, "/".join(["results", *["d" * 100] * 20, "f" * 255])) == b"deep"


def test_a_release_that_cannot_be_packed_as_it_is_becomes_no_archive(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_text("tool")
    os.link(tmp_path / "bin" / "tool", tmp_path / "bin" / "same")
    shown = tmp_path.with_name(f"{tmp_path.name}-link")  # as where nothing can be mounted
    shown.symlink_to(tmp_path)
    whole = zstd.decompress(b"".join(packed_tree(shown, Remarks(of="the release"))))
    os.mkfifo(tmp_path / "bin" / "pipe")

    with pytest.raises(InputError, match=r"not whole in the release: ./bin/pipe \(a special file\)"):
        b"".join(packed_tree(tmp_path, Remarks(of="the release")))
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        assert [(each.name, each.linkname) for each in tar.getmembers()] == [
            (".", ""),
            ("./bin", ""),
            ("./bin/same", ""),
            ("./bin/tool", "./bin/same"),
        ]


def unpacked(folder: Path) -> tuple[tarfile.TarFile, bytes, Remarks]:
    """An archive of a folder, as Python reads it and as it is, and what is said of it."""
    remarks = Remarks(of="results/")
    packed = b"".join(packed_directory(folder, "results", remarks))
    return tarfile.open(fileobj=io.BytesIO(packed), mode="r:bz2"), packed, remarks


def test_holes_are_packed_as_holes_which_tar_and_python_make_again(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    odd = os.fsdecode(b"odd \xff\n\xc2\xa0")
    with (folder / odd).open("wb") as file:
        file.truncate(4 << 40)
        file.seek(10 << 20)
        file.write(b"data")
        file.seek((10 << 20) + 8192)  # a hole that is not worth a place in the map
        file.write(b"more")
    with (folder / "hole").open("wb") as file:
        file.truncate(64 * MIB)
    os.link(folder / "hole", folder / "second name")

    tar, packed, remarks = unpacked(folder)
    (tmp_path / "archive").write_bytes(packed)
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xjf", tmp_path / "archive", "-C", tmp_path / "out"], check=True)

    assert (len(packed) < 2000, str(remarks)) == (True, "")
    with tar:
        member = tar.getmember(f"results/{odd}")
        file = tar.extractfile(member)
        assert file is not None
        assert (member.issparse(), member.size) == (True, 4 << 40)
        file.seek((10 << 20) - 2)
        assert file.read(8) == b"\0\0data\0\0"
        file.seek((10 << 20) + 8190)
        assert file.read(8) == b"\0\0more\0\0"
        second = tar.getmember("results/second name")
        assert (second.islnk(), second.linkname) == (True, "results/hole")
    made = tmp_path / "out" / "results"
    assert (made / odd).stat().st_size == 4 << 40
    assert (made / odd).stat().st_blocks < 100
    assert (made / "hole").samefile(made / "second name")


def test_a_chain_of_a_thousand_folders_is_packed_and_what_is_too_deep_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "MOST_PATH", 6000)
    (tmp_path / "results" / "z").mkdir(parents=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(tmp_path / "results")
        for level in range(1400):
            os.mkdir("deep")  # noqa: PTH102  deeper than a path can be
            os.chdir("deep")
            if level == 1100:
                Path("file").write_text("deep")
    finally:
        os.fchdir(here)
        os.close(here)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))  # none a level
    try:
        tar, _, remarks = unpacked(tmp_path / "results")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    subprocess.run(["rm", "-rf", tmp_path / "results"], check=True)  # which pytest could not do
    with tar:
        assert content(tar, "results" + 1101 * "/deep" + "/file") == b"deep"
        assert tar.getnames()[-1] == "results/z"
    assert remarks.count == 1
    assert str(remarks).endswith("(its path has more than 6000 bytes)")
    assert len(str(remarks)) < 300


def test_a_folder_that_is_swapped_for_a_link_while_it_is_packed_does_not_lead_out(tmp_path: Path) -> None:
    folder, outside = tmp_path / "results", tmp_path / "outside"
    for each in (folder / "a" / "b", folder / "c", outside):
        each.mkdir(parents=True)
    (outside / "secret").write_text("secret")
    for name in ("a/0first", "a/b/second", "c/secret"):
        (folder / name).write_text("own")
    blocks = packed_directory(folder, "results", Remarks(of="results/"))
    packed = [next(blocks) for _ in range(4)]  # as far as a/0first
    (folder / "a").rename(tmp_path / "moved")
    (folder / "a").symlink_to(outside)
    (folder / "c").rename(tmp_path / "c")
    (folder / "c").symlink_to(outside)
    with tarfile.open(fileobj=io.BytesIO(b"".join([*packed, *blocks])), mode="r:bz2") as tar:
        assert {one.name: one.linkname or one.size for one in tar} == {
            "results": 0,
            "results/a": 0,
            "results/a/0first": 3,
            "results/a/b": 0,
            "results/a/b/second": 3,
            "results/c": str(outside),
        }


def test_of_a_million_faults_the_first_are_named_and_all_are_counted() -> None:
    remarks = Remarks(of="results/")
    for number in range(100_000):
        remarks.add(f"\x1b[31m\n{number}{'x' * 5000}", "a special file")
    assert str(remarks).isprintable()
    assert str(remarks).endswith("(a special file) and 99999 more")
    assert (len(str(remarks)) < 400, len(remarks.names)) == (True, 20)
