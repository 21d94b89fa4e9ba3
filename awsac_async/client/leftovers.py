"""The last look of ``cleanup``: whether anything of a session is left that costs money or takes a domain's place.

Reads only. EC2 and SimpleDB may show for some seconds what is gone already: it looks again before it says so.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.instances import Instances
from awsac_async.cloud.objects import address
from awsac_async.cloud.simpledb import SimpleDbStatus
from awsac_async.cloud.unfinished import unfinished_uploads
from awsac_async.cloud.volumes import Volumes
from awsac_async.cloud.waiting import attempts
from awsac_async.session.model import SessionRecord, StatusKind
from awsac_async.session.names import prefixes, session_copy_key

_SETTLED_WITHIN = 30.0  # seconds; what S3 shows is there, and waited for no longer
_GONE = frozenset({"deleting", "deleted"})  # states of a volume that costs nothing any more


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the user did not want to be deleted."""

    domain: bool = False
    objects: bool = False

    @property
    def anything(self) -> bool:
        """Whether there is any such thing."""
        return self.domain or self.objects


@dataclass(frozen=True, kw_only=True)
class Left:
    """The ``instance``, ``volume``, ``object``, ``unfinished upload`` or ``domain`` that is there after all."""

    kind: str
    name: str


_IN_S3 = frozenset({"object", "unfinished upload"})


def looked_at(record: SessionRecord, kept: Kept) -> tuple[str, ...]:
    """Return where ``find_left`` looks, in words."""
    places = " and ".join(address(record.bucket, prefix) for prefix in prefixes(record.session_id))
    objects = [] if kept.objects else [f"objects and unfinished uploads below {places}"]
    volumes = ["volumes"] if record.volumes else []
    domain = [f"the domain {record.session_id}"] if _may_have_domain(record, kept) else []
    return ("instances", *volumes, *objects, *domain)


def _may_have_domain(record: SessionRecord, kept: Kept) -> bool:
    return record.status_store is StatusKind.SIMPLEDB and not kept.domain


async def find_left(aws: Aws, record: SessionRecord, kept: Kept) -> tuple[Left, ...]:
    """Return what is left of a session but the copy of its file, and what was kept on purpose."""
    async for last in attempts(within=_SETTLED_WITHIN):
        left = tuple([each async for each in _look(aws, record, kept)])
        if last or all(each.kind in _IN_S3 for each in left):
            return left
    raise AssertionError("attempts() ends with a last one")


async def _look(aws: Aws, record: SessionRecord, kept: Kept) -> AsyncIterator[Left]:
    session_id = record.session_id
    for instance in await Instances(aws).of_session(session_id):
        if instance.live:
            yield Left(kind="instance", name=instance.instance_id)
    for volume in await Volumes(aws).of_session(session_id) if record.volumes else ():
        if volume.state not in _GONE:
            yield Left(kind="volume", name=volume.volume_id)
    for prefix in () if kept.objects else prefixes(session_id):
        for found in await Bucket(aws, record.bucket).list(prefix):
            if found.key != session_copy_key(session_id):
                yield Left(kind="object", name=address(record.bucket, found.key))
        for upload in await unfinished_uploads(aws, record.bucket, prefix):
            yield Left(kind="unfinished upload", name=address(record.bucket, upload.key))
    if _may_have_domain(record, kept) and await SimpleDbStatus(aws, session_id).exists():
        yield Left(kind="domain", name=session_id)
