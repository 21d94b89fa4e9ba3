"""What every status store does, whichever it is: written, replaced, taken back, read, and removed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.status import StatusStore, status_store
from awsac_async.session.errors import ThrottledError
from awsac_async.session.model import JobRecord, JobState, StatusKind
from awsac_async.session.names import X_ATTEMPT
from awsac_async.session.statusdocs import StatusWriter
from tests.cloud.faults import Proxy, error, query_error

AGENT_0, AGENT_1 = StatusWriter(launch_index=0), StatusWriter(launch_index=1)
RETRY = StatusWriter(launch=2)


Opened = Callable[[Aws], StatusStore]


@pytest.fixture(params=StatusKind)
def opened(bucket: Bucket, request: pytest.FixtureRequest) -> Opened:
    """Return what opens the store of a session of the test's own, whose ID needs quoting in a Select."""
    session_id = f"261122_1646--store--{abs(hash(request.node.name)) % 10**6}"
    return lambda aws: status_store(aws, session_id, kind=request.param, bucket=bucket.name)


@pytest_asyncio.fixture(loop_scope="session")
async def store(aws: Aws, opened: Opened):
    """That store, to which can be written."""
    store = opened(aws)
    await store.create()
    yield store
    await store.delete()


async def test_records_come_back_as_they_were_written_by_number(store: StatusStore) -> None:
    first = JobRecord(
        number=1,
        state=JobState.SAVEFAILED,
        script="/mnt/awsac/a.sh",
        instance_id="i-1",
        launch_index=0,
        run_start=datetime(2026, 11, 22, 16, 0, tzinfo=UTC),
        run_end=datetime(2026, 11, 22, 16, 1, tzinfo=UTC),
        return_code=3,
        reason="it's `quoted` and ünusual",
        extra={"x_log": "more", "x_seconds_run": "60.125"},
    )
    tenth, second = JobRecord(number=10), JobRecord(number=2, state=JobState.RUNNING)
    await store.write([tenth, first, second])
    assert await store.read() == [first, second, tenth]


async def test_what_is_written_again_replaces_what_was_there_and_leaves_the_rest(store: StatusStore) -> None:
    await store.write([JobRecord(number=1), JobRecord(number=2)])
    await store.write([JobRecord(number=1, state=JobState.RUNNING, instance_id="i-1")])
    assert await store.read() == [JobRecord(number=1, state=JobState.RUNNING, instance_id="i-1"), JobRecord(number=2)]


async def test_a_writer_goes_on_where_another_program_of_the_same_name_has_ended(
    store: StatusStore, aws: Aws, opened: Opened
) -> None:
    await store.write([JobRecord(number=1), JobRecord(number=2)])
    second = opened(aws)
    there = {each.number for each in await second.read()}
    await second.write([JobRecord(number=number) for number in (1, 2, 3) if number not in there])
    assert [each.number for each in await store.read()] == [1, 2, 3]


async def test_agents_and_clients_write_side_by_side_and_the_agents_count(store: StatusStore) -> None:
    await store.write([JobRecord(number=number) for number in (1, 2, 3)])
    running = [JobRecord(number=n, state=JobState.RUNNING, launch_index=n - 1) for n in (1, 2)]
    await store.write([running[1]], by=AGENT_1)
    await store.write([running[0]], by=AGENT_0)
    assert await store.read() == [*running, JobRecord(number=3)]


async def test_a_retry_that_is_taken_back_leaves_the_jobs_as_they_were(store: StatusStore) -> None:
    await store.write([JobRecord(number=1), JobRecord(number=2)])
    ended = [
        JobRecord(number=1, state=JobState.FINISHED, launch_index=0, return_code=3, extra={X_ATTEMPT: "1"}),
        JobRecord(number=2, state=JobState.FAILED, launch_index=0, reason="no release", extra={X_ATTEMPT: "1"}),
    ]
    await store.write(ended, by=AGENT_0)
    again = JobRecord(number=2, launch_index=1, extra={X_ATTEMPT: "2"})
    await store.write([again], by=RETRY)
    assert await store.read() == [ended[0], again]
    await store.take_back([ended[1]], by=RETRY)
    assert await store.read() == ended


async def test_what_was_taken_back_or_deleted_does_not_come_back_with_what_is_written_next(store: StatusStore) -> None:
    before = [JobRecord(number=number, extra={X_ATTEMPT: "1"}) for number in (1, 2)]
    again = [replace(job, launch_index=1, extra={X_ATTEMPT: "2"}) for job in before]
    await store.write(before)
    await store.write(again, by=RETRY)
    await store.read()
    await store.take_back(before, by=RETRY)
    await store.write([again[1]], by=RETRY)
    assert await store.read() == [before[0], again[1]]
    await store.delete()
    await store.create()
    await store.write([before[1]])
    assert await store.read() == [before[1]]


async def test_a_large_session_is_read_whole(store: StatusStore) -> None:
    records = [JobRecord(number=number, script="/mnt/awsac/a.sh") for number in range(1, 2603)]
    await store.write(records)
    assert await store.read() == records


async def test_creating_a_store_that_is_there_keeps_what_it_holds(store: StatusStore) -> None:
    await store.write([JobRecord(number=1, script="kept")])
    await store.create()
    assert await store.read() == [JobRecord(number=1, script="kept")]


async def test_deleting_is_repeatable_and_what_is_deleted_is_not_there(store: StatusStore) -> None:
    await store.write([JobRecord(number=1)])
    assert await store.exists()
    await store.delete()
    await store.delete()
    assert not await store.exists()


async def test_throttling_is_temporary(proxied: Aws, proxy: Proxy, opened: Opened) -> None:
    proxy.fail(lambda asked: asked.action == "BatchPutAttributes", query_error(503, "ServiceUnavailable"))
    proxy.fail(lambda asked: asked.method == "PUT", error(503, "SlowDown"))
    with pytest.raises(ThrottledError) as raised:
        await opened(proxied).write([JobRecord(number=1)])
    assert raised.value.temporary


async def test_what_was_not_written_is_written_by_another_try(
    store: StatusStore, proxied: Aws, proxy: Proxy, opened: Opened
) -> None:
    record = replace(JobRecord(number=1), state=JobState.RUNNING)
    proxy.fail(lambda asked: asked.method in {"PUT", "POST"}, error(503, "SlowDown"), times=2)
    written = opened(proxied)
    with pytest.raises(ThrottledError):
        await written.write([record], by=AGENT_0)
    await written.write([record], by=AGENT_0)
    assert await store.read() == [record]
