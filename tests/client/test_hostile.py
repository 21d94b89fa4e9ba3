"""What strangers may write beside a session: damage is named with its key, and all the rest is shown."""

import json
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from awsac_async import client
from awsac_async.client import LogSource
from awsac_async.client.control import amend_control
from awsac_async.client.launches import count_instances, read_launches
from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.status import store_of
from awsac_async.session.control import Control
from awsac_async.session.errors import CloudError
from awsac_async.session.launches import LaunchDocument, LaunchedJob, format_launch
from awsac_async.session.model import JobRecord, JobState, SessionRecord, StatusKind
from awsac_async.session.names import (
    agent_status_key,
    client_status_key,
    control_key,
    job_log_prefix,
    launch_key,
    launches_prefix,
    log_chunk_key,
    output_key,
    status_prefix,
)
from awsac_async.session.record import read_record, write_record
from awsac_async.session.statusdocs import StatusWriter
from awsac_async.session.times import format_time, now
from tests.cli.conftest import BUCKET, Account
from tests.cli.test_interrupts import session_file
from tests.client.test_logs import packed_output, put_chunks


@pytest.fixture
def record(tmp_path: Path) -> SessionRecord:
    """Give a session of three jobs that keeps its status in S3; its file is the only one in the folder."""
    found = replace(read_record(session_file(tmp_path)), n_jobs=3, n_instances=2, status_store=StatusKind.S3)
    write_record(tmp_path, found)
    return found


@pytest.fixture
def file(record: SessionRecord, tmp_path: Path) -> Path:
    return tmp_path / f"session-{record.session_id}.cfg"


def put(account: Account, key: str, content: object) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    account.s3.put_object(Bucket=BUCKET, Key=key, Body=body)


def launch(number: int, **values: object) -> LaunchDocument:
    jobs = (LaunchedJob(number=1, attempt=2),)
    right = LaunchDocument(
        launch=number,
        first_launch_index=number,
        n_instances=1,
        cores_per_instance=1,
        client_token="t",
        reservation_id="r-1",
        started=format_time(now()),
        jobs=jobs,
    )
    return replace(right, **values)  # type: ignore[arg-type]  # members of the document


async def test_only_jobs_and_launches_of_the_session_count_and_the_rest_is_named(
    record: SessionRecord, file: Path, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = record.session_id
    running = {"status": "running", "instance_id": "i-1"}
    lies = {"status": "failed", "reason": "\x1b]0;owned\x07", "returncode": "1e9", "x_attempt": "9" * 5000}
    async with connect() as aws:
        ended = [JobRecord(number=number, state=JobState.FINISHED, return_code=0) for number in (1, 2)]
        await store_of(aws, record).write(ended, by=StatusWriter(launch_index=0))
    put(
        account, agent_status_key(session_id, 1), {"launch": 1, "items": {"job3": running, "job4": lies, "job99": lies}}
    )
    put(account, agent_status_key(session_id, 2), b'{"items": {' + b'"job1": {}, ' * 6_000_000 + b'"job2": {}}}')
    put(account, agent_status_key(session_id, 3), b"[" * 50_000)
    put(account, agent_status_key(session_id, 4), {"launch": 5, "items": {"job1": lies}})
    put(account, client_status_key(session_id, 7), {"launch": 7, "items": {"job1": lies}})
    put(account, status_prefix(session_id) + "0001.json", {"launch": 9, "items": {"job1": lies}})
    began = time.monotonic()

    status = await client.check(file)

    assert time.monotonic() - began < 20
    assert [(job.number, job.state.value) for job in status.jobs] == [
        (1, "finished"),
        (2, "finished"),
        (3, "running"),
    ]
    place = f"s3://{BUCKET}/{status_prefix(session_id)}"
    assert sorted(each.getMessage() for each in caplog.records if each.levelno == logging.WARNING) == [
        f"{place}1.json has 2 jobs that this session does not have",
        f"{place}2.json: found 72.0 MB, expected a status of this session's jobs",
        f"{place}3.json: found '{'[' * 77}...', expected a JSON object",
        f"{place}4.json is of launch 5, which this session does not have",
        f"{place}launch-7.json is of launch 7, which this session does not have",
    ]


async def test_a_damaged_launch_document_costs_its_number_and_nothing_else(
    record: SessionRecord, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = record.session_id
    put(account, launch_key(session_id, 2), format_launch(launch(2)))
    damaged = {
        3: b"{}",
        4: b"x" * (9 << 20),
        5: format_launch(launch(5, first_launch_index=10**9)),
        6: format_launch(launch(6, jobs=(LaunchedJob(number=4, attempt=1),))),
        7: format_launch(launch(8)),
        8: json.dumps(asdict(launch(8)) | {"version": 1, "n_instances": 10**400}).encode(),
    }
    for number, content in damaged.items():
        put(account, launch_key(session_id, number), content)
    put(account, launch_key(session_id, 10), format_launch(launch(10, first_launch_index=10**9)))
    put(account, launches_prefix(session_id) + "99999999999999999999.json", b"{}")
    async with connect() as aws:
        launches = await read_launches(Bucket(aws, BUCKET), record)
        instances = await count_instances(Bucket(aws, BUCKET), record)

    assert launches.documents == [launch(2, started=launches.documents[0].started)]
    assert launches.last is None
    assert (launches.next_number, launches.next_launch_index) == (9, 3 + 6 * 3)
    assert instances == 3
    place = f"s3://{BUCKET}/{launches_prefix(session_id)}"
    for number, record_ in zip(damaged, caplog.records, strict=True):
        assert record_.getMessage().startswith(f"{place}{number}.json")


async def test_a_damaged_control_document_is_replaced_by_what_is_asked(
    record: SessionRecord, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    for content in (b"\xff", b'{"x":' + b"[" * 900 + b"]" * 900 + b"}", {"follow": 10**400}, {"kill": ["a", -1]}):
        put(account, control_key(record.session_id), content)
        async with connect() as aws:
            asked = await amend_control(Bucket(aws, BUCKET), record.session_id, lambda control: control.killing([2]))
            again = await amend_control(Bucket(aws, BUCKET), record.session_id, Control.following)
        assert asked == Control(kill=frozenset({2}))
        assert again.kill == frozenset({2})
        assert control_key(record.session_id) in caplog.records[-1].getMessage()


async def test_logs_show_what_can_be_read_and_name_the_packed_file_that_cannot(
    record: SessionRecord, file: Path, account: Account
) -> None:
    session_id = record.session_id
    prefix = job_log_prefix(session_id, 1)
    whole = put_chunks(account, prefix, b"first\n", b"second\n")
    for name in ("notanumber", "99999999999999999999", "12", "x/00000000000000000013", 20 * "\u0660"):
        put(account, prefix + name, b"a stranger's\n")
    put(account, log_chunk_key(prefix, 10**9), b"far away\n")
    cut = packed_output(2, b"".join(b"line %d\n" % number for number in range(300_000)))
    put(account, output_key(session_id, 2), cut[: len(cut) // 2])
    put(account, output_key(session_id, 3), b"no archive")
    found: dict[LogSource, bytes] = {}

    async def read() -> None:
        async for piece in client.logs(file):
            found[piece.source] = found.get(piece.source, b"") + piece.data

    with pytest.raises(CloudError) as caught:
        await read()

    assert found[LogSource(job=1)] == whole
    assert found[LogSource(job=2)].startswith(b"line 0\nline 1\n")
    assert LogSource(job=3) not in found
    assert f"s3://{BUCKET}/{output_key(session_id, 2)} failed: the archive is cut off" in str(caught.value)
    assert caught.value.exit_code == 3
