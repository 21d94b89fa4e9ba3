"""An embedded cloud comes up once, is heard on loopback only, and leaves nothing, however it ends."""

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from awsac_async.local import cloud, hypervisor, processes
from awsac_async.local.settings import Isolation, Settings
from tests.conftest import Embedded, embedded_cloud

from .account import BOOT, IMAGE, Account, eventually
from .users import as_ordinary_user

NOTHING = cloud.Status(running=False, processes=[], mounts=[], loop_devices=[])


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Give the place of a cloud that a test brings up by itself; it goes down with the test, also when that fails."""
    yield tmp_path / "cloud"
    cloud.down(tmp_path / "cloud")


def test_up_while_it_runs_gives_the_running_one_and_only_its_owner_may_look_in(tmp_path: Path) -> None:
    with embedded_cloud(tmp_path / "cloud", Settings()) as running:
        assert cloud.up(running.directory) == running.environment
        assert stat.S_IMODE(running.directory.stat().st_mode) == 0o700
        found = cloud.status(running.directory)
        assert (found.running, found.endpoint) == (True, running.endpoint)
        assert (found.instances, found.volumes, found.snapshots, found.objects, found.domains) == (0, 0, 0, 0, 0)


def test_several_that_come_up_at_once_are_one(directory: Path) -> None:
    with ThreadPoolExecutor() as pool:
        environments = list(pool.map(lambda _: cloud.up(directory), range(4)))
    assert environments == [cloud.environment(directory)] * 4
    cloud.down(directory)
    assert not directory.exists()


def test_down_without_up_and_down_again_do_nothing(tmp_path: Path) -> None:
    cloud.down(tmp_path / "cloud")
    assert not (tmp_path / "cloud").exists()
    with pytest.raises(cloud.LocalCloudError, match="no embedded cloud is running"):
        cloud.environment(tmp_path / "cloud")


def test_what_keeps_it_from_starting_is_told(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(cloud.LocalCloudError, match=r"Address already in use|in use by another"):
            cloud.up(directory, Settings(port=port))


def test_a_directory_with_anything_else_in_it_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    for attempt in (cloud.up, cloud.down):
        with pytest.raises(cloud.LocalCloudError, match="is not empty"):
            attempt(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def _listening(pid: int) -> list[str]:
    """Return the addresses, as the kernel writes them, on which a process listens."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return [line[1] for line in lines if line[3] == "0A" and line[9] in inodes]


def test_it_listens_on_loopback_only(any_account: Account) -> None:
    instance_id = any_account.launch("sleep 60")
    any_account.reached(instance_id, "running")
    addresses = _listening(cloud.status(any_account.cloud.directory).pid)
    assert len(addresses) >= 2
    assert {address.partition(":")[0] for address in addresses} == {"0100007F"}  # 127.0.0.1, byte by byte
    any_account.terminate(instance_id)


def _busy_account(directory: Path, isolation: Isolation) -> Account:
    """Bring up a cloud with an instance that has a volume and a process that left its session."""
    environment = cloud.up(directory, Settings(boot=BOOT, isolation=isolation))
    embedded = Embedded(directory=directory, endpoint=environment["AWS_ENDPOINT_URL"], environment=environment)
    account = Account(cloud=embedded, isolation=isolation)
    volume_id = account.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    account.volume_reached(volume_id, "available")
    instance_id = account.launch("env -i setsid sleep 600 & echo started; sleep 600")
    account.printed(instance_id, "started")
    account.ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    eventually(lambda: account.volume(volume_id)["Attachments"][0]["State"], lambda state: state == "attached")
    return account


def _killed(directory: Path, isolation: Isolation) -> cloud.Status:
    """Kill the daemon of a cloud that has an instance and a volume; return what there was."""
    _busy_account(directory, isolation)
    before = cloud.status(directory)
    assert before.processes
    assert bool(before.loop_devices) == (before.storage == "images")
    os.kill(before.pid, signal.SIGKILL)
    eventually(lambda: processes.start_time(before.pid), lambda started: started is None)
    return before


def test_an_up_removes_what_a_killed_cloud_left(directory: Path) -> None:
    before = _killed(directory, Isolation.PLAIN)
    with embedded_cloud(directory, Settings()) as running:
        after = cloud.status(running.directory)
        assert (after.processes, after.mounts, after.loop_devices, after.instances) == ([], [], [], 0)
    assert not [pid for pid in before.processes if processes.start_time(pid) is not None]


def test_a_down_removes_what_a_killed_cloud_left(directory: Path) -> None:
    before = _killed(directory, hypervisor.detect_isolation())
    record = directory / hypervisor.CONTROL_GROUP
    group = Path(record.read_text()) if record.exists() else None  # not every machine lets us make one
    cloud.down(directory)
    assert group is None or not group.exists()
    assert not [pid for pid in before.processes if processes.start_time(pid) is not None]
    assert cloud.status(directory) == NOTHING
    assert not directory.exists()


SCENARIO = """
import sys
from pathlib import Path
from awsac_async.local import cloud
from awsac_async.local.settings import Settings
from tests.conftest import Embedded
from tests.local.account import Account

directory = Path(sys.argv[1])
environment = cloud.up(directory, Settings(boot=Path(sys.argv[2])))
try:
    print(cloud.status(directory), flush=True)
    if "plain" in str(cloud.status(directory)):
        sys.exit()
    embedded = Embedded(directory=directory, endpoint=environment["AWS_ENDPOINT_URL"], environment=environment)
    account = Account(cloud=embedded, isolation="")
    instance_id = account.launch("echo I am $(id -u) > /mnt/proof; cat /mnt/proof; sleep 60")
    print(account.printed(instance_id, "I am"))
finally:
    cloud.down(directory)
print(cloud.status(directory) == cloud.Status(running=False, processes=[], mounts=[], loop_devices=[]))
"""


def test_an_ordinary_user_has_instances_with_namespaces_too() -> None:
    with as_ordinary_user() as user:
        shutil.copy(BOOT, user.home / "boot")
        result = user.run("-c", SCENARIO, str(user.home / "cloud"), str(user.home / "boot"))
        if "plain" in result.stdout:
            pytest.skip("this machine allows ordinary users no namespaces")
        assert result.returncode == 0, result.stderr
        assert "I am 0" in result.stdout
        assert "user-namespaces" in result.stdout
        assert result.stdout.endswith("True\n")


def test_the_aws_command_line_drives_it(any_account: Account, tmp_path: Path) -> None:
    aws = shutil.which("aws", path=str(Path(sys.executable).parent))
    if aws is None:
        pytest.skip("awscli is not installed")
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), **any_account.cloud.environment}

    def run(*arguments: str) -> str:
        command = [aws, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    sent, received = tmp_path / "sent", tmp_path / "received"
    sent.write_bytes(os.urandom(20 << 20))  # larger than a part of a multipart upload
    run("s3", "cp", "--quiet", str(sent), "s3://awsac-sessions/cli/sent")
    run("s3", "cp", "--quiet", "s3://awsac-sessions/cli/sent", str(received))
    assert received.read_bytes() == sent.read_bytes()
    any_account.client("s3").delete_object(Bucket="awsac-sessions", Key="cli/sent")
    launch = ("ec2", "run-instances", "--image-id", IMAGE, "--instance-type", "m5.large", "--user-data", "echo hi")
    instance_id = run(*launch, "--query", "Instances[0].InstanceId", "--output", "text")
    any_account.printed(instance_id, "hi")
    state = ("--query", "Reservations[].Instances[].State.Name", "--output", "text")
    assert run("ec2", "describe-instances", "--instance-ids", instance_id, *state) == "running"
    any_account.terminate(instance_id)
