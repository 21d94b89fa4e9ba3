"""``awsac release``: a script becomes a snapshot that sessions use, or leaves nothing at all."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Account, Awsac, environment_for, interrupt, write_ini
from tests.cli.proxy import PATIENCE
from tests.conftest import Embedded
from tests.waiting import wait_until

INSTALL = """
set -e
echo "installing into $ATLASDir"
cp "$AWSACworkingDir/more/tool" "$ATLASDir/tool"
"""
VALIDATE = 'grep -q tools "$ATLASDir/tool"\n'
FAILING = 'echo half >"$ATLASDir/half"; echo "no such compiler"; exit 3\n'
ENDLESS = "echo begun; exec sleep 1000\n"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a build has printed, its exit code, and the ID of its session."""

    code: int
    stdout: str
    stderr: str
    session_id: str
    folder: Path


def begin(awsac: Awsac, name: str, install: str, validate: str = "", *more: str) -> "subprocess.Popen[str]":
    """Begin to build a release in a folder of its own."""
    folder = awsac.folder / name
    (folder / "files" / "more").mkdir(parents=True)
    (folder / "files" / "more" / "tool").write_text("the tools\n")
    (folder / "install.sh").write_text(install)
    (folder / "check.sh").write_text(validate)
    checked = ["--validate", "check.sh"] if validate else []
    words = ["--script", "install.sh", "--files", "files", "--size", "1", "--name", name, *checked, *more]
    ini = write_ini(folder, n_jobs="7")
    within = Awsac(folder=folder, environment=awsac.environment, begun=awsac.begun)
    return within.begin("release", "build", "--yes", "-i", ini, *words)


def ended(awsac: Awsac, name: str, code: int | None, stdout: str, stderr: str) -> Ended:
    found = re.search(r"^session ID: +(\S+)|\"session_id\": \"(\S+)\"", stderr + stdout, re.MULTILINE)
    assert found, stderr
    return Ended(
        code=code or 0, stdout=stdout, stderr=stderr, session_id=found[1] or found[2], folder=awsac.folder / name
    )


@pytest.fixture(scope="module")
def awsac(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Awsac]:
    awsac = Awsac(folder=tmp_path_factory.mktemp("workstation"), environment=environment_for(embedded))
    yield awsac
    awsac.end()


@pytest.fixture(scope="module")
def builds(awsac: Awsac) -> dict[str, Ended]:
    """Builds that were begun at the same time, after their end."""
    begun = {
        "good": begin(awsac, "good", INSTALL, VALIDATE),
        "failing": begin(awsac, "failing", FAILING, VALIDATE),
        "invalid": begin(awsac, "invalid", INSTALL, VALIDATE.replace("tools", "compilers"), "--json"),
    }
    printed = {name: build.communicate(timeout=2 * PATIENCE) for name, build in begun.items()}
    return {name: ended(awsac, name, begun[name].returncode, *printed[name]) for name in begun}


def of_session(account: Account, session_id: str) -> dict[str, list[Any]]:
    """Return what there is of a session: only instances that have ended are left out."""
    filters = [{"Name": "tag:awsac:session", "Values": [session_id]}]
    instances = [each for each in account.instances(session_id) if each["State"]["Name"] != "terminated"]
    found = {
        "instances": instances,
        "volumes": account.ec2.describe_volumes(Filters=filters)["Volumes"],
        "snapshots": account.ec2.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"],
        "objects": [*account.keys(f"{session_id}/"), *account.keys(f"awsac/{session_id}/")],
        "domains": [domain for domain in account.domains() if domain == session_id],
    }
    return {kind: each for kind, each in found.items() if each}


def test_a_build_prints_the_id_of_its_snapshot_alone_and_leaves_nothing_else(
    builds: dict[str, Ended], account: Account
) -> None:
    good = builds["good"]
    (snapshot,) = of_session(account, good.session_id).pop("snapshots")

    assert (good.code, good.stdout) == (0, f"{snapshot['SnapshotId']}\n")
    assert re.search(r"^installing into \S*/(mnt/atlas|state/releases/new)$", good.stderr, re.MULTILINE)
    assert (snapshot["State"], snapshot["VolumeSize"], snapshot["Encrypted"]) == ("completed", 1, True)
    assert of_session(account, good.session_id).keys() == {"snapshots"}
    assert list(good.folder.glob("session-*")) == []


@pytest.mark.parametrize(("name", "says"), [("failing", "no such compiler\n"), ("invalid", "awsac: check.sh begins\n")])
def test_a_script_or_a_validation_that_fails_leaves_no_volume_no_snapshot_and_no_instance(
    builds: dict[str, Ended], account: Account, name: str, says: str
) -> None:
    failed = builds[name]

    assert failed.code == 1
    assert says in failed.stderr
    assert failed.stderr.endswith(f"the script has ended with exit code {3 if name == 'failing' else 1}\n")
    assert of_session(account, failed.session_id) == {}
    assert name == "failing" or json.loads(failed.stdout)["release"] is None


def test_releases_are_listed_and_deleted_and_what_is_encrypted_is_not_shared(
    builds: dict[str, Ended], account: Account, awsac: Awsac
) -> None:
    snapshot_id = builds["good"].stdout.strip()

    listed = awsac.ok("release", "list")
    values = {each["snapshot_id"]: each for each in json.loads(awsac.ok("release", "list", "--json"))}
    shared = awsac("release", "share", snapshot_id, "--with", "111122223333")
    kept = awsac("release", "delete", snapshot_id, answers="n\n")
    deleted = awsac.ok("release", "delete", snapshot_id, "--yes")
    again = awsac("release", "delete", snapshot_id, "--yes")

    assert re.search(rf"^good +{snapshot_id} +1 +completed +\d+ second.* yes$", listed, re.MULTILINE)
    assert (values[snapshot_id]["name"], values[snapshot_id]["gib"]) == ("good", 1)
    assert (shared.returncode, "encrypted = no" in shared.stderr) == (3, True)
    assert "delete good, " in kept.stderr
    assert deleted == f"deleted good, {snapshot_id}\n"
    assert (again.returncode, "this account has no such release" in again.stderr) == (2, True)
    assert of_session(account, builds["good"].session_id) == {}


def test_ctrl_c_stops_a_build_and_says_how_the_rest_is_removed(account: Account, awsac: Awsac) -> None:
    build = begin(awsac, "endless", ENDLESS)
    assert build.stderr is not None
    said = ""
    while "begun\n" not in said:
        said += build.stderr.readline()
    stdout, rest = interrupt(build)
    stopped = ended(awsac, "endless", build.returncode, stdout, said + rest)
    (file,) = stopped.folder.glob("session-*")
    wait_until(lambda: "instances" not in of_session(account, stopped.session_id))

    assert (stopped.code, stopped.stdout) == (130, "")
    assert f"it stops; when it is over, awsac cleanup -c {file.name} removes what is left" in stopped.stderr
    awsac.ok("cleanup", "--yes", "-c", file)
    assert of_session(account, stopped.session_id) == {}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--name", "a b"], "--name: found a b, expected a name like atlas-14.2.24"),
        (["--size", "0"], "--size: found 0, expected a size in GiB from 1 to 16384"),
        (["--fs", "ntfs"], "--fs: found ntfs, expected ext4 or xfs"),
        (["--script", "nowhere.sh"], "nowhere.sh: No such file"),
        (["--validate", "below/install.sh"], "both scripts have the name install.sh"),
        (["--files", "install.sh"], "install.sh: no such folder"),
        (["--script", "broken.sh"], "broken.sh"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_sentence_before_anything_is_asked(
    tmp_path: Path, options: list[str], says: str
) -> None:
    (tmp_path / "below").mkdir()
    for name in ("install.sh", "below/install.sh"):
        (tmp_path / name).write_text("exit 0\n")
    (tmp_path / "broken.sh").write_text("if true; then\n")
    good = {"--name": "tools", "--size": "1", "--script": "install.sh"}
    words = [word for option in (good | dict(zip(options[::2], options[1::2], strict=True))).items() for word in option]
    environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_CONFIG_FILE": "", "AWSAC_CONFIG": ""}
    nobody = Awsac(folder=tmp_path, environment=environment | {"PATH": "/usr/bin:/bin"})

    refused = nobody("release", "build", "-i", write_ini(tmp_path), *words)

    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.count("\n") == 1
    assert says in refused.stderr


@pytest.mark.parametrize("address", ["s3://bucket/release.tar.gz", "release.tar.zst"])
def test_an_address_to_which_no_release_can_be_packed_is_refused(awsac: Awsac, address: str) -> None:
    refused = awsac("release", "to-s3", "snap-0123456789abcdef0", address, "-i", "session.ini")

    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"the address: found {address}, expected an address" in refused.stderr
