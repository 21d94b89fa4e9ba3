"""``awsac local`` and ``--local``: the embedded cloud from the command line."""

import dataclasses
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from awsac_async.local import cloud
from awsac_async.session.archive import pack
from tests.cli.conftest import Awsac, interrupt, write_ini, write_jobs
from tests.cli.test_interrupts import session_file
from tests.conftest import Embedded
from tests.waiting import wait_until


@pytest.fixture
def cloud_folder() -> Iterator[Path]:
    """Give a place for a cloud of the test's own, with a short name."""
    with tempfile.TemporaryDirectory(prefix="awsac-test-") as parent:
        yield Path(parent) / "cloud"
        cloud.down(Path(parent) / "cloud")


def test_a_cloud_comes_up_takes_a_snapshot_and_goes_down_also_after_ctrl_c(awsac: Awsac, cloud_folder: Path) -> None:
    local = dataclasses.replace(awsac, environment=awsac.environment | {"AWSAC_LOCAL_DIR": str(cloud_folder)})
    (awsac.folder / "release").mkdir()
    (awsac.folder / "release" / "setup.sh").write_text("# a release\n")

    coming_up = local.begin("local", "up")
    wait_until((cloud_folder / "log").exists)
    _, said = interrupt(coming_up)
    up = json.loads(local.ok("local", "up", "--instance-delay", "0.1", "--disk-size", "1048576", "--json"))
    snapshot = local.ok("local", "snapshot", "release", "--description", "a test's release").strip()
    status = json.loads(local.ok("local", "status", "--json"))
    foreign = {"AWS_SESSION_TOKEN": "of AWS", "AWS_PROFILE": "work", "AWS_REGION": "eu-west-1"}
    exporting = local.ok("local", "env", **foreign)
    exported = subprocess.run(
        ["sh", "-c", f'{exporting}\necho "$AWS_ENDPOINT_URL $AWS_SESSION_TOKEN$AWS_PROFILE$AWS_REGION"'],
        env=os.environ | foreign,
        capture_output=True,
        text=True,
        check=True,
    )
    variables = json.loads(local.ok("local", "env", "--json"))
    local.ok("local", "down", "--json")
    after = json.loads(local.ok("local", "status", "--json"))

    assert (coming_up.returncode, said) == (130, "awsac: interrupted: awsac local down removes what was started\n")
    assert snapshot.startswith("snap-")
    assert (status["running"], status["snapshots"], status["instances"]) == (True, 1, 0)
    network = {name: status[name] for name in ("network", "network_note")}
    assert up == {"endpoint": status["endpoint"], "directory": str(cloud_folder), **network}
    assert variables["AWS_ENDPOINT_URL"] == status["endpoint"]
    assert exported.stdout == f"{status['endpoint']} \n"
    assert after["running"] is False
    assert not any(after.values())
    assert not cloud_folder.exists()


def test_local_goes_before_every_setting_of_the_real_aws(awsac: Awsac, tmp_path: Path) -> None:
    write_ini(tmp_path)
    pack(write_jobs(tmp_path), tmp_path / "jobs.tar.bz2")
    real = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_PROFILE": "work",
        "AWS_SESSION_TOKEN": "t",
        "AWS_REGION": "eu-west-1",
    }

    started = awsac("start", "--local", "--json", "-i", "session.ini", "-a", "jobs.tar.bz2", answers="n\n", **real)

    assert started.returncode == 0, started.stderr
    assert json.loads(started.stdout)["started"] is False
    plan = json.loads(started.stdout)["plan"]
    expected = {
        "n_jobs": 2,
        "n_instances": 1,
        "instance_type": "c1.medium",
        "cores_per_instance": 2,
        "unused_cores": 0,
        "market": "on-demand",
        "region": "us-east-1",
        "max_hours": 48.0,
        "job_timeout": None,
        "retries": 0,
        "job_user": "root",
        "release_mount": "rw",
        "price_source": "AWS price list",
    }
    assert {name: plan[name] for name in expected} == expected


@pytest.mark.parametrize("verb", [("check",), ("getresults", "-o", "results"), ("cleanup", "--yes")])
def test_no_cloud_is_brought_up_for_a_session_that_it_cannot_hold(
    awsac: Awsac, cloud_folder: Path, verb: tuple[str, ...]
) -> None:
    file = session_file(awsac.folder)

    done = awsac(*verb, "--local", "-c", file, AWSAC_LOCAL_DIR=str(cloud_folder))

    assert done.returncode == 3
    assert done.stderr == (
        f"awsac: no embedded cloud is running in {cloud_folder}, and its sessions went with the one that was there; "
        "awsac start --local begins a new one\n"
    )
    assert not cloud_folder.exists()
    assert file.exists()


@pytest.mark.parametrize("names", [("http_proxy", "https_proxy"), ("HTTP_PROXY", "ALL_PROXY")])
def test_the_cloud_on_this_machine_is_asked_directly_whatever_proxies_there_are(
    names: tuple[str, ...], awsac: Awsac, embedded: Embedded
) -> None:
    write_ini(awsac.folder)
    write_jobs(awsac.folder)
    proxies = dict.fromkeys(names, "http://127.0.0.1:9") | {"NO_PROXY": ".example.org", "AWS_MAX_ATTEMPTS": "1"}
    local = {"AWSAC_LOCAL_DIR": str(embedded.directory)}

    refused = awsac("start", "--local", "-i", "session.ini", "-a", "jobs", answers="n\n", **proxies, **local)
    environment = json.loads(awsac.ok("local", "env", "--json", **proxies, **local))

    assert "uploaded:" in refused.stdout, refused.stderr
    assert environment["NO_PROXY"] == environment["no_proxy"] == ".example.org,127.0.0.1,localhost"
    assert "NO_PROXY" not in json.loads(awsac.ok("local", "env", "--json", **local))
