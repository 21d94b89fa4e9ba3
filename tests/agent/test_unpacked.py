"""Removing a release from S3 never reaches into what somebody has mounted in it, in a mount namespace for real."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from awsac_async.agent.treerecord import TreeRecord, TreeStage, read_tree_records, tree_name

NAMESPACE = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount"]
REPOSITORY = Path(__file__).parents[2]
ADDRESS = "s3://bucket/release.tar.gz"
TREE = f".{tree_name(ADDRESS)}/1"
# Provides and removes the release as an agent does for a job that, as root, mounts its own folder in it.
# Arguments: the folder of the releases, the folder of the job, where it is mounted, when, and how mounts spread.
INSIDE = f"""
import asyncio, logging, subprocess, sys
from pathlib import Path
from awsac_async.agent import mounts
from awsac_async.agent.devices import Devices
from awsac_async.agent.metadata import Instance
from awsac_async.agent.releases import Place, ReleaseError, Releases

releases, own, point, when, spread = sys.argv[1:]
mounts._UNMOUNT_SECONDS = 0.2
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)

def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)

async def live():
    instance = Instance(instance_id="i-1", launch_index=0, zone="us-east-1a", region="us-east-1")
    place = Place(session_id="s", instance=instance, directory=Path(releases), volumes=None, devices=Devices({{}}),
                  bucket=None)
    async with asyncio.TaskGroup() as group:
        of_jobs = Releases(place, [{ADDRESS!r}])
        of_jobs.start(group)
        try:
            await of_jobs.ready({ADDRESS!r})
        except ReleaseError as error:
            print(error)
        else:
            if when == "later":
                mount("--bind", own, point)
        of_jobs.leave({ADDRESS!r})
    await of_jobs.remove_all()

mount("--bind", releases, releases)
mount("--make-" + spread, releases)
if when == "before":
    mount("--bind", own, point)
asyncio.run(live())
"""


def live(directory: Path, *, stage: TreeStage, below: str, when: str, spread: str) -> str:
    """Let an agent that finds the release at ``stage`` live through a job with a mount; returns what it has logged."""
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow mount namespaces")
    releases, own = directory / "releases", directory / "own"
    (releases / TREE / "my data").mkdir(parents=True)
    (releases / TREE / "program").touch()
    own.mkdir()
    (own / "precious").touch()
    record = TreeRecord.unpacking(ADDRESS, generation=1).ready(1)
    (record if stage is TreeStage.READY else record.removing()).write(releases)
    ended = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", INSIDE, releases, own, releases / below / "my data", when, spread],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_a_release_that_is_busy_with_a_jobs_mount_stays_as_it_is(tmp_path: Path) -> None:
    """Where mounts are shared, what is mounted in the release appears in its tree as well."""
    log = live(tmp_path, stage=TreeStage.READY, below=tree_name(ADDRESS), when="later", spread="shared")
    assert "busy" in log
    assert (tmp_path / "own/precious").exists()
    assert (tmp_path / "releases" / TREE / "program").exists()
    assert read_tree_records(tmp_path / "releases")[ADDRESS].whole  # a successor may use it, or try again


@pytest.mark.parametrize(
    ("stage", "when"),
    [(TreeStage.READY, "later"), (TreeStage.REMOVING, "before")],
    ids=["after its jobs", "when it cannot be provided"],
)
def test_a_tree_with_a_mount_in_it_is_not_removed_and_the_log_says_why(
    stage: TreeStage, when: str, tmp_path: Path
) -> None:
    log = live(tmp_path, stage=stage, below=TREE, when=when, spread="private")
    tree = tmp_path / "releases" / TREE
    reason = f"{tree.parent} is not removed: something is mounted at {tree / 'my data'}"
    assert reason in log
    assert (f"release {ADDRESS}: {reason}\n" in log) == (stage is TreeStage.REMOVING)
    assert (tmp_path / "own/precious").exists()
    assert (tree / "program").exists()


def test_a_release_with_no_mount_in_it_goes_when_its_jobs_have_ended_however_deep_they_have_made_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "releases" / TREE).mkdir(parents=True)
    deep = "import os\nfor _ in range(1500): os.mkdir('deep'); os.chdir('deep')"
    subprocess.run([sys.executable, "-c", deep], cwd=tmp_path / "releases" / TREE, check=True)
    live(tmp_path, stage=TreeStage.READY, below=TREE, when="never", spread="shared")
    assert list((tmp_path / "releases").iterdir()) == []
