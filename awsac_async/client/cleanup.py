"""The verb ``cleanup``: removes what a session left in the cloud, and at last the session file.

Owns the order: instances first, if forced, then the domain and the objects, each after a question, then volumes that
nobody holds. The session file goes only when nothing of the session is left: it is what leads to the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from awsac_async.client.check import SessionStatus, read_status
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.instances import Instances
from awsac_async.cloud.objects import address
from awsac_async.cloud.status import status_store
from awsac_async.cloud.volumes import Volumes
from awsac_async.cloud.waiting import attempts
from awsac_async.session.errors import CloudError, InputError
from awsac_async.session.model import SessionRecord
from awsac_async.session.names import prefixes
from awsac_async.session.record import read_record
from awsac_async.session.times import now, parse_time
from awsac_async.session.wording import counted

GONE_WITHIN = 600.0  # seconds; EC2 takes minutes at most to terminate an instance


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
    """What was deleted, in order; ``session_file_removed`` only when nothing of the session is left."""

    session_id: str
    deleted: tuple[Deleted, ...]
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
    async with connect(region=record.region) as aws:
        cleaning = _Cleanup(aws=aws, record=record, on_event=on_event)
        await cleaning.end_instances(force=force)
        all_gone = await cleaning.delete_domain(confirm)
        all_gone = await cleaning.delete_objects(confirm) and all_gone
        await cleaning.delete_volumes()
        if all_gone:
            await asyncio.to_thread(session.unlink, missing_ok=True)
            cleaning.tell("session file", str(session))
    return Cleaned(session_id=record.session_id, deleted=tuple(cleaning.deleted), session_file_removed=all_gone)


class _Cleanup:
    """The steps, each of which may find its work done already."""

    def __init__(self, *, aws: Aws, record: SessionRecord, on_event: Callable[[CleanupEvent], None]) -> None:
        self._aws, self._record, self._on_event = aws, record, on_event
        self._store = status_store(aws, record.session_id)
        self._instances = Instances(aws)
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
        """Ask, delete, and return whether the domain is gone."""
        domain = self._record.session_id
        if not await self._store.exists():
            return True
        if not await confirm(DomainQuestion(domain=domain)):
            return False
        await self._store.delete()
        self.tell("domain", domain)
        return True

    async def delete_objects(self, confirm: Confirm) -> bool:
        """Ask, delete, and return whether all objects are gone, and what would have become one."""
        session_id, bucket = self._record.session_id, Bucket(self._aws, self._record.bucket)
        keys = [each.key for prefix in prefixes(session_id) for each in await bucket.list(prefix)]
        if keys and not await confirm(ObjectsQuestion(bucket=bucket.name, keys=tuple(keys))):
            return False
        await bucket.delete(keys)
        for key in keys:
            self.tell("object", address(bucket.name, key))
        for prefix in prefixes(session_id):  # what an agent that died was uploading is no object, and costs as one
            if await bucket.abort_uploads(prefix):
                self.tell("unfinished uploads below", address(bucket.name, prefix))
        return True

    async def delete_volumes(self) -> None:
        """Delete the session's volumes. Its instances are gone: no job can need them any more."""
        volumes = Volumes(self._aws)
        for each in await volumes.of_session(self._record.session_id):
            await volumes.delete(each.volume_id)
            self.tell("volume", each.volume_id)

    async def _until_gone(self) -> None:
        if not (live := await self._live()):
            return
        self._on_event(Terminating(instance_ids=live))
        async for last in attempts(within=GONE_WITHIN):
            if not (live := await self._live()):
                return
            if last:
                cause = f"not terminated after {GONE_WITHIN:g} s"
                raise CloudError("TerminateInstances", " ".join(live), cause, temporary=True)

    async def _live(self) -> tuple[str, ...]:
        instances = await self._instances.of_session(self._record.session_id)
        return tuple(each.instance_id for each in instances if each.live)


def _refuse_unless_over(status: SessionStatus) -> None:
    if status.over:
        return
    session_id, started = status.record.session_id, parse_time(status.record.started)
    if not status.instances and started:
        raise InputError(
            f"no instance of session {session_id} can be seen yet, it was started {_ago(now() - started)} ago; "
            "wait a few minutes, or say --force"
        )
    instances = counted(len(status.running_instances), "instance runs", "instances run")
    unfinished = sum(not job.state.final for job in status.jobs)
    jobs = counted(unfinished, "job is not finished", "jobs are not finished")
    raise InputError(
        f"session {session_id} is not over: {instances} and {jobs}; wait, or say --force to terminate them"
    )


def _ago(time: timedelta) -> str:
    minutes = time // timedelta(minutes=1)
    return counted(minutes, "minute") if minutes else "less than a minute"
