"""The agent's life: its phases in order, and what is done at the end, whatever happened.

Owns the order and nothing else; each phase's work is in its own module. Set-up stops at the first error; the departure
runs every step, always, and ends with the instance terminated.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from awsac_async.agent.boot import fetch_archive
from awsac_async.agent.data import DataError, fetch_data
from awsac_async.agent.devices import DeviceNames, Devices
from awsac_async.agent.jobs import Workplace, run_job
from awsac_async.agent.log import describe, step
from awsac_async.agent.metadata import Instance
from awsac_async.agent.releases import Place, Releases
from awsac_async.agent.reporter import StatusReporter
from awsac_async.agent.results import Saver
from awsac_async.agent.retry import always, keep_trying
from awsac_async.agent.stopping import Stop, StoppedError
from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.instances import Instances
from awsac_async.cloud.status import StatusStore, status_store
from awsac_async.cloud.volumes import Volumes
from awsac_async.session.archive import unpack
from awsac_async.session.errors import AwsacError, NotFoundError
from awsac_async.session.jobs import expand, read_jobs, select_jobs
from awsac_async.session.model import Job, JobRecord, JobState, UserData
from awsac_async.session.names import AGENT_LOG_FILE, InstancePaths, agent_log_key

_log = logging.getLogger(__name__)
_STATUS_SECONDS = 600.0  # how long the last states of the jobs may take to be written


@dataclass(kw_only=True)
class Agent:
    """What the phases work on. The first six are given; ``jobs`` and ``releases`` are learned on the way."""

    paths: InstancePaths
    user_data: UserData
    instance: Instance
    aws: Aws
    stop: Stop
    jobs_file: Path
    deadline: float  # the loop's time
    devices: Devices
    n_jobs: int = 0
    jobs: list[Job] = field(default_factory=list)
    releases: Releases | None = None

    def __post_init__(self) -> None:
        session_id = self.user_data.session_id
        self.bucket = Bucket(self.aws, self.user_data.bucket)
        self.store: StatusStore = status_store(self.aws, session_id)
        self.reporter = StatusReporter(self.store)
        self.saver = Saver(
            bucket=self.bucket, session_id=session_id, directory=self.paths.state / "packed", deadline=self.deadline
        )

    def new_record(self, number: int, script: str = "") -> JobRecord:
        """Return the record of a job of this instance that has not begun."""
        return JobRecord(
            number=number,
            script=script,
            instance_id=self.instance.instance_id,
            launch_index=self.instance.launch_index,
        )

    def own(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those of a session's jobs that are this instance's."""
        return select_jobs(
            jobs,
            launch_index=self.instance.launch_index,
            cores_per_instance=self.user_data.cores_per_instance,
        )


# --- Phases ---


async def fetch(agent: Agent) -> None:
    """Fetch the session archive."""
    download = fetch_archive(agent.bucket, agent.user_data, agent.paths)
    await agent.stop.unless(download, name="fetch archive")


async def unpack_archive(agent: Agent) -> None:
    """Unpack it into ``AWSACworkingDir``."""
    await asyncio.to_thread(unpack, agent.paths.archive, agent.paths.awsac_working)


async def select(agent: Agent) -> None:
    """Find out which jobs are this instance's, and say that it has them."""
    jobs = expand(await asyncio.to_thread(read_jobs, agent.jobs_file))
    agent.n_jobs, agent.jobs = len(jobs), agent.own(jobs)
    for job in agent.jobs:
        agent.reporter.report(agent.new_record(job.number, str(agent.paths.awsac_working / job.script)))
    _log.info("jobs of this instance: %s of %d", [job.number for job in agent.jobs], agent.n_jobs)


async def work(agent: Agent) -> None:
    """Provide, run, save, release: each job as soon as it can, none waiting for another."""
    place = Place(
        session_id=agent.user_data.session_id,
        instance=agent.instance,
        directory=agent.paths.state / "releases",
        volumes=Volumes(agent.aws),
        devices=agent.devices,
        names=DeviceNames(),
    )
    agent.releases = Releases(place, [job.snapshot_id for job in agent.jobs])
    records = {record.number: record for record in agent.reporter.records()}
    async with asyncio.TaskGroup() as group:
        agent.releases.start(group)
        data = group.create_task(_fetch_data(agent), name="input data")
        workplace = _workplace(agent, agent.releases, data)
        runs = [
            group.create_task(
                run_job(job, core=core, record=records[job.number], place=workplace), name=f"job {job.number}"
            )
            for core, job in enumerate(agent.jobs)
        ]
        await asyncio.gather(*runs)
        data.cancel()  # nobody waits for it any more, if jobs ended without it


def _n_data(agent: Agent) -> int:
    return int(agent.user_data.extra.get("data", "0"))


async def _fetch_data(agent: Agent) -> DataError | None:
    """Fetch the input data; a failure is a value, which each job reports."""
    try:
        await fetch_data(
            agent.bucket, session_id=agent.user_data.session_id, count=_n_data(agent), directory=agent.paths.data
        )
    except DataError as error:
        return error
    return None


def _workplace(agent: Agent, releases: Releases, data: asyncio.Task[DataError | None]) -> Workplace:
    return Workplace(
        paths=agent.paths,
        session_id=agent.user_data.session_id,
        n_jobs=agent.n_jobs,
        has_data=_n_data(agent) > 0,
        reporter=agent.reporter,
        releases=releases,
        data=data,
        saver=agent.saver,
        stop=agent.stop,
    )


# --- Departure ---


async def report_unended(agent: Agent, trouble: str) -> None:
    """No job may stay in a state that promises more: what has not ended has failed, and this is why."""
    for record in agent.reporter.records() or [agent.new_record(number) for number in await _own_numbers(agent)]:
        if not record.state.final:
            state = JobState.INTERRUPTED if agent.stop.reason else JobState.FAILED
            agent.reporter.report(replace(record, state=state, reason=agent.stop.reason or trouble))


async def _own_numbers(agent: Agent) -> list[int]:
    """Return the numbers of this instance's jobs when ``jobs.cfg`` cannot tell: from user data, else the store."""
    n_jobs = agent.user_data.extra.get("n_jobs")
    if n_jobs is not None:
        numbers: Sequence[int] = range(1, int(n_jobs) + 1)
    else:
        try:
            numbers = [record.number for record in await agent.store.read() if record.state is JobState.PENDING]
        except NotFoundError:
            numbers = []
    return [job.number for job in agent.own([Job(number=n, script="", snapshot_id=None) for n in numbers])]


async def remove_releases(agent: Agent, _: str) -> None:
    """Unmount, detach and delete what is still there."""
    if agent.releases is not None:
        await agent.releases.remove_all()


async def write_status(agent: Agent, _: str) -> None:
    """Write the last states."""
    if not await agent.reporter.close(within=_STATUS_SECONDS):
        _log.error("some states were not written within %.0f s", _STATUS_SECONDS)


async def upload_log(agent: Agent, _: str) -> None:
    """Pack and upload the log as it is now."""
    key = agent_log_key(agent.user_data.session_id, agent.instance.launch_index)
    await agent.saver.save_file(agent.paths.session_info / AGENT_LOG_FILE, key)


async def terminate(agent: Agent, _: str) -> None:
    """Terminate this instance; there is nothing better to do than to ask until it is granted."""
    await keep_trying(
        f"terminate {agent.instance.instance_id}",
        lambda: Instances(agent.aws).terminate([agent.instance.instance_id]),
        until=float("inf"),
        again=always,
    )


Phase = Callable[[Agent], Awaitable[None]]

BOOT: tuple[Phase, ...] = (fetch, unpack_archive)
RUN: tuple[Phase, ...] = (select, work)
DEPARTURE = (report_unended, remove_releases, write_status, upload_log, terminate)


async def go_through(agent: Agent, phases: Sequence[Phase]) -> str:
    """Run phases in order, up to the first that fails; returns why it failed, or ""."""
    for phase in phases:
        try:
            with step(f"phase {phase.__name__}"):
                await phase(agent)
        except (AwsacError, StoppedError) as error:
            return str(error)
        except Exception as fault:
            _log.exception("phase %s: fault of the agent", phase.__name__)
            return f"fault of the agent: {describe(fault)}"
    return ""


async def depart(agent: Agent, trouble: str) -> None:
    """Run every step of the departure, whatever fails."""
    for leave in DEPARTURE:
        try:
            with step(f"departure {leave.__name__}"):
                await leave(agent, trouble)
        except Exception:
            _log.exception("departure %s: failed, going on", leave.__name__)
