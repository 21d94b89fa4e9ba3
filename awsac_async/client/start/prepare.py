"""What stands in the cloud before any instance does: the session's objects, and every job as pending.

Every step may be done again on a session whose start died: what is there stays, above all the status that instances of
an earlier try may have written. Everything can be undone.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from awsac_async.client.buckets import session_objects
from awsac_async.client.plan.inputs import Inputs
from awsac_async.client.start import events
from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.instances import Instances
from awsac_async.cloud.objects import ObjectInfo, Upload
from awsac_async.cloud.status import store_of
from awsac_async.cloud.volumes import Volumes
from awsac_async.session.claims import FIRST_POOL, Claim, claim_attribute
from awsac_async.session.datadocument import format_data_document
from awsac_async.session.jobs import expand, launch_index_of
from awsac_async.session.model import JobRecord, JobState, SessionRecord
from awsac_async.session.names import (
    InstancePaths,
    agent_wheel_key,
    archive_key,
    data_document_key,
    data_prefix,
    prefixes,
    session_copy_key,
)
from awsac_async.session.record import format_record
from awsac_async.session.userdata import shares_jobs


class Preparation:
    """The session's objects and the status of its jobs: made by ``do``, removed by ``undo``."""

    def __init__(
        self,
        *,
        aws: Aws,
        inputs: Inputs,
        record: SessionRecord,
        continued: bool,
        on_event: Callable[[events.StartEvent], None],
    ) -> None:
        self._aws, self._inputs, self._record, self._tell = aws, inputs, record, on_event
        self._continued = continued
        self._bucket = Bucket(aws, record.bucket)
        self._store = store_of(aws, record)

    async def do(self) -> None:
        """Upload, and write the jobs; tells each step in the order of 2008."""
        await self._upload()
        self._tell(events.ImageFound(ami_id=self._record.ami_id, owner=self._record.ec2_uid))
        self._tell(events.UserDataBuilt(user_data=self._record.user_data))
        await self._write_jobs()
        kind = self._record.status_store
        self._tell(events.JobsWritten(kind=kind, place=self._store.place, n_jobs=self._record.n_jobs))

    async def write_copy(self, record: SessionRecord) -> None:
        """Write the copy of the session file by which the session is found from any machine."""
        await self._bucket.put(session_copy_key(record.session_id), format_record(record).encode())

    async def launched(self) -> bool:
        """Whether EC2 knows instances of this session."""
        return bool(await Instances(self._aws).of_session(self._record.session_id))

    async def end_unused_instances(self, launched: Sequence[str]) -> bool:
        """Terminate the instances with their volumes, and wait until they are gone, unless a job has begun.

        ``launched``: IDs of those that EC2 may not show yet. Returns whether they are gone.
        """
        if any(job.state is not JobState.PENDING for job in await self._store.read()):
            return False
        await Instances(self._aws).end(self._record.session_id, launched)
        volumes = Volumes(self._aws)
        for each in await volumes.of_session(self._record.session_id) if self._record.volumes else ():
            await volumes.delete(each.volume_id)
        return True

    async def undo(self) -> None:
        """Delete all objects, half of an upload as well, and the status, as far as they are there."""
        await self._bucket.delete([each.key for each in await self._stored()])
        await self._store.delete()
        for prefix in prefixes(self._record.session_id):
            await self._bucket.abort_uploads(prefix)

    async def _upload(self) -> None:
        there = {each.key: each.size for each in await self._stored()}
        sources, data = self._sources(), self._inputs.data
        await asyncio.to_thread(self._check_unchanged)
        sizes = await asyncio.to_thread(lambda: {key: path.stat().st_size for key, path in sources.items()})
        missing = [Upload(source=path, key=key) for key, path in sources.items() if there.get(key) != sizes[key]]
        await self._bucket.upload(missing, on_progress=lambda done: self._tell(events.Transferring(progress=done)))
        await asyncio.to_thread(self._check_unchanged)  # nor is half of an old and half of a new content there
        if data.about:
            await self._bucket.put(
                data_document_key(self._record.session_id), format_data_document(data.about).encode()
            )
        key, size = next(iter(sources)), sum(sizes.values())
        self._tell(events.Uploaded(bucket=self._record.bucket, archive_key=key, data_files=len(data.files), size=size))

    def _check_unchanged(self) -> None:
        """Raise FormatError if a file of the data is no longer what was planned with."""
        for each in self._inputs.data.files.values():
            each.check_unchanged()

    def _sources(self) -> dict[str, Path]:
        """Return the file of each key, the archive first."""
        session_id, data = self._record.session_id, data_prefix(self._record.session_id)
        files = {archive_key(session_id, self._inputs.archive.name): self._inputs.archive}
        files |= {data + name: each.path for name, each in self._inputs.data.files.items()}
        if self._inputs.agent and (wheel := self._inputs.agent.wheel):
            files[agent_wheel_key(session_id, wheel.name)] = wheel
        return files

    async def _stored(self) -> list[ObjectInfo]:
        return await session_objects(self._bucket, self._record.session_id)

    async def _write_jobs(self) -> None:
        """Write the jobs of which nothing is written yet; what a new session finds there is cleared first."""
        if not self._continued:
            await self._store.delete()
        await self._store.create()
        there = {each.number for each in await self._store.read()}
        await self._store.write([each for each in self._pending() if each.number not in there])

    def _pending(self) -> Iterator[JobRecord]:
        """Yield all jobs; of one that is shared nobody knows the instance: it says that there is no claim on it."""
        scripts = InstancePaths.from_environment({}).awsac_working
        shared, cores = shares_jobs(self._record.user_data), self._record.cores_per_instance
        for job in expand(self._inputs.contents.definitions):
            yield JobRecord(
                number=job.number,
                script=str(scripts / job.script),
                launch_index=0 if shared else launch_index_of(job.number, cores_per_instance=cores),
                extra=claim_attribute(Claim(pool=FIRST_POOL, count=0)) if shared else {},
            )
