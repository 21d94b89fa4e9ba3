"""Archives are packed reproducibly, checked before they cost money, and unpacked safely."""

import bz2
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awsac_async.session import members
from awsac_async.session.archive import ArchiveContents, check_number_of_jobs, pack, read_archive, unpack
from awsac_async.session.errors import FormatError, InputError
from awsac_async.session.model import StartInfo
from awsac_async.session.startinfo import parse_startinfo
from tests.session.outcomes import outcome
from tests.session.test_startinfo import OF_2008

FOUR_JOBS = parse_startinfo(OF_2008, file="session.ini")
JOBS_CFG = b"-;a.sh;3\nsnap-0123abcd;b.sh;1\n"


def check_archive(path: Path, startinfo: StartInfo) -> ArchiveContents:
    """Check all that can be wrong with an archive, as ``start`` does."""
    contents = read_archive(path, file=str(path))
    check_number_of_jobs(contents, startinfo, file=str(path))
    return contents


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "folder"
    (folder / "cards").mkdir(parents=True)
    (folder / "jobs.cfg").write_bytes(JOBS_CFG)
    (folder / "a.sh").write_text("echo a\n")
    (folder / "b.sh").write_text("echo b\n")
    (folder / "b.sh").chmod(0o4750)
    (folder / "cards" / "run.txt").write_text("14 TeV\n")
    return folder


def member(name: str, content: bytes = b"", **attributes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, content


def write_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:bz2") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def tarball(path: Path, *extra: tuple[tarfile.TarInfo, bytes]) -> Path:
    """Write an archive of three good members, and then ``extra``."""
    good = [member("./jobs.cfg", JOBS_CFG), member("./a.sh", b"echo a\n"), member("b.sh", b"echo b\n")]
    return write_tar(path, *good, *extra)


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_a_folder_is_packed_checked_and_unpacked_with_what_it_holds(folder, tmp_path):
    archive = tmp_path / "session.tar.bz2"
    pack(folder, archive)
    contents = check_archive(archive, FOUR_JOBS)
    assert contents.members == ("a.sh", "b.sh", "cards/run.txt", "jobs.cfg")
    assert [(each.script, each.count) for each in contents.definitions] == [("a.sh", 3), ("b.sh", 1)]
    unpack(archive, tmp_path / "deep" / "out")
    assert files(tmp_path / "deep" / "out") == files(folder)
    assert (tmp_path / "deep" / "out" / "cards" / "run.txt").read_text() == "14 TeV\n"


def test_the_same_files_give_the_same_bytes_whoever_packs_them_and_when(folder, tmp_path):
    pack(folder, tmp_path / "one.tar.bz2")
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    (folder / "a.sh").chmod(0o600)
    pack(folder, tmp_path / "two.tar.bz2")
    assert (tmp_path / "one.tar.bz2").read_bytes() == (tmp_path / "two.tar.bz2").read_bytes()


def test_an_archive_packed_into_its_own_folder_does_not_hold_itself(folder):
    archive = folder / "session.tar.bz2"
    pack(folder, archive)
    first = archive.read_bytes()
    pack(folder, archive)
    assert archive.read_bytes() == first
    assert "session.tar.bz2" not in check_archive(archive, FOUR_JOBS).members


def test_a_link_to_a_file_is_packed_as_the_file(folder, tmp_path):
    (tmp_path / "elsewhere").write_text("shared")
    (folder / "shared.txt").symlink_to(tmp_path / "elsewhere")
    pack(folder, tmp_path / "session.tar.bz2")
    unpack(tmp_path / "session.tar.bz2", tmp_path / "out")
    assert not (tmp_path / "out" / "shared.txt").is_symlink()
    assert (tmp_path / "out" / "shared.txt").read_text() == "shared"


# A no-break space, a joined emoji, Latin-1, controls, a direction mark, and a path that is longer than a key of S3.
ODD_NAMES = (
    "a\u00a0b",
    "\U0001f469\u200d\U0001f52c",
    "caf\udce9",
    "new\nline\x1b[m",
    "-rf \u202e",
    "/".join(["d" * 220] * 5),
)


def test_any_name_that_the_file_system_holds_is_packed_and_unpacked(folder, tmp_path):
    for name in ODD_NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, errors="surrogateescape")
    pack(folder, tmp_path / "session.tar.bz2")
    check_archive(tmp_path / "session.tar.bz2", FOUR_JOBS)
    unpack(tmp_path / "session.tar.bz2", tmp_path / "out")
    assert files(tmp_path / "out") == files(folder)
    assert [(tmp_path / "out" / name).read_text(errors="surrogateescape") for name in ODD_NAMES] == [*ODD_NAMES]


def test_links_to_folders_are_followed_and_an_editors_lock_is_nobodys_input(folder, tmp_path):
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "run1").write_text("events")
    for name in ("events", "again"):
        (folder / name).symlink_to(tmp_path / "elsewhere")
    (folder / ".#a.sh").symlink_to("me@host.123:170000")
    (folder / "a.sh~").write_text("a backup is a file like others")
    pack(folder, tmp_path / "session.tar.bz2")
    unpack(tmp_path / "session.tar.bz2", tmp_path / "out")
    assert (tmp_path / "out" / "again" / "deep" / "run1").read_text() == "events"
    followed = [f"{name}{inner}" for name in ("events", "again") for inner in ("", "/deep", "/deep/run1")]
    own = ["a.sh", "a.sh~", "b.sh", "cards", "cards/run.txt", "jobs.cfg"]
    assert files(tmp_path / "out") == sorted([*own, *followed])


def spoil_without_jobs(folder: Path) -> None:
    (folder / "jobs.cfg").unlink()


def spoil_without_script(folder: Path) -> None:
    (folder / "b.sh").unlink()


def spoil_with_broken_link(folder: Path) -> None:
    (folder / "link").symlink_to("nowhere")


def spoil_with_link_in_a_circle(folder: Path) -> None:
    (folder / "link").symlink_to("cards/..")


def spoil_with_fifo(folder: Path) -> None:
    os.mkfifo(folder / "fifo")


def spoil_with_reserved_name(folder: Path) -> None:
    (folder / "sessioninfo").mkdir()


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (spoil_without_jobs, r"no jobs\.cfg"),
        (spoil_without_script, r"b\.sh, not in the archive"),
        (spoil_with_broken_link, "a link to nowhere, where nothing is"),
        (spoil_with_link_in_a_circle, r"link: found a link to cards/\.\., a folder that it lies in"),
        (spoil_with_fifo, "special file"),
        (spoil_with_reserved_name, "sessioninfo"),
    ],
)
def test_a_folder_that_no_instance_could_use_is_not_packed(folder, tmp_path, spoil, found):
    spoil(folder)
    with pytest.raises(FormatError, match=found):
        pack(folder, tmp_path / "session.tar.bz2")
    assert files(tmp_path) == ["folder", *(f"folder/{name}" for name in files(folder))]


def test_a_folder_or_target_that_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(FormatError, match="none: found no such folder"):
        pack(tmp_path / "none", tmp_path / "session.tar.bz2")
    with pytest.raises(InputError, match="No such file"):
        pack(folder, tmp_path / "none" / "session.tar.bz2")


@pytest.mark.parametrize("name", ["session.tar.gz", "session.tbz", "my session.tar.bz2", "a;b.tar.bz2"])
def test_only_archives_named_for_what_they_are_are_packed_and_taken(folder, tmp_path, name):
    with pytest.raises(FormatError, match=r"ends in \.tar\.bz2"):
        pack(folder, tmp_path / name)
    tarball(tmp_path / name)
    with pytest.raises(FormatError, match=r"ends in \.tar\.bz2"):
        check_archive(tmp_path / name, FOUR_JOBS)


def test_an_archive_of_another_number_of_jobs_is_refused_with_both_numbers(tmp_path):
    three = parse_startinfo(OF_2008.replace("n_jobs = 4", "n_jobs = 3"), file="session.ini")
    with pytest.raises(FormatError, match=r"session\.tar\.bz2: jobs\.cfg, .*found 4 jobs in all, expected 3"):
        check_archive(tarball(tmp_path / "session.tar.bz2"), three)


def test_an_archive_without_jobs_cfg_or_with_it_in_a_folder_is_refused(tmp_path):
    path = write_tar(tmp_path / "session.tar.bz2", member("x/jobs.cfg", JOBS_CFG))
    with pytest.raises(FormatError, match=r"found no jobs\.cfg at its top, but one in its folder 'x'"):
        check_archive(path, FOUR_JOBS)
    (tmp_path / "outer" / "x").mkdir(parents=True)
    (tmp_path / "outer" / "x" / "jobs.cfg").write_bytes(JOBS_CFG)
    with pytest.raises(FormatError, match=r"outer: found no jobs\.cfg at its top, but one in its folder 'x'"):
        pack(tmp_path / "outer", tmp_path / "outer.tar.bz2")


def test_a_missing_archive_and_a_folder_in_its_place_are_named(tmp_path):
    (tmp_path / "folder.tar.bz2").mkdir()
    for name, found in {"none.tar.bz2": "no such file", "folder.tar.bz2": "a directory"}.items():
        with pytest.raises(FormatError, match=f"{name}: found {found}"):
            check_archive(tmp_path / name, FOUR_JOBS)


def test_a_bad_line_of_jobs_cfg_is_named_inside_the_archive(tmp_path):
    path = write_tar(tmp_path / "session.tar.bz2", member("jobs.cfg", b"-;a.sh;3\n-;b.sh\n"))
    with pytest.raises(FormatError) as caught:
        check_archive(path, FOUR_JOBS)
    assert (caught.value.file, caught.value.line) == (f"{path}: jobs.cfg", 2)


def whole() -> bytes:
    """Return the bytes of a good tar archive, not compressed."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for info, content in [member("jobs.cfg", JOBS_CFG), member("a.sh", b"a" * 5000), member("b.sh", b"b")]:
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


B_HEADER = 512 * (2 + 1 + 10)  # after jobs.cfg (two blocks) and a.sh (header, ten blocks)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "incomplete"),
        (b"plain text", "cannot be read"),
        (whole(), "cannot be read"),
        (bz2.compress(b"plain text"), "damaged"),
        (bz2.compress(b""), "damaged"),
        (bz2.compress(whole())[:-10], "incomplete"),
        (bz2.compress(whole())[:100], "incomplete"),
        (bz2.compress(whole()[: 512 * 4]), "damaged"),
        (bz2.compress(whole()[:B_HEADER]), "a damaged archive"),
        (bz2.compress(whole()[: B_HEADER + 100]), "a damaged archive"),
        (bz2.compress(whole()[:B_HEADER] + b"x" * 512 + whole()[B_HEADER + 512 :]), "a damaged archive"),
    ],
    ids=[
        "empty",
        "text",
        "tar",
        "bz2 of text",
        "bz2 of nothing",
        "no tail",
        "no body",
        "file",
        "header",
        "part",
        "bad",
    ],
)
def test_a_damaged_archive_is_refused_by_check_and_unpack_and_leaves_nothing(tmp_path, content, found):
    path = tmp_path / "session.tar.bz2"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=found):
        check_archive(path, FOUR_JOBS)
    with pytest.raises(FormatError, match=found):
        unpack(path, tmp_path / "out")
    assert files(tmp_path / "out") == []


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=kind, linkname=target)


HARD = tarfile.LNKTYPE


@pytest.mark.parametrize(
    "extra",
    [
        [member("/etc/cron.d/x", b"x")],
        [member("../x", b"x")],
        [member("d/../../x", b"x")],
        [member("d/..", type=tarfile.DIRTYPE)],
        [member("n" * 300, b"x")],
        [member("sessioninfo/awsac.sessinfo", b"x")],
        [member("./sessionarchive.tar.bz2", b"x")],
        [member("a.sh", b"again")],
        [member("a.sh/x", b"x")],
        [member("d/x", b"x"), member("d", b"x")],
        [member("fifo", type=tarfile.FIFOTYPE)],
        [member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
        [member("disk", type=tarfile.BLKTYPE)],
        [link("out", "/etc/passwd")],
        [link("out", "../folder/a.sh")],
        [link("out", "..")],
        [link("out", ".")],
        [link("out", "nowhere")],
        [link("out", "d/../../x"), member("d/x", b"x")],
        [link("d", "a.sh"), member("d/x", b"x")],
        [link("d", "."), member("d/x", b"x")],
        [link("one", "two"), link("two", "one")],
        [link("one", "a.sh"), link("two", "one")],
        [link("hard", "/etc/passwd", HARD)],
        [link("hard", "../x", HARD)],
        [link("hard", "later", HARD), member("later", b"x")],
        [link("soft", "a.sh"), link("hard", "soft", HARD)],
    ],
    ids=lambda extra: " ".join(info.name[:20] + "." + info.linkname for info, _ in extra).replace("/", "|"),
)
def test_an_archive_that_reaches_out_of_its_folder_is_refused_by_check_and_unpack(tmp_path, extra):
    path = tarball(tmp_path / "session.tar.bz2", *extra)
    with pytest.raises(FormatError, match=r"session\.tar\.bz2: found member"):
        check_archive(path, FOUR_JOBS)
    with pytest.raises(FormatError, match=r"session\.tar\.bz2: found member"):
        unpack(path, tmp_path / "folder" / "out")
    assert files(tmp_path / "folder") == ["out"]


def test_links_inside_the_archive_work_when_unpacked(tmp_path):
    path = tarball(
        tmp_path / "session.tar.bz2",
        link("cards/up.sh", "../a.sh"),
        link("cards/hard.sh", "./a.sh", HARD),
        link("c.sh", "a.sh"),
        link("current", "cards"),
    )
    assert check_archive(path, FOUR_JOBS).members == (
        "a.sh",
        "b.sh",
        "c.sh",
        "cards/hard.sh",
        "cards/up.sh",
        "jobs.cfg",
    )
    unpack(path, tmp_path / "out")
    for name in ("cards/up.sh", "cards/hard.sh", "c.sh", "current/up.sh"):
        assert (tmp_path / "out" / name).read_text() == "echo a\n"


def test_unpacked_files_have_plain_modes_and_the_owner_of_who_unpacks(tmp_path):
    path = tarball(
        tmp_path / "session.tar.bz2",
        member("run", b"x", mode=0o6711, uid=4711, gid=4711),
        member("read", b"x", mode=0o666),
        member("hidden", b"x", mode=0),
    )
    unpack(path, tmp_path / "out")
    modes = {name: stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("run", "read", "hidden")}
    assert modes == {"run": 0o755, "read": 0o644, "hidden": 0o644}
    assert (tmp_path / "out" / "run").stat().st_uid == os.geteuid()


def test_nothing_is_written_through_links_planted_where_the_archive_is_unpacked(folder, tmp_path):
    pack(folder, tmp_path / "session.tar.bz2")
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").write_text("untouched")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.sh").symlink_to(tmp_path / "victim" / "file")
    (out / "b.sh").symlink_to(tmp_path / "victim" / "new")
    (out / "cards").symlink_to(tmp_path / "victim")
    unpack(tmp_path / "session.tar.bz2", out)
    assert files(tmp_path / "victim") == ["file"]
    assert (tmp_path / "victim" / "file").read_text() == "untouched"
    assert (out / "a.sh").read_text() == "echo a\n"


def test_unpacking_again_replaces_what_the_archive_holds_and_keeps_what_it_does_not(folder, tmp_path):
    pack(folder, tmp_path / "session.tar.bz2")
    out = tmp_path / "out"
    unpack(tmp_path / "session.tar.bz2", out)
    (out / "cards" / "run.txt").write_text("changed")
    (out / "sessioninfo").mkdir()
    unpack(tmp_path / "session.tar.bz2", out)
    assert (out / "cards" / "run.txt").read_text() == "14 TeV\n"
    assert files(out) == sorted([*files(folder), "sessioninfo"])


def test_more_members_than_an_archive_may_have_are_refused(tmp_path):
    path = tarball(tmp_path / "session.tar.bz2", *[member(f"d/{number}") for number in range(98)])
    with pytest.raises(FormatError, match="more than 100 members"):
        unpack(path, tmp_path / "out", bounds=members.Bounds(members=100))
    assert files(tmp_path / "out") == []


def test_a_member_that_says_it_is_enormous_is_refused_before_it_is_unpacked(tmp_path):
    info, _ = member("big", size=members.MAX_UNPACKED)
    path = tmp_path / "session.tar.bz2"
    path.write_bytes(bz2.compress(whole()[: B_HEADER + 1024] + info.tobuf() + bytes(4096)))
    with pytest.raises(FormatError, match="at most 1024 MiB when unpacked"):
        unpack(path, tmp_path / "out")
    assert files(tmp_path / "out") == []


def test_a_name_that_says_it_is_enormous_is_not_read_into_memory(tmp_path):
    info, _ = member("././@LongLink", type=tarfile.GNUTYPE_LONGNAME, size=1 << 29)
    path = tmp_path / "session.tar.bz2"
    path.write_bytes(bz2.compress(whole()[: B_HEADER + 1024] + info.tobuf() + bytes(4096)))
    with pytest.raises(FormatError, match="a header of 536870912 bytes"):
        check_archive(path, FOUR_JOBS)


@settings(max_examples=60)
@given(position=st.integers(0, B_HEADER + 2048), wrong=st.binary(min_size=1, max_size=600))
def test_any_damage_is_refused_with_a_format_error_or_does_no_harm(tmp_path_factory, position, wrong):
    directory = tmp_path_factory.mktemp("archive")
    path = directory / "session.tar.bz2"
    good = whole()
    path.write_bytes(bz2.compress(good[:position] + wrong + good[position + len(wrong) :]))
    outcome(lambda: check_archive(path, FOUR_JOBS))
    outcome(lambda: unpack(path, directory / "out"))
    assert {each.split("/")[0] for each in files(directory)} <= {"session.tar.bz2", "out"}
