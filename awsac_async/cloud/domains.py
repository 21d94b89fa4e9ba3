"""The SimpleDB domains of an account: names only, of which some are those of sessions.

Reads only; what is in the domain of a session is read and deleted by ``simpledb``.
"""

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.simpledb import CLOSED_CODES, is_offered
from awsac_async.session.errors import DeniedError


async def domain_names(aws: Aws) -> list[str]:
    """Return the names of all domains of the account in this region, whatever they are for; 100 a request.

    An account to which SimpleDB is closed, or a region that has none, has no domains either.
    """
    if not aws.beside_ec2("sdb") or not await is_offered(aws):
        return []
    try:
        return await _listed(aws)
    except DeniedError as error:
        if error.code in CLOSED_CODES:
            return []
        raise


async def _listed(aws: Aws) -> list[str]:
    client, found = await aws.client("sdb"), list[str]()
    with translated("ListDomains"):
        async for page in client.get_paginator("list_domains").paginate():
            found += page.get("DomainNames", [])
    return found
