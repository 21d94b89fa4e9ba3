"""Builds that come to no good end by themselves are ended, and leave nothing."""

import pytest

from awsac_async import client
from awsac_async.client import BuilderStarted, BuildEvent, BuildOrder
from awsac_async.session.errors import CloudError
from tests.cli.conftest import BUCKET, Account


@pytest.mark.parametrize(
    ("base", "why"),
    [
        pytest.param("ami-0a35ac00000000001", "it has not come to its end within", id="that never stops"),
        pytest.param("ami-0a35ac00000000002", "its console does not say that all was done", id="whose time is over"),
    ],
)
async def test_a_builder_is_terminated(account: Account, monkeypatch: pytest.MonkeyPatch, base: str, why: str) -> None:
    # What EC2 needs minutes for takes a second here.
    monkeypatch.setattr("awsac_async.client.image._AFTER_DEADLINE", 4.0)
    monkeypatch.setattr("awsac_async.client.image._CONSOLE_WITHIN", 1.0)
    told: list[BuildEvent] = []
    order = BuildOrder(base=base, name=f"from {base}", bucket=BUCKET, instance_profile="awsac-agent", hours=1 / 3600)
    with pytest.raises(CloudError, match=why):
        await client.build_image(order, on_event=told.append)

    (started,) = (event for event in told if isinstance(event, BuilderStarted))
    found = account.ec2.describe_instances(InstanceIds=[started.instance_id])
    instance = found["Reservations"][0]["Instances"][0]
    assert instance["State"]["Name"] in {"shutting-down", "terminated"}
    assert account.keys("awsac-images/") == []
    assert not await client.list_images()
