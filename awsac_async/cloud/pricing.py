"""What AWS asks for instances and volumes: the price list, and the spot market's prices of now.

Owns every call of the Pricing API. A price is returned only if the list has exactly one for what was asked; anything
else is "not known" (None). Never estimates.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from awsac_async.cloud.aws import Aws, translated

# The Pricing API is in few regions, each of which has the prices of all.
# https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html
_API_REGION = "us-east-1"
_SERVICE = "AmazonEC2"
_INSTANCE: Mapping[str, str] = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
_LINUX = ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"]  # spot prices of old and of newer accounts


class Pricing:
    """The prices of one region, in USD."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    async def instance_per_hour(self, instance_type: str) -> float | None:
        """Return the on-demand price of an hour of an instance with Linux; None: the list does not say."""
        return await self._one_price(instance_type, "Hrs", {**_INSTANCE, "instanceType": instance_type})

    async def volume_per_gib_month(self, volume_type: str) -> float | None:
        """Return the price of a GiB of an EBS volume for a month; None: the list does not say."""
        return await self._one_price(volume_type, "GB-Mo", {"productFamily": "Storage", "volumeApiName": volume_type})

    async def spot_per_hour(self, instance_type: str, *, at: datetime) -> float | None:
        """Return the spot price of an hour in the zone where it is highest at this time; None: there is none.

        Args:
            instance_type: its name.
            at: now, in UTC.
        """
        ec2 = await self._aws.client("ec2")
        newest: dict[str, tuple[datetime, float]] = {}
        pages = ec2.get_paginator("describe_spot_price_history")
        asked = {"InstanceTypes": [instance_type], "ProductDescriptions": _LINUX, "StartTime": at, "EndTime": at}
        with translated("DescribeSpotPriceHistory", instance_type):
            async for page in pages.paginate(**asked):
                for each in page["SpotPriceHistory"]:
                    found = (each["Timestamp"], float(each["SpotPrice"]))
                    newest[each["AvailabilityZone"]] = max(found, newest.get(each["AvailabilityZone"], found))
        return max((price for _, price in newest.values()), default=None)

    async def _one_price(self, resource: str, unit: str, attributes: Mapping[str, str]) -> float | None:
        pricing = await self._aws.client("pricing", region=_API_REGION)
        wanted = {**attributes, "regionCode": self._aws.region}
        filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
        pages, prices = pricing.get_paginator("get_products"), set()
        with translated("GetProducts", resource):
            async for page in pages.paginate(ServiceCode=_SERVICE, FormatVersion="aws_v1", Filters=filters):
                for product in page["PriceList"]:
                    prices |= set(_on_demand(json.loads(product), unit))
        return prices.pop() if len(prices) == 1 else None


def _on_demand(product: dict[str, Any], unit: str) -> Iterator[float]:
    """Return the prices of a product for this unit, without reservation."""
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if dimension["unit"] == unit and "USD" in dimension["pricePerUnit"]:
                yield float(dimension["pricePerUnit"]["USD"])
