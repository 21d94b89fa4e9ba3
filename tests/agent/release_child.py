"""An agent's releases in a process of their own, to be killed: provides one, tells so, and removes it.

Not a test itself.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from awsac_async.agent.devices import Devices
from awsac_async.agent.metadata import Instance
from awsac_async.agent.release import Building
from awsac_async.agent.releases import Place, Releases
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.snapshots import Snapshots
from awsac_async.cloud.volumes import Volumes
from awsac_async.session.names import NEW_RELEASE
from awsac_async.session.purpose import Build


def releases_of(
    aws: Aws, where: Sequence[str], needed: Sequence[str], *names: str, possible: Sequence[str] = ()
) -> Releases:
    """The releases of an instance of the embedded cloud that has no namespaces.

    ``where``: session, instance, folder of the releases, folder of the devices; ``names``: devices of its launch; of
    what is ``possible`` none stays that no job uses.
    """
    session, instance, directory, devices = where
    place = Place(
        session_id=session,
        instance=Instance(
            instance_id=instance, launch_index=0, zone="us-east-1a", region="us-east-1", devices=tuple(names)
        ),
        directory=Path(directory),
        volumes=Volumes(aws),
        devices=Devices({"AWSACDeviceDir": devices}),
        bucket=partial(Bucket, aws),
        building=Building(build=Build(name="built", gib=1), snapshots=Snapshots(aws)),
    )
    return Releases(place, needed, possible=possible)


def live(keys: Mapping[str, str], endpoint: str, *arguments: str) -> None:
    """Be such a process; arguments: session, instance, folder of the releases, folder of the devices, snapshot."""
    os.environ |= keys  # which whoever forks this process does not have
    *where, snapshot = arguments
    asyncio.run(_live(endpoint, where, snapshot))


async def _live(endpoint: str, where: Sequence[str], snapshot: str) -> None:
    async with connect(endpoint_url=endpoint) as aws, asyncio.TaskGroup() as group:
        releases = releases_of(aws, where, [snapshot])
        releases.start(group)
        await use(releases, snapshot)


async def use(releases: Releases, name: str) -> str:
    """Do what an agent does with the release of a job, as its successor may; returns the ID of a snapshot of a new one.

    The job fills a new one once, which is noted where the job would be.
    """
    snapshot_id = ""
    provided = await releases.ready(name)
    if name == NEW_RELEASE:
        filled = provided.directory.parent / "filled"
        if not filled.exists():
            (provided.directory / "name").write_text("release\n")
            filled.touch()
        snapshot_id = await releases.snapshot()
    releases.leave(name)
    return snapshot_id
