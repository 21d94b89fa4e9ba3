"""What ``gc`` sees of an account: first what may be garbage, then of each session what shows that it may be alive.

Reads only, and sees the whole of it or says what it could not see.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from awsac_async.client.buckets import (
    Buckets,
    Remark,
    find_buckets,
    holds_session,
    is_session_id,
    read_copy,
    sessions_of,
)
from awsac_async.client.gc.rules import Garbage, GarbageKind, Owner, Resources
from awsac_async.cloud.aws import Aws
from awsac_async.cloud.domains import domain_names
from awsac_async.cloud.instances import InstanceInfo, Instances
from awsac_async.cloud.simpledb import SimpleDbStatus
from awsac_async.cloud.unfinished import UnfinishedUpload, unfinished_uploads
from awsac_async.cloud.volumes import Volumes
from awsac_async.cloud.waiting import for_each
from awsac_async.session.errors import CloudError, FormatError, InputError, NotFoundError
from awsac_async.session.model import SessionRecord, StatusKind, UserData
from awsac_async.session.names import INTERNAL_PREFIX
from awsac_async.session.record import session_id_time
from awsac_async.session.userdata import max_hours, parse_user_data

_AT_ONCE = 8


class Account:
    """One look at an account. Each method asks AWS anew."""

    def __init__(self, *, aws: Aws, buckets: Buckets, remark: Remark) -> None:
        self._aws, self._buckets, self._remark = aws, buckets, remark

    @classmethod
    async def of(cls, aws: Aws, buckets: Sequence[str], remark: Remark) -> "Account":
        """Make one of these buckets, or of all of the account in this region."""
        found = await find_buckets(aws, buckets)
        for unread in found.unread:
            remark(f"domains are left alone, as not all buckets can be looked into: {unread}")
        return cls(aws=aws, buckets=found, remark=remark)

    async def resources(self) -> dict[str, Resources]:
        """Return by session ID all that may cost money, or be left over."""
        instances = _by_session(each for each in await Instances(self._aws).of_all_sessions() if each.live)
        volumes = _by_session(each for each in await Volumes(self._aws).of_all_sessions() if each.free)
        uploads, domains = await self._uploads(), await self._domains()
        return {
            session_id: Resources(
                instances=instances.get(session_id, ()),
                volumes=volumes.get(session_id, ()),
                uploads=uploads.get(session_id, ()),
                domain=session_id in domains,
            )
            for session_id in sorted({*instances, *volumes, *uploads, *domains})
        }

    async def owner(self, session_id: str) -> Owner:
        """Return what there is of a session now."""
        instances = await Instances(self._aws).of_session(session_id)
        buckets, unread = await self._holding(session_id, self._buckets.everywhere)
        record = await self._record(session_id, buckets)
        user_data = parse_user_data(record.user_data) if record else None
        if live := [each for each in instances if each.live and not record]:
            user_data, unknown = await self._user_data(live[0])
            others = {user_data.bucket} - {*self._buckets.everywhere} if user_data else set()
            found, unread_too = await self._holding(session_id, sorted(others))
            buckets, unread = buckets + found, unread + unread_too + unknown
        in_s3 = record is not None and record.status_store is StatusKind.S3
        domain, unknown = (False, []) if in_s3 else await self._domain(session_id)
        return Owner(
            session_id=session_id,
            instances=instances,
            record=record,
            elsewhere=record is not None and record.region != self._aws.region,
            buckets=buckets,
            domain=domain,
            unread=(*unread, *unknown, *self._buckets.unread),
            max_hours=max_hours(user_data) if user_data else None,
        )

    async def again(self, found: Garbage, owner: Owner) -> Resources:
        """Return one thing as it is now, if it is there."""
        match found.kind:
            case GarbageKind.INSTANCE:
                return Resources(instances=[each for each in owner.instances if each.instance_id == found.name])
            case GarbageKind.VOLUME:
                volumes = await Volumes(self._aws).of_session(found.session_id)
                return Resources(volumes=[each for each in volumes if each.volume_id == found.name])
            case GarbageKind.UPLOAD if found.upload:
                uploads = await unfinished_uploads(self._aws, found.upload.bucket, found.upload.key)
                return Resources(uploads=[each for each in uploads if each == found.upload])
        return Resources(domain=owner.domain)

    async def _uploads(self) -> dict[str, list[UnfinishedUpload]]:
        found: dict[str, list[UnfinishedUpload]] = defaultdict(list)

        async def look(bucket: str) -> None:
            try:
                uploads = await unfinished_uploads(self._aws, bucket)
            except CloudError as error:
                self._remark(f"the uploads of the bucket {bucket} are passed over: {error}")
                return
            for upload in uploads:
                if session_id := _session_of(upload.key):
                    found[session_id].append(upload)

        await for_each(self._buckets.searched, look, at_once=_AT_ONCE, name="list uploads")
        return found

    async def _domains(self) -> set[str]:
        """Return the domains that may be those of sessions, without those of which a bucket has a folder for sure."""
        found: set[str] = set()
        try:
            found |= {name for name in await domain_names(self._aws) if session_id_time(name)}
        except CloudError as error:
            self._remark(f"domains are passed over: {error}")

        async def look(bucket: str) -> None:
            try:
                found.difference_update(await sessions_of(self._aws, bucket))
            except CloudError as error:
                self._remark(f"domains are left alone, as not all buckets can be looked into: {error}")

        if found:
            await for_each(self._buckets.everywhere, look, at_once=_AT_ONCE, name="list a bucket")
        return found

    async def _holding(self, session_id: str, buckets: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the first bucket that has an object of the session, if any, and what could not be looked at."""
        unread: list[str] = []
        for bucket in buckets:
            try:
                if await holds_session(self._aws, bucket, session_id):
                    return [bucket], unread
            except NotFoundError:  # the bucket is gone, with all that was in it
                continue
            except CloudError as error:
                unread.append(str(error))
        return [], unread

    async def _record(self, session_id: str, buckets: Sequence[str]) -> SessionRecord | None:
        for bucket in buckets:
            try:
                if record := await read_copy(self._aws, bucket, session_id):
                    return record
            except (CloudError, FormatError) as error:
                self._remark(f"of session {session_id} little is known: {error}")
        return None

    async def _user_data(self, instance: InstanceInfo) -> tuple[UserData | None, list[str]]:
        """Return what an instance was started with, and what could not be looked at."""
        try:
            text = await Instances(self._aws).user_data(instance.instance_id)
            return (parse_user_data(text) if text else None), []
        except NotFoundError:
            return None, []
        except (CloudError, FormatError) as error:  # which bucket the session has cannot be known
            return None, [str(error)]

    async def _domain(self, session_id: str) -> tuple[bool, list[str]]:
        """Return whether a session has a domain, and what could not be looked at."""
        try:
            return await SimpleDbStatus(self._aws, session_id).exists(), []
        except InputError:  # there is no SimpleDB in this region
            return False, []
        except CloudError as error:
            return False, [str(error)]


class _Tagged(Protocol):
    @property
    def session_id(self) -> str: ...


_Thing = TypeVar("_Thing", bound=_Tagged)


def _by_session(things: Iterable[_Thing]) -> Mapping[str, list[_Thing]]:
    """Sort by the value of the tag; what has no session ID there was not tagged by a session."""
    found: dict[str, list[_Thing]] = defaultdict(list)
    for each in things:
        if is_session_id(each.session_id):
            found[each.session_id].append(each)
    return found


def _session_of(key: str) -> str:
    """Return the ID of the session to which an object would belong, or "" if it is none's: buckets have other uses."""
    name = key.removeprefix(INTERNAL_PREFIX).partition("/")[0]
    return name if session_id_time(name) else ""
