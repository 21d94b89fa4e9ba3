"""The shield for real, in a network namespace that has a metadata service of its own at the address of EC2's."""

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from awsac_async.agent.shield import shield_metadata

NAMESPACE = ["unshare", "--net"]
# Serves at both addresses, shields nobody (twice, as a successor would), and prints who reaches which of them.
INSIDE = """
import asyncio, encodings.idna, logging, os, socket, subprocess, sys  # all that nobody may not be able to read later
import pwd
from awsac_async.agent.shield import shield_metadata

ADDRESSES = ("169.254.169.254", "fd00:ec2::254")
UID = pwd.getpwnam("nobody").pw_uid
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)
subprocess.run("ip link set lo up; ip addr add 169.254.169.254 dev lo; ip -6 addr add fd00:ec2::254 dev lo nodad",
               shell=True, check=True)
services = [socket.create_server((address, 80), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
            for address in ADDRESSES]

def reaches(uid, address):
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    try:
        os.setuid(uid)
        socket.create_connection((address, 80), timeout=20)
        os._exit(0)
    finally:
        os._exit(1)

def show(when):
    for who, uid in (("root", 0), ("nobody", UID)):
        print(when, who, [reaches(uid, address) for address in ADDRESSES], flush=True)

show("before")
asyncio.run(shield_metadata("nobody", {}))
asyncio.run(shield_metadata("nobody", {}))
show("after")
"""
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs jobs as another user")
REPOSITORY = Path(__file__).parents[2]


def _possible() -> bool:
    tools = os.geteuid() == 0 and shutil.which("nft") and shutil.which("ip")
    probe = [*NAMESPACE, "nft", "list", "ruleset"]
    return bool(tools) and not subprocess.run(probe, capture_output=True, check=False).returncode


@pytest.mark.skipif(not _possible(), reason="needs root, nft and network namespaces")
def test_the_jobs_user_cannot_reach_the_metadata_service_and_root_can() -> None:
    ended = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", INSIDE], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    said = f"INFO the jobs' user nobody (uid {pwd.getpwnam('nobody').pw_uid}) cannot reach the metadata service"
    assert (ended.stderr, ended.stdout.splitlines()) == (
        "",
        [
            "before root [True, True]",
            "before nobody [True, True]",
            said,
            said,
            "after root [True, True]",
            "after nobody [False, False]",
        ],
    )


@AS_ROOT
def test_a_service_elsewhere_is_not_shielded_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    elsewhere = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:8169"}
    asyncio.run(shield_metadata("nobody", elsewhere))
    assert "user nobody can reach the metadata service" in caplog.text
    assert "it is at http://127.0.0.1:8169, for which there is no rule" in caplog.text


@AS_ROOT
def test_an_image_without_nftables_is_not_shielded_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    asyncio.run(shield_metadata("nobody", {}))
    assert "user nobody can reach the metadata service" in caplog.text
    assert "this image has no nft (nftables)" in caplog.text
