"""The status reporter on a real store, directly and through a proxy that fails: readers see the latest state."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from awsac_async.agent.reporter import StatusReporter
from awsac_async.cloud.aws import connect
from awsac_async.cloud.status import StatusStore, status_store
from awsac_async.session.model import JobRecord, JobState
from tests.cloud.faults import Proxy, proxy_to, query_error
from tests.conftest import Embedded
from tests.waiting import until

PENDING = JobRecord(number=1)
RUNNING = replace(PENDING, state=JobState.RUNNING)
WAITFORSAVE = replace(RUNNING, state=JobState.WAITFORSAVE, return_code=0)


@pytest.fixture
async def stores(
    embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[StatusStore, StatusStore, Proxy]]:
    """One session's store, directly, and through a proxy that can fail."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    session_id = f"261122_1500--test--{uuid.uuid4().hex[:4]}"
    with proxy_to(embedded.endpoint) as proxy:
        async with connect(endpoint_url=embedded.endpoint) as aws, connect(endpoint_url=proxy.endpoint) as proxied:
            store = status_store(aws, session_id)
            yield store, status_store(proxied, session_id), proxy
            await store.delete()


async def test_the_first_report_makes_the_domain(stores: tuple[StatusStore, StatusStore, Proxy]) -> None:
    store, reported, _ = stores
    reporter = StatusReporter(reported)
    reporter.report(PENDING)
    assert await reporter.close(within=30)
    assert await store.read() == [PENDING]


async def test_the_store_holds_the_latest_state_of_each_job(stores: tuple[StatusStore, StatusStore, Proxy]) -> None:
    store, reported, _ = stores
    reporter = StatusReporter(reported)
    other = replace(PENDING, number=2)
    for record in (PENDING, other, RUNNING, WAITFORSAVE):
        reporter.report(record)
    assert await reporter.close(within=30)
    assert await store.read() == [WAITFORSAVE, other]


async def test_all_news_go_in_one_request(stores: tuple[StatusStore, StatusStore, Proxy]) -> None:
    store, reported, proxy = stores
    await store.create()
    reporter = StatusReporter(reported)
    for number in range(1, 6):
        reporter.report(JobRecord(number=number))
    assert await reporter.close(within=30)
    assert proxy.count("BatchPutAttributes") == 1


async def test_what_a_failing_store_missed_meanwhile_is_not_written_later(
    stores: tuple[StatusStore, StatusStore, Proxy],
) -> None:
    store, reported, proxy = stores
    await store.create()
    proxy.fail(lambda asked: asked.action == "BatchPutAttributes", query_error(503, "ServiceUnavailable"), times=2)
    reporter = StatusReporter(reported)
    reporter.report(PENDING)
    await until(lambda: proxy.count("BatchPutAttributes") == 1)
    reporter.report(RUNNING)
    reporter.report(WAITFORSAVE)
    assert await reporter.close(within=30)
    assert await store.read() == [WAITFORSAVE]
    written = [asked.body for asked in proxy.asked if asked.action == "BatchPutAttributes"]
    assert not [body for body in written if b"running" in body]


async def test_a_store_that_never_answers_does_not_keep_the_agent(
    stores: tuple[StatusStore, StatusStore, Proxy],
) -> None:
    _, reported, proxy = stores
    proxy.fail(lambda _: True, query_error(500, "InternalError"))
    reporter = StatusReporter(reported)
    reporter.report(PENDING)
    assert not await reporter.close(within=0.5)


async def test_a_change_of_state_that_cannot_be_is_refused(stores: tuple[StatusStore, StatusStore, Proxy]) -> None:
    reporter = StatusReporter(stores[1])
    reporter.report(replace(PENDING, state=JobState.FAILED, reason="no release"))
    with pytest.raises(ValueError, match="job 1 cannot go from failed to running"):
        reporter.report(RUNNING)
    assert await reporter.close(within=30)
