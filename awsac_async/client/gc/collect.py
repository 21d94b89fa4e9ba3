"""What no living session owns is found here, and deleted.

Owns the order: everything is found before anything is deleted, and each thing is judged again right before its end,
since a session may have come alive meanwhile. What is garbage is said in ``rules``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from awsac_async.client.buckets import Remark
from awsac_async.client.gc.account import Account
from awsac_async.client.gc.rules import YOUNGEST, Garbage, GarbageKind, judged, judged_builder
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.builders import Builders
from awsac_async.cloud.clock import aws_time
from awsac_async.cloud.instances import Instances
from awsac_async.cloud.simpledb import SimpleDbStatus
from awsac_async.cloud.unfinished import abort
from awsac_async.cloud.volumes import Volumes
from awsac_async.cloud.waiting import for_each
from awsac_async.session.errors import CloudError

_AT_ONCE = 8
_ORDER = list(GarbageKind)


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What has become of one piece of garbage.

    ``deleted``: it is gone, or, of an instance, on its way. Else ``error`` says why it could not be deleted; None: it
    has an owner again, or is gone already.
    """

    garbage: Garbage
    deleted: bool
    error: CloudError | None = None


async def find_garbage(
    *,
    region: str | None = None,
    buckets: Sequence[str] = (),
    older_than: timedelta = YOUNGEST,
    on_remark: Remark = lambda _: None,
) -> list[Garbage]:
    """Return what costs money, or is left over, in a region and belongs to no living session; changes nothing.

    Args:
        region: where; None: as for every AWS tool.
        buckets: where interrupted uploads are looked for; none named: in all of the account in this region. A bucket
            of another account has to be named, if there are sessions in it.
        older_than: what is younger is left alone, also if nothing speaks for it.
        on_remark: told a sentence on what could not be looked at, and so is left alone.

    Raises:
        CloudError: EC2 cannot be asked, or a named bucket not be read.
        InputError: a named bucket is in another region, or none is named and those of the account cannot be listed.
    """
    found: list[Garbage] = []
    async with connect(region=region) as aws:
        at = await aws_time(aws)
        account = await Account.of(aws, buckets, on_remark)
        owned = await account.resources()

        async def look(session_id: str) -> None:
            owner = await account.owner(session_id)
            found.extend(judged(owned[session_id], owner, at=at, older_than=older_than))

        await for_each(owned, look, at_once=_AT_ONCE, name="judge a session")
        for builder in await Builders(aws).of_all_builds():
            found.extend(judged_builder(builder, at=at, older_than=older_than))
    return sorted(found, key=lambda each: (_ORDER.index(each.kind), each.session_id, each.name))


async def collect_garbage(
    garbage: Sequence[Garbage],
    *,
    region: str | None = None,
    buckets: Sequence[str] = (),
    older_than: timedelta = YOUNGEST,
    on_event: Callable[[Collection], None] = lambda _: None,
) -> list[Collection]:
    """Delete what ``find_garbage`` has found with the same arguments, as far as it is still garbage.

    Args:
        garbage: what to delete.
        region: as there.
        buckets: as there.
        older_than: as there.
        on_event: told of each thing.

    Raises:
        CloudError: the account's buckets, or EC2, cannot be asked any more. What fails for one thing is in its result.
    """
    done: list[Collection] = []
    async with connect(region=region) as aws:
        account = await Account.of(aws, buckets, lambda _: None)
        for each in garbage:
            done.append(await _collect(aws, account, each, older_than))
            on_event(done[-1])
    return done


async def _collect(aws: Aws, account: Account, found: Garbage, older_than: timedelta) -> Collection:
    try:
        still = await _again(aws, account, found, older_than)
        if still:
            await _delete(aws, found)
    except CloudError as error:
        return Collection(garbage=found, deleted=False, error=error)
    return Collection(garbage=found, deleted=bool(still))


async def _again(aws: Aws, account: Account, found: Garbage, older_than: timedelta) -> list[Garbage]:
    """Judge one thing as it is now."""
    if found.kind is GarbageKind.BUILDER:
        at, builders = await aws_time(aws), await Builders(aws).of_build(found.session_id)
        return [each for builder in builders for each in judged_builder(builder, at=at, older_than=older_than)]
    owner = await account.owner(found.session_id)
    owned = await account.again(found, owner)
    return list(judged(owned, owner, at=await aws_time(aws), older_than=older_than))


async def _delete(aws: Aws, found: Garbage) -> None:
    match found.kind:
        case GarbageKind.INSTANCE | GarbageKind.BUILDER:
            await Instances(aws).terminate([found.name])
        case GarbageKind.VOLUME:
            await Volumes(aws).delete(found.name)
        case GarbageKind.UPLOAD if found.upload:
            await abort(aws, found.upload)
        case GarbageKind.DOMAIN:
            await SimpleDbStatus(aws, found.session_id).delete()
