"""What a session of one job makes of that job's release, once it has ended well: a snapshot, or an archive in S3.

Owns what is noted of it in the job's status. A job whose product cannot be made has failed.
"""

from collections.abc import Awaitable, Callable, Mapping

from awsac_async.agent.releases import ReleaseError, Releases
from awsac_async.agent.results import SaveError, Saver
from awsac_async.agent.stopping import Stop
from awsac_async.session.names import X_ARCHIVE, X_SNAPSHOT
from awsac_async.session.releases import ReleaseArchive

# Called with the name of the job's release and its request to stop; returns attributes of its status.
# Raises ReleaseError, StoppedError.
Product = Callable[[str, Stop], Awaitable[Mapping[str, str]]]


def snapshot_of(releases: Releases) -> Product:
    """Return what makes a snapshot of the release that is built."""

    async def make(_: str, stop: Stop) -> Mapping[str, str]:
        stop.check()  # later, a snapshot may have been begun, which is then told of
        return {X_SNAPSHOT: await releases.snapshot()}

    return make


def archive_in(archive: ReleaseArchive, *, releases: Releases, saver: Saver) -> Product:
    """Return what packs the job's release; ``saver`` saves into the archive's bucket."""

    async def make(release: str, stop: Stop) -> Mapping[str, str]:
        provided = await releases.ready(release)
        try:
            await stop.unless(saver.save_tree(provided.directory, archive.key), name=f"pack {release}")
        except SaveError as error:
            raise ReleaseError(f"{archive.address}: {error}") from error
        return {X_ARCHIVE: archive.address}

    return make
