"""``awsac local up --faults`` and ``awsac local faults``: a bad day, rehearsed from the command line."""

import dataclasses
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from awsac_async.local import cloud
from tests.cli.conftest import Awsac
from tests.local.account import IMAGE

THROTTLED = '[[fault]]\nservice = "sdb"\noperation = "ListDomains"\nkind = "throttle"\n'
LOST = '[[event]]\nkind = "lost"\non = "CreateVolume"\n'


@pytest.fixture
def local(awsac: Awsac) -> Iterator[Awsac]:
    """Give a command line that has a place for a cloud of its own, with a short name."""
    with tempfile.TemporaryDirectory(prefix="awsac-test-") as parent:
        folder = Path(parent) / "cloud"
        yield dataclasses.replace(awsac, environment=awsac.environment | {"AWSAC_LOCAL_DIR": str(folder)})
        cloud.down(folder)


def keys_of(environment: dict[str, str]) -> dict[str, str]:
    return {name.lower(): environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


def test_a_bad_day_is_rehearsed_changed_and_ended(local: Awsac) -> None:
    (local.folder / "bad.toml").write_text("[[fault]]\nservice = 's3'\nkind = 'fire'\n")
    (local.folder / "day.toml").write_text(THROTTLED)
    (local.folder / "other.toml").write_text(LOST)

    refused = local("local", "up", "--faults", "bad.toml")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("awsac: bad.toml: fault 1: kind: 'fire' is not one of error, ")
    assert not Path(local.environment["AWSAC_LOCAL_DIR"]).exists()

    local.ok("local", "up", "--faults", "day.toml")
    environment = json.loads(local.ok("local", "env", "--json"))
    simpledb = boto3.client(
        "sdb",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        **keys_of(environment),
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError, match="ServiceUnavailable"):
        simpledb.list_domains()
    assert local.ok("local", "faults") == "fault 1: sdb ListDomains throttle, happened 1 times\n"
    assert local("local", "faults", "bad.toml").returncode == 2
    assert local("local", "faults", "day.toml", "--clear").returncode == 2
    found = json.loads(local.ok("local", "faults", "other.toml", "--json"))
    assert found == {"faults": [], "events": [{"kind": "lost", "instances": []}]}
    simpledb.list_domains()
    assert local.ok("local", "faults", "--clear") == "no call fails, and no instance is struck\n"
    simpledb.close()


def test_something_happens_to_an_instance_when_it_is_asked_for(local: Awsac) -> None:
    local.ok("local", "up")
    environment = json.loads(local.ok("local", "env", "--json"))
    ec2 = boto3.client("ec2", endpoint_url=environment["AWS_ENDPOINT_URL"], **keys_of(environment))
    started = ec2.run_instances(ImageId=IMAGE, InstanceType="c1.medium", MinCount=1, MaxCount=1)
    instance = started["Instances"][0]["InstanceId"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1})

    refused = local("local", "event", "spot-notice", instance)
    happened = json.loads(local.ok("local", "event", "lost", instance, "--json"))
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1})
    ec2.close()

    assert (refused.returncode, refused.stdout) == (3, "")
    assert f"{instance} is not a spot instance that runs" in refused.stderr
    assert happened == {"event": "lost", "instance_id": instance}
    assert local("local", "event", "fire", instance).returncode == 2
