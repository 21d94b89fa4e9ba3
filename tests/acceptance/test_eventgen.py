"""The example of event generation, whose release is built: with status, release and agent wherever these can be."""

import csv
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from awsac_async.local.settings import Network, Settings
from tests.cli.conftest import BUCKET, environment_for
from tests.conftest import Embedded, embedded_cloud

EXAMPLE = Path(__file__).parents[2] / "examples" / "eventgen"
STOCK_IMAGE = "ami-0a35ac00000000002"

pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="Pythia 8 has its wheel for Python 3.11")


@dataclass(frozen=True, kw_only=True)
class Form:
    """What the session.ini says besides, and where the release is."""

    name: str
    more: str
    in_s3: bool = False
    image: str = ""


FORMS = (
    Form(name="SimpleDB and a snapshot", more="status_store = simpledb\n"),
    Form(name="S3 and a snapshot", more="status_store = s3\n"),
    Form(
        name="S3, an archive in S3, and a stock image",
        more="status_store = s3\nbootstrap = cloud-init\n",
        in_s3=True,
        image=STOCK_IMAGE,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Release:
    """One release in both of its forms, as the first field of ``jobs.cfg`` names them."""

    snapshot: str
    archive: str


def awsac(embedded: Embedded, folder: Path, *words: str) -> str:
    """Run a command that must succeed, and return what it prints."""
    command = [Path(sys.executable).with_name("awsac"), *words]
    ran = subprocess.run(
        command, cwd=folder, env=environment_for(embedded), capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    """Give a cloud whose instances reach what this machine does: the release is made of packages from PyPI."""
    with (
        tempfile.TemporaryDirectory(prefix="awsac-test-") as parent,
        embedded_cloud(Path(parent) / "cloud", Settings(network=Network.HOST)) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def release(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("release")
    ini = str(EXAMPLE / "session.ini")
    scripts = ("--script", str(EXAMPLE / "install.sh"), "--validate", str(EXAMPLE / "check.sh"))
    size = ("--size", "2", "--name", "pythia")
    snapshot = awsac(embedded, folder, "release", "build", "--yes", *scripts, *size, "-i", ini).split()[-1]
    archive = f"s3://{BUCKET}/releases/pythia.tar.zst"
    awsac(embedded, folder, "release", "to-s3", snapshot, archive, "--yes", "-i", ini)
    return Release(snapshot=snapshot, archive=archive)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_the_events_are_generated(form: Form, release: Release, embedded: Embedded, tmp_path: Path) -> None:
    jobs = shutil.copytree(EXAMPLE / "jobs", tmp_path / "jobs")
    used = release.archive if form.in_s3 else release.snapshot
    (jobs / "jobs.cfg").write_text(f"{used};gen_30.sh;2\n")
    ini = (EXAMPLE / "session.ini").read_text().replace("n_jobs = 4", "n_jobs = 2")
    if form.image:
        ini = ini.replace("ami-0a35ac00000000001", form.image)
    (tmp_path / "session.ini").write_text(ini + form.more)

    awsac(embedded, tmp_path, "start", "--yes", "-i", "session.ini", "-a", "jobs")
    awsac(embedded, tmp_path, "wait")
    awsac(embedded, tmp_path, "getresults", "--extract")
    awsac(embedded, tmp_path, "cleanup", "--yes")

    events = [
        list(csv.reader(path.read_text().splitlines())) for path in sorted((tmp_path / "results").rglob("events.csv"))
    ]
    assert [len(rows) for rows in events] == [31, 31]  # a head line each
    assert events[0] != events[1]  # each job has its own seed
