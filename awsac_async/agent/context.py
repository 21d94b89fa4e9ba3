"""What the phases of the agent's life hand to each other.

Owns the making of what they share, and ties it to the request to stop; it does nothing by itself.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from awsac_async.agent.deadline import Deadline
from awsac_async.agent.devices import Devices
from awsac_async.agent.launch import OwnLaunch, first_launch
from awsac_async.agent.logs import LogShipper
from awsac_async.agent.metadata import Instance
from awsac_async.agent.release import Building
from awsac_async.agent.releases import Place, Releases
from awsac_async.agent.reporter import StatusReporter
from awsac_async.agent.results import Saver
from awsac_async.agent.shared.lease import Lease
from awsac_async.agent.shared.sharing import Sharing
from awsac_async.agent.state import KeptJob, State
from awsac_async.agent.stopping import Stop
from awsac_async.agent.timings import uptime
from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.claims import Claims, Leases, claims_of
from awsac_async.cloud.snapshots import Snapshots
from awsac_async.cloud.status import StatusStore, status_store
from awsac_async.cloud.volumes import Volumes
from awsac_async.session.errors import FormatError
from awsac_async.session.model import Job, JobRecord, JobState, Schedule, UserData
from awsac_async.session.names import InstancePaths
from awsac_async.session.purpose import Build, Purpose, read_purpose
from awsac_async.session.releases import SPARE_RELEASES
from awsac_async.session.statusdocs import StatusWriter
from awsac_async.session.userdata import launch_number, number_of_jobs, read_settings, status_kind

_LEAVING_SHARE = 0.25  # of the time from the jobs' end to the machine's


@dataclass(kw_only=True)
class Agent:
    """One agent in one session. ``n_jobs``, ``jobs``, ``kept`` and ``releases`` are learned on the way.

    Where instances share jobs, ``jobs`` are all of the pool, and ``sharing`` and ``lease`` are there from then on.
    ``launch`` is None as long as a further launch of the session is not known by its document. ``began`` is the uptime
    at which this agent did, ``stops`` the request to stop of each job, ``kept`` what a predecessor kept of them,
    ``killed`` the jobs whose end clients have asked for, and ``followed`` what they last said of following the logs.
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
    sharing: Sharing | None = None
    lease: Lease | None = None
    killed: frozenset[int] = frozenset()
    followed: int = 0

    def __post_init__(self) -> None:
        session_id = self.user_data.session_id
        self.launch: OwnLaunch | None = first_launch(self.user_data, self.instance.launch_index)
        self.purpose = self._purpose()
        self.state = State(directory=self.paths.state)
        self.bucket = Bucket(self.aws, self.user_data.bucket)
        kind = status_kind(self.user_data)
        self.store: StatusStore = status_store(
            self.aws, session_id, kind=kind, bucket=self.user_data.bucket, n_jobs=number_of_jobs(self.user_data)
        )
        self.reporter = StatusReporter(self.store, by=self.status_writer, on_end_written=self.state.keep_told)
        # Before the machine's end there must be time to say what was not saved, and to send the log.
        left = self.deadline.left() - _LEAVING_SHARE * self.deadline.warning()
        self._saved_until = asyncio.get_running_loop().time() + left
        self.saver = self.saver_in(self.bucket.name)
        self.logs = LogShipper(self.bucket, self.paths.state / "logs")
        self.stop.tell(self._hurry)

    def _purpose(self) -> Purpose | None:
        """What the session is for; what cannot be read of it, the phase ``check`` refuses."""
        try:
            return read_purpose(self.user_data)
        except FormatError:
            return None

    def saver_in(self, bucket: str) -> Saver:
        """Return what saves into a bucket, as long as there is time."""
        return Saver(
            bucket=Bucket(self.aws, bucket),
            session_id=self.user_data.session_id,
            deadline=self._saved_until,
            on_manifest=self.state.keep_manifest,
        )

    def _hurry(self) -> None:
        """The instance is being taken away; for any other reason to stop, saving has the time it always has."""
        if self.stop.state is JobState.INTERRUPTED:
            self.saver.hurry()

    @property
    def known_launch(self) -> OwnLaunch:
        """The launch of this instance, for whoever comes after the phase that learns it."""
        if self.launch is None:
            raise ValueError("the launch of this instance is not known yet")
        return self.launch

    def status_writer(self) -> StatusWriter:
        """Return whose word it is what this agent says of its jobs."""
        own = self.known_launch
        launch = own.pool if self.shares else launch_number(self.user_data)
        return StatusWriter(launch=launch, launch_index=own.launch_index)

    @property
    def shares(self) -> bool:
        """Whether the instances of the session share its jobs; what cannot be read, the phase ``check`` refuses."""
        try:
            return self.purpose is None and read_settings(self.user_data).schedule is Schedule.SHARED
        except FormatError:
            return False

    def claims(self) -> Claims:
        """Return the claims on the jobs that this instance shares with others."""
        return claims_of(
            self.aws,
            self.user_data.session_id,
            pool=self.known_launch.pool,
            kind=status_kind(self.user_data),
            bucket=self.user_data.bucket,
        )

    def leases(self) -> Leases:
        """Return the leases of the instances that share these jobs."""
        return Leases(self.bucket, self.user_data.session_id, self.known_launch.pool)

    @property
    def interrupt_at(self) -> Path:
        """The file in which jobs find when their instance is taken away, once that is known."""
        return self.paths.state / "interrupted"

    def make_releases(
        self, needed: Iterable[str | None], *, release_mount: str = "rw", encrypted: bool = True
    ) -> Releases:
        """Take charge of the releases on this instance; ``needed`` names that of each job still to be run.

        Of jobs that are shared some more may come.
        """
        place = Place(
            session_id=self.user_data.session_id,
            instance=self.instance,
            directory=self.paths.state / "releases",
            volumes=Volumes(self.aws),
            devices=self.devices,
            bucket=partial(Bucket, self.aws),
            release_mount=release_mount,
            encrypted=encrypted,
            building=Building(build=self.purpose, snapshots=Snapshots(self.aws))
            if isinstance(self.purpose, Build)
            else None,
        )
        possible = [job.release for job in self.jobs] if self.shares else []
        self.releases = Releases(place, needed, possible=possible, most_idle=SPARE_RELEASES if self.shares else 0)
        return self.releases

    def new_record(self, number: int, script: str = "") -> JobRecord:
        """Return the record of a job of this instance that has not begun."""
        return JobRecord(
            number=number,
            script=script,
            instance_id=self.instance.instance_id,
            launch_index=self.known_launch.launch_index,
        )
