"""What ``start`` tells its caller while it works. Values only: how they look is the caller's business."""

from dataclasses import dataclass
from pathlib import Path

from awsac_async.client.plan import Plan
from awsac_async.cloud.objects import Progress
from awsac_async.session.model import StatusKind


@dataclass(frozen=True, kw_only=True)
class Planned:
    """Everything has been checked; this is going to be started."""

    plan: Plan


@dataclass(frozen=True, kw_only=True)
class Named:
    """The session has its ID, and an uncompleted session file. ``continued``: both are from an earlier start."""

    session_id: str
    session_file: Path
    continued: bool


@dataclass(frozen=True, kw_only=True)
class Transferring:
    """Objects are on their way."""

    progress: Progress


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """The archive, and the input data if there are any, are in the bucket. ``size`` is in bytes."""

    bucket: str
    archive_key: str
    data_files: int
    size: int


@dataclass(frozen=True, kw_only=True)
class ImageFound:
    """The image exists."""

    ami_id: str
    owner: str


@dataclass(frozen=True, kw_only=True)
class UserDataBuilt:
    """What every instance will be told."""

    user_data: str


@dataclass(frozen=True, kw_only=True)
class JobsWritten:
    """The status store, a domain or a prefix in the bucket, holds every job as pending."""

    kind: StatusKind
    place: str
    n_jobs: int


@dataclass(frozen=True, kw_only=True)
class Launched:
    """RunInstances has answered. The session file is not completed yet. ``place`` is where, in words."""

    reservation_id: str
    instance_ids: tuple[str, ...]
    place: str


@dataclass(frozen=True, kw_only=True)
class NoRoom:
    """EC2 has no room for what was asked of this place: another one is tried, if there is one."""

    place: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class LessRoom:
    """No place has room for more within the limits: the session, whose jobs are shared, has fewer cores than wanted."""

    n_instances: int
    n_cores: int
    wanted: int


@dataclass(frozen=True, kw_only=True)
class Completed:
    """The session file is complete: all other verbs can work with it."""

    session_file: Path


@dataclass(frozen=True, kw_only=True)
class Undone:
    """Nothing was started, and nothing of the session is left."""

    session_id: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The session file stays, uncompleted: the same start continues the session, and launches nothing twice."""

    session_file: Path
    reason: str


StartEvent = (
    Planned
    | Named
    | Transferring
    | Uploaded
    | ImageFound
    | UserDataBuilt
    | JobsWritten
    | Launched
    | NoRoom
    | LessRoom
    | Completed
    | Undone
    | Kept
)
