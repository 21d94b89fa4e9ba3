"""An instance has a network of its own: its metadata service, the cloud's endpoint, and what it was given beside."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from awsac_async.local import cloud, outward, place, veth
from awsac_async.local.metadata import Facts, MetadataService
from awsac_async.local.settings import Isolation, Network, Settings
from tests.conftest import embedded_cloud

from .account import BOOT, IMAGE, Account
from .machine import METADATA, OUTSIDE
from .users import as_ordinary_user

CHECKOUT = Path(__file__).parents[2]
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes the network of a machine to try it in")


def missing_for_veth() -> str:
    """Return what keeps this machine from being played with nat as root."""
    if os.geteuid() != 0:
        return "only root makes the network of a machine to try it in"
    try:
        veth.check()
    except OSError as error:
        return str(error)
    return ""


# Run by an instance: prints as JSON what it finds.
LOOK = """
cat > $HOME/look <<'END'
import http.client, json, os, socket, sys, urllib.parse, boto3

def ask(address, method="GET", path="/", **headers):
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return [answer.status, answer.read().decode()]
    except OSError as error:
        return [error.errno, ""]

imds, own = ("169.254.169.254", 80), "/latest/meta-data/instance-id"
token = ask(imds, "PUT", "/latest/api/token", X_aws_ec2_metadata_token_ttl_seconds="60")
endpoint = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"])
found = {
    "version 1": ask(imds, path=own),
    "version 2": ask(imds, path=own, X_aws_ec2_metadata_token=token[1]),
    "variables": [name for name in os.environ if "METADATA" in name],
    "who": boto3.client("sts", region_name="us-east-1").get_caller_identity()["Arn"],
    "control": ask((endpoint.hostname, endpoint.port), path="/_local/counts")[0],
    "machine": ask(("127.0.0.1", int(sys.argv[1])))[0],
    "outside": ask(("192.0.2.77", 80))[0],
    "interfaces": [name for _, name in socket.if_nameindex()],
    "cloud": sorted(set(os.listdir(sys.argv[2])) | set(os.listdir(sys.argv[2] + "/instances"))),
}
print("found", json.dumps(found), flush=True)
END
python3 $HOME/look PORT CLOUD; sleep 60
"""
REFUSED, UNREACHABLE = 111, 101  # errno


@pytest.fixture
def machine_service() -> Iterator[int]:
    """Give the port of a service on the machine's loopback."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        yield service.getsockname()[1]


def _found(console: str) -> dict[str, object]:
    (line,) = (line for line in console.splitlines() if line.startswith("found "))
    return dict(json.loads(line.removeprefix("found ")))


def test_an_instance_reaches_its_metadata_and_the_cloud_and_nothing_else(
    account: Account, machine_service: int
) -> None:
    if account.isolation == Isolation.PLAIN:
        status = cloud.status(account.cloud.directory)
        assert (status.network, "share its network" in status.network_note) == ("host", True)
        return
    assert cloud.status(account.cloud.directory).network == "none"
    reservation = account.ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="m5.large",
        MinCount=2,
        MaxCount=2,
        UserData=LOOK.replace("PORT", str(machine_service)).replace("CLOUD", str(account.cloud.directory)),
        IamInstanceProfile={"Name": "awsac-agent"},
    )
    ids = [instance["InstanceId"] for instance in reservation["Instances"]]
    volumes = ["volumes"] if cloud.status(account.cloud.directory).storage == "directories" else []
    for instance_id in ids:
        assert _found(account.printed(instance_id, "found ")) == {
            "version 1": [200, instance_id],
            "version 2": [200, instance_id],
            "variables": [],
            "who": f"arn:aws:sts::123456789012:assumed-role/awsac-agent/{instance_id}",
            "control": 404,
            "machine": REFUSED,
            "outside": UNREACHABLE,
            "interfaces": ["lo"],
            "cloud": sorted([instance_id, "instances", *volumes]),
        }
    before = set(Path(f"/proc/{cloud.status(account.cloud.directory).pid}/task").iterdir())
    entered = cloud.entering(account.cloud.directory, ids[0], ["cat /proc/net/dev | wc -l"])
    assert (
        subprocess.run(entered, capture_output=True, text=True, check=True).stdout.strip() == "3"
    )  # two lines of title
    account.terminate(*ids)
    after = set(Path(f"/proc/{cloud.status(account.cloud.directory).pid}/task").iterdir())
    assert len(after) <= len(before) - 4  # its two servers, of each


# --- the hop limit ---


@contextmanager
def _service(hop_limit: int) -> Iterator[str]:
    facts = Facts(
        document={}, values={}, user_data=None, tokens_required=True, role=None, profile={}, credentials=dict,
        hop_limit=hop_limit,
    )  # fmt: skip
    service = MetadataService(facts)
    service.start()
    try:
        yield service.endpoint
    finally:
        service.stop()


def _token(endpoint: str, source: str) -> int | None:
    """Ask for a token from an address; return the status, or None if no answer comes."""
    host, port = endpoint.removeprefix("http://").rstrip("/").split(":")
    head = f"PUT /latest/api/token HTTP/1.0\r\nHost: {host}:{port}\r\n"
    request = head + "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10, source_address=(source, 0)) as connection:
        connection.sendall(request.encode())
        answer = connection.makefile("rb").readline()
    return int(answer.split()[1]) if answer else None


@pytest.mark.parametrize(("hop_limit", "behind"), [(1, None), (2, 200), (64, 200)])
def test_a_token_comes_as_far_as_the_hop_limit_says(hop_limit: int, behind: int | None) -> None:
    with _service(hop_limit) as endpoint:
        assert _token(endpoint, "127.0.0.1") == 200
        assert _token(endpoint, "127.0.0.2") == behind  # as from a container, which has an address of its own


@ROOT
def test_the_packets_with_a_token_have_the_hop_limit_and_no_others() -> None:
    with _service(3) as endpoint, socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sniffer:
        _token(endpoint, "127.0.0.1")
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(endpoint + "latest/")  # noqa: S310  loopback
        hops = set()
        sniffer.settimeout(0.5)
        port = int(endpoint.rstrip("/").rpartition(":")[2])
        while packet := _next(sniffer):
            if int.from_bytes(packet[20:22], "big") == port and b"HTTP/1" in packet:
                hops.add((packet[8], b"401" in packet))
        assert hops == {(3, False), (64, True)}


def _next(sniffer: socket.socket) -> bytes:
    try:
        return sniffer.recv(65535)
    except TimeoutError:
        return b""


# --- outward ---


def _machine(*arguments: str, tun: bool = False) -> list[dict[str, Any]]:
    """Play a machine; return what it prints. With ``tun`` every user may make tunnels, as on most machines."""
    command = [
        "unshare",
        "--net",
        "--mount",
        "sh",
        "-c",
        (_OPEN_TUN if tun else "") + 'exec "$@"',
        "sh",
        sys.executable,
    ]
    result = subprocess.run(
        [*command, "-m", "tests.local.machine", "machine", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


_OPEN_TUN = (
    "mount -t tmpfs -o dev tmpfs /mnt && mknod -m 666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun "
    "&& umount -l /mnt && "
)


@pytest.mark.skipif(missing_for_veth() != "", reason=missing_for_veth())
def test_as_root_nat_leads_out_and_not_to_the_machine_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    looked, ended, left = _machine("root", str(tmp_path))
    assert looked["reached"].pop(OUTSIDE) == "the world"
    assert looked["metadata is own"]
    looked["reached"].pop(METADATA)
    assert {word for word in looked["reached"].values() if word != [None]} == {None}
    assert ended == {"network": ["nat", ""], "left": []}
    assert left == {"rules": "", "links": ["lo", "up0", "own2", "own"], "forwarding": "0"}


@pytest.mark.parametrize("program", ["pasta", "slirp4netns"])
def test_as_an_ordinary_user_nat_leads_out_and_not_to_the_machine(program: str) -> None:
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which(program) or not Path("/dev/net/tun").exists():
        pytest.skip(f"needs root, to play a machine, with ip, {program} and /dev/net/tun")
    with as_ordinary_user() as user, TemporaryDirectory(prefix="awsac-test-") as programs:
        Path(programs).chmod(0o755)
        for each in Path("/usr/bin").iterdir():  # a machine with this one alone
            if each.name not in {"pasta", "slirp4netns"} - {program}:
                Path(programs, each.name).symlink_to(each)
        command = ["env", *user.environment(), f"PATH={programs}:/usr/sbin", *user.command]
        looked, ended = _machine(json.dumps(command), str(user.home), tun=True)
    assert looked["reached"].pop(OUTSIDE) == "the world"
    assert looked["metadata is own"]
    own = {looked["reached"].pop(METADATA), None}
    assert {word for word in looked["reached"].values() if isinstance(word, str | None)} <= own
    assert looked["reached"]["around"] is None
    assert [each for each in looked["reached"]["other instance"] if each] == []
    assert ended == {"network": ["nat", ""], "left": []}


def test_where_nothing_leads_out_one_sentence_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for isolation in (Isolation.NAMESPACES, Isolation.USER_NAMESPACES):
        choice = outward.choose(None, isolation, cloud_id="0", record=tmp_path / "network")
        assert choice.network is Network.NONE
        assert re.fullmatch(
            "Instances reach nothing outside of this machine: .*(installed|open to this user).", choice.note
        )
        with pytest.raises(cloud.LocalCloudError, match="instances cannot reach the network"):
            outward.choose(Network.NAT, isolation, cloud_id="0", record=tmp_path / "network")
    assert list(tmp_path.iterdir()) == []


def test_on_request_instances_share_the_machines_network(tmp_path: Path, machine_service: int) -> None:
    with embedded_cloud(tmp_path / "cloud", Settings(boot=BOOT, network=Network.HOST)) as running:
        account = Account(cloud=running, isolation="")
        script = (
            f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {machine_service}))' && echo reached"
        )
        instance_id = account.launch(script)
        account.printed(instance_id, "reached")
        entered = cloud.entering(running.directory, instance_id, ["echo entered"])
        assert subprocess.run(entered, capture_output=True, text=True, check=True).stdout == "entered\n"
        assert cloud.status(running.directory).network == "host"
        account.terminate(instance_id)


def test_a_record_of_a_network_that_is_no_clouds_removes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cloud"
    folder.mkdir(mode=0o700)
    (folder / place.MARKER).write_text("0" * 32)
    (folder / outward.NETWORK_RECORD).write_text("filter")
    with pytest.raises(cloud.LocalCloudError, match="names no table of this cloud"):
        cloud.down(folder)
    assert (folder / outward.NETWORK_RECORD).exists()
