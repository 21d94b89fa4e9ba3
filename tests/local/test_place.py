"""``up`` and ``down`` believe no folder and no record that a cloud of this user cannot have made."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from awsac_async.local import cgroups, cloud, place, processes

from .users import as_ordinary_user

ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder that says it is a cloud's, as it could lie in an archive that somebody has sent."""
    found = tmp_path / "cloud"
    found.mkdir(mode=0o700)
    (found / place.MARKER).write_text(ID)
    (found / "log").write_text("x")
    return found


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that is no cloud's."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def _content(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def _refused(folder: Path, why: str) -> None:
    """Let up and down refuse a folder, with nothing changed in it."""
    before = _content(folder)
    for attempt in (cloud.down, cloud.up):
        with pytest.raises(cloud.LocalCloudError, match=why) as raised:
            attempt(folder)
        assert len(str(raised.value)) <= 400
        assert "\n" not in str(raised.value)
    assert _content(folder) == before


def test_a_folder_with_nothing_but_a_clouds_own_goes(folder: Path) -> None:
    cloud.down(folder)
    assert not folder.exists()


@pytest.mark.parametrize("marker", ["", "awsac", ID + "\n", ID.upper()])
def test_a_file_with_the_markers_name_makes_no_folder_a_clouds(folder: Path, marker: str) -> None:
    (folder / place.MARKER).write_text(marker)
    _refused(folder, "is no marker of an embedded cloud")


@pytest.mark.parametrize(
    "name", ["thesis.tex", "instances/thesis.tex", "images/ami-0a.bak", "a\nb" * 80, "\x1b[31m", "volumes/vol-"]
)
def test_what_no_cloud_makes_keeps_the_folder(folder: Path, name: str) -> None:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("precious")
    _refused(folder, "which is not an embedded cloud's")


def test_what_only_has_the_name_of_something_of_a_cloud_keeps_the_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    for name, make in (
        ("volumes", lambda path: path.symlink_to(tmp_path / "outside")),
        ("log", lambda path: path.symlink_to(tmp_path / "outside")),
        ("cgroup", os.mkfifo),
        ("instances", Path.touch),
        ("cloud.json", Path.mkdir),
    ):
        (folder / name).unlink(missing_ok=True)
        make(folder / name)
        _refused(folder, f"'{name}', which is not an embedded cloud's")
        with contextlib.suppress(OSError):
            (folder / name).rmdir()
        (folder / name).unlink(missing_ok=True)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777, 0o720])
def test_a_folder_that_others_can_write_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    _refused(folder, "can be written by others")
    for name in _content(folder):
        (folder / name).unlink()
    with pytest.raises(cloud.LocalCloudError, match="can be written by others"):
        cloud.up(folder)


def test_a_folder_in_one_where_others_can_replace_it_is_refused(folder: Path) -> None:
    folder.parent.chmod(0o777)
    _refused(folder, "so replace what is in it")
    folder.parent.chmod(0o1777)  # as /tmp
    cloud.down(folder)
    assert not folder.exists()


def test_a_link_is_no_folder_of_a_cloud(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("link", "dangling"):
        _refused(tmp_path / name, "is a link")
    (folder / place.MARKER).rename(tmp_path / "marker")
    (folder / place.MARKER).symlink_to(tmp_path / "marker")
    _refused(folder, "Too many levels of symbolic links")


def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    os.chown(folder, 65534, 65534)
    _refused(folder, "belongs to another user")
    os.chown(folder, 0, 0)
    os.chown(folder.parent, 65534, 65534)
    _refused(folder, "belongs to another user, who could replace")


def test_down_leaves_an_empty_folder_that_was_never_a_clouds(tmp_path: Path) -> None:
    cloud.down(tmp_path)
    assert _content(tmp_path) == []


@pytest.fixture
def group(victim: subprocess.Popen[bytes]) -> Iterator[Callable[[str], Path]]:
    """Give what makes a control group of a name, with the victim in it."""
    own, made = cgroups.own(), list[Path]()

    def make(name: str) -> Path:
        found = own and cgroups.make(own / name)
        if not found or os.geteuid() != 0:
            pytest.skip("this machine lets us make no control groups")
        made.append(found)
        (found / "cgroup.procs").write_text(str(victim.pid))
        return found

    yield make
    victim.kill()
    victim.wait()
    for found in made:
        cgroups.remove(found)


@pytest.mark.parametrize("name", ["victim", "awsac-local-00000000", f"awsac-local-{ID[::-1]}"])
def test_a_record_that_names_another_control_group_ends_nothing(
    folder: Path, group: Callable[[str], Path], victim: subprocess.Popen[bytes], name: str
) -> None:
    named = group(name)
    (folder / "cgroup").write_text(str(named))
    _refused(folder, "names no control group of this cloud")
    assert victim.poll() is None
    assert named.exists()


def test_a_control_group_with_processes_that_are_no_clouds_ends_nothing(
    folder: Path, group: Callable[[str], Path], victim: subprocess.Popen[bytes]
) -> None:
    named = group(f"awsac-local-{ID}")
    (folder / "cgroup").write_text(str(named))
    _refused(folder, rf"holds processes that are not this cloud's \({victim.pid}\)")
    assert victim.poll() is None


def test_a_record_that_names_a_folder_elsewhere_removes_nothing(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / f"awsac-local-{ID}"
    (elsewhere / "empty").mkdir(parents=True)
    top = cgroups.own() or Path("/sys/fs/cgroup")
    for named in (elsewhere, f"{top}/../..{elsewhere}", "\x00\n", "", "/"):
        (folder / "cgroup").write_text(str(named))
        _refused(folder, "names no control group of this cloud")
    assert (elsewhere / "empty").exists()


def test_a_record_of_a_process_that_is_no_clouds_is_not_believed(folder: Path, victim: subprocess.Popen[bytes]) -> None:
    state = {"pid": victim.pid, "started": processes.start_time(victim.pid), "isolation": "plain", "storage": "images"}
    (folder / "cloud.json").write_text(json.dumps(state | {"endpoint": "http://127.0.0.1:1", "secret": "", "keys": {}}))
    assert not cloud.status(folder).running
    with pytest.raises(cloud.LocalCloudError, match="no embedded cloud is running"):
        cloud.environment(folder)
    cloud.down(folder)
    assert not folder.exists()
    assert victim.poll() is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"pid": "1"}', '{"pid": 1, "started": 2}', "[" * 9000, "9" * 6000, "\udcff"]
)
def test_a_damaged_record_is_none(folder: Path, text: str) -> None:
    (folder / "cloud.json").write_bytes(os.fsencode(text))
    assert not cloud.status(folder).running
    cloud.down(folder)
    assert not folder.exists()


def test_the_mark_of_another_cloud_in_the_same_folder_is_not_this_ones(folder: Path) -> None:
    ours, another = processes.mark(folder / "instances/i-1", ID), processes.mark(folder / "instances/i-1", ID[::-1])
    with (
        subprocess.Popen(["sleep", "600"], env=ours) as mine,
        subprocess.Popen(["sleep", "600"], env=another) as anothers,
    ):
        try:
            cloud.down(folder)
            assert mine.wait(10) != 0
            assert anothers.poll() is None
        finally:
            mine.kill()
            anothers.kill()


ODD_COMMAND = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'\\xff) Z 1'); print(flush=True); time.sleep(600)"


def test_a_process_with_a_name_that_is_no_text_is_found_as_any_other(folder: Path) -> None:
    mark = processes.mark(folder / "instances/i-1", ID)
    with subprocess.Popen([sys.executable, "-c", ODD_COMMAND], env=mark, stdout=subprocess.PIPE) as odd:
        try:
            assert odd.stdout
            odd.stdout.readline()
            assert cloud.status(folder).processes == [odd.pid]
            cloud.down(folder)
            assert odd.wait(10) != 0
        finally:
            odd.kill()


def test_an_ordinary_user_is_refused_roots_folder() -> None:
    if os.geteuid() != 0:
        pytest.skip("this is the ordinary user")
    script = "import sys; from pathlib import Path; from awsac_async.local import cloud; cloud.up(Path(sys.argv[1]))"
    with as_ordinary_user() as user:
        (user.home / "roots").mkdir()
        result = user.run("-c", script, str(user.home / "roots"))
        assert "belongs to another user" in result.stderr
