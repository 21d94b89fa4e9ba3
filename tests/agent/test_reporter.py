"""The status reporter on a real store, directly and through a proxy that fails: readers see the latest state."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from awsac_async.agent.reporter import StatusReporter
from awsac_async.cloud.aws import connect
from awsac_async.cloud.status import StatusStore, status_store
from awsac_async.session.model import JobRecord, JobState, StatusKind
from awsac_async.session.statusdocs import StatusWriter
from tests.agent.account import BUCKET
from tests.cloud.faults import Asked, Fault, Proxy, error, proxy_to, query_error
from tests.conftest import Embedded
from tests.waiting import until

PENDING = JobRecord(number=1)
RUNNING = replace(PENDING, state=JobState.RUNNING)
WAITFORSAVE = replace(RUNNING, state=JobState.WAITFORSAVE, return_code=0)


Stores = tuple[StatusStore, StatusStore, Proxy]
AGENT = StatusWriter(launch_index=0)


def reporter_of(store: StatusStore) -> StatusReporter:
    return StatusReporter(store, by=lambda: AGENT)


def is_write(asked: Asked) -> bool:
    return asked.action == "BatchPutAttributes" or asked.method == "PUT"


def throttling(kind: StatusKind) -> Fault:
    return error(503, "SlowDown") if kind is StatusKind.S3 else query_error(503, "ServiceUnavailable")


@pytest.fixture(params=StatusKind)
def kind(request: pytest.FixtureRequest) -> StatusKind:
    found: StatusKind = request.param
    return found


@pytest.fixture
async def stores(embedded: Embedded, monkeypatch: pytest.MonkeyPatch, kind: StatusKind) -> AsyncIterator[Stores]:
    """One session's store, directly, and through a proxy that can fail."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    session_id = f"261122_1500--test--{uuid.uuid4().hex[:4]}"
    with proxy_to(embedded.endpoint) as proxy:
        async with connect(endpoint_url=embedded.endpoint) as aws, connect(endpoint_url=proxy.endpoint) as proxied:
            store, reported = (status_store(each, session_id, kind=kind, bucket=BUCKET) for each in (aws, proxied))
            yield store, reported, proxy
            await store.delete()


async def test_the_first_report_makes_the_store(stores: Stores) -> None:
    store, reported, _ = stores
    reporter = reporter_of(reported)
    reporter.report(PENDING)
    assert await reporter.close(within=30)
    assert await store.read() == [PENDING]


async def test_the_store_holds_the_latest_state_of_each_job(stores: Stores) -> None:
    store, reported, _ = stores
    reporter = reporter_of(reported)
    other = replace(PENDING, number=2)
    for record in (PENDING, other, RUNNING, WAITFORSAVE):
        reporter.report(record)
    assert await reporter.close(within=30)
    assert await store.read() == [WAITFORSAVE, other]


async def test_all_news_go_in_one_request(stores: Stores) -> None:
    store, reported, proxy = stores
    await store.create()
    reporter = reporter_of(reported)
    for number in range(1, 6):
        reporter.report(JobRecord(number=number))
    assert await reporter.close(within=30)
    assert sum(map(is_write, proxy.asked)) == 1


async def test_what_a_failing_store_missed_meanwhile_is_not_written_later(stores: Stores, kind: StatusKind) -> None:
    store, reported, proxy = stores
    await store.create()
    proxy.fail(is_write, throttling(kind), times=2)
    reporter = reporter_of(reported)
    reporter.report(PENDING)
    await until(lambda: any(map(is_write, proxy.asked)))
    reporter.report(RUNNING)
    reporter.report(WAITFORSAVE)
    assert await reporter.close(within=30)
    assert await store.read() == [WAITFORSAVE]
    written = [asked.body for asked in proxy.asked if is_write(asked)]
    assert not [body for body in written if b"running" in body]


async def test_a_store_that_never_answers_does_not_keep_the_agent(
    stores: Stores,
) -> None:
    _, reported, proxy = stores
    proxy.fail(lambda _: True, query_error(500, "InternalError"))
    reporter = reporter_of(reported)
    reporter.report(PENDING)
    assert not await reporter.close(within=0.5)


@pytest.mark.parametrize("kind", [StatusKind.S3])
async def test_a_document_is_replaced_once_in_two_seconds_and_at_once_when_the_agent_leaves(stores: Stores) -> None:
    store, reported, proxy = stores
    reporter = reporter_of(reported)
    reporter.report(PENDING)
    await until(lambda: any(map(is_write, proxy.asked)))
    reporter.report(RUNNING)
    await asyncio.sleep(0.3)
    assert sum(map(is_write, proxy.asked)) == 1
    reporter.report(WAITFORSAVE)
    began = asyncio.get_running_loop().time()
    assert await reporter.close(within=30)
    assert asyncio.get_running_loop().time() - began < 1.5
    assert sum(map(is_write, proxy.asked)) == 2
    assert await store.read() == [WAITFORSAVE]


async def test_what_a_predecessor_has_told_stays_in_the_agents_document(stores: Stores) -> None:
    store, reported, _ = stores
    first = reporter_of(reported)
    ended = replace(WAITFORSAVE, state=JobState.FAILED, reason="no release")
    first.report(ended)
    first.report(other := replace(RUNNING, number=2))
    assert await first.close(within=30)
    successor = reporter_of(reported)
    successor.know(ended)
    successor.report(other)
    assert await successor.close(within=30)
    assert await store.read() == [ended, other]


async def test_a_change_of_state_that_cannot_be_is_refused(stores: Stores) -> None:
    reporter = reporter_of(stores[1])
    reporter.report(replace(PENDING, state=JobState.FAILED, reason="no release"))
    with pytest.raises(ValueError, match="job 1 cannot go from failed to running"):
        reporter.report(RUNNING)
    assert await reporter.close(within=30)
