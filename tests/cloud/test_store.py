"""Bulk transfer goes to the endpoint that the SDK itself would use."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from awsac_async.cloud import store
from awsac_async.cloud.aws import connect
from awsac_async.cloud.transfer import PATIENCE_DOWN
from awsac_async.session.errors import InputError
from awsac_async.session.model import Access

_PLAIN = {
    "AWS_ACCESS_KEY_ID": "AKIDTEST",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in _PLAIN.items():
        monkeypatch.setenv(name, value)


async def endpoints(region: str, access: Access | None = None) -> tuple[str, str]:
    """Return the host that a bucket's store asks, and the one that the SDK's client asks."""
    async with connect(region=region, access=access) as aws:
        made = await store.make_store(aws, "bucket", retries=0, patience=PATIENCE_DOWN)
        client = await aws.client("s3")
        return made.config["endpoint"], client.meta.endpoint_url


@pytest.mark.parametrize("region", ["eu-central-1", "ap-southeast-2", "us-gov-west-1", "cn-north-1"])
async def test_a_region_has_the_endpoint_that_the_sdk_knows(region: str) -> None:
    ours, sdks = await endpoints(region)
    host = urlsplit(sdks).netloc
    assert ours == f"https://bucket.{host}"


async def test_the_first_region_is_asked_by_its_own_name_though_the_sdk_uses_the_old_one() -> None:
    assert await endpoints("us-east-1") == (
        "https://bucket.s3.us-east-1.amazonaws.com",
        "https://s3.amazonaws.com",
    )


@pytest.mark.parametrize("setting", ["AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT"])
async def test_other_endpoints_of_aws_are_used_where_they_are_asked_for(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting, "true")
    ours, sdks = await endpoints("us-west-2")
    assert ours == sdks.replace("https://", "https://bucket.")
    assert sdks != "https://s3.us-west-2.amazonaws.com"


async def test_what_an_endpoint_in_the_configuration_file_says_is_heeded(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://127.0.0.1:9\n")
    assert await endpoints("eu-central-1") == ("http://127.0.0.1:9", "http://127.0.0.1:9")
    (tmp_path / "config").write_text("[default]\ns3 =\n    use_dualstack_endpoint = true\n")
    assert (await endpoints("eu-central-1"))[0] == "https://bucket.s3.dualstack.eu-central-1.amazonaws.com"


async def test_an_endpoint_that_is_no_address_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "storage")
    with pytest.raises(InputError, match="endpoint cannot be used"):
        await endpoints("eu-central-1")


async def test_a_session_says_where_s3_is_and_where_its_requests_name_the_bucket() -> None:
    elsewhere = Access(endpoint_url="http://127.0.0.1:9", endpoint_url_s3="http://s3.example.org:9")
    assert await endpoints("eu-central-1", elsewhere) == ("http://s3.example.org:9", "http://s3.example.org:9")
    virtual = replace(elsewhere, s3_addressing_style="virtual")
    assert await endpoints("eu-central-1", virtual) == ("http://bucket.s3.example.org:9", "http://s3.example.org:9")
    path = Access(s3_addressing_style="path")
    assert (await endpoints("eu-central-1", path))[0] == "https://s3.eu-central-1.amazonaws.com"
