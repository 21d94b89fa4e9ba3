"""The verb ``cleanup``: removes what a session left in the cloud, and at last the session file.

Owns the order: instances first, if forced, then the domain and the objects, each after a question, then volumes that
nobody holds; then it looks whether anything is left. The session file and its copy in S3 go only when nothing of the
session is: they are what leads to the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from awsac_async.client.buckets import session_objects
from awsac_async.client.check import SessionStatus, read_status
from awsac_async.client.leftovers import Kept, Left, find_left, looked_at
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.instances import Instances
from awsac_async.cloud.objects import address
from awsac_async.cloud.status import store_of
from awsac_async.cloud.volumes import Volumes
from awsac_async.session.durations import rough_span
from awsac_async.session.errors import InputError
from awsac_async.session.model import SessionRecord, StatusKind
from awsac_async.session.names import prefixes, session_copy_key
from awsac_async.session.record import read_record
from awsac_async.session.times import now
from awsac_async.session.wording import counted


@dataclass(frozen=True, kw_only=True)
class DomainQuestion:
    """Whether the SimpleDB domain, with the status of all jobs, is to be deleted."""

    domain: str


@dataclass(frozen=True, kw_only=True)
class ObjectsQuestion:
    """Whether these objects are to be deleted."""

    bucket: str
    keys: tuple[str, ...]


Confirm = Callable[[DomainQuestion | ObjectsQuestion], Awaitable[bool]]


@dataclass(frozen=True, kw_only=True)
class Terminating:
    """These instances are on their way out, and are waited for."""

    instance_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """Gone: the ``domain``, ``object``, ``volume`` or ``session file`` ``name``, or ``unfinished uploads below`` it."""

    kind: str
    name: str


CleanupEvent = Terminating | Deleted


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What was deleted, in order; ``session_file_removed`` only when nothing of the session is left.

    ``left``: what is there although it was to be deleted, or was deleted. ``looked_at``: where nothing else was found.
    """

    session_id: str
    deleted: tuple[Deleted, ...]
    left: tuple[Left, ...]
    looked_at: tuple[str, ...]
    session_file_removed: bool


async def cleanup(
    session: Path,
    *,
    confirm: Confirm,
    force: bool = False,
    on_event: Callable[[CleanupEvent], None] = lambda _: None,
) -> Cleaned:
    """Remove a session's domain, objects and left-over volumes, and its file when all of it is gone.

    Args:
        session: the session file.
        confirm: asked twice: for the domain, and for the objects.
        force: terminate the session's instances first, if there are any, whatever its jobs do.
        on_event: told of each thing that is gone.

    Raises:
        InputError: the session is not over, and ``force`` is not set; or the session file is not one.
        CloudError: the cloud refused or failed; a second run removes the rest.
    """
    record = await asyncio.to_thread(read_record, session)
    async with connect(region=record.region, access=record) as aws:
        cleaning = _Cleanup(aws=aws, record=record, on_event=on_event)
        await cleaning.end_instances(force=force)
        keep = Kept(domain=not await cleaning.delete_domain(confirm))
        keep = replace(keep, objects=not await cleaning.delete_objects(confirm, keep))
        await cleaning.delete_volumes()
        left = await find_left(aws, record, keep)
        if all_gone := not (left or keep.anything):
            await cleaning.delete_copy()
            await asyncio.to_thread(session.unlink, missing_ok=True)
            cleaning.tell("session file", str(session))
    return Cleaned(
        session_id=record.session_id,
        deleted=tuple(cleaning.deleted),
        left=left,
        looked_at=looked_at(record, keep),
        session_file_removed=all_gone,
    )


class _Cleanup:
    """The steps, each of which may find its work done already."""

    def __init__(self, *, aws: Aws, record: SessionRecord, on_event: Callable[[CleanupEvent], None]) -> None:
        self._aws, self._record, self._on_event = aws, record, on_event
        self._store = store_of(aws, record)
        self._instances = Instances(aws)
        self._bucket = Bucket(aws, record.bucket)
        self.deleted: list[Deleted] = []

    def tell(self, kind: str, name: str) -> None:
        """Note that something is gone."""
        self.deleted.append(Deleted(kind=kind, name=name))
        self._on_event(self.deleted[-1])

    async def end_instances(self, *, force: bool) -> None:
        """Wait until the instances are gone; terminate them first if forced, refuse if they run and it is not."""
        if force:
            instances = await self._instances.of_session(self._record.session_id)
            await self._instances.terminate([each.instance_id for each in instances if each.live])
        else:
            _refuse_unless_over(await read_status(self._aws, self._record))
        await self._until_gone()

    async def delete_domain(self, confirm: Confirm) -> bool:
        """Ask, delete, and return whether the domain is gone; a status in S3 is among the objects."""
        domain = self._record.session_id
        if self._record.status_store is StatusKind.S3 or not await self._store.exists():
            return True
        if not await confirm(DomainQuestion(domain=domain)):
            return False
        await self._store.delete()
        self.tell("domain", domain)
        return True

    async def delete_objects(self, confirm: Confirm, kept: Kept) -> bool:
        """Ask, delete, and return whether all objects are gone but the copy of the session file, which goes last."""
        copy = session_copy_key(self._record.session_id)
        keys = await self._keys()
        keys = [key for key in keys if key != copy] if kept.domain else keys
        if keys and not await confirm(ObjectsQuestion(bucket=self._bucket.name, keys=tuple(keys))):
            return False
        await self._delete_keys([key for key in keys if key != copy])
        for prefix in prefixes(self._record.session_id):
            # What an agent that died was uploading is no object, and costs as one.
            if await self._bucket.abort_uploads(prefix):
                self.tell("unfinished uploads below", address(self._bucket.name, prefix))
        return True

    async def delete_copy(self) -> None:
        """Delete the copy of the session file, by which whoever has not the file finds what is left."""
        copy = session_copy_key(self._record.session_id)
        await self._delete_keys([each.key for each in await self._bucket.list(copy) if each.key == copy])

    async def _keys(self) -> list[str]:
        return [each.key for each in await session_objects(self._bucket, self._record.session_id)]

    async def _delete_keys(self, keys: Sequence[str]) -> None:
        await self._bucket.delete(keys)
        for key in keys:
            self.tell("object", address(self._bucket.name, key))

    async def delete_volumes(self) -> None:
        """Delete the session's volumes. Its instances are gone: no job can need them any more."""
        if not self._record.volumes:
            return
        volumes = Volumes(self._aws)
        for each in await volumes.of_session(self._record.session_id):
            await volumes.delete(each.volume_id)
            self.tell("volume", each.volume_id)

    async def _until_gone(self) -> None:
        if not (live := await self._live()):
            return
        self._on_event(Terminating(instance_ids=live))
        await self._instances.until_gone(self._record.session_id)

    async def _live(self) -> tuple[str, ...]:
        instances = await self._instances.of_session(self._record.session_id)
        return tuple(each.instance_id for each in instances if each.live)


def _refuse_unless_over(status: SessionStatus) -> None:
    if status.over:
        return
    session_id = status.record.session_id
    if not status.instances and status.started:
        age = rough_span((now() - status.started).total_seconds())
        raise InputError(
            f"no instance of session {session_id} can be seen yet, it was started {age} ago; "
            "wait a few minutes, or say --force"
        )
    running, going = len(status.running_instances), sum(each.live for each in status.instances)
    instances = counted(running, "instance runs", "instances run")
    if not running:
        instances = counted(going, "instance is shutting down", "instances are shutting down")
    unfinished = sum(not status.ended(job) for job in status.jobs)
    jobs = counted(unfinished, "job is not finished", "jobs are not finished")
    raise InputError(
        f"session {session_id} is not over: {instances} and {jobs}; wait, or say --force to terminate them"
    )
