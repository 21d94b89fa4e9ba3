"""The metadata service tells an instance about itself, and nothing about any other."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from awsac_async.local import cloud
from awsac_async.local.metadata import Tokens
from awsac_async.local.settings import Isolation, Settings
from tests.conftest import embedded_cloud

from .account import BOOT, IMAGE, Account, error_code

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


@dataclass(frozen=True)
class Service:
    """The metadata service of one instance."""

    instance_id: str
    endpoint: str

    def ask(self, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(self.endpoint + path, headers=headers, method=method)  # noqa: S310 (loopback)
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310 (loopback)
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, ""

    def get(self, path: str) -> str:
        status, body = self.ask("latest/" + path)
        assert status == 200
        return body


def service_of(account: Account, instance_id: str) -> Service:
    """Read from the console where the instance finds its metadata service."""
    console = account.printed(instance_id, "ended")
    (endpoint,) = (line for line in console.splitlines() if line.startswith("http://127.0.0.1:"))
    return Service(instance_id, endpoint)


SCRIPT = "echo $AWS_EC2_METADATA_SERVICE_ENDPOINT"


@pytest.fixture(scope="module")
def service(any_account: Account) -> Iterator[Service]:
    reservation = any_account.ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="m5.large",
        MinCount=2,
        MaxCount=2,
        UserData=SCRIPT,
        IamInstanceProfile={"Name": "awsac-agent"},
    )
    first, second = (instance["InstanceId"] for instance in reservation["Instances"])
    yield service_of(any_account, second)
    any_account.terminate(first, second)


def test_an_instance_is_told_what_ec2_says_of_it(any_account: Account, service: Service) -> None:
    said = any_account.instance(service.instance_id)
    assert service.get("user-data") == SCRIPT
    meta_data = {
        name: service.get(f"meta-data/{name}") for name in service.get("meta-data/").split() if "/" not in name
    }
    assert meta_data["instance-id"] == service.instance_id
    assert meta_data["ami-id"] == IMAGE
    assert meta_data["ami-launch-index"] == "1"
    assert meta_data["instance-type"] == "m5.large"
    assert meta_data["instance-life-cycle"] == "on-demand"
    assert meta_data["local-ipv4"] == said["PrivateIpAddress"]
    assert meta_data["local-hostname"] == meta_data["hostname"] == said["PrivateDnsName"]
    assert service.get("meta-data/placement/availability-zone/") == "us-east-1a"
    assert service.get("meta-data/placement/region") == "us-east-1"
    assert service.get("meta-data/block-device-mapping/ami") == "/dev/sda1"
    document = json.loads(service.get("dynamic/instance-identity/document"))
    assert (document["instanceId"], document["region"]) == (service.instance_id, "us-east-1")
    assert document["accountId"] == "123456789012"


def test_folders_are_listed(service: Service) -> None:
    assert service.get("").split() == ["dynamic/", "meta-data/", "user-data"]
    assert service.get("meta-data/placement/").split() == ["availability-zone", "region"]
    assert service.get("meta-data/iam/security-credentials/") == "awsac-agent"
    assert "iam/" in service.get("meta-data/").split()


def test_what_is_not_set_is_not_found(any_account: Account, service: Service) -> None:
    assert service.ask("latest/meta-data/spot/instance-action")[0] == 404
    assert service.ask("latest/meta-data/instance-id/more")[0] == 404
    assert service.ask("latest/meta-data/", method="POST")[0] == 405
    bare = any_account.launch(SCRIPT)
    other = service_of(any_account, bare)
    assert other.ask("latest/meta-data/iam/security-credentials/")[0] == 404
    any_account.terminate(bare)
    with pytest.raises(urllib.error.URLError):
        other.ask("latest/")


def test_an_instance_without_user_data_is_told_so(any_account: Account) -> None:
    answer = any_account.ec2.run_instances(ImageId=IMAGE, InstanceType="m5.large", MinCount=1, MaxCount=1)
    instance_id = answer["Instances"][0]["InstanceId"]
    any_account.printed(instance_id, "no user data")
    any_account.terminate(instance_id)


def test_version_2_wants_a_good_token(service: Service) -> None:
    status, token = service.ask("latest/api/token", method="PUT", **{TTL: "60"})
    assert status == 200
    path = "latest/meta-data/instance-id"
    assert service.ask(path, **{TOKEN: token}) == (200, service.instance_id)
    assert service.ask(path, **{TOKEN: token + "x"})[0] == 401
    assert service.ask(path) == (200, service.instance_id)


@pytest.mark.parametrize("seconds", ["0", "21601", "soon", ""])
def test_a_token_lasts_from_one_second_to_six_hours(service: Service, seconds: str) -> None:
    assert service.ask("latest/api/token", method="PUT", **{TTL: seconds})[0] == 400


def test_a_token_ends() -> None:
    now = 1000.0
    tokens = Tokens(clock=lambda: now)
    token = tokens.issue(60)
    now += 59.9
    assert tokens.good(token)
    now += 0.2
    assert not tokens.good(token)


def test_version_1_is_refused_where_tokens_are_required(any_account: Account) -> None:
    instance_id = any_account.launch(SCRIPT, MetadataOptions={"HttpTokens": "required"})
    service = service_of(any_account, instance_id)
    assert service.ask("latest/meta-data/instance-id")[0] == 401
    _, token = service.ask("latest/api/token", method="PUT", **{TTL: "60"})
    assert service.ask("latest/meta-data/instance-id", **{TOKEN: token}) == (200, instance_id)
    any_account.terminate(instance_id)


def test_the_credentials_of_the_role_are_good_for_the_services(any_account: Account, service: Service) -> None:
    given = json.loads(service.get("meta-data/iam/security-credentials/awsac-agent"))
    keys = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["Token"],
    }
    s3 = any_account.client("s3", **keys)
    s3.put_object(Bucket="awsac-sessions", Key="from-the-role", Body=b"hello")
    assert s3.get_object(Bucket="awsac-sessions", Key="from-the-role")["Body"].read() == b"hello"
    s3.delete_object(Bucket="awsac-sessions", Key="from-the-role")
    arn = any_account.client("sts", **keys).get_caller_identity()["Arn"]
    assert arn == f"arn:aws:sts::123456789012:assumed-role/awsac-agent/{service.instance_id}"
    assert json.loads(service.get("meta-data/iam/info"))["InstanceProfileArn"].endswith("instance-profile/awsac-agent")


def test_pages_other_names_and_proxies_are_refused(service: Service) -> None:
    paths = [("latest/meta-data/instance-id", "GET"), ("latest/user-data", "GET"), ("latest/api/token", "PUT")]
    pages = [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}]
    for path, method in paths:
        for headers in pages:
            assert service.ask(path, method=method, **{TTL: "60"}, **headers)[0] == 403
    assert service.ask("latest/api/token", method="PUT", **{TTL: "60", "X-Forwarded-For": "192.0.2.1"})[0] == 403


def test_the_credentials_of_an_instance_end_with_it(any_account: Account) -> None:
    instance_id = any_account.launch(SCRIPT, IamInstanceProfile={"Name": "awsac-agent"})
    place = "meta-data/iam/security-credentials/awsac-agent"
    given = json.loads(service_of(any_account, instance_id).get(place))
    keys = {"aws_access_key_id": given["AccessKeyId"], "aws_secret_access_key": given["SecretAccessKey"]}
    sts = any_account.client("sts", **keys, aws_session_token=given["Token"])
    assert sts.get_caller_identity()["Arn"].endswith(instance_id)
    any_account.terminate(instance_id)
    assert error_code(sts.get_caller_identity) == "ExpiredToken"


def test_a_spot_instance_is_told_of_its_end_and_then_taken_away(tmp_path: Path) -> None:
    with embedded_cloud(
        tmp_path / "cloud", Settings(boot=BOOT, isolation=Isolation.PLAIN, spot_warning=2.0, instance_delay=0.1)
    ) as running:
        account = Account(cloud=running, isolation="")
        instance_id = account.launch(SCRIPT, InstanceMarketOptions={"MarketType": "spot"})
        service = service_of(account, instance_id)
        assert service.get("meta-data/instance-life-cycle") == "spot"
        assert service.ask("latest/meta-data/spot/instance-action")[0] == 404
        before = datetime.now(UTC)
        account.suffers(instance_id, "spot-notice")
        notice = json.loads(service.get("meta-data/spot/instance-action"))
        assert notice["action"] == "terminate"
        assert before <= datetime.strptime(notice["time"] + "+0000", "%Y-%m-%dT%H:%M:%SZ%z")
        gone = account.reached(instance_id, "terminated")
        assert gone["StateReason"]["Code"] == "Server.SpotInstanceTermination"


def test_only_a_spot_instance_gets_a_spot_notice(any_account: Account, service: Service) -> None:
    with pytest.raises(cloud.LocalCloudError, match="not a spot instance"):
        any_account.suffers(service.instance_id, "spot-notice")
    assert service.ask("latest/meta-data/spot/instance-action")[0] == 404
