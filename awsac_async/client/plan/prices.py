"""What instances and volumes of a session cost, asked of whoever knows it; what nobody knows stays unknown.

Owns the order of those who are asked, and the remark on what could not be asked. Never estimates.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.images import Image
from awsac_async.cloud.pricing import Pricing
from awsac_async.cloud.volumes import RELEASE_VOLUME_TYPE
from awsac_async.session.errors import CloudError, NotFoundError
from awsac_async.session.model import StartInfo
from awsac_async.session.times import now

T = TypeVar("T")
_PATIENCE = 30.0  # seconds for an answer that a start can do without


class PriceSource(StrEnum):
    """Who says what an instance costs."""

    INI = "session.ini"
    LIST = "AWS price list"
    SPOT = "spot price"


@dataclass(frozen=True, kw_only=True)
class Price:
    """What an hour of one instance costs in USD, and who says so."""

    per_hour: float
    source: PriceSource


async def find_price(aws: Aws, info: StartInfo, name: str, remarks: list[str]) -> Price | None:
    """Return what an instance of a type costs: by the ini, else on the spot market or by the price list; or None."""
    if info.price_per_hour is not None:
        return Price(per_hour=info.price_per_hour, source=PriceSource.INI)
    pricing = Pricing(aws)
    if info.market == "spot":
        found, source = await _price(pricing.spot_per_hour(name, at=now()), name, remarks), PriceSource.SPOT
    else:
        found, source = await _price(pricing.instance_per_hour(name), name, remarks), PriceSource.LIST
    return Price(per_hour=found, source=source) if found is not None else None


async def find_volume_prices(
    aws: Aws, image: Image | None, *, releases: bool, remarks: list[str]
) -> Mapping[str, float | None]:
    """Return, by EBS type, the prices of the image's volumes that have one by size alone, and of releases.

    They are in USD for a GiB and a month; None: not known.
    """
    types = {disk.volume_type for disk in image.disks if not disk.extra} if image else set()
    if releases:
        types.add(RELEASE_VOLUME_TYPE)
    pricing = Pricing(aws)
    return {each: await _price(pricing.volume_per_gib_month(each), each, remarks) for each in sorted(types)}


async def optional(asked: Awaitable[T], what: str, remarks: list[str]) -> T | None:
    """Return an answer that a start can do without; what kept it from being given becomes a remark.

    Raises:
        NotFoundError: there is no such thing.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            return await asked
    except NotFoundError:
        raise
    except TimeoutError:
        remarks.append(f"{what} could not be read: no answer within {_PATIENCE:.0f} seconds")
    except CloudError as error:
        remarks.append(f"{what} could not be read: {error}")
    return None


async def _price(asked: Awaitable[float | None], what: str, remarks: list[str]) -> float | None:
    before = len(remarks)
    try:
        price = await optional(asked, f"the price of {what}", remarks)
    except NotFoundError as error:
        remarks.append(f"the price of {what} could not be read: {error}")
        return None
    if price is None and len(remarks) == before:
        remarks.append(f"the price of {what} is unknown: AWS's list does not say it")
    return price
