"""The verbs of ``release``: from a script to a snapshot, to an archive in S3, and what there is of them.

``making`` runs the session of one job that makes one, ``kept`` has what is done with those that there are.
"""

from awsac_async.client.release import making
from awsac_async.client.release.kept import Shared, delete_release, list_releases, share_release
from awsac_async.client.release.making import Made, MakingEvent, build_release, pack_release
from awsac_async.cloud.snapshots import ReleaseSnapshot

__all__ = [
    "Made",
    "MakingEvent",
    "ReleaseSnapshot",
    "Shared",
    "build_release",
    "delete_release",
    "list_releases",
    "making",
    "pack_release",
    "share_release",
]
