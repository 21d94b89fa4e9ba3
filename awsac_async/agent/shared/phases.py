"""How an agent has its part in jobs that are shared: what its phases do then, in the place of what they do otherwise.

Owns the beginning: which jobs a predecessor had, and whether they are still this instance's; and what a job needs that
was just taken.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from awsac_async.agent.command import set_all_aside
from awsac_async.agent.context import Agent
from awsac_async.agent.jobs import run_job, runs_or_will
from awsac_async.agent.log import describe
from awsac_async.agent.retry import Hurry, keep_trying, passing
from awsac_async.agent.shared.lease import Lease
from awsac_async.agent.shared.pool import Pool, Taken
from awsac_async.agent.shared.sharing import OnRan, Sharing
from awsac_async.agent.state import KeptJob, State
from awsac_async.agent.stopping import KILLED, StoppedError
from awsac_async.agent.tree import ProcessTree
from awsac_async.agent.workplace import Workplace
from awsac_async.session.claims import Claim, claim_attribute, claim_of, lease_index
from awsac_async.session.errors import CloudError
from awsac_async.session.model import Job, JobRecord, JobState
from awsac_async.session.names import PARTS, X_LOG, X_LOG_BEGIN, job_log_prefix, seconds_attribute
from awsac_async.session.timings import timing_attributes
from awsac_async.session.userdata import number_of_jobs, read_settings

_log = logging.getLogger(__name__)
_HURRIED_SECONDS = 10.0  # how long a claim may still be tried when this instance is to stop
_UNCLAIMED_SECONDS = 60.0
_END_SECONDS = 10.0
_WRITTEN_SECONDS = 30.0  # how long the last states may take before a lease is removed
_SPEAKERS = 3  # two of them may have been lost a moment ago


async def join(agent: Agent) -> None:
    """Have a lease from now on, and a part in the jobs of the pool, which ``agent.jobs`` are."""
    leases = agent.leases()
    lease = Lease(
        leases,
        seconds=read_settings(agent.user_data).lease,
        launch_index=agent.known_launch.launch_index,
        session_id=agent.user_data.session_id,
        directory=agent.paths.state,
    )
    resumed = await lease.resume()
    await tell_ended(agent)
    if resumed:
        await _know_others(agent)
    else:
        await give_up_rest(agent)
    pool = Pool(
        agent.jobs,
        had=await asyncio.to_thread(agent.state.holdings),
        launch=agent.known_launch,
        claims=agent.claims(),
        leases=leases,
        lease=lease,
        store=agent.store,
        bucket=agent.bucket,
        state=agent.state,
        session_id=agent.user_data.session_id,
        hurry=_hurry(agent),
    )
    sharing = Sharing(pool, lease, cores=agent.known_launch.cores_per_instance, stop=agent.stop)
    agent.sharing, agent.lease = sharing, lease
    _start(agent, sharing, lease)


def _start(agent: Agent, sharing: Sharing, lease: Lease) -> None:
    lease.start(lambda: _give_up_all(agent, sharing), told=lambda: _all_told(agent.state))


async def _give_up_all(agent: Agent, sharing: Sharing) -> None:
    """Have no job any more, whether or not it runs under this agent by now."""
    await sharing.given_up()
    await give_up_rest(agent)


async def give_up_rest(agent: Agent) -> None:
    """Have nothing to do any more with the jobs that no agent runs to their end, but for those that have ended."""
    left = {number: kept for number, kept in (await _held(agent)).items() if not _ended(kept)}
    if left:
        for tree in ProcessTree.of_all(agent.user_data.session_id):
            await tree.kill()
            await tree.remove()
    for number, kept in left.items():
        _log.warning("job %d: given up here, where it was not under way to its end", number)
        await agent.logs.forget(job_log_prefix(agent.user_data.session_id, number))
        await asyncio.to_thread(set_all_aside, number, agent.paths)
        if kept is not None:
            agent.reporter.forget(number)
        if agent.sharing is not None:  # which is to take it again
            await agent.sharing.pool.give_up(number)
        else:
            await asyncio.to_thread(agent.state.drop_job, number)


async def _held(agent: Agent) -> dict[int, KeptJob | None]:
    """Return the jobs that this instance has, or was about to claim, by number, and how they stand."""
    holdings = await asyncio.to_thread(agent.state.holdings)
    return {number: agent.state.job(number) for number in holdings}


async def tell_ended(agent: Agent) -> None:
    """Tell how those jobs stand that a predecessor has brought to their end; before anything else is told.

    What an agent writes into S3 replaces what its predecessors have written there.
    """
    for number, kept in (await _held(agent)).items():
        if kept and _ended(kept) and number not in agent.kept:
            agent.kept[number] = kept
            tell = agent.reporter.know if agent.state.told(number) else agent.reporter.report
            tell(kept.record)


async def _know_others(agent: Agent) -> None:
    """Go on saying of the others what a predecessor has said."""
    for kept in (await _held(agent)).values():
        if kept and not _ended(kept):
            agent.reporter.know(kept.record)


def _ended(kept: KeptJob | None) -> bool:
    return kept is not None and kept.record.state.final


def _all_told(state: State) -> bool:
    """Whether the end of every job that has ended here stands in the status. Blocks."""
    return all(state.told(number) for number in state.holdings() if _ended(state.job(number)))


def _hurry(agent: Agent) -> Hurry:
    hurry = Hurry()
    agent.stop.tell(lambda: hurry.request(by=asyncio.get_running_loop().time() + _HURRIED_SECONDS))
    return hurry


async def resume(agent: Agent, sharing: Sharing) -> AsyncIterator[Taken]:
    """Yield the jobs that a predecessor had, that have not ended, and that are still this instance's.

    First those that run: what the others are is to be asked, and the answer may take long. Raises CloudError.
    """
    holdings = await asyncio.to_thread(agent.state.holdings)
    kept = {number: agent.state.job(number) for number in holdings}
    for number in sorted(holdings, key=lambda number: kept[number] is None):
        if _ended(kept[number]):
            continue
        try:
            taken = await sharing.pool.take_again(number, holdings[number], certain=kept[number] is not None)
        except StoppedError:  # the lease has run out: this one and the rest are given up with it
            return
        if taken:
            yield taken
        else:
            await sharing.pool.give_up(number)


async def work(agent: Agent, group: asyncio.TaskGroup, place: Workplace, *, began: Mapping[str, float]) -> str:
    """Run jobs until there is nothing left for this instance to do; returns why no more could be taken, or "".

    ``began`` are the seconds of the parts that were over when the first jobs began, one on each core.
    """
    sharing = agent.sharing
    if sharing is None:
        raise ValueError("this instance has not joined")
    first = dict.fromkeys(range(agent.known_launch.cores_per_instance), began)

    async def run(taken: Taken, core: int, on_ran: OnRan) -> JobState | None:
        kept = agent.state.job(taken.job.number)
        if kept is None or claim_of(kept.record) != taken.claim:  # or an earlier claim's, of which this is left
            kept = _new(agent, taken, first.pop(core, {}))
        return await _run(agent, sharing, place, taken, kept, core=core, on_ran=on_ran)

    trouble = await sharing.run(group, run, resumed=resume(agent, sharing))
    while not trouble and await _is_missed(agent, sharing):
        trouble = await sharing.run(group, run, resumed=resume(agent, sharing))
    return trouble


async def _is_missed(agent: Agent, sharing: Sharing) -> bool:
    """Let others see that this instance goes, and look once more whether they can do without it; else have a new lease.

    Of two that go at the same time each may have counted on the other one, which has not seen that it goes.
    """
    if agent.lease is None or agent.stop.state is not None or not sharing.pool.unfinished:
        return False
    await agent.reporter.written(within=_WRITTEN_SECONDS)
    await agent.lease.end(within=_END_SECONDS)
    try:
        outlook = await sharing.pool.look(busy=False)
    except CloudError:
        return False
    if outlook.stay:
        _log.info("others that were counted on have gone: this instance stays")
        _start(agent, sharing, agent.lease)
    return outlook.stay


def _new(agent: Agent, taken: Taken, began: Mapping[str, float]) -> KeptJob:
    record = agent.new_record(taken.job.number, _script(agent, taken.job.script))
    # In SimpleDB what the last holder has said stays as long as nothing else is.
    nothing = dict.fromkeys([*map(seconds_attribute, PARTS), X_LOG, X_LOG_BEGIN], "") if taken.claim.count > 1 else {}
    attributes = timing_attributes(began, attempt=taken.begin.attempt)
    return KeptJob(record=replace(record, extra={**nothing, **attributes, **claim_attribute(taken.claim)}))


def _script(agent: Agent, name: str) -> str:
    """Return the script of a job as its record says it; "" if nobody knows its name."""
    return str(agent.paths.awsac_working / name) if name else ""


async def _run(
    agent: Agent, sharing: Sharing, place: Workplace, taken: Taken, kept: KeptJob, *, core: int, on_ran: OnRan
) -> JobState | None:
    """Run a job; returns how it ended, or None if it is somebody else's by now."""
    job, number, stop = taken.job, taken.job.number, agent.stop.child()
    if taken.end:
        stop.request(*taken.end)
    elif number in agent.killed:
        stop.request(*KILLED)
    if stop.state or not runs_or_will(kept):
        job = replace(job, release=None)
    agent.kept[number], agent.stops[number] = kept, stop
    agent.state.keep_job(kept)
    agent.reporter.report(kept.record)
    place.releases.need(job.release)
    ended = await run_job(
        job, core=core, kept=kept, begin=taken.begin, stop=stop, place=place, lost=taken.lost, on_ran=on_ran
    )
    if ended is None:
        del agent.kept[number], agent.stops[number]
        agent.reporter.forget(number)
        await asyncio.to_thread(set_all_aside, number, agent.paths)
        await sharing.pool.give_up(number)
    return ended


async def tell_unclaimed(agent: Agent, trouble: str) -> None:
    """Say of the jobs that nobody has claimed that they end when all are to, or else why they do not here.

    Who claims one of them nevertheless has the last word. Of many instances a few say it.
    """
    ends = agent.stop.state is JobState.KILLED
    if agent.launch is None or not (ends or trouble) or not await _speaks(agent):
        return
    numbers = await _unclaimed(agent)
    nobody, scripts = Claim(pool=agent.known_launch.pool, count=0), {job.number: job.script for job in agent.jobs}
    for number in numbers:
        agent.reporter.report(
            JobRecord(
                number=number,
                script=_script(agent, scripts.get(number, "")),
                state=JobState.KILLED if ends else JobState.PENDING,
                launch_index=agent.known_launch.launch_index,
                reason=agent.stop.reason if ends else f"instance {agent.instance.instance_id} cannot run it: {trouble}",
                extra=claim_attribute(nobody),
            )
        )


async def _speaks(agent: Agent) -> bool:
    """Whether this is one of the instances that speak for all: of those that renew a lease, the first few."""
    own = agent.known_launch.launch_index
    if agent.lease is None:
        return own < agent.known_launch.first_launch_index + _SPEAKERS
    try:
        recent = await agent.leases().recent(agent.lease.seconds)
    except CloudError:
        return True
    before = {index for lease in recent if (index := lease_index(lease)) is not None and index < own}
    return len(before) < _SPEAKERS


async def _unclaimed(agent: Agent) -> list[int]:
    numbers = [job.number for job in agent.jobs] or _numbers(agent)
    until = asyncio.get_running_loop().time() + _UNCLAIMED_SECONDS
    claims = agent.claims()
    try:
        return await keep_trying("list claims", lambda: claims.free(numbers), until=until, again=passing)
    except CloudError as error:
        _log.warning("which jobs nobody has claimed is not known: %s", describe(error))
        return []


def _numbers(agent: Agent) -> list[int]:
    """Return the numbers of the pool's jobs when ``jobs.cfg`` was not read: a retry has some of the session's only."""
    numbers = range(1, (number_of_jobs(agent.user_data) or 0) + 1)
    return [job.number for job in agent.known_launch.shared([Job(number=n, script="", release=None) for n in numbers])]


async def leave(agent: Agent) -> None:
    """Have no lease any more: no job runs here, and what has become of those that did is told."""
    if agent.lease is not None:
        await agent.lease.end(within=_END_SECONDS)
