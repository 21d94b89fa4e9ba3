"""Stock images: sessions that install their agent on one, and images with the agent that are made of one."""

import base64
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from awsac_async.client.wheel import agent_package
from awsac_async.local import cloud
from awsac_async.session.errors import EXIT_INFRASTRUCTURE
from awsac_async.session.userdata import parse_user_data
from tests.cli.conftest import BUCKET, Account, Awsac, environment_for, interrupt, write_ini, write_jobs
from tests.conftest import Embedded
from tests.waiting import wait_until

STOCK = "ami-0a35ac00000000002"
BY_CLOUD_INIT = "bootstrap = cloud-init\nmax_hours = 0.5\n"
# CreateImage, asked again, then finds the name taken: by its own image.
LOST_ANSWER = '[[fault]]\nservice = "ec2"\noperation = "CreateImage"\nkind = "lost-answer"\ncount = 1\n'
PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


@pytest.fixture(scope="module")
def workstation(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Awsac]:
    awsac = Awsac(folder=tmp_path_factory.mktemp("workstation"), environment=environment_for(embedded))
    yield awsac
    awsac.end()


def builders(account: Account) -> list[str]:
    """Return the states of all builders that there have been."""
    filters = [{"Name": "tag-key", "Values": ["awsac:builder"]}]
    groups = account.ec2.describe_instances(Filters=filters)["Reservations"]
    return [instance["State"]["Name"] for group in groups for instance in group["Instances"]]


def nothing_is_left(account: Account) -> None:
    wait_until(lambda: {*builders(account)} <= {"terminated"})
    filters = [{"Name": "tag-key", "Values": ["awsac:builder"]}]
    assert account.ec2.describe_images(Filters=filters)["Images"] == []
    assert account.ec2.describe_snapshots(Filters=filters)["Snapshots"] == []
    assert account.keys("awsac-images/") == []


def test_a_stock_image_and_an_image_made_of_it_run_sessions_and_the_image_goes_with_its_snapshot(
    workstation: Awsac, account: Account, embedded: Embedded
) -> None:
    ini = write_ini(workstation.folder, ami_id=STOCK, n_jobs="1", more=BY_CLOUD_INIT)
    write_jobs(workstation.folder, "-;job.sh;1\n", job="command -v awsac-agent\n")
    plan = workstation.ok("start", "--yes", "-i", ini, "-a", "jobs")
    assert "bootstrap:    cloud-init installs awsac_async-" in plan
    (file,) = workstation.folder.glob("session-*.cfg")
    session_id = file.stem.removeprefix("session-")

    cloud.set_faults(embedded.directory, LOST_ANSWER)
    build = workstation("image", "build", "--base", PARAMETER, "--name", "made", "--bucket", BUCKET)
    assert build.returncode == 0, build.stderr
    assert cloud.faults(embedded.directory)["faults"][0]["happened"] == 1
    cloud.set_faults(embedded.directory, "")
    image_id = build.stdout.strip()
    assert "awsac-clean: ready to become an image\n" in build.stderr
    assert [line.split()[0] for line in workstation.ok("image", "list").splitlines()] == [image_id]
    (image,) = account.ec2.describe_images(ImageIds=[image_id])["Images"]
    assert {tag["Key"] for tag in image["Tags"]} >= {"awsac:image", "awsac:version"}
    wait_until(lambda: builders(account) == ["terminated"])
    assert account.keys("awsac-images/") == []
    again = workstation("image", "build", "--base", STOCK, "--name", "made", "--bucket", BUCKET)
    assert (again.returncode, "an image named 'made' is there already" in again.stderr) == (2, True)

    assert workstation("wait", "-c", file).returncode == 0
    (instance,) = account.instances(session_id)
    given = account.ec2.describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute="userData")
    assert parse_user_data(decoded(given)).session_id == session_id
    assert [key.rpartition(".")[2] for key in account.keys(f"awsac/{session_id}/agent/")] == ["whl"]
    assert workstation.ok("logs", "-c", file, "--job", "1").endswith("/usr/local/bin/awsac-agent\n")
    workstation.ok("cleanup", "--yes", "-c", file)

    ini = write_ini(workstation.folder, ami_id=image_id, n_jobs="1", more="max_hours = 0.5\n")
    workstation.ok("start", "--yes", "-i", ini, "-a", "jobs")
    assert workstation("wait").returncode == 0
    assert workstation.ok("logs", "--job", "1").endswith("/usr/local/bin/awsac-agent\n")
    workstation.ok("cleanup", "--yes")

    kept = workstation("image", "delete", image_id, answers="n\n")
    assert (kept.returncode, kept.stdout) == (0, "")
    deleted = workstation.ok("image", "delete", image_id, "--yes").splitlines()
    assert deleted == [f"deleted {image_id}", f"deleted {image['BlockDeviceMappings'][0]['Ebs']['SnapshotId']}"]
    assert workstation("image", "delete", image_id).returncode == 2
    nothing_is_left(account)


def decoded(attribute: dict[str, dict[str, str]]) -> str:
    return base64.b64decode(attribute["UserData"]["Value"]).decode()


def test_a_machine_that_cannot_be_set_up_ends_as_builder_and_in_a_session_and_leaves_nothing(
    workstation: Awsac, account: Account, tmp_path: Path
) -> None:
    whole = agent_package(None, lambda: tmp_path).wheel
    assert whole
    broken = tmp_path / "broken" / whole.name
    broken.parent.mkdir()
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(broken, "w") as target:
        for name in source.namelist():
            if not name.endswith("boot/awsac-deadline"):
                target.writestr(name, source.read(name))
    more = f"bootstrap = cloud-init\nagent_wheel = {broken}\nmax_hours = 0.5\n"
    ini = write_ini(workstation.folder, ami_id=STOCK, more=more)
    write_jobs(workstation.folder)
    workstation.ok("start", "--yes", "-i", ini, "-a", "jobs")
    build = workstation(
        "image", "build", "--base", STOCK, "--name", "broken", "--bucket", BUCKET, "--agent-wheel", broken
    )
    assert build.returncode == 3
    assert "awsac-install: FAILED: the boot scripts could not be installed" in build.stderr
    assert "failed: it could not be set up, as its console says" in build.stderr.splitlines()[-1]
    nothing_is_left(account)

    assert workstation("wait").returncode == EXIT_INFRASTRUCTURE
    assert "lost" in workstation("check").stdout
    assert "awsac-install: FAILED: the boot scripts could not be installed" in workstation.ok("console", "0")
    workstation.ok("cleanup", "--yes")


def test_a_build_that_is_interrupted_leaves_nothing(workstation: Awsac, account: Account) -> None:
    build = workstation.begin("image", "build", "--base", STOCK, "--name", "interrupted", "--bucket", BUCKET)
    assert build.stderr
    for line in build.stderr:
        if "builder is running" in line:
            break
    _, said = interrupt(build)
    assert (build.returncode, "nothing is left" in said) == (130, True)
    nothing_is_left(account)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--base", "ubuntu"), "--base: found 'ubuntu', expected an image ID"),
        (("--base", "ami-0a35ac00000000009"), "a builder of ami-0a35ac00000000009 cannot be started: The image id"),
        (("--base", "/mine"), "a builder of /mine cannot be started: Invalid value"),
        (("--type", "m5.tiny"), "cannot be started: Invalid value 'm5.tiny' for InstanceType"),
        (("--name", "x"), "--name: found 'x', expected 3 to 128"),
        (("--max-hours", "0"), "--max-hours: found '0'"),
        (("--bucket", ""), "name a bucket to bring it there"),
    ],
)
def test_what_is_wrong_with_a_build_is_said_before_anything_runs(
    workstation: Awsac, account: Account, options: tuple[str, str], said: str
) -> None:
    before = len(builders(account))
    given = {"--base": STOCK, "--name": "name", "--bucket": BUCKET} | dict([options])
    build = workstation("image", "build", *(word for option in given.items() for word in option))
    assert (build.returncode, said in build.stderr) == (2, True), build.stderr
    assert len(builders(account)) == before
    assert account.keys("awsac-images/") == []


def test_a_wheel_for_an_image_that_has_its_agent_is_bad_input(workstation: Awsac) -> None:
    ini = write_ini(workstation.folder, more="agent_wheel = awsac_async-0.1.0-py3-none-any.whl\n")
    write_jobs(workstation.folder)
    plan = workstation("plan", "-i", ini, "-a", "jobs")
    assert (plan.returncode, "expected bootstrap = cloud-init with it" in plan.stderr) == (2, True)
