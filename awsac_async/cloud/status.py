"""Where the status of a session's jobs is kept: what any store can do, and which one a session uses."""

from collections.abc import Sequence
from typing import Protocol

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.s3status import S3Status
from awsac_async.cloud.simpledb import SimpleDbStatus
from awsac_async.session.model import MAX_JOBS, JobRecord, SessionRecord, StatusKind
from awsac_async.session.statusdocs import StatusWriter

_START = StatusWriter()


class StatusStore(Protocol):
    """The status of all jobs of one session. Errors are those of ``session.errors``.

    Who looks at a session again and again keeps its store: it remembers what it need not read a second time.
    """

    @property
    def pause(self) -> float:
        """Seconds that one writer leaves between two writes while things change."""

    @property
    def place(self) -> str:
        """How the store is called to users."""

    @property
    def damage(self) -> Sequence[str]:
        """A sentence on each part of the store that could not be understood when it was last read."""

    async def create(self) -> None:
        """Make the store, if it is not there, and return when it can be used."""

    async def exists(self) -> bool:
        """Whether the store is there."""

    async def read(self, *, timings: bool = True) -> list[JobRecord]:
        """Return what counts of each job, by number. Raises NotFoundError when there is no store.

        Without ``timings``, of the attributes in ``extra`` only the attempt is needed: less to read of a large session.
        """

    async def write(
        self, records: Sequence[JobRecord], *, by: StatusWriter = _START, known: Sequence[JobRecord] = ()
    ) -> None:
        """Replace what is known of these jobs.

        Args:
            records: the jobs.
            by: whose word it is.
            known: all that this writer knows of jobs, where each has a document of its own.
        """

    async def take_back(self, before: Sequence[JobRecord], *, by: StatusWriter) -> None:
        """Undo what this writer has written of these jobs; ``before`` is how they stood."""

    async def delete(self) -> None:
        """Remove the store with all it holds; one that is not there is removed already."""


def status_store(
    aws: Aws,
    session_id: str,
    *,
    kind: StatusKind = StatusKind.SIMPLEDB,
    bucket: str = "",
    n_jobs: int | None = None,
) -> StatusStore:
    """Return the store of a session: its SimpleDB domain, or its documents in its bucket.

    With ``n_jobs``, what others may have written there of jobs and launches that the session does not have is passed
    over, and logged.
    """
    if kind is StatusKind.S3:
        return S3Status(aws, session_id, bucket, n_jobs=n_jobs)
    return SimpleDbStatus(aws, session_id, n_jobs=n_jobs or MAX_JOBS)


def store_of(aws: Aws, record: SessionRecord) -> StatusStore:
    """Return the store of a session whose file is known."""
    return status_store(aws, record.session_id, kind=record.status_store, bucket=record.bucket, n_jobs=record.n_jobs)
