"""The status of a session in SimpleDB: written, replaced, read page by page, and removed."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.status import status_store
from awsac_async.session.errors import NotFoundError, ThrottledError
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.names import PARTS, X_ATTEMPT
from awsac_async.session.timings import timing_attributes
from tests.cloud.faults import query_error

SESSION = "261122_1646--store--{}"


@pytest_asyncio.fixture(loop_scope="session")
async def store(aws: Aws, request: pytest.FixtureRequest):
    """An existing store of the test's own; its name needs quoting in a Select."""
    store = status_store(aws, SESSION.format(abs(hash(request.node.name)) % 10**6))
    await store.create()
    yield store
    await store.delete()


async def test_records_come_back_as_they_were_written_by_number(store):
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
        extra={"x_log": "more"},
    )
    tenth, second = JobRecord(number=10), JobRecord(number=2, state=JobState.RUNNING)
    await store.write([tenth, first, second])
    assert await store.read() == [first, second, tenth]


async def test_what_is_written_again_replaces_what_was_there(store):
    await store.write([JobRecord(number=1), JobRecord(number=2)])
    await store.write([JobRecord(number=1, state=JobState.RUNNING, instance_id="i-1")])
    assert await store.read() == [JobRecord(number=1, state=JobState.RUNNING, instance_id="i-1"), JobRecord(number=2)]


async def test_a_session_larger_than_a_page_is_read_whole(proxied, proxy):
    records = [JobRecord(number=number) for number in range(1, 2603)]
    store = status_store(proxied, "261122_1646--many--0001")
    await store.create()
    await store.write(records)
    assert await store.read() == records
    assert proxy.count("BatchPutAttributes") == 105
    assert proxy.count("Select") == 2
    await store.delete()


async def test_without_timings_a_session_takes_fewer_requests_and_lacks_nothing_else(proxied, proxy):
    path = "/mnt/awsac/" + "x" * 300  # so that some hundred items fill a page, as thousands of real ones do
    timings = timing_attributes(dict.fromkeys(PARTS, 1234.567), attempt=2)
    records = [JobRecord(number=number, script=path, extra=timings) for number in range(1, 951)]
    store = status_store(proxied, "261122_1646--many--0002")
    await store.create()
    await store.write(records)
    assert await store.read() == records
    assert proxy.count("Select") == 2
    assert await store.read(timings=False) == [replace(record, extra={X_ATTEMPT: "2"}) for record in records]
    assert proxy.count("Select") == 3
    await store.delete()


async def test_creating_a_store_that_is_there_keeps_what_it_holds(store):
    await store.write([JobRecord(number=1, script="kept")])
    await store.create()
    assert await store.read() == [JobRecord(number=1, script="kept")]


async def test_a_new_store_is_waited_for_until_it_can_be_used(proxied, proxy):
    proxy.fail(lambda asked: asked.action == "DomainMetadata", query_error(400, "NoSuchDomain"), times=2)
    store = status_store(proxied, "261122_1646--slow--0001")
    await store.create()
    assert proxy.count("DomainMetadata") == 3
    await store.delete()


async def test_deleting_is_repeatable_and_what_is_deleted_is_not_there(aws):
    store = status_store(aws, "261122_1646--gone--0001")
    await store.create()
    assert await store.exists()
    await store.delete()
    await store.delete()
    assert not await store.exists()
    with pytest.raises(NotFoundError, match="Select 261122_1646--gone--0001 failed"):
        await store.read()


async def test_throttling_by_simpledb_is_temporary(proxied, proxy):
    proxy.fail(lambda asked: asked.action == "BatchPutAttributes", query_error(503, "ServiceUnavailable"))
    with pytest.raises(ThrottledError) as raised:
        await status_store(proxied, "s").write([JobRecord(number=1)])
    assert raised.value.temporary
