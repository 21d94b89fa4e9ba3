"""Where the status of a session's jobs is kept: what any store can do, and which one a session uses."""

from collections.abc import Sequence
from typing import Protocol

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.simpledb import SimpleDbStatus
from awsac_async.session.model import JobRecord


class StatusStore(Protocol):
    """The status of all jobs of one session. Errors are those of ``session.errors``."""

    async def create(self) -> None:
        """Make the store, if it is not there, and return when it can be used."""

    async def exists(self) -> bool:
        """Whether the store is there."""

    async def read(self, *, timings: bool = True) -> list[JobRecord]:
        """Return what was last written of each job, by number. Raises NotFoundError when there is no store.

        Without ``timings``, of the attributes in ``extra`` only the attempt: less to read of a large session.
        """

    async def write(self, records: Sequence[JobRecord]) -> None:
        """Replace what is known of these jobs."""

    async def delete(self) -> None:
        """Remove the store with all it holds; one that is not there is removed already."""


def status_store(aws: Aws, session_id: str) -> StatusStore:
    """Return the store of a session: its SimpleDB domain."""
    return SimpleDbStatus(aws, session_id)
