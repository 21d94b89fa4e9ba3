"""Where the status of a session is going to be kept, and why: what the ini says, else what the account may use.

Owns the order: SimpleDB as in 2008 where it can be used, else S3. SimpleDB is asked only if it may come to that.
"""

from dataclasses import dataclass

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.simpledb import SimpleDbStatus, is_offered
from awsac_async.session.errors import DeniedError, FormatError
from awsac_async.session.model import StatusKind
from awsac_async.session.names import STATUS_CHECK_DOMAIN

_BY_INI, _AS_BEGUN = "as session.ini says", "as the session was begun"


@dataclass(frozen=True, kw_only=True)
class StatusChoice:
    """Where the status is kept, and why, as the end of a sentence."""

    kind: StatusKind
    reason: str


async def choose_status_store(
    aws: Aws, wanted: StatusKind | None, *, begun: StatusKind | None = None, ini: str
) -> StatusChoice:
    """Return where the status is to be kept.

    Args:
        aws: the connection.
        wanted: what the ini says; None: it says nothing.
        begun: where an earlier start of the session has begun to keep it, which stays so; None: there was none.
        ini: the file's name, as the user gave it.

    Raises:
        FormatError: the ini wants SimpleDB, which cannot be used.
        CloudError: SimpleDB could not be asked for now, or refuses a session that was begun there.
    """
    if begun is StatusKind.SIMPLEDB:
        await SimpleDbStatus(aws, STATUS_CHECK_DOMAIN).check()
    if begun:
        return StatusChoice(kind=begun, reason=_AS_BEGUN)
    if wanted is StatusKind.S3:
        return StatusChoice(kind=StatusKind.S3, reason=_BY_INI)
    why_not = await _why_not_simpledb(aws)
    if wanted is StatusKind.SIMPLEDB and why_not:
        expected = f"status_store = {StatusKind.S3}, since {why_not}"
        raise FormatError(file=ini, field="status_store", found=wanted.value, expected=expected)
    if why_not:
        return StatusChoice(kind=StatusKind.S3, reason=f"since {why_not}")
    reason = _BY_INI if wanted else f"which this account may use in {aws.region}"
    return StatusChoice(kind=StatusKind.SIMPLEDB, reason=reason)


async def _why_not_simpledb(aws: Aws) -> str:
    """Say why SimpleDB cannot be used, or return ""."""
    if not aws.beside_ec2("sdb"):
        return "EC2 is another cloud's here, and no endpoint of SimpleDB is named beside it"
    if not await is_offered(aws):
        return f"AWS has no SimpleDB in {aws.region}"
    try:
        await SimpleDbStatus(aws, STATUS_CHECK_DOMAIN).check()
    except DeniedError as error:
        return f"this account may not use SimpleDB ({error})"
    return ""
