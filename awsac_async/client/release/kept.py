"""The releases that an account has as snapshots: listed, deleted, shared with other accounts.

Touches nothing but snapshots with the tag of a release.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from awsac_async.cloud.aws import connect
from awsac_async.cloud.snapshots import ReleaseSnapshot, Snapshots
from awsac_async.session.errors import CloudError, InputError, NotFoundError
from awsac_async.session.fields import matching

_account = matching(r"[0-9]{12}", "the 12 digits of an AWS account")


@dataclass(frozen=True, kw_only=True)
class Shared:
    """With whom a release is shared now, or no more; of an encrypted one the other account needs the key as well."""

    release: ReleaseSnapshot
    account: str
    allowed: bool


async def list_releases(*, region: str | None = None) -> list[ReleaseSnapshot]:
    """Return all releases of the account in a region, the oldest first. Raises CloudError."""
    async with connect(region=region) as aws:
        return await Snapshots(aws).releases()


async def delete_release(
    snapshot_id: str, *, confirm: Callable[[ReleaseSnapshot], Awaitable[bool]], region: str | None = None
) -> ReleaseSnapshot | None:
    """Delete a release; sessions that run keep their volumes of it.

    Returns:
        What was deleted; None if ``confirm`` said no.

    Raises:
        InputError: it is no release of this account.
        CloudError: the cloud could not be asked, or refuses.
    """
    async with connect(region=region) as aws:
        snapshots = Snapshots(aws)
        found = await _own(snapshots, snapshot_id)
        if not await confirm(found):
            return None
        await snapshots.delete(snapshot_id)
        return found


async def share_release(snapshot_id: str, account: str, *, allowed: bool = True, region: str | None = None) -> Shared:
    """Let another account make volumes of a release, or no more; that costs the owner nothing more.

    Raises:
        InputError: it is no release of this account, or ``account`` is none.
        CloudError: the cloud could not be asked, or refuses: as it does if the release is encrypted with the account's
            default key.
    """
    try:
        number = _account(account)
    except ValueError as error:
        raise InputError(f"--with: found {account}, expected {error}") from None
    async with connect(region=region) as aws:
        snapshots = Snapshots(aws)
        found = await _own(snapshots, snapshot_id)
        try:
            await snapshots.share(snapshot_id, number, allowed=allowed)
        except CloudError as error:
            if error.temporary or not found.encrypted:
                raise
            raise _encrypted(error) from error
        return Shared(release=found, account=number, allowed=allowed)


def _encrypted(error: CloudError) -> CloudError:
    """Return a refusal with what may be the reason: no other account can use the default key."""
    cause = (
        f"{error.cause}; one that is encrypted with the account's default key cannot be shared: build it with "
        "encrypted = no in session.ini, or copy it with a key of your own (aws ec2 copy-snapshot)"
    )
    return type(error)(error.operation, error.resource, cause, code=error.code)


async def _own(snapshots: Snapshots, snapshot_id: str) -> ReleaseSnapshot:
    try:
        return await snapshots.release(snapshot_id)
    except NotFoundError as error:
        raise InputError(f"{snapshot_id}: {error.cause} (awsac release list shows them)") from error
