"""The records of a session, all frozen: what a job is, how it stands, and which change of state may follow which.

States of a job, and the only transitions there are (``*`` from every state that is not final)::

    pending -> running -> waitforsave -> saving -> finished
       |          |            |           |-----> savefailed
       |          |            |           |-----> timedout | killed | interrupted
       |          +------------+-----------+
       +--------> failed   (*: the job could not be run, or its agent could not go on)
       +--------> killed, timedout, interrupted   (*)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum

from awsac_async.session import names

# Every job is one record in the memory of the workstation, and 2500 of them are one page of a Select: a session of
# this size is still listed in a minute. The largest sessions of 2008 had some hundred jobs.
MAX_JOBS = 100_000


LOST = "lost"  # shown in the place of a job's state if its instance ended before it; no agent can write it


class JobState(StrEnum):
    """How a job stands. The first five are those of 2008; the rest each come with a reason."""

    PENDING = "pending"
    RUNNING = "running"
    WAITFORSAVE = "waitforsave"
    SAVING = "saving"
    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"
    TIMEDOUT = "timedout"
    INTERRUPTED = "interrupted"
    SAVEFAILED = "savefailed"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to a job in this state."""
        return not TRANSITIONS[self]

    @property
    def active(self) -> bool:
        """Whether the job runs, or what it left is being saved."""
        return self is not JobState.PENDING and not self.final


_ENDS = frozenset({JobState.FAILED, JobState.KILLED, JobState.TIMEDOUT, JobState.INTERRUPTED})
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.PENDING: _ENDS | {JobState.RUNNING},
    JobState.RUNNING: _ENDS | {JobState.WAITFORSAVE},
    JobState.WAITFORSAVE: _ENDS | {JobState.SAVING},
    JobState.SAVING: _ENDS | {JobState.FINISHED, JobState.SAVEFAILED},
} | {state: frozenset() for state in (*_ENDS, JobState.FINISHED, JobState.SAVEFAILED)}


class StatusKind(StrEnum):
    """Where the status of a session's jobs is kept: as in 2008, or in the session's bucket."""

    SIMPLEDB = "simpledb"
    S3 = "s3"


class Schedule(StrEnum):
    """How jobs come to instances: by launch index, as in 2008, or each to whoever is free."""

    FIXED = "fixed"
    SHARED = "shared"


class Shield(StrEnum):
    """Whether jobs of a ``job_user`` must be kept from the credentials of the instance's role."""

    REQUIRED = "required"
    OPTIONAL = "optional"


@dataclass(frozen=True, kw_only=True)
class JobDefinition:
    """One line of ``jobs.cfg``: the same script, ``count`` times.

    ``release`` is a snapshot ID or an address in S3 (``session.releases`` tells them apart), None if none is needed.
    ``timeout`` is in seconds, or None: that of the session.
    """

    release: str | None
    script: str
    count: int
    line: int
    timeout: float | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job: its number in the session (from 1), its script, and its ``release`` as in a JobDefinition.

    ``timeout`` is in seconds, or None: that of the session.
    """

    number: int
    script: str
    release: str | None
    timeout: float | None = None


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """How one job stands: the content of its SimpleDB item.

    Times are aware datetimes in UTC. ``extra`` holds our own attributes by their full name (``x_…``).
    """

    number: int
    state: JobState = JobState.PENDING
    script: str = ""
    instance_id: str = ""
    launch_index: int | None = None
    run_start: datetime | None = None
    run_end: datetime | None = None
    return_code: int | None = None
    save_start: datetime | None = None
    save_end: datetime | None = None
    reason: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether the job ran to its end, exited with 0, and was saved."""
        return self.state is JobState.FINISHED and self.return_code == 0


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """How the jobs of a session are run, as its ini and its user data say; the defaults are what was done in 2008.

    ``job_timeout``: seconds that an attempt may run, unless the job has its own. ``retries``: how often a job that
    exits non-zero is run again. ``job_user``: as whom jobs run; ``job_user_shield``: whether they run where they cannot
    be kept from the credentials of the instance's role. ``release_mount``: ``rw`` or ``ro``. ``encrypted``:
    whether volumes are, which in 2008 could not be. ``schedule``: how jobs come to instances. ``lease``: after how many
    seconds of silence others run the jobs of an instance, where the schedule is shared. ``max_results``: how many bytes
    a job's results may have before they are packed; None: what can be saved before the deadline.
    """

    job_timeout: float | None = None
    retries: int = 0
    job_user: str = "root"
    job_user_shield: Shield = Shield.REQUIRED
    release_mount: str = "rw"
    encrypted: bool = True
    schedule: Schedule = Schedule.FIXED
    lease: float = 300.0
    max_results: int | None = None


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where the services of a session are, and how its S3 is spoken to; the defaults are those of AWS.

    The addresses are of all services, and of single ones, which win; "": as the AWS tools are set.
    ``s3_addressing_style``: whether a bucket is named in the ``path``, in the host's name (``virtual``), or, ``auto``,
    in that on AWS and in the path elsewhere. ``request_checksum_calculation``: ``when_required`` or ``when_supported``.
    """

    endpoint_url: str = ""
    endpoint_url_ec2: str = ""
    endpoint_url_s3: str = ""
    endpoint_url_sdb: str = ""
    s3_addressing_style: str = "auto"
    request_checksum_calculation: str = "when_required"

    def endpoint(self, service: str) -> str:
        """Return the address that is named for a service, as botocore calls it; "" if none is."""
        single: str = getattr(self, f"endpoint_url_{service}", "")
        return single or self.endpoint_url

    def access(self) -> dict[str, str]:
        """Return these fields alone, by name."""
        return {each.name: getattr(self, each.name) for each in fields(Access)}


@dataclass(frozen=True, kw_only=True)
class StartInfo(JobSettings, Access):
    """A parsed ``session.ini``; defaults keep the behaviour of 2008.

    ``price_per_hour`` is in USD for one instance (None: to be asked of AWS). ``public_ip``: whether instances get a
    public address (None: as their subnet has it). ``status_store`` is None if it is to be found out what the account
    may use. ``bootstrap`` is ``image`` or ``cloud-init``; ``agent_wheel`` the file of the wheel that is installed by
    the latter, "" for none in particular. ``n_instances`` and ``max_cores`` are the most that a session may have whose
    jobs are shared, None: as many as its jobs can use.
    """

    instance_type: str
    ami_id: str
    bucket: str
    ec2_uid: str
    shortdescr: str
    n_jobs: int
    region: str | None = None
    instance_profile: str
    key_name: str | None = None
    security_group_ids: tuple[str, ...] = ()
    subnet_id: str | None = None
    instance_types: tuple[str, ...] = ()
    subnet_ids: tuple[str, ...] = ()
    public_ip: bool | None = None
    market: str = "on-demand"
    cores_per_instance: int | None = None
    max_hours: float = 48.0
    price_per_hour: float | None = None
    status_store: StatusKind | None = None
    bootstrap: str = names.BOOTSTRAP_IMAGE
    agent_wheel: str = ""
    n_instances: int | None = None
    max_cores: int | None = None


@dataclass(frozen=True, kw_only=True)
class UserData:
    """The user data string: four fields of 2008, then ours as ``key=value`` (``extra``)."""

    session_id: str
    bucket: str
    archive_name: str
    cores_per_instance: int
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StartReservation:
    """One of several reservations of a start; ``price_per_hour`` is that of one instance in USD, None: not known."""

    instance_type: str
    n_instances: int
    cores_per_instance: int
    price_per_hour: float | None


@dataclass(frozen=True, kw_only=True)
class SessionRecord(Access):
    """What ``session-<session_id>.cfg`` remembers: twelve keys of 2008, and ours.

    ``ec2_reservation_id`` is "" until RunInstances has answered: such a session is *uncompleted* and ``start``
    continues it with the same ``client_token``. ``price_per_hour`` is that of one instance in USD, None if it was not
    known at the start. ``step`` is how far an uncompleted start has come in the order of its places, and
    ``reservations`` are those that it has had in the end, if there are several: type, cores and price are those of the
    first, ``n_instances`` counts all. The fields after the price are what RunInstances is told, for further launches:
    ``root_device`` is the device that is to be encrypted, or ""; ``agent_package`` is what instances of a stock image
    install, a requirement of pip or an address in S3; "" on an image of awsac. ``volumes``: whether it may have any
    that do not go with their instances by themselves. ``Access`` is what the ini says of it.
    """

    session_id: str
    ec2_reservation_id: str
    n_instances: int
    unused_cores: int
    cores_per_instance: int
    user_data: str
    shortdescr: str
    bucket: str
    n_jobs: int
    ami_id: str
    ec2_uid: str
    instance_type: str
    client_token: str
    input_digest: str
    region: str
    started: str
    price_per_hour: float | None = None
    instance_profile: str = ""
    key_name: str = ""
    security_group_ids: tuple[str, ...] = ()
    subnet_id: str = ""
    public_ip: bool | None = None
    root_device: str = ""
    market: str = "on-demand"
    status_store: StatusKind = StatusKind.SIMPLEDB
    volumes: bool = True
    agent_package: str = ""
    step: int = 0
    reservations: tuple[StartReservation, ...] = ()
