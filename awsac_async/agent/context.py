"""What the phases of the agent's life hand to each other.

Owns the making of what they share, and ties it to the request to stop; it does nothing by itself.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from awsac_async.agent.deadline import Deadline
from awsac_async.agent.devices import Devices
from awsac_async.agent.metadata import Instance
from awsac_async.agent.releases import Releases
from awsac_async.agent.reporter import StatusReporter
from awsac_async.agent.results import Saver
from awsac_async.agent.state import KeptJob, State
from awsac_async.agent.stopping import Stop
from awsac_async.agent.timings import uptime
from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.status import StatusStore, status_store
from awsac_async.session.jobs import select_jobs
from awsac_async.session.model import Job, JobRecord, JobState, UserData
from awsac_async.session.names import InstancePaths


@dataclass(kw_only=True)
class Agent:
    """One agent in one session. ``n_jobs``, ``jobs``, ``kept`` and ``releases`` are learned on the way.

    ``began`` is the uptime at which this agent did, ``stops`` the request to stop of each job, and ``kept`` what a
    predecessor kept of them.
    """

    paths: InstancePaths
    user_data: UserData
    instance: Instance
    aws: Aws
    stop: Stop
    jobs_file: Path
    deadline: Deadline
    devices: Devices
    began: float = field(default_factory=uptime)
    n_jobs: int = 0
    jobs: list[Job] = field(default_factory=list)
    kept: dict[int, KeptJob] = field(default_factory=dict)
    stops: dict[int, Stop] = field(default_factory=dict)
    releases: Releases | None = None

    def __post_init__(self) -> None:
        session_id = self.user_data.session_id
        self.state = State(directory=self.paths.state)
        self.bucket = Bucket(self.aws, self.user_data.bucket)
        self.store: StatusStore = status_store(self.aws, session_id)
        self.reporter = StatusReporter(self.store)
        saved_until = asyncio.get_running_loop().time() + self.deadline.left()
        self.saver = Saver(
            bucket=self.bucket, session_id=session_id, directory=self.paths.state / "packed", deadline=saved_until
        )
        self.stop.tell(self._hurry)

    def _hurry(self) -> None:
        """The instance is being taken away; for any other reason to stop, saving has the time it always has."""
        if self.stop.state is JobState.INTERRUPTED:
            self.saver.hurry()

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
