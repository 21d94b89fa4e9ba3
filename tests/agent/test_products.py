"""A session that is for a release: its job fills an empty volume, of which a snapshot is made, or packs one."""

from collections.abc import Iterator
from typing import Any

import pytest

from awsac_async.local import cloud
from tests.agent.account import BUCKET, Account, Session, session_of
from tests.agent.test_survival import Victim
from tests.conftest import Embedded
from tests.waiting import wait_until

BUILD = ";build_name=tools-1.0;build_size=1"
INSTALL = """
ls -A "$ATLASDir" | grep -v lost+found
mkdir "$ATLASDir/bin" && echo 'echo the tool runs' >"$ATLASDir/bin/tool"
ln "$ATLASDir/bin/tool" "$ATLASDir/same" && ln -s bin/tool "$ATLASDir/link"
"""
# So long that the agent dies in the middle; the question before it is one such call as well.
SLOW = """
[[fault]]
service = "ec2"
operation = "CreateSnapshot"
kind = "delay"
seconds = 1.5
"""


def snapshots(account: Account, session: Session) -> list[Any]:
    """The snapshots that a session has made."""
    tag = {"Name": "tag:awsac:session", "Values": [session.id]}
    return list(account.ec2.describe_snapshots(OwnerIds=["self"], Filters=[tag])["Snapshots"])


@pytest.fixture(scope="module")
def built(embedded: Embedded, account: Account) -> Iterator[Session]:
    """A session that has built a release, though its agent was killed when the job had ended."""
    with session_of(account) as session:
        session.upload_archive({"jobs.cfg": "-;install.sh;1\n", "install.sh": INSTALL})
        cloud.set_faults(embedded.directory, SLOW)
        session.start(cores=1, more=BUILD)
        victim = Victim(embedded=embedded, session=session, moments=["new: unmount: done"])
        wait_until(victim.over)
        cloud.set_faults(embedded.directory, "")
        assert victim.deaths == 1
        yield session
        for each in snapshots(account, session):
            account.ec2.delete_snapshot(SnapshotId=each["SnapshotId"])


def test_a_release_is_built_on_an_empty_volume_and_becomes_a_snapshot_with_its_name(
    account: Account, built: Session
) -> None:
    job = built.items()["job1"]
    (snapshot,) = snapshots(account, built)
    tags = {tag["Key"]: tag["Value"] for tag in snapshot["Tags"]}

    assert (job.status, job.returncode, job.x_snapshot) == ("finished", "0", snapshot["SnapshotId"])
    assert built.output(1) == ""
    assert (snapshot["VolumeSize"], tags["awsac:release"], tags["Name"]) == (1, "tools-1.0", "tools-1.0")
    assert built.volumes() == []


def test_a_session_packs_the_release_that_a_snapshot_is_and_another_one_uses_the_archive(
    account: Account, built: Session
) -> None:
    (snapshot,) = snapshots(account, built)
    wait_until(lambda: snapshots(account, built)[0]["State"] == "completed")
    address = f"s3://{BUCKET}/releases/tools.tar.zst"
    use = 'sh "$ATLASDir/link" && [ "$ATLASDir/bin/tool" -ef "$ATLASDir/same" ] && echo same\n'
    with session_of(account) as packing, session_of(account) as using:
        packing.upload_archive({"jobs.cfg": f"{snapshot['SnapshotId']};use.sh;1\n", "use.sh": use})
        packing.run(cores=1, more=f";pack_to={address}")
        using.upload_archive({"jobs.cfg": f"{address};use.sh;1\n", "use.sh": use})
        using.run(cores=1)

        assert packing.items()["job1"].x_archive == address
        assert packing.output(1) == using.output(1) == "the tool runs\nsame\n"
        assert packing.volumes() == []
    account.s3.delete_object(Bucket=BUCKET, Key="releases/tools.tar.zst")
