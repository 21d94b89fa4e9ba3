"""Input data of a session on an instance; that jobs find them is proven by whole sessions."""

import asyncio
from pathlib import Path

import pytest

from awsac_async.agent.data import DataError, fetch_data
from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from tests.agent.account import BUCKET, Session
from tests.conftest import Embedded


async def test_a_file_that_cannot_be_written_is_the_reason_that_its_jobs_report(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    await asyncio.to_thread(session.account.put, f"awsac/{session.id}/data/one.txt", b"one\n")
    (tmp_path / "one.txt").mkdir()
    async with connect(endpoint_url=embedded.endpoint) as aws:
        with pytest.raises(DataError, match=r"^input data: cannot write .*one\.txt: Is a directory"):
            await fetch_data(Bucket(aws, BUCKET), session_id=session.id, count=1, directory=tmp_path)
