"""Which command leads to the instance of a job."""

from dataclasses import replace
from pathlib import Path

import pytest

from awsac_async import client
from awsac_async.session.errors import InputError
from awsac_async.session.record import read_record, write_record
from tests.cli.conftest import Account
from tests.cli.test_interrupts import session_file


async def test_the_way_is_ssh_with_a_key_pair_else_session_manager_else_there_is_none(
    account: Account, tmp_path: Path
) -> None:
    file = session_file(tmp_path)
    record = read_record(file)
    tags = [{"Key": "awsac:session", "Value": record.session_id}]
    account.sdb.create_domain(DomainName=record.session_id)
    attributes = [{"Name": "status", "Value": "running"}, {"Name": "launchindex", "Value": "0"}]
    account.sdb.put_attributes(DomainName=record.session_id, ItemName="job1", Attributes=attributes)
    (started,) = account.ec2.run_instances(
        ImageId=record.ami_id,
        InstanceType=record.instance_type,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )["Instances"]
    instance = started["InstanceId"]
    try:
        account.ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1})
        described = account.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        with pytest.raises(InputError, match=r"has no instance_profile and key_name; name a key pair by key_name"):
            await client.way_in(file, 1)
        write_record(tmp_path, replace(record, instance_profile="awsac-agent"))
        manager = await client.way_in(file, 1, command=["ls", "$HOME"])
        write_record(tmp_path, replace(record, instance_profile="awsac-agent", key_name="mine"))
        key = await client.way_in(file, 1, user="ubuntu", command=["ls", "$HOME"])
        with pytest.raises(InputError, match="there is no job 7"):
            await client.way_in(file, 7)
    finally:
        account.ec2.terminate_instances(InstanceIds=[instance])

    host = described["PublicDnsName"] or described["PrivateDnsName"]
    assert key.command == ("ssh", "-i", "mine.pem", f"ubuntu@{host}", "ls $HOME")
    assert manager.command[:5] == ("aws", "ssm", "start-session", "--target", instance)
    assert manager.command[-1] == '{"command": ["ls $HOME"]}'
