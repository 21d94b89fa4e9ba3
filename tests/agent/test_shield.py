"""The shield for real, in network namespaces that have a metadata service of their own at the addresses of EC2's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from awsac_async.agent.shield import ShieldError, shield_metadata

NAMESPACE = ["unshare", "--net"]
# Serves at both addresses, shields jobs (twice, as a successor does), and prints who reaches which of them.
INSIDE = """
import encodings.idna, os, socket, subprocess, sys  # the first: a job's user may not be able to read it later
from concurrent.futures import ThreadPoolExecutor
from awsac_async.agent.jobuser import FIRST_UID
from awsac_async.agent.shield import shield_metadata

ADDRESSES = ("169.254.169.254", "fd00:ec2::254", "127.0.0.1")
subprocess.run("ip link set lo up; " + sys.argv[1], shell=True, check=True)
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
    for who, uid in (("root", 0), ("job 1", FIRST_UID + 1), ("job 100000", FIRST_UID + 100000)):
        print(when, who, [reaches(uid, address) for address in ADDRESSES], flush=True)

show("before")
with ThreadPoolExecutor(8) as jobs:  # all at once, as jobs start
    list(jobs.map(shield_metadata, [{}] * 64))
shield_metadata({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://169.254.169.254:80/"})
show("after")
print(subprocess.run(["ip", "rule"], capture_output=True, text=True, check=True).stdout, flush=True)
"""
# As the embedded cloud has them: the machine's own.
OWN = "ip addr add 169.254.169.254 dev lo; ip -6 addr add fd00:ec2::254 dev lo nodad"
REPOSITORY = Path(__file__).parents[2]


def _possible() -> bool:
    tools = os.geteuid() == 0 and shutil.which("ip")
    return bool(tools) and not subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode


possible = pytest.mark.skipif(not _possible(), reason="needs root, ip (iproute2) and network namespaces")


@possible
def test_no_job_with_a_user_of_its_own_reaches_the_metadata_service_and_root_does() -> None:
    ended = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", INSIDE, OWN], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    said = ended.stdout.splitlines()
    assert said[:6] == [
        *(f"before {who} [True, True, True]" for who in ("root", "job 1", "job 100000")),
        "after root [True, True, True]",
        "after job 1 [False, False, True]",
        "after job 100000 [False, False, True]",
    ]
    assert sum("prohibit" in line for line in said) == 1


@possible
def test_an_address_beyond_the_machine_is_refused_without_touching_its_own_rules() -> None:
    """As on EC2: the other rules are the kernel's, in their places."""
    script = "from awsac_async.agent.shield import shield_metadata; shield_metadata({})"
    shown = subprocess.run(
        [*NAMESPACE, "sh", "-c", '"$0" -c "$1" && ip -details rule && ip -details -6 rule', sys.executable, script],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert [line.partition(":")[0] for line in shown] == ["0", "1", "32766", "32767", "0", "1", "32766"]
    assert all("prohibit" in line and "proto kernel" in line for line in shown if line.startswith("1:"))


@possible
def test_an_agent_that_may_not_make_the_rule_says_so() -> None:
    script = "from awsac_async.agent.shield import shield_metadata; shield_metadata({})"
    ended = subprocess.run(
        [*NAMESPACE, "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ShieldError: no rule can be made for 169.254.169.254: Operation not permitted" in ended.stderr


def test_a_service_elsewhere_is_one_for_which_there_is_no_rule() -> None:
    with pytest.raises(ShieldError, match=r"^the metadata service is at http://127.0.0.1:8169, and no rule can be"):
        shield_metadata({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:8169"})
