"""Clients that ask at the same time all get their word in."""

import asyncio
import uuid
from functools import partial

from awsac_async.client.control import amend_control
from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.session.control import Control, parse_control
from awsac_async.session.names import control_key
from tests.cli.conftest import BUCKET


async def test_what_several_clients_ask_at_once_is_all_asked() -> None:
    session_id = f"test--{uuid.uuid4().hex}"
    async with connect() as aws, asyncio.timeout(60):
        bucket = Bucket(aws, BUCKET)
        asking = [partial(Control.killing, jobs=[number]) for number in range(1, 6)]
        await asyncio.gather(*(amend_control(bucket, session_id, each) for each in (*asking, Control.stopping)))
        asked = parse_control(await bucket.read(control_key(session_id)), file="control.json")
        await bucket.delete([control_key(session_id)])

    assert asked == Control(kill=frozenset({1, 2, 3, 4, 5}), stop=True)
