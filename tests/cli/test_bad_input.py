"""Bad input and bad days: one sentence on stderr, the right exit code, nothing started and nothing left."""

import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from awsac_async.session.archive import pack
from tests.cli.conftest import GOOD, Account, Awsac, write_ini, write_jobs

START = ("start", "--yes", "-i", "session.ini", "-a", "jobs.tar.bz2")


@dataclass(frozen=True, kw_only=True)
class Bad:
    """What is wrong (done to a folder with good input), what is run, and what the sentence must say."""

    what: str
    says: str
    code: int = 2
    spoil: Callable[[Path], object] = lambda _: None
    command: tuple[str, ...] = START
    variables: dict[str, str] = field(default_factory=dict)


def ini(**values: str) -> Callable[[Path], object]:
    return lambda folder: write_ini(folder, **values)


def file(name: str, content: str | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def jobs(definitions: str) -> Callable[[Path], object]:
    return lambda folder: pack(write_jobs(folder, definitions), folder / "jobs.tar.bz2")


def bare_archive(*, jobs_cfg: str | None) -> Callable[[Path], object]:
    """Make an archive by hand, as a user of 2008 would, which nobody has checked."""

    def spoil(folder: Path) -> None:
        with tarfile.open(folder / "jobs.tar.bz2", "w:bz2") as archive:
            if jobs_cfg is not None:
                (folder / "jobs.cfg").write_text(jobs_cfg)
                archive.add(folder / "jobs.cfg", "jobs.cfg")
            archive.add(folder / "jobs" / "job.sh", "other.sh")

    return spoil


def everything(folder: Path) -> None:
    """Spoil files, scripts and names that only the cloud knows."""
    write_ini(folder, ami_id="ami-0bad0bad", sessionsbucket="no-such-bucket", n_jobs="3", more="key_name = nokey\n")
    pack(write_jobs(folder, "snap-0bad0bad;job.sh;2\n", job="if\n"), folder / "jobs.tar.bz2")


EVERYTHING = "\n".join(
    [
        "^awsac: jobs.tar.bz2: jobs.cfg, numberofjobs: found 2 jobs in all, expected 3, .*",
        "nowhere: no such data folder",
        "jobs.tar.bz2: job.sh, line 2: found syntax error: .*",
        "session.ini, ami_id: found ami-0bad0bad, .*",
        "jobs.tar.bz2: jobs.cfg, line 1, snapshotID: found snap-0bad0bad, .*",
        "session.ini, sessionsbucket: found no-such-bucket, .*\n$",
    ]
)
NO_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
NOBODY = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
# The name of no host: awsac must know by itself that there is no SimpleDB in this region.
NO_SIMPLEDB = {"AWS_ENDPOINT_URL_SIMPLEDB": "https://sdb.eu-central-1.amazonaws.com"}
SESSION = "session-081215_1646--test--1816.cfg"

OWNED = "\x1b]0;owned\x07"
TOO_MUCH = [
    ("a number of 5,000 digits", 5000 * "9", "no TOML that can be read"),
    ("a number that has no text", "0x" + 6000 * "f", "a value that is too large"),
    ("3,000 brackets", 3000 * "[" + 3000 * "]", "no TOML that can be read"),
    ("a text of 5,000 letters that is no TOML", 5000 * "x", "'region = xxx"),
]

BAD = [
    Bad(what="no ini", says=r"nowhere\.ini: found no such file", command=(*START[:3], "nowhere.ini", *START[4:])),
    Bad(what="not an ini", says=r"session\.ini, line 1", spoil=file("session.ini", "hello\n")),
    Bad(what="binary ini", says=r"session\.ini", spoil=file("session.ini", b"\x00\xff\xfe")),
    Bad(what="a number that is none", says=r"session\.ini, line 7, n_jobs: found 'two'", spoil=ini(n_jobs="two")),
    Bad(what="a misspelt key", says="nearest is market", spoil=lambda at: write_ini(at, more="markt = spot\n")),
    Bad(what="no archive", says=r"jobs\.tar\.bz2", spoil=lambda at: (at / "jobs.tar.bz2").unlink()),
    Bad(what="not an archive", says=r"jobs\.tar\.bz2", spoil=file("jobs.tar.bz2", "hello\n")),
    Bad(
        what="wrong extension",
        says=r"jobs\.tgz, file name",
        spoil=lambda at: (at / "jobs.tar.bz2").rename(at / "jobs.tgz"),
        command=(*START[:5], "jobs.tgz"),
    ),
    Bad(what="no jobs.cfg", says="no jobs.cfg", spoil=bare_archive(jobs_cfg=None)),
    Bad(what="malformed jobs.cfg", says="jobs.cfg, line 2.*2 fields", spoil=bare_archive(jobs_cfg="#\njob.sh;2\n")),
    Bad(what="script missing", says=r"jobs\.cfg, line 1.*job\.sh, not in", spoil=bare_archive(jobs_cfg="-;job.sh;2\n")),
    Bad(what="n_jobs mismatch", says=r"2 jobs in all, expected 3", spoil=ini(n_jobs="3")),
    Bad(what="unknown image", says=r"session\.ini, ami_id: found ami-0bad0bad", spoil=ini(ami_id="ami-0bad0bad")),
    Bad(what="unknown type", says="session.ini, instance_type: found z9.huge", spoil=ini(instance_type="z9.huge")),
    Bad(
        what="unknown snapshot",
        says=r"jobs\.cfg, line 1, snapshotID: .*snap-0bad0bad",
        spoil=jobs("snap-0bad0bad;job.sh;2\n"),
    ),
    Bad(
        what="no such release in S3",
        says=r"jobs\.cfg, line 2, snapshotID: found s3://no-such-bucket/atlas\.tgz \(there is no such object\)",
        spoil=jobs("# the second line\ns3://no-such-bucket/atlas.tgz;job.sh;2\n"),
    ),
    Bad(
        what="unknown bucket",
        says="session.ini, sessionsbucket: found no-such-bucket",
        spoil=ini(sessionsbucket="no-such-bucket"),
    ),
    Bad(what="no data folder", says="nowhere: no such data folder", command=(*START, "-d", "nowhere")),
    Bad(what="no credentials", says="no AWS credentials.*--profile.*--local", code=3, variables=NO_CREDENTIALS),
    Bad(what="no endpoint", says=r"http://127\.0\.0\.1:1.*--endpoint-url", code=3, variables=NOBODY),
    Bad(what="no endpoint to list from", says="--endpoint-url", code=3, command=("ls",), variables=NOBODY),
    Bad(
        what="no such profile",
        says=r"\(mine\) could not be found: choose .*--profile",
        variables={"AWS_PROFILE": "mine"},
    ),
    Bad(
        what="no SimpleDB",
        says="status_store: found simpledb, expected status_store = s3, since AWS has no SimpleDB in eu-central-1",
        spoil=lambda at: write_ini(at, more="region = eu-central-1\nstatus_store = simpledb\n"),
        variables=NO_SIMPLEDB,
    ),
    Bad(
        what="unknown subnet",
        says="session.ini, subnet_id: found subnet-0bad0bad",
        spoil=lambda at: write_ini(at, more="subnet_id = subnet-0bad0bad\n"),
    ),
    Bad(what="everything, to plan", says=EVERYTHING, spoil=everything, command=("plan", *START[2:], "-d", "nowhere")),
    Bad(what="everything, to start", says=EVERYTHING, spoil=everything, command=(*START, "-d", "nowhere")),
    Bad(
        what="more than may be spent",
        says=r"may cost 6\.29 USD, more than 2\.00 USD; a deadline of 15\.26 hours fits",
        command=(*START, "--max-cost", "2"),
    ),
    Bad(
        what="no answer to the question",
        says="no answer to 'proceed\\?'",
        command=("start", *START[2:]),
    ),
    Bad(
        what="nothing to continue",
        says=f"{SESSION}: found no such file",
        command=(*START, "-c", SESSION),
    ),
    Bad(
        what="check without a session",
        says=f"{SESSION}: found no such file, expected the session file",
        command=("check", "-c", SESSION),
    ),
    Bad(
        what="malformed session file",
        says="broken, session_id: found no such key",
        spoil=file("broken", "[sessionconfig]\n"),
        command=("getresults", "-c", "broken", "-o", "."),
    ),
    Bad(what="cleanup without a session", says="found no such file", command=("cleanup", "--yes", "-c", SESSION)),
    Bad(
        what="a bucket that is not there",
        says=r"no-such-bucket failed: .* \(404\); look at the name, at the region,",
        code=3,
        command=("ls", "--bucket", "no-such-bucket"),
    ),
    Bad(what="packing nothing", says="nowhere: found no such folder", command=("pack", "nowhere")),
    Bad(
        what="packing a snapshot that is none",
        says=r"jobs\.cfg, line 1, snapshotID: found 'snap-zz'",
        spoil=lambda at: write_jobs(at, "snap-zz;job.sh;2\n"),
        command=("pack", "jobs"),
    ),
    Bad(
        what="packing a release of an unknown form",
        says=r"jobs\.cfg, line 1, snapshotID: found 's3://releases/atlas\.zip', expected an address like s3://bucket/",
        spoil=lambda at: write_jobs(at, "s3://releases/atlas.zip;job.sh;2\n"),
        command=("pack", "jobs"),
    ),
    Bad(what="no folder for a snapshot", says="nowhere: no such folder", command=("local", "snapshot", "nowhere")),
    Bad(
        what="a delay that is none",
        says="Invalid value for '--volume-delay'",
        command=("local", "up", "--volume-delay", "-1"),
    ),
    Bad(what="settings for a cloud that is up", says="is up already", command=("local", "up", "--instance-delay", "1")),
    Bad(
        what="no cloud here",
        says="no embedded cloud is running",
        code=3,
        command=("local", "env"),
        variables={"AWSAC_LOCAL_DIR": "/nowhere"},
    ),
    Bad(what="a ten-thousand-word option", says="No such option: --", command=("check", "--" + 5000 * "x")),
    Bad(what="a job of 5,000 digits", says="job numbers: found '9", command=("kill", "-c", SESSION, 5000 * "9")),
    Bad(what="a name with escapes", says=r"\\x1b\]0;owned\\x07: found no such file", command=("check", "-c", OWNED)),
    Bad(what="a file name of 5,000 characters", says="found file name too long", command=("check", "-c", 5000 * "x")),
    *(
        Bad(
            what=f"a configuration with {what}",
            says=f"config.toml.*: found {found}",
            spoil=file("config.toml", f"region = {value}\n"),
            command=("check", "-c", SESSION),
            variables={"AWSAC_CONFIG": "config.toml"},
        )
        for what, value, found in TOO_MUCH
    ),
    *(
        Bad(
            what=f"faults with {what}",
            says="faults.toml",
            spoil=file("faults.toml", f"seed = {value}\n"),
            command=("local", "faults", "faults.toml"),
        )
        for what, value, _ in TOO_MUCH
    ),
    Bad(what="no verb", says="Usage: awsac", command=()),
    Bad(what="unknown option", says="No such option: --fast", command=("check", "--fast")),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.what)
def test_bad_input_gets_one_sentence_and_the_right_exit_code_and_starts_nothing(
    bad: Bad, awsac: Awsac, account: Account, tmp_path: Path
) -> None:
    write_ini(tmp_path)
    pack(write_jobs(tmp_path), tmp_path / "jobs.tar.bz2")
    bad.spoil(tmp_path)
    before = account.everything()

    done = awsac(*bad.command, **bad.variables)

    assert done.returncode == bad.code, done.stderr
    assert re.search(bad.says, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    assert account.everything() == before
    assert not list(tmp_path.glob("session-*"))
    assert all(len(line) <= 400 and line.isprintable() for line in done.stderr.split("\n"))
    if "Usage" not in done.stderr:
        assert len(re.findall(r"^awsac: .+$", done.stderr, re.MULTILINE)) == 1


def test_the_good_input_that_bad_input_is_made_of_is_good(awsac: Awsac, account: Account, tmp_path: Path) -> None:
    write_ini(tmp_path, **GOOD)
    pack(write_jobs(tmp_path), tmp_path / "jobs.tar.bz2")
    before = account.everything()

    done = awsac("start", *START[2:], answers="n\n")

    assert done.returncode == 0, done.stderr
    assert "nothing was started, and all that was prepared is removed" in done.stdout
    assert account.everything() == before
    assert not list(tmp_path.glob("session-*"))
