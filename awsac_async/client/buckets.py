"""Where sessions may be found: the buckets of an account, and the copies of session files in them.

Reads only. What cannot be read is told in a sentence and passed over: one foreign bucket must not hide all the others.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.buckets import account_buckets, holds_any, subfolders
from awsac_async.cloud.objects import ObjectInfo
from awsac_async.session.errors import CloudError, CredentialsError, FormatError, InputError, NotFoundError
from awsac_async.session.fields import decode
from awsac_async.session.fields import session_id as check_session_id
from awsac_async.session.model import SessionRecord
from awsac_async.session.names import INTERNAL_PREFIX, prefixes, session_copy_key
from awsac_async.session.record import parse_record

Remark = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """The buckets to look into.

    ``searched``: those that the caller has named, or else all of the account in this region. ``everywhere``: these
    and all others of the account. ``unread``: what of the account could not be listed, in words.
    """

    searched: tuple[str, ...]
    everywhere: tuple[str, ...]
    unread: tuple[str, ...] = ()


async def find_buckets(aws: Aws, named: Sequence[str]) -> Buckets:
    """Return the buckets to look into.

    Raises:
        InputError: a named one is in another region, or none is named and the account's cannot be listed.
        CloudError: a named one is not there, or may not be read; or the cloud could not be asked.
    """
    for name in named:
        await Bucket(aws, name).check()
    try:
        account = await account_buckets(aws)
    except CloudError as error:
        if not named and (error.temporary or isinstance(error, CredentialsError)):
            raise
        if not named:
            raise InputError(f"the buckets of the account cannot be listed, name one with --bucket: {error}") from error
        return Buckets(searched=tuple(named), everywhere=tuple(named), unread=(str(error),))
    here = tuple(named) or tuple(each.name for each in account if each.region == aws.region)
    return Buckets(searched=here, everywhere=_distinct([*here, *(each.name for each in account)]))


async def sessions_of(aws: Aws, bucket: str) -> list[str]:
    """Return the IDs of the sessions that have something below ``awsac/`` in a bucket."""
    return [each for each in await subfolders(aws, bucket, INTERNAL_PREFIX) if is_session_id(each)]


async def read_copy(aws: Aws, bucket: str, session_id: str) -> SessionRecord | None:
    """Return the session file whose copy a bucket has, or None if there is none, as of sessions that are older.

    Raises:
        FormatError: the object is no session file, or that of another session.
    """
    key = session_copy_key(session_id)
    try:
        content, _ = await Bucket(aws, bucket).read(key)
    except NotFoundError:
        return None
    record = parse_record(decode(content, file=key), file=key)
    if record.session_id != session_id:
        raise FormatError(file=key, field="session_id", found=record.session_id, expected=session_id)
    return record


async def session_objects(bucket: Bucket, session_id: str) -> list[ObjectInfo]:
    """Return all objects that a session has in its bucket."""
    return [each for prefix in prefixes(session_id) for each in await bucket.list(prefix)]


async def holds_session(aws: Aws, bucket: str, session_id: str) -> bool:
    """Whether a bucket has an object of the session: at most two requests."""
    for prefix in prefixes(session_id):
        if await holds_any(aws, bucket, prefix):
            return True
    return False


def is_session_id(name: str) -> bool:
    """Whether a folder or a tag may have been named by a session."""
    try:
        return bool(check_session_id(name))
    except ValueError:
        return False


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
