"""An archive becomes the tree that was packed, whatever its compression; what is not whole is refused in a sentence."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from awsac_async.agent import unpacker
from awsac_async.agent.unpacker import UnpackingError
from awsac_async.session.releases import Compression

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESS: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.NONE: bytes,
    Compression.GZIP: gzip.compress,
    Compression.BZIP2: bz2.compress,
    Compression.XZ: lzma.compress,
    Compression.ZSTD: zstd.compress,
}
PROGRAM = [sys.executable, "-P", "-m", unpacker.__name__]
LARGE = os.urandom(1 << 18)


def unpack(content: bytes, compression: Compression, directory: Path) -> str:
    """Unpack, and return why that failed, or ""."""
    directory.mkdir(exist_ok=True)
    try:
        unpacker.unpack(io.BytesIO(content), compression, directory)
    except UnpackingError as error:
        return str(error)
    return ""


def member(name: str, **values: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(info, key, value)
    return info


def packed(*members: tarfile.TarInfo, content: bytes = b"text\n") -> bytes:
    """A tar file of these members; those that are files have this content."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for info in members:
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return archive.getvalue()


RELEASE = packed(
    member("./", type=tarfile.DIRTYPE, mode=0o755),
    member("./bin", type=tarfile.DIRTYPE, mode=0o555),
    member("./bin/program", mode=0o4755),
    member("./bin/same", type=tarfile.LNKTYPE, linkname="./bin/program"),
    member("./lib", type=tarfile.SYMTYPE, linkname="bin"),
    member("./perl", type=tarfile.SYMTYPE, linkname="/usr/bin/perl"),
    member("./owned", uid=1234, gid=4321, mode=0o640),
    content=LARGE,
)


@pytest.mark.parametrize("compression", Compression)
def test_a_tree_comes_back_with_its_links_modes_and_owners(compression: Compression, tmp_path: Path) -> None:
    assert unpack(COMPRESS[compression](RELEASE), compression, tmp_path / "tree") == ""
    tree = tmp_path / "tree"
    program = tree / "bin/program"
    assert program.read_bytes() == LARGE
    assert program.stat().st_mode & 0o7777 == 0o4755
    assert (tree / "bin/same").samefile(program)
    assert (tree / "bin").stat().st_mode & 0o777 == 0o555
    assert [(tree / name).readlink() for name in ("lib", "perl")] == [Path("bin"), Path("/usr/bin/perl")]
    owned = (tree / "owned").stat()
    assert owned.st_mode & 0o777 == 0o640
    if os.geteuid() == 0:
        assert (owned.st_uid, owned.st_gid) == (1234, 4321)


@pytest.mark.parametrize("compression", [each for each in Compression if each is not Compression.NONE])
def test_an_archive_that_was_compressed_in_pieces_is_one(compression: Compression, tmp_path: Path) -> None:
    compress, half = COMPRESS[compression], len(RELEASE) // 2
    assert unpack(compress(RELEASE[:half]) + compress(RELEASE[half:]), compression, tmp_path / "tree") == ""
    assert (tmp_path / "tree/owned").read_bytes() == LARGE


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("part", [0.0, 0.5, 0.95])
def test_an_archive_that_ends_early_is_refused(compression: Compression, part: float, tmp_path: Path) -> None:
    whole = COMPRESS[compression](RELEASE)
    said = unpack(whole[: int(len(whole) * part)], compression, tmp_path / "tree")
    assert said.startswith(("is cut off", "cannot be unpacked: Unexpected EOF in archive"))


@pytest.mark.parametrize("compression", Compression)
def test_what_is_no_such_archive_is_refused(compression: Compression, tmp_path: Path) -> None:
    said = unpack(b"<html>this is no archive</html>" * 100, compression, tmp_path / "tree")
    assert said.startswith(("is damaged: ", "cannot be unpacked: This does not look like a tar archive"))


@pytest.mark.parametrize("compression", [Compression.GZIP, Compression.BZIP2, Compression.XZ])
def test_an_archive_with_a_byte_that_changed_is_refused(compression: Compression, tmp_path: Path) -> None:
    """Not of zstd, whose frames have a checksum only if whoever packed it asked for one."""
    content = bytearray(COMPRESS[compression](RELEASE))
    content[len(content) // 2] ^= 1
    assert unpack(bytes(content), compression, tmp_path / "tree").startswith(("is damaged: ", "is cut off"))


def test_a_tar_file_without_its_end_mark_is_refused(tmp_path: Path) -> None:
    bare = packed(member("a"))[:1024]  # a header and a block of content
    said = unpack(gzip.compress(bare), Compression.GZIP, tmp_path / "tree")
    assert said == "is cut off: it has no end mark"


@pytest.mark.parametrize(
    "members",
    [
        [member("../outside")],
        [member("a/../../outside")],
        [member("out", type=tarfile.SYMTYPE, linkname=".."), member("out/outside")],
        [member("out", type=tarfile.SYMTYPE, linkname="{parent}"), member("out/outside")],
        [member("out", type=tarfile.LNKTYPE, linkname="../secret"), member("out")],
        [member("out", type=tarfile.LNKTYPE, linkname="{parent}/secret"), member("out")],
        [member("{parent}/outside")],
    ],
    ids=["dots", "hidden dots", "relative link", "absolute link", "hard link", "absolute hard link", "absolute name"],
)
def test_no_member_gets_outside_of_the_directory(members: list[tarfile.TarInfo], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    for info in members:
        info.name, info.linkname = (text.format(parent=tmp_path) for text in (info.name, info.linkname))
    unpack(packed(*members), Compression.NONE, tmp_path / "tree")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "tree"]
    assert (tmp_path / "secret").read_text() == "secret\n"


def test_a_member_that_would_get_outside_fails_the_whole_archive(tmp_path: Path) -> None:
    said = unpack(packed(member("a"), member("../b"), member("c")), Compression.NONE, tmp_path / "tree")
    assert said == "cannot be unpacked: ../b: Member name contains '..'"


@pytest.mark.parametrize("odd", [0, 1000], ids=["by whole blocks", "in the middle of one"])
def test_a_full_disk_is_said_in_one_sentence_and_at_once(odd: int, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    alone = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    script = 'mount -t tmpfs -o size=1m none "$1" && d=$1 && shift && exec "$@" tar "$d"'
    command = [*alone, "sh", "-c", script, "sh", small, *PROGRAM]
    endless = packed(*(member(f"file {number}") for number in range(40)), content=LARGE[: len(LARGE) - odd])
    done = subprocess.run(command, input=endless, capture_output=True, timeout=60, check=False)
    if b"unshare" in done.stderr or b"mount" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    assert (done.returncode, done.stderr.decode()) == (
        1,
        f"cannot be unpacked: the disk of {small} is full\n",
    )


def test_an_unpacker_that_is_told_to_end_takes_its_tar_along(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with subprocess.Popen(
        [*PROGRAM, "tar", tmp_path / "tree"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(RELEASE[: 1 << 17])
        process.stdin.flush()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (tar := children.read_text().split()):
            pass
        process.terminate()
        assert process.wait(30) == 128 + 15
    assert not Path(f"/proc/{tar[0]}").exists()
