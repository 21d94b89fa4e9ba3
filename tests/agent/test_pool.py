"""Jobs that instances share, as one of them claims them: each once, and none is forgotten."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from awsac_async.agent.context import Agent
from awsac_async.agent.retry import Hurry
from awsac_async.agent.shared import fence
from awsac_async.agent.shared.fence import FenceFile, Until
from awsac_async.agent.shared.lease import Lease
from awsac_async.agent.shared.pool import Pool, Taken
from awsac_async.agent.shared.pool import _Wanted as Wanted
from awsac_async.agent.state import Holding
from awsac_async.cloud.aws import connect
from awsac_async.session.claims import Claim, claim_attribute
from awsac_async.session.errors import CloudError, DeniedError
from awsac_async.session.model import Job, JobRecord, JobState
from tests.agent.account import Session
from tests.agent.test_departure import agent_of
from tests.cloud.faults import Fault, error, proxy_to
from tests.conftest import Embedded
from tests.waiting import until

JOBS = tuple(Job(number=number, script="job.sh", release=None) for number in range(1, 6))
SHARED = {"status": "s3", "schedule": "shared"}


@pytest.fixture(autouse=True)
def fences(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wait for the end of the programs that the leases of a test have started."""
    started, start = list["subprocess.Popen[bytes]"](), fence.start

    def start_and_know(directory: Path, session_id: str) -> "subprocess.Popen[bytes]":
        started.append(start(directory, session_id))
        return started[-1]

    monkeypatch.setattr(fence, "start", start_and_know)
    yield
    for each in started:
        each.wait(10)


def lease_of(agent: Agent, *, seconds: float = 300.0) -> Lease:
    """A lease that has not begun; nothing is claimed on it that would have to be given up."""
    return Lease(
        agent.leases(),
        seconds=seconds,
        launch_index=agent.instance.launch_index,
        session_id=agent.user_data.session_id,
        directory=agent.paths.state,
    )


@asynccontextmanager
async def held(lease: Lease) -> AsyncIterator[None]:
    """Hold a lease that has not begun."""
    lease.start(lambda: asyncio.sleep(0))
    try:
        await lease.there()
        yield
    finally:
        await lease.end(within=10)


def pool_of(agent: Agent, lease: Lease) -> Pool:
    return Pool(
        JOBS,
        had=(),
        launch=agent.known_launch,
        claims=agent.claims(),
        leases=agent.leases(),
        lease=lease,
        store=agent.store,
        bucket=agent.bucket,
        state=agent.state,
        session_id=agent.user_data.session_id,
        hurry=Hurry(),
    )


@asynccontextmanager
async def member(
    endpoint: str, session: Session, directory: Path, *, index: int = 0
) -> AsyncIterator[tuple[Agent, Lease, Pool]]:
    """One of the instances that share the jobs, with a lease that has not begun."""
    async with connect(endpoint_url=endpoint) as aws:
        agent = agent_of(session, aws, directory, index=index, **SHARED)
        lease = lease_of(agent)
        yield agent, lease, pool_of(agent, lease)


def numbers(taken: list[Taken]) -> list[int]:
    return [each.job.number for each in taken]


async def test_what_could_not_be_claimed_for_want_of_a_lease_is_claimed_when_there_is_one(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    async with member(embedded.endpoint, session, tmp_path) as (_, lease, pool):
        assert numbers(await pool.take_free(2)) == []
        assert numbers(await pool.take_if_free([4])) == []
        async with held(lease):
            assert [numbers(await pool.take_free(2)) for _ in range(4)] == [[1, 2], [3, 4], [5], []]


async def test_what_was_claimed_to_be_killed_is_not_claimed_once_more(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    async with member(embedded.endpoint, session, tmp_path) as (_, lease, pool), held(lease):
        assert numbers(await pool.take_if_free([1])) == [1]
        assert [numbers(await pool.take_free(2)) for _ in range(3)] == [[2], [3, 4], [5]]


async def test_a_claim_that_is_refused_does_not_lose_those_that_were_made_beside_it(
    embedded: Embedded, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with proxy_to(embedded.endpoint) as proxy:
        async with member(proxy.endpoint, session, tmp_path) as (_, lease, pool), held(lease):
            proxy.fail(lambda asked: asked.path.endswith("/000001/1"), error(403, "AccessDenied"), times=1)
            assert numbers(await pool.take_free(2)) == [2]
            assert numbers(await pool.take_free(4)) == [1, 3, 4, 5]


async def test_a_lease_that_runs_out_while_a_job_is_claimed_is_claimed_on_no_more(
    embedded: Embedded, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the job would wait until others have seen that lease end."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with proxy_to(embedded.endpoint) as proxy:
        async with member(proxy.endpoint, session, tmp_path) as (agent, lease, pool), held(lease):
            proxy.fail(lambda asked: asked.path.endswith("/000001/1"), error(503, "SlowDown"))
            taking = asyncio.create_task(pool.take_free(1))
            await until(lambda: any(asked.path.endswith("/000001/1") for asked in proxy.asked))
            lease.lost.make()
            assert await taking == []
            assert await agent.claims().last([1]) == {}
            assert agent.state.holdings() == {}


async def test_what_was_claimed_on_a_lease_that_ran_out_is_not_gone_on_with(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    """Its agent died while it claimed, and had another lease by then: whoever saw the first one end may have it."""
    async with member(embedded.endpoint, session, tmp_path) as (agent, lease, pool), held(lease):
        old, own = (
            Holding(claim=Claim(pool=1, count=1, lease=each), attempt=1, log_begin=0, replaces=False)
            for each in ("0-ranout", lease.name)
        )
        assert await pool.take_again(1, old, certain=False) is None
        assert await pool.take_again(2, old, certain=True) is None
        taken = await pool.take_again(3, own, certain=False)
        assert taken
        assert taken.claim == own.claim
        assert await agent.claims().last([1, 2, 3]) == {3: own.claim}


async def test_a_job_that_three_instances_were_lost_with_is_not_run_again_but_notices_do_not_count(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    """Of two jobs each has had three claims, on leases that are gone: one by loss, the other with a notice first."""
    async with member(embedded.endpoint, session, tmp_path, index=9) as (agent, lease, pool):
        lost = Claim(pool=1, count=3, lease="3-c", losses=2)
        noticed = Claim(pool=1, count=3, lease="3-c", losses=1)
        for job, claim in ((1, lost), (2, noticed)):
            for count in (1, 2, 3):
                assert await agent.claims().take(job, replace(claim, count=count))
        async with held(lease):
            outlook = await pool.look(busy=False)
            taken = {each.job.number: each for each in await pool.take_over(outlook.wanted, 2)}
            assert taken[1].end == (JobState.FAILED, "3 instances were lost while they had it")
            assert taken[2].end is None
            assert {number: each.claim.losses for number, each in taken.items()} == {1: 3, 2: 2}


async def test_who_was_taken_for_lost_finds_out_though_its_own_clock_says_otherwise(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    """As after a pause of the whole machine, in which its clock stood still."""
    gave_up = asyncio.Event()

    async def give_up() -> None:
        gave_up.set()

    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, index=0, **SHARED)
        lease, leases = lease_of(agent, seconds=10.0), agent.leases()
        lease.start(give_up)
        try:
            first, lost = await lease.there(), lease.lost
            assert await leases.break_up(first, (await leases.read())[first])
            async with asyncio.timeout(60):
                await gave_up.wait()
                assert lost.state is JobState.INTERRUPTED
                while first in {"", lease.name}:
                    await lease.there()
                    await asyncio.sleep(0.05)
        finally:
            await lease.end(within=10)


async def test_a_lease_whose_jobs_were_given_up_is_not_renewed_any_more(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    """A job was the first to see that it had run out, and a renewal under way came through all the same."""
    async with connect(endpoint_url=embedded.endpoint) as aws:
        lease = lease_of(agent_of(session, aws, tmp_path, index=0, **SHARED), seconds=10.0)
        async with held(lease):
            first = lease.name
            lease.lost.make()
            await until(lambda: lease.holds)
            assert lease.name != first


async def test_the_answer_to_a_renewal_may_be_lost(
    embedded: Embedded, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with proxy_to(embedded.endpoint) as proxy:
        async with connect(endpoint_url=proxy.endpoint) as aws:
            lease = lease_of(agent_of(session, aws, tmp_path, index=0, **SHARED), seconds=10.0)

            def written() -> int:
                return len([each for each in proxy.asked if each.method == "PUT" and "/leases/" in each.path])

            proxy.fail(lambda asked: asked.method == "PUT" and "/leases/" in asked.path, Fault(cut=0), times=1)
            async with held(lease):  # the first answer is lost, and that to a renewal
                first = lease.name
                proxy.fail(lambda asked: asked.method == "PUT" and "/leases/" in asked.path, Fault(cut=0), times=1)
                before = written()
                await until(lambda: written() >= before + 3)
                assert lease.name == first
                assert lease.holds


async def test_one_program_at_a_time_watches_the_lease_of_an_instance(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    """A successor finds that of its predecessor, which ends with the lease."""
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, index=0, **SHARED)
        first, second = lease_of(agent), lease_of(agent)
        async with held(first):
            await until(lambda: fence.runs(agent.paths.state))
            assert await second.resume() == first.name
            second.start(lambda: asyncio.sleep(0))
            await second.there()
            assert second._fence is None
            await second.end(within=10)
        await until(lambda: not fence.runs(agent.paths.state))


async def test_who_must_not_write_a_lease_says_so_and_does_not_ask_again(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    with proxy_to(embedded.endpoint) as proxy:
        proxy.fail(lambda asked: "/leases/" in asked.path, error(403, "AccessDenied"))
        async with connect(endpoint_url=proxy.endpoint) as aws:
            lease = lease_of(agent_of(session, aws, tmp_path, index=0, **SHARED))
            lease.start(lambda: asyncio.sleep(0))
            with pytest.raises(DeniedError):
                await lease.there()
            with pytest.raises(DeniedError):
                await lease.there()
            await lease.end(within=10)
        assert len([asked for asked in proxy.asked if "/leases/" in asked.path]) == 1


async def test_a_lease_that_is_not_noted_yet_is_not_claimed_on(
    embedded: Embedded, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the program beside the agent knows the one before, and kills what runs."""
    holds, write = list[bool](), FenceFile.write

    def look_and_write(file: FenceFile, until: Until) -> None:
        holds.append(lease.holds)
        write(file, until)

    monkeypatch.setattr(FenceFile, "write", look_and_write)
    async with connect(endpoint_url=embedded.endpoint) as aws:
        lease = lease_of(agent_of(session, aws, tmp_path, index=0, **SHARED))
        async with held(lease):
            assert lease.holds
            assert not holds[0]


async def test_who_cannot_note_its_lease_has_none(embedded: Embedded, session: Session, tmp_path: Path) -> None:
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, index=0, **SHARED)
        (agent.paths.state / "lease").mkdir(parents=True)
        lease = lease_of(agent)
        lease.start(lambda: asyncio.sleep(0))
        with pytest.raises(CloudError, match="Is a directory"):
            await lease.there()
        (agent.paths.state / "lease").rmdir()
        await lease.end(within=10)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", ["store.read", "claims.last", "leases.read", "leases.break_up"])
async def test_a_job_that_ends_while_another_instance_looks_is_not_taken_over(  # noqa: PLR0917  fixtures
    embedded: Embedded, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, moment: str
) -> None:
    """Its holder writes the end and removes its lease, just before or just after any call of the other one."""
    claim = Claim(pool=1, count=1, lease="7-aa")
    running, finished = (
        JobRecord(number=1, state=state, launch_index=7, extra=claim_attribute(claim))
        for state in (JobState.RUNNING, JobState.FINISHED)
    )
    left = list[str]()
    async with (
        member(embedded.endpoint, session, tmp_path / "holder", index=7) as (holder, _, _),
        member(embedded.endpoint, session, tmp_path / "other", index=8) as (other, lease, _),
    ):
        parts = {"store": other.store, "claims": other.claims(), "leases": other.leases()}
        part, _, method = call.partition(".")
        original: Callable[..., Awaitable[Any]] = getattr(parts[part], method)

        async def leave() -> None:
            if not left:
                await holder.store.write([finished], by=holder.status_writer())
                await holder.leases().end(claim.lease)
                left.append(call)

        async def call_and_leave(*arguments: object, **options: object) -> object:
            if moment == "before":
                await leave()
            answer = await original(*arguments, **options)
            await leave()
            return answer

        monkeypatch.setattr(parts[part], method, call_and_leave)
        monkeypatch.setattr(other, "claims", lambda: parts["claims"])
        monkeypatch.setattr(other, "leases", lambda: parts["leases"])
        version = await holder.leases().renew(claim.lease, b"1", None)
        assert await holder.claims().take(1, claim)
        await holder.store.write([running], by=holder.status_writer())
        async with held(lease):
            pool = pool_of(other, lease)
            wanted = (await pool.look(busy=False)).wanted
            if method == "break_up":  # as if the holder had been silent, too
                wanted = (Wanted(job=JOBS[0], claim=claim, before=running, silent=version),)
            assert await pool.take_over(wanted, 1) == []
            assert left
