"""The SimpleDB domains of an account: names only, of which some are those of sessions.

Reads only; what is in the domain of a session is read and deleted by ``simpledb``.
"""

from awsac_async.cloud.aws import Aws, is_aws, translated
from awsac_async.cloud.simpledb import REGIONS


async def domain_names(aws: Aws) -> list[str]:
    """Return the names of all domains of the account in this region, whatever they are for; 100 a request."""
    client = await aws.client("sdb")
    if is_aws(client.meta.endpoint_url) and aws.region not in REGIONS:
        return []
    found: list[str] = []
    with translated("ListDomains"):
        async for page in client.get_paginator("list_domains").paginate():
            found += page.get("DomainNames", [])
    return found
