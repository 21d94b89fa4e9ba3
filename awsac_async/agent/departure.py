"""The steps of the agent's departure; each bears that those before it failed. Their order is in ``lifecycle``.

Owns the end of the instance. A step may never wait for ever for anything but the termination itself. Each step can be
repeated: a successor of an agent that died in its departure departs again.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import replace

from awsac_async.agent.boot import read_user_data
from awsac_async.agent.context import Agent
from awsac_async.agent.log import flush_log, log_files, step
from awsac_async.agent.metadata import Metadata
from awsac_async.agent.process import ToolError, run_tool
from awsac_async.agent.retry import always, foreseen, keep_trying
from awsac_async.agent.shared import phases as shared
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.instances import Instances
from awsac_async.session.claims import claim_of
from awsac_async.session.errors import AwsacError, CloudError, NotFoundError
from awsac_async.session.model import Access, Job, JobRecord, JobState
from awsac_async.session.names import AGENT_LOG_FILE, DEADLINE_PROGRAM, agent_log_key, manifest_copies_key
from awsac_async.session.userdata import number_of_jobs, read_access

_log = logging.getLogger(__name__)
_STATUS_SECONDS = 600.0  # how long the last states of the jobs may take to be written
_LOG_SECONDS = 600.0  # how long the log may take: results are worth waiting for until the deadline, the log is not
_REFUSED_SECONDS = 600.0  # how long EC2 may refuse to terminate this instance before it is powered off
_ABANDON_SECONDS = 3600.0  # how long an agent that could not begin asks for the end of its instance
_CHUNKS_SECONDS = 60.0  # how long the live logs may take: what is missing there is in the packed ones
_COPIES_SECONDS = 30.0  # how long the copies of manifests may take, without which getresults is only slower
_LEAST_SECONDS = 5.0  # each of these, also when the deadline is near
_HURRIED_SECONDS = 30.0  # each of these, when the instance is being taken away


async def report_unended(agent: Agent, trouble: str) -> None:
    """No job may stay in a state that promises more: what has not ended has failed, and this is why."""
    if agent.shares:
        await shared.tell_ended(agent)
        await shared.give_up_rest(agent)  # before others may hear that they can run it
        await shared.tell_unclaimed(agent, trouble)
    elif not agent.reporter.records():  # it never came to say how they stand
        for number in await _own_numbers(agent):
            agent.reporter.report(_last_known(agent, number))
    for record in agent.reporter.records():
        if not record.state.final and not _unclaimed(record):
            state = agent.stop.state or JobState.FAILED
            agent.reporter.report(replace(record, state=state, reason=agent.stop.reason or trouble))


def _unclaimed(record: JobRecord) -> bool:
    claim = claim_of(record)
    return claim is not None and not claim.count


def _last_known(agent: Agent, number: int) -> JobRecord:
    """Return how a job of this instance stands: as a predecessor kept it, which may be ended, or not begun."""
    kept = agent.state.job(number)
    return kept.record if kept else agent.new_record(number)


async def _own_numbers(agent: Agent) -> list[int]:
    """Return the numbers of this instance's jobs when ``jobs.cfg`` cannot tell: from user data, else the store."""
    if agent.launch is None:  # nobody knows whose they are: they end as lost
        return []
    n_jobs = number_of_jobs(agent.user_data)
    if n_jobs is not None:
        numbers: Sequence[int] = range(1, n_jobs + 1)
    else:
        try:
            numbers = [record.number for record in await agent.store.read() if record.state is JobState.PENDING]
        except NotFoundError:
            numbers = []
    return [job.number for job in agent.launch.own([Job(number=n, script="", release=None) for n in numbers])]


async def remove_releases(agent: Agent, _: str) -> None:
    """Unmount, detach and delete what is still there."""
    releases = agent.releases or agent.make_releases([])
    await releases.remove_all()


async def write_status(agent: Agent, _: str) -> None:
    """Write the last states."""
    within = _within(agent, _STATUS_SECONDS)
    if not await agent.reporter.close(within=within):
        _log.error("some states were not written within %.0f s", within)


async def end_lease(agent: Agent, _: str) -> None:
    """Let others see at once that this instance is not to be counted on any more."""
    await shared.leave(agent)


async def copy_manifests(agent: Agent, _: str) -> None:
    """Upload the manifests of all jobs of this instance once more, as one document, so that one request reads them.

    Nothing depends on it.
    """
    manifests = await asyncio.to_thread(agent.state.manifests)
    if agent.launch is None or not manifests:
        return
    key = manifest_copies_key(agent.user_data.session_id, agent.launch.launch_index)
    await agent.saver.save_copies(manifests, key, within=_within(agent, _COPIES_SECONDS))


async def upload_log(agent: Agent, _: str) -> None:
    """Send the rest of the live logs, and pack and upload the agent's own as it is now."""
    await flush_log()
    if agent.launch is None:  # it has no name that is not another agent's
        return
    key = agent_log_key(agent.user_data.session_id, agent.launch.launch_index)
    async with asyncio.TaskGroup() as group:
        group.create_task(agent.logs.finish_all(within=_within(agent, _CHUNKS_SECONDS)), name="live logs")
        files = log_files(agent.paths.session_info / AGENT_LOG_FILE)
        await agent.saver.save_files(files, key, within=_within(agent, _LOG_SECONDS))


def _within(agent: Agent, seconds: float) -> float:
    """Return how long a step may take, of these seconds: a third of what is left before the power-off at most."""
    if agent.stop.state is JobState.INTERRUPTED:
        seconds = min(seconds, _HURRIED_SECONDS)
    return min(seconds, max(_LEAST_SECONDS, agent.deadline.left() / 3))


async def terminate(agent: Agent, _: str) -> None:
    """Terminate this instance: ask until it is granted, and when that takes too long, power the machine off as well."""
    await _terminate(agent.aws, agent.instance.instance_id, within=float("inf"))


async def abandon(metadata: Metadata, instance_id: str) -> None:
    """Terminate this instance of a session whose agent could not even begin; says it plainly if that fails too.

    ``instance_id`` may be "": the metadata service knows it.
    """
    try:
        with step("terminate this instance, since its agent cannot begin"):
            region, access = await metadata.region(), await _access(metadata)
            async with connect(region=region, access=access, instance_role_only=True) as aws:
                await _terminate(aws, instance_id or await metadata.instance_id(), within=_ABANDON_SECONDS)
    except Exception:
        await _power_off()
        _log.exception("THIS INSTANCE STAYS, and costs: it could not be terminated from inside")


async def _access(metadata: Metadata) -> Access:
    """Return where the user data say that the services are; what is wrong may be that they cannot be read."""
    try:
        user_data = await read_user_data(metadata)
    except AwsacError:
        user_data = None
    return read_access(user_data) if user_data else Access()


async def _terminate(aws: Aws, instance_id: str, *, within: float) -> None:
    instances, began = Instances(aws), asyncio.get_running_loop().time()

    async def ask(seconds: float) -> None:
        await keep_trying(
            f"terminate {instance_id}",
            lambda: foreseen("terminate", instance_id, instances.terminate([instance_id])),
            until=began + seconds,
            again=always,
        )

    try:
        await ask(min(within, _REFUSED_SECONDS))
    except CloudError as error:
        _log.error("terminate %s: refused for %.0f s: %s", instance_id, _REFUSED_SECONDS, error)
        await _power_off()
        await ask(within)


async def _power_off() -> None:
    """Power this machine off by the program that sets its deadline, if there is one: that terminates it as well."""
    program = os.environ.get(DEADLINE_PROGRAM)
    if not program:
        _log.error("nothing here can power this machine off")
        return
    try:
        with step(f"{program} now"):
            await run_tool(program, "now")
    except ToolError:
        pass  # named and logged by step(); what else there is to try is tried all the same
