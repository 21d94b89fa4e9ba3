"""Packing what changes meanwhile: the archive can always be read, and what is missing in it is said."""

import io
import os
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

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
