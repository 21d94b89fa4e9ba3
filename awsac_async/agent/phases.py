"""The phases of the agent's life, up to the end of the last job. Their order is in ``lifecycle``.

Owns what one phase is made of. A phase that fails raises; it never tidies up, since the departure always does.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace

from awsac_async.agent import launch
from awsac_async.agent.boot import fetch_archive, keep_user_data
from awsac_async.agent.context import Agent
from awsac_async.agent.data import DataError, fetch_data
from awsac_async.agent.flood import FloodGuard
from awsac_async.agent.jobs import run_job, runs_or_will
from awsac_async.agent.logfiles import LogFile
from awsac_async.agent.products import Product, archive_in, snapshot_of
from awsac_async.agent.releases import Releases
from awsac_async.agent.shared import phases as shared
from awsac_async.agent.state import KeptJob
from awsac_async.agent.timings import uptime
from awsac_async.agent.watching import watching
from awsac_async.agent.workplace import Workplace
from awsac_async.session.archive import unpack
from awsac_async.session.errors import AwsacError, FormatError
from awsac_async.session.jobs import expand, read_jobs, shown_numbers
from awsac_async.session.model import Job, JobSettings, JobState
from awsac_async.session.names import AGENT_LOG_FILE, JOBS_FILE, NEW_RELEASE, agent_log_prefix
from awsac_async.session.purpose import Build, PackTo, Purpose
from awsac_async.session.timings import timing_attributes
from awsac_async.session.userdata import check_fields, has_data_document, number_of_data, read_settings
from awsac_async.session.wording import counted

_log = logging.getLogger(__name__)


async def check(agent: Agent) -> None:
    """Refuse user data with a field of ours that cannot be read."""
    check_fields(agent.user_data)


async def remember(agent: Agent) -> None:
    """Keep the user data in ``SessionInfoFile``."""
    await asyncio.to_thread(keep_user_data, agent.user_data, agent.paths)


async def learn_launch(agent: Agent) -> None:
    """Learn from its document of which further launch of the session this instance is, if it is of one."""
    if agent.launch is not None:
        return
    learning = launch.learn_launch(
        agent.bucket, agent.user_data, ami_launch_index=agent.instance.launch_index, state=agent.state
    )
    agent.launch = await agent.stop.unless(learning, name="learn the launch")


async def fetch(agent: Agent) -> None:
    """Fetch the session archive, unless a predecessor has fetched and unpacked it."""
    if agent.state.unpacked() is not None:
        return
    download = fetch_archive(agent.bucket, agent.user_data, agent.paths)
    await agent.stop.unless(download, name="fetch archive")


async def unpack_archive(agent: Agent) -> None:
    """Unpack it into ``AWSACworkingDir``, once: later, scripts in there may be running."""
    if agent.state.unpacked() is not None:
        return
    await asyncio.to_thread(unpack, agent.paths.archive, agent.paths.awsac_working)
    agent.state.keep_unpacked(seconds=uptime() - agent.began)


async def select(agent: Agent) -> None:
    """Find out which jobs are this instance's and how they stand, and say so."""
    jobs = _fit_for(agent.purpose, expand(await asyncio.to_thread(read_jobs, agent.jobs_file)))
    agent.n_jobs = len(jobs)
    if agent.shares:
        agent.jobs = agent.known_launch.shared(jobs)
        await shared.join(agent)
        _log.info("jobs that this instance shares with others: %s", shown_numbers([job.number for job in agent.jobs]))
        return
    agent.jobs = agent.known_launch.own(jobs)
    began = _seconds_to_begin(agent)
    for job in agent.jobs:
        kept = agent.state.job(job.number) or _new(agent, job, began)
        agent.kept[job.number], agent.stops[job.number] = kept, agent.stop.child()
        agent.state.keep_job(kept)
        if kept.record.state.final and agent.state.told(job.number):
            agent.reporter.know(kept.record)
        else:
            agent.reporter.report(kept.record)
    _log.info("jobs of this instance: %s of %d", shown_numbers([job.number for job in agent.jobs]), agent.n_jobs)


def _fit_for(purpose: Purpose | None, jobs: list[Job]) -> list[Job]:
    """Return the jobs with the releases that they get; raises FormatError if it is not one job that makes one thing."""
    if purpose is None:
        return jobs
    if len(jobs) != 1:
        expected = "one, in a session that makes a release"
        raise FormatError(file=JOBS_FILE, found=counted(len(jobs), "job"), expected=expected)
    return [replace(jobs[0], release=NEW_RELEASE)] if isinstance(purpose, Build) else jobs


def _new(agent: Agent, job: Job, began: Mapping[str, float]) -> KeptJob:
    """Return a job that no agent has known before."""
    record = agent.new_record(job.number, str(agent.paths.awsac_working / job.script))
    attributes = timing_attributes(began, attempt=agent.known_launch.beginning(job.number).attempt)
    return KeptJob(record=replace(record, extra=attributes))


def _seconds_to_begin(agent: Agent) -> dict[str, float]:
    """Return the seconds of the parts that are over when an instance's jobs begin, as far as they are known."""
    fetched = agent.state.unpacked()
    boot = {"boot": max(0.0, uptime() - agent.deadline.booted - (fetched or 0.0))}
    return boot if fetched is None else boot | {"fetch": fetched}


async def work(agent: Agent) -> None:
    """Provide, run, save, release: each job as soon as it can, none waiting for another."""
    settings, trouble = read_settings(agent.user_data), ""
    needed = [] if agent.shares else [job.release for job in agent.jobs if runs_or_will(agent.kept[job.number])]
    releases = agent.make_releases(needed, release_mount=settings.release_mount, encrypted=settings.encrypted)
    await _ship_own_log(agent)
    async with asyncio.TaskGroup() as group:
        releases.start(group)
        await releases.asked()
        async with watching(agent):
            data = group.create_task(_fetch_data(agent), name="input data")
            shipping = group.create_task(agent.logs.run(), name="ship logs")
            floods = FloodGuard()
            guarding = group.create_task(floods.run(), name="guard the disk")
            place = _workplace(agent, releases, data, settings, floods)
            if agent.shares:
                trouble = await shared.work(agent, group, place, began=_seconds_to_begin(agent))
            else:
                await asyncio.gather(*(_run_job(agent, group, core, job, place) for core, job in enumerate(agent.jobs)))
            for task in (data, shipping, guarding):
                task.cancel()  # nobody needs the data any more; the departure ends the logs
    if trouble:
        raise AwsacError(trouble)


def _run_job(
    agent: Agent, group: asyncio.TaskGroup, core: int, job: Job, place: Workplace
) -> asyncio.Task[JobState | None]:
    kept, stop = agent.kept[job.number], agent.stops[job.number]
    running = run_job(job, core=core, kept=kept, begin=agent.known_launch.beginning(job.number), stop=stop, place=place)
    return group.create_task(running, name=f"job {job.number}")


async def _ship_own_log(agent: Agent) -> None:
    prefix = agent_log_prefix(agent.user_data.session_id, agent.known_launch.launch_index)
    await agent.logs.add(prefix, LogFile(path=agent.paths.session_info / AGENT_LOG_FILE))


async def _fetch_data(agent: Agent) -> DataError | None:
    """Fetch the input data, unless all jobs have begun and so had it; a failure is a value, which each job reports."""
    if not agent.shares and not any(kept.record.state is JobState.PENDING for kept in agent.kept.values()):
        return None
    count = number_of_data(agent.user_data)
    if not count or agent.state.has_data():
        return None
    try:
        await fetch_data(
            agent.bucket,
            session_id=agent.user_data.session_id,
            count=count,
            directory=agent.paths.data,
            has_document=has_data_document(agent.user_data),
        )
    except DataError as error:
        return error
    agent.state.keep_data()
    return None


def _workplace(
    agent: Agent,
    releases: Releases,
    data: asyncio.Task[DataError | None],
    settings: JobSettings,
    floods: FloodGuard,
) -> Workplace:
    return Workplace(
        paths=agent.paths,
        session_id=agent.user_data.session_id,
        n_jobs=agent.n_jobs,
        cores=agent.user_data.cores_per_instance,
        has_data=number_of_data(agent.user_data) > 0,
        interrupt_at=agent.interrupt_at,
        settings=settings,
        state=agent.state,
        reporter=agent.reporter,
        releases=releases,
        data=data,
        logs=agent.logs,
        saver=agent.saver,
        floods=floods,
        product=_product(agent, releases),
    )


def _product(agent: Agent, releases: Releases) -> Product | None:
    match agent.purpose:
        case Build():
            return snapshot_of(releases)
        case PackTo(archive=archive):
            return archive_in(archive, releases=releases, saver=agent.saver_in(archive.bucket))
    return None
