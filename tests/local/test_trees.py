"""Trees that a job has made are removed and copied whole, however deep, with whatever names and modes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from awsac_async.local import trees

from .users import as_ordinary_user

DEEP = 3_000  # levels: more than Python has frames, and a path that is longer than the kernel takes one
ODD_NAMES = [b"two\nlines", b"latin-\xe9", b"-rf", b"\x1b[31m", b"x" * 255]


def _make_deep(top: Path, levels: int = DEEP) -> None:
    """Make a chain of folders, with a file, links and a pipe in the last."""
    here = Path.cwd()
    top.mkdir()
    os.chdir(top)
    try:
        for _ in range(levels):
            Path("folder").mkdir()
            os.chdir("folder")
        Path("leaf").write_text("kept")
        os.link("leaf", "second name")
        Path("link").symlink_to("/etc/passwd")
        os.mkfifo("pipe")
    finally:
        os.chdir(here)


def _leaf(top: Path) -> tuple[set[str], str]:
    """Return what is in the last folder of a chain, and what its file holds."""
    with trees.Climber(top) as place:
        while "folder" in (names := place.names()):
            place.enter("folder")
        leaf = os.open("leaf", os.O_RDONLY, dir_fd=place.folder)
        content = os.read(leaf, 100).decode()
        os.close(leaf)
        return set(names), content


def test_a_tree_that_is_deeper_than_any_path_is_copied_and_removed(tmp_path: Path) -> None:
    _make_deep(tmp_path / "tree")
    trees.copy(tmp_path / "tree", tmp_path / "copy")
    assert _leaf(tmp_path / "copy") == ({"leaf", "second name", "link", "pipe"}, "kept")
    assert sum(1 for _ in trees.walk(tmp_path / "copy")) == DEEP + 4
    for name in ("tree", "copy"):
        trees.remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_links_lead_nowhere_and_odd_names_are_names(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/thesis.tex").write_text("precious")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "folder").symlink_to(tmp_path / "outside")
    (tree / "file").symlink_to(tmp_path / "outside/thesis.tex")
    for name in ODD_NAMES:
        Path(os.fsdecode(os.path.join(os.fsencode(tree), name))).write_text("x")  # noqa: PTH118  bytes
    trees.copy(tree, tmp_path / "copy")
    assert sorted(os.listdir(os.fsencode(tmp_path / "copy"))) == sorted([*ODD_NAMES, b"file", b"folder"])  # noqa: PTH208  bytes
    assert (tmp_path / "copy/folder").readlink() == tmp_path / "outside"
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    for name in ("tree", "copy", "link"):
        trees.remove(tmp_path / name)
    trees.remove(tmp_path / "never there")
    assert [entry.name for entry in tmp_path.iterdir()] == ["outside"]
    assert (tmp_path / "outside/thesis.tex").read_text() == "precious"


def test_a_copy_has_modes_times_hard_links_and_holes_and_lacks_what_is_left_out(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "below/run").mkdir(parents=True)
    (tree / "run").mkdir()
    (tree / "run/left out").write_text("x")
    (tree / "below/run/kept").write_text("x")
    (tree / "program").write_text("x")
    (tree / "program").chmod(0o4751)
    os.link(tree / "program", tree / "below/same")
    with (tree / "sparse").open("wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"in the middle")
    os.utime(tree / "below", ns=(10**18, 10**18))
    trees.copy(tree, tmp_path / "copy", without={"run"})
    copy = tmp_path / "copy"
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*")) == [
        "below", "below/run", "below/run/kept", "below/same", "program", "sparse",
    ]  # fmt: skip
    assert stat.S_IMODE((copy / "program").stat().st_mode) == 0o4751
    assert (copy / "program").samefile(copy / "below/same")
    assert (copy / "below").stat().st_mtime_ns == 10**18
    sparse = (copy / "sparse").stat()
    assert sparse.st_size == 1 << 30
    assert sparse.st_blocks * 512 < 1 << 20
    with (copy / "sparse").open("rb") as file:
        file.seek(1 << 29)
        assert file.read(13) == b"in the middle"


CLOSED = """
import os, stat, sys
from pathlib import Path
from awsac_async.local import trees

home = Path(sys.argv[1])
tree = home / "tree"
(tree / "closed/below").mkdir(parents=True)
(tree / "closed/below/secret").write_text("kept")
os.link(tree / "closed/below/secret", tree / "z")
for name, mode in (("closed/below/secret", 0), ("closed/below", 0o400), ("closed", 0), ("", 0o500)):
    (tree / name).chmod(mode)
trees.copy(tree, home / "copy")
for top in (tree, home / "copy"):
    assert stat.S_IMODE(top.stat().st_mode) == 0o500, top
    assert stat.S_IMODE((top / "closed").stat().st_mode) == 0, top
    (top / "closed").chmod(0o700)
    assert stat.S_IMODE((top / "closed/below").stat().st_mode) == 0o400, top
    (top / "closed").chmod(0)
trees.remove(tree)
trees.remove(home / "copy")
print(os.geteuid(), os.listdir(home))
"""


def test_modes_that_keep_their_owner_out_keep_nothing_from_being_copied_and_removed() -> None:
    with as_ordinary_user() as user:
        result = user.run("-c", CLOSED, str(user.home))
        assert (result.stdout, result.stderr) == (f"{user.uid} []\n", "")


def test_root_removes_what_a_job_of_root_has_made_immutable(tmp_path: Path) -> None:
    (tmp_path / "tree/below").mkdir(parents=True)
    (tmp_path / "tree/below/file").write_text("x")
    for name, flag in (("tree/below/file", "+i"), ("tree/below", "+a"), ("tree", "+i")):
        if subprocess.run(["chattr", flag, tmp_path / name], capture_output=True, check=False).returncode:
            pytest.skip("chattr sets no flags here")
    trees.remove(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_a_removal_stops_when_a_folder_is_moved_away_under_it(tmp_path: Path) -> None:
    """Else it would go on outside of the tree that it was told."""
    (tmp_path / "tree/below").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    with trees.Climber(tmp_path / "tree") as place:
        place.enter("below")
        (tmp_path / "tree/below").rename(tmp_path / "elsewhere/below")
        with pytest.raises(OSError, match="moved"):
            place.leave()
    assert sys.getrecursionlimit() < DEEP
