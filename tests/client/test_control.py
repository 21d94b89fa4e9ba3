"""A client that asks while another one does loses nothing of what either has asked."""

import uuid

from awsac_async.client.control import amend_control
from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.session.control import Control, format_control, parse_control
from awsac_async.session.names import control_key
from tests.cli.conftest import BUCKET, Account


async def test_what_another_client_asked_meanwhile_is_kept(account: Account) -> None:
    key = control_key(session_id := f"test--{uuid.uuid4().hex}")
    read: list[Control] = []

    def kill_behind_another_client(control: Control) -> Control:
        """Ask for the end of job 1, after another client has asked for more, the first two times."""
        read.append(control)
        if len(read) <= 2:
            others = format_control(control.killing([len(read) + 1]))
            account.s3.put_object(Bucket=BUCKET, Key=key, Body=others)
        return control.killing([1])

    async with connect() as aws:
        bucket = Bucket(aws, BUCKET)
        asked = await amend_control(bucket, session_id, kill_behind_another_client)
        content, _ = await bucket.read(key)
        await bucket.delete([key])

    # The first found no document, the second another one than it had read.
    assert [control.kill for control in read] == [set(), {2}, {2, 3}]
    assert asked == parse_control(content, file="control.json") == Control(kill=frozenset({1, 2, 3}))
