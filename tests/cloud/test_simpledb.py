"""What is SimpleDB's own of the status kept there; what every store does is in ``test_status``."""

from dataclasses import replace

import pytest

from awsac_async.cloud.domains import domain_names
from awsac_async.cloud.status import status_store
from awsac_async.session.errors import DeniedError, NotFoundError
from awsac_async.session.model import JobRecord
from awsac_async.session.names import PARTS, X_ATTEMPT
from awsac_async.session.timings import timing_attributes
from tests.cloud.faults import query_error


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


async def test_a_new_store_is_waited_for_until_it_can_be_used(proxied, proxy):
    proxy.fail(lambda asked: asked.action == "DomainMetadata", query_error(400, "NoSuchDomain"), times=2)
    store = status_store(proxied, "261122_1646--slow--0001")
    await store.create()
    assert proxy.count("DomainMetadata") == 3
    await store.delete()


async def test_reading_a_domain_that_is_not_there_names_it(aws):
    store = status_store(aws, "261122_1646--gone--0001")
    with pytest.raises(NotFoundError, match="Select 261122_1646--gone--0001 failed"):
        await store.read()


@pytest.mark.parametrize("code", ["OptInRequired", "SubscriptionCheckFailed"])
async def test_an_account_to_which_simpledb_is_closed_has_no_domain(proxied, proxy, code):
    proxy.fail(lambda asked: bool(asked.action), query_error(403, code))
    assert await domain_names(proxied) == []
    assert not await status_store(proxied, "261122_1646--shut--0001").exists()


async def test_an_account_that_may_not_look_may_have_domains_all_the_same(proxied, proxy):
    proxy.fail(lambda asked: bool(asked.action), query_error(403, "AccessDenied"))
    with pytest.raises(DeniedError):
        await domain_names(proxied)
    with pytest.raises(DeniedError):
        await status_store(proxied, "261122_1646--shut--0001").exists()


async def test_items_of_jobs_that_the_session_does_not_have_do_not_count_and_are_told_once(proxied, caplog):
    session_id = "261122_1646--more--0001"
    await status_store(proxied, session_id).create()
    await status_store(proxied, session_id).write([JobRecord(number=number) for number in range(1, 301)])
    store = status_store(proxied, session_id, n_jobs=3)
    for _ in range(2):
        assert [record.number for record in await store.read()] == [1, 2, 3]
    assert [each.getMessage() for each in caplog.records if each.levelname == "WARNING"] == [
        f"the domain {session_id} has 297 jobs that this session does not have"
    ]
    await store.delete()
