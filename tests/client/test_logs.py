"""Logs read from the bucket: every byte once and in order, the last lines, and what agents of 2008 left instead."""

import asyncio
import io
import random
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from awsac_async import client
from awsac_async.agent import logs as agent_logs
from awsac_async.client import LogSource, logchunks
from awsac_async.cloud.aws import connect
from awsac_async.cloud.status import status_store
from awsac_async.session.errors import InputError
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.names import agent_log_prefix, job_log_prefix, log_chunk_key, output_key
from awsac_async.session.record import read_record, write_record
from tests.agent.account import Account as AgentsAccount
from tests.agent.account import Session
from tests.agent.test_departure import agent_of
from tests.agent.test_jobs import prepare, run_all
from tests.cli.conftest import BUCKET, Account
from tests.cli.test_interrupts import session_file
from tests.cloud.faults import error, proxy_to
from tests.conftest import Embedded


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give the session file of two jobs on one instance, which are long over."""
    return session_file(tmp_path)


def put_chunks(account: Account, prefix: str, *chunks: bytes) -> bytes:
    offset = 0
    for chunk in chunks:
        account.s3.put_object(Bucket=BUCKET, Key=log_chunk_key(prefix, offset), Body=chunk)
        offset += len(chunk)
    return b"".join(chunks)


def packed_output(job: int, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:bz2") as tar:
        member = tarfile.TarInfo(f"stdouterr_job_{job}.log")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


async def contents(file: Path, **options: object) -> dict[LogSource, bytes]:
    found: dict[LogSource, bytes] = {}
    async for piece in client.logs(file, **options):  # type: ignore[arg-type]  # options of logs()
        found[piece.source] = found.get(piece.source, b"") + piece.data
    return found


async def test_all_that_was_sent_is_shown_whatever_the_size_of_chunks_and_parts(
    file: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logchunks, "_PART", 100)
    session_id = read_record(file).session_id
    pieces = [random.Random(seed).randbytes(seed * 37) for seed in range(1, 12)]  # noqa: S311  content, not secrets
    first = put_chunks(account, job_log_prefix(session_id, 1), *pieces)
    agent = put_chunks(account, agent_log_prefix(session_id, 0), b"started\n")
    missing: list[LogSource] = []

    found = await contents(file, jobs=[1, 2], agents=True, follow=True, on_missing=missing.append)

    assert found == {LogSource(job=1): first, LogSource(agent=0): agent}
    assert missing == [LogSource(job=2)]


@pytest.mark.parametrize("lines", [0, 1, 2, 3, 4, 100])
@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_tail_gives_the_lines_that_tail_gives(
    file: Path, account: Account, monkeypatch: pytest.MonkeyPatch, lines: int, end: bytes
) -> None:
    monkeypatch.setattr(logchunks, "_TAIL_PART", 5)
    whole = put_chunks(
        account, job_log_prefix(read_record(file).session_id, 1), b"a\nlonger l", b"ine\n", b"\nlast" + end
    )

    found = await contents(file, jobs=[1], tail=lines)

    expected = b"".join(whole.splitlines(keepends=True)[-lines:]) if lines else b""
    assert found.get(LogSource(job=1), b"") == expected


async def test_the_packed_output_serves_where_an_agent_sent_no_chunks(file: Path, account: Account) -> None:
    key = output_key(read_record(file).session_id, 2)
    account.s3.put_object(Bucket=BUCKET, Key=key, Body=packed_output(2, b"one\ntwo\n"))

    assert await contents(file, tail=1) == {LogSource(job=2): b"two\n"}


async def test_a_log_whose_last_chunks_were_refused_goes_on_from_the_packed_output_of_all_attempts(
    file: Path, embedded: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_logs, "CHUNK_BYTES", 6)
    session = Session(AgentsAccount(embedded))
    with proxy_to(embedded.endpoint) as proxy:
        proxy.fail(lambda asked: "/logs/job_3/" in asked.path and asked.path[-1] == "6", error(403, "AccessDenied"))
        async with connect(endpoint_url=proxy.endpoint) as aws:
            agent = agent_of(session, aws, tmp_path, retries="1")
            await asyncio.to_thread(prepare, agent, "printf 'one\\ntwo\\n'; echo $AWSAC_ATTEMPT; exit 4\n")
            await run_all(agent)
    record = write_record(file.parent, replace(read_record(file), session_id=session.id, n_jobs=3))

    lines = b"one\ntwo\n1\none\ntwo\n2\n".splitlines(keepends=True)
    assert session.chunks(3) == "one\ntw"
    assert await contents(record, follow=True) == {LogSource(job=3): b"".join(lines)}
    assert await contents(record, jobs=[3], tail=3) == {LogSource(job=3): b"".join(lines[-3:])}


async def test_the_packed_output_of_a_later_launch_goes_on_behind_the_chunks_of_all(
    file: Path, account: Account
) -> None:
    session_id = read_record(file).session_id
    put_chunks(account, job_log_prefix(session_id, 1), b"first\n", b"sec")
    account.s3.put_object(Bucket=BUCKET, Key=output_key(session_id, 1), Body=packed_output(1, b"second\n"))
    cut = JobRecord(number=1, state=JobState.FINISHED, return_code=0, extra={"x_log": "packed", "x_log_begin": "6"})
    async with connect() as aws:
        store = status_store(aws, session_id)
        await store.create()
        await store.write([cut])
        found = await contents(file, jobs=[1])
        await store.delete()

    assert found == {LogSource(job=1): b"first\nsecond\n"}


async def test_many_chunks_of_many_logs_are_listed_page_by_page(
    file: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logchunks, "_PAGE", 2)
    record = replace(read_record(file), n_jobs=3)
    chunks = [b"%d\n" % number for number in range(9)]
    whole = {LogSource(job=n): put_chunks(account, job_log_prefix(record.session_id, n), *chunks) for n in (1, 2, 3)}

    assert await contents(write_record(file.parent, record), follow=True) == whole


async def test_a_job_that_the_session_does_not_have_is_refused(file: Path) -> None:
    with pytest.raises(InputError, match="there is no job 3"):
        await contents(file, jobs=[1, 3])
