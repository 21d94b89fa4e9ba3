"""Claims and leases, in either form: of two who want the same job one gets it, and what was lost is asked again."""

import asyncio
from collections.abc import Callable

import pytest
import pytest_asyncio

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.claims import Claims, Leases, claims_of
from awsac_async.cloud.status import status_store
from awsac_async.session.claims import Claim, claim_attribute
from awsac_async.session.errors import CloudError, ConflictError, NotFoundError
from awsac_async.session.model import JobRecord, JobState, StatusKind
from awsac_async.session.names import claims_prefix
from awsac_async.session.statusdocs import StatusWriter
from tests.cloud.faults import Fault, Proxy, error

JOBS = tuple(range(1, 12))
ONE, OTHER = "0-aa", "1-bb"
Opened = Callable[..., Claims]


def claim(count: int, lease: str = ONE, *, pool: int = 1) -> Claim:
    return Claim(pool=pool, count=count, lease=lease)


@pytest.fixture(params=StatusKind)
def kind(request: pytest.FixtureRequest) -> StatusKind:
    return StatusKind(request.param)


@pytest.fixture
def session_id(request: pytest.FixtureRequest) -> str:
    """A session of the test's own, whose ID needs quoting in a Select."""
    return f"261128_1646--claims--{abs(hash(request.node.name)) % 10**6}"


@pytest_asyncio.fixture(loop_scope="session")
async def opened(aws: Aws, bucket: Bucket, kind: StatusKind, session_id: str) -> Opened:
    """What opens the claims of a session whose start has written its jobs, as a program of its own does."""
    store = status_store(aws, session_id, kind=kind, bucket=bucket.name)
    await store.create()
    await store.write([JobRecord(number=number, extra=claim_attribute(claim(0, ""))) for number in JOBS])
    return lambda pool=1, by=aws: claims_of(by, session_id, pool=pool, kind=kind, bucket=bucket.name)


async def test_of_many_who_want_a_job_exactly_one_gets_it(opened: Opened) -> None:
    rivals = [opened() for _ in range(8)]
    won = await asyncio.gather(*(each.take(3, claim(1, f"{n}-aa")) for n, each in enumerate(rivals)))
    assert won.count(True) == 1
    held = (await opened().last(JOBS))[3]
    assert held == claim(1, f"{won.index(True)}-aa")


async def test_jobs_that_nobody_has_claimed_are_free_in_their_order(opened: Opened) -> None:
    claims = opened()
    assert await claims.free(JOBS) == list(JOBS)
    for job in (1, 2, 10):
        assert await opened().take(job, claim(1))
    assert await claims.free(JOBS) == [3, 4, 5, 6, 7, 8, 9, 11]
    assert await claims.free(JOBS[9:]) == [11]
    assert await claims.free(()) == []


async def test_a_job_is_taken_over_once_from_the_claim_that_was_seen(opened: Opened) -> None:
    await opened().take(5, claim(1))
    heirs = [opened(), opened()]
    for each in heirs:
        assert (await each.last([5])) == {5: claim(1)}
    assert [await each.take(5, claim(2, lease)) for each, lease in zip(heirs, (OTHER, "2-cc"), strict=True)] == [
        True,
        False,
    ]
    assert await heirs[1].last([5, 6]) == {5: claim(2, OTHER)}


async def test_a_first_claim_never_takes_a_job_from_whoever_was_seen_to_have_it(opened: Opened) -> None:
    await opened().take(5, claim(1))
    late = opened()
    await late.last([5])
    assert not await late.take(5, claim(1, OTHER))


async def test_a_claim_that_was_made_before_is_still_ones_own(opened: Opened) -> None:
    """A program that died after it had claimed, and before it noted that, asks again."""
    assert await opened().take(4, claim(1))
    assert await opened().take(4, claim(1))
    assert not await opened().take(4, claim(1, OTHER))


async def test_a_claim_whose_answer_was_lost_is_ones_own(opened: Opened, proxied: Aws, proxy: Proxy) -> None:
    claims = opened(by=proxied)
    proxy.fail(lambda asked: asked.action == "PutAttributes" or "/claims/" in asked.path, Fault(cut=0), times=1)
    assert await claims.take(4, claim(1))


async def test_the_jobs_of_a_retry_are_another_pool(
    opened: Opened, aws: Aws, bucket: Bucket, kind: StatusKind, session_id: str
) -> None:
    assert await opened().take(1, claim(1))
    again = JobRecord(number=1, extra=claim_attribute(claim(0, "", pool=2)))
    await status_store(aws, session_id, kind=kind, bucket=bucket.name).write([again], by=StatusWriter(launch=2))
    assert await opened(2).free([1]) == [1]
    assert await opened(2).take(1, claim(1, OTHER, pool=2))
    assert await opened(2).free([1]) == []
    assert (await opened().last([1])).get(1, claim(1)) == claim(1)


async def test_what_a_lost_holder_says_late_does_not_count(
    opened: Opened, aws: Aws, bucket: Bucket, kind: StatusKind, session_id: str
) -> None:
    lost, heir = opened(), opened()
    await lost.take(7, claim(1))
    await heir.last([7])
    await heir.take(7, claim(2, OTHER))
    ended = JobRecord(number=7, state=JobState.FINISHED, launch_index=1, extra=claim_attribute(claim(2, OTHER)))
    late = JobRecord(number=7, state=JobState.RUNNING, launch_index=0, extra=claim_attribute(claim(1)))
    for record in (ended, late):
        store = status_store(aws, session_id, kind=kind, bucket=bucket.name)
        await store.write([record], by=StatusWriter(launch_index=record.launch_index))
    store = status_store(aws, session_id, kind=kind, bucket=bucket.name)
    assert next(job for job in await store.read() if job.number == 7) == ended


async def test_a_lease_changes_whenever_it_is_renewed(bucket: Bucket) -> None:
    leases = Leases(bucket, "261128_1646--leases--0000", 1)
    await Leases(bucket, "261128_1646--leases--0000", 2).renew("7-cc", b"1", None)  # of a retry: no business of these
    version = await leases.renew(ONE, b"1", None)
    await leases.renew(OTHER, b"1", None)
    before = await leases.read()
    version = await leases.renew(ONE, b"2", version)
    after = await leases.read()
    assert await leases.find(ONE) == after[ONE] == version
    assert before.keys() == after.keys() == {ONE, OTHER}
    assert {lease for lease in after if after[lease] != before[lease]} == {ONE}
    await leases.end(ONE)
    assert (await leases.read()).keys() == {OTHER}


async def test_a_lease_that_is_renewed_no_more_is_not_among_the_recent_ones(bucket: Bucket) -> None:
    """Its instance was lost without a job: nobody breaks it, and it stays."""
    leases = Leases(bucket, "261128_1646--leases--0004", 1)
    assert await leases.recent(1) == []
    await leases.renew(ONE, b"1", None)
    await asyncio.sleep(2.1)  # S3 tells whole seconds
    await leases.renew(OTHER, b"1", None)
    assert await leases.recent(1) == [OTHER]
    assert await leases.recent(60) == [ONE, OTHER]


async def test_of_who_renews_a_lease_and_who_breaks_it_one_is_refused(bucket: Bucket) -> None:
    leases = Leases(bucket, "261128_1646--leases--0001", 1)
    seen = await leases.renew(ONE, b"1", None)
    renewed = await leases.renew(ONE, b"2", seen)
    assert not await leases.break_up(ONE, seen)
    assert await leases.find(ONE) == renewed
    assert await leases.break_up(ONE, renewed)
    with pytest.raises((ConflictError, NotFoundError)):
        await leases.renew(ONE, b"3", renewed)
    assert await leases.find(ONE) is None
    assert await leases.read() == {}
    assert await leases.break_up(ONE, renewed)  # somebody else has


@pytest.mark.parametrize(("method", "fault"), [("PUT", Fault(cut=0)), ("POST", error(503, "SlowDown"))])
async def test_a_lease_of_which_it_is_not_known_that_it_was_broken_is_over(
    bucket: Bucket, faulty_bucket: Bucket, proxy: Proxy, method: str, fault: Fault
) -> None:
    """The answer was lost, or it could not be removed. Else it would be taken for one that was just renewed."""
    leases, broken = (
        Leases(bucket, "261128_1646--leases--0002", 1),
        Leases(faulty_bucket, "261128_1646--leases--0002", 1),
    )
    seen = await leases.renew(ONE, b"1", None)
    proxy.fail(lambda asked: asked.method == method, fault)
    with pytest.raises(CloudError):
        await broken.break_up(ONE, seen)
    assert (await leases.read())[ONE] != seen
    assert await leases.break_up(ONE, seen)
    assert await leases.read() == {}


async def test_who_may_remove_no_lease_can_break_one(bucket: Bucket, faulty_bucket: Bucket, proxy: Proxy) -> None:
    leases, broken = (
        Leases(bucket, "261128_1646--leases--0003", 1),
        Leases(faulty_bucket, "261128_1646--leases--0003", 1),
    )
    seen = await leases.renew(ONE, b"1", None)
    proxy.fail(lambda asked: asked.method == "POST", error(403, "AccessDenied"))
    assert await broken.break_up(ONE, seen)
    assert await leases.find(ONE) is None


@pytest.mark.parametrize("kind", [StatusKind.S3], indirect=True)
async def test_what_strangers_write_among_the_claims_is_no_fault_and_holds_no_job(
    opened: Opened, bucket: Bucket, session_id: str
) -> None:
    prefix = claims_prefix(session_id, 1)
    for name in (f"000001/{10**30}", f"{10**30}/1", "000002/01", "2/1", "000003/x", "\u0661/1", "000004/1/1"):
        await bucket.put(prefix + name, b"1.1:0-aa")
    await bucket.put(f"{prefix}000005/1", b"\xff" * 1000)
    await bucket.put(f"{prefix}000006/1", b"7.9:0-aa")
    found = await opened().last(JOBS)
    assert found == {5: claim(1, ""), 6: claim(1, "")}
    assert await opened().free(JOBS) == [job for job in JOBS if job not in {5, 6}]
