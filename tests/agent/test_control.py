"""What clients ask reaches an agent in whatever order, and no bad document or failing S3 keeps it from the next one."""

import asyncio
import logging
import uuid

import pytest

from awsac_async.agent import control
from awsac_async.agent.control import watch_control
from awsac_async.client.control import amend_control
from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.session.control import Control
from awsac_async.session.names import control_key
from tests.agent.account import BUCKET
from tests.cloud.faults import error, proxy_to
from tests.conftest import Embedded
from tests.waiting import until


async def test_an_agent_hears_what_is_asked_through_failures_and_nonsense(
    embedded: Embedded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(control, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(control, "_LONGEST_PAUSE", 0.05)
    session_id, heard = f"test--{uuid.uuid4().hex}", list[Control]()
    with proxy_to(embedded.endpoint) as proxy:
        async with connect(endpoint_url=embedded.endpoint) as aws, connect(endpoint_url=proxy.endpoint) as faulty:
            bucket = Bucket(aws, BUCKET)
            watching = asyncio.create_task(watch_control(Bucket(faulty, BUCKET), session_id, heard.append))
            await until(lambda: len(proxy.asked) >= 3)  # there is no document yet

            await amend_control(bucket, session_id, lambda asked: asked.killing([2]))
            await until(lambda: len(heard) == 1)
            proxy.fail(lambda _: True, error(500, "InternalError"), times=3)
            await amend_control(bucket, session_id, Control.following)
            await until(lambda: len(heard) == 2)
            _, etag = await bucket.read(control_key(session_id))
            etag = await bucket.write(control_key(session_id), b"nonsense", etag=etag)
            looks = len(proxy.asked)
            await until(lambda: len(proxy.asked) >= looks + 3)
            await bucket.write(control_key(session_id), b'{"kill": [2, 3], "stop": true}', etag=etag)
            await until(lambda: len(heard) == 3)
            watching.cancel()
            await asyncio.wait({watching})
            await bucket.delete([control_key(session_id)])

    assert heard == [
        Control(kill=frozenset({2})),
        Control(kill=frozenset({2}), follow=1),
        Control(kill=frozenset({2, 3}), stop=True),
    ]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.partition(",")[0].partition(":")[0] for text in warnings] == ["control document"] * 2
    assert "InternalError" in warnings[0]
    assert "'nonsense'" in warnings[1]
