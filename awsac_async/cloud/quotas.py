"""How many virtual CPUs an account may have, and has: EC2 counts them by family of instance types and by market.

Owns the codes of these quotas and the reading calls on them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.images import Images

# Names of families (the letters before the generation) -> code of the quota, on-demand and spot.
# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
_FAMILIES: Mapping[str, tuple[str, str]] = {
    "a c d h i im is m r t z": ("L-1216C47A", "L-34B43A08"),
    "f": ("L-74FC7D96", "L-88CF9481"),
    "g gr vt": ("L-DB2E81BA", "L-3819A6DF"),
    "inf": ("L-1945791B", "L-B5D1601B"),
    "p": ("L-417A185B", "L-7212CCBC"),
    "trn": ("L-2C3B7624", "L-6B0D517C"),
    "x": ("L-7295265B", "L-E3A00192"),
}
_CODES = {family: codes for families, codes in _FAMILIES.items() for family in families.split()}
_OWN_SPOT_QUOTA = "p5"  # the one generation that the quota of its family does not count
_FAMILY = re.compile(r"[a-z]+(?=[0-9])")
_ALIVE = ["pending", "running"]


@dataclass(frozen=True, kw_only=True)
class Quota:
    """A quota by its code: how many vCPUs of its kind there may be in the region, and how many there are."""

    code: str
    limit: int
    used: int

    @property
    def left(self) -> int:
        """How many more there may be."""
        return max(0, self.limit - self.used)


def quota_code(instance_type: str, market: str) -> str | None:
    """Return the code of the quota that counts an instance; None: it is not one of those known here."""
    family = _FAMILY.match(instance_type)
    if family is None or (market == "spot" and instance_type.startswith(_OWN_SPOT_QUOTA)):
        return None
    on_demand, spot = _CODES.get(family[0], (None, None))
    return spot if market == "spot" else on_demand


class Quotas:
    """The vCPU quotas of one account in a region."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    async def read(self, code: str) -> Quota:
        """Return a quota, and what of it is used. Raises DeniedError, NotFoundError."""
        client = await self._aws.client("service-quotas")
        with translated("GetServiceQuota", code):
            answer = await client.get_service_quota(ServiceCode="ec2", QuotaCode=code)
        return Quota(code=code, limit=int(answer["Quota"]["Value"]), used=await self._used(code))

    async def _used(self, code: str) -> int:
        names = [name for name, market in await self._alive() if quota_code(name, market) == code]
        if not names:
            return 0
        vcpus = {each.name: each.vcpus for each in await Images(self._aws).instance_types(set(names))}
        return sum(vcpus[name] for name in names)

    async def _alive(self) -> list[tuple[str, str]]:
        """Return type and market of every instance that counts."""
        ec2, found = await self._aws.client("ec2"), []
        pages = ec2.get_paginator("describe_instances")
        with translated("DescribeInstances", "that count for the quota"):
            async for page in pages.paginate(Filters=[{"Name": "instance-state-name", "Values": _ALIVE}]):
                for group in page["Reservations"]:
                    found += [(each["InstanceType"], each.get("InstanceLifecycle", "")) for each in group["Instances"]]
        return found
