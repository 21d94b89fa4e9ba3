"""The Pricing API, as far as GetProducts is asked for instances and volumes, and what spot instances cost.

Owns a few list prices: those of us-east-1 for Linux in USD, as AWS published them, of types that small examples use. Of
anything else the list says nothing, as AWS's says nothing of what it does not sell.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from awsac_async.local.jsonapi import Refused
from awsac_async.local.settings import REGION

# https://aws.amazon.com/ec2/pricing/on-demand/, https://aws.amazon.com/ec2/previous-generation/
ON_DEMAND: Mapping[str, str] = {
    "t1.micro": "0.02",
    "m1.small": "0.044",
    "m1.medium": "0.087",
    "m1.large": "0.175",
    "m1.xlarge": "0.35",
    "c1.medium": "0.13",
    "c1.xlarge": "0.52",
    "t2.micro": "0.0116",
    "t3.micro": "0.0104",
    "t3.small": "0.0208",
    "m5.large": "0.096",
    "c5.large": "0.085",
    "c5.4xlarge": "0.68",
}
# What the market asked most of the time, when there was still much of these types.
SPOT: Mapping[str, str] = {"m1.small": "0.0071", "c1.medium": "0.013"}
# https://aws.amazon.com/ebs/pricing/ and its page of previous generations: USD for a GB and a month
_VOLUMES: Mapping[str, str] = {
    "gp3": "0.08",
    "gp2": "0.10",
    "io1": "0.125",
    "st1": "0.045",
    "sc1": "0.015",
    "standard": "0.05",
}
_PAGE = 100


def get_products(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer GetProducts: products whose attributes have all the values that are asked for."""
    if request.get("ServiceCode") != "AmazonEC2":
        raise Refused("InvalidParameterException", "this list has products of AmazonEC2 only")
    wanted = {each["Field"]: each["Value"] for each in request.get("Filters", [])}
    found = [product for product in _products() if wanted.items() <= _named(product).items()]
    token = str(request.get("NextToken", "0"))
    if not re.fullmatch(r"[0-9]{1,6}", token):
        raise Refused("InvalidNextTokenException", "The pagination token is invalid. Try again without one.")
    start = int(token)
    more = {"NextToken": str(start + _PAGE)} if len(found) > start + _PAGE else {}
    return {"FormatVersion": "aws_v1", "PriceList": [json.dumps(each) for each in found[start : start + _PAGE]]} | more


OPERATIONS = {"AWSPriceListService.GetProducts": get_products}


def _named(product: Mapping[str, Any]) -> dict[str, str]:
    return {**product["product"]["attributes"], "productFamily": product["product"]["productFamily"]}


def _products() -> Iterator[dict[str, Any]]:
    for name, price in ON_DEMAND.items():
        attributes = {
            "instanceType": name,
            "operatingSystem": "Linux",
            "tenancy": "Shared",
            "preInstalledSw": "NA",
            "capacitystatus": "Used",
            "marketoption": "OnDemand",
            "operation": "RunInstances",
        }
        yield _product("Compute Instance", attributes, unit="Hrs", price=price)
    for name, price in _VOLUMES.items():
        yield _product("Storage", {"volumeApiName": name}, unit="GB-Mo", price=price)


def _product(family: str, attributes: Mapping[str, str], *, unit: str, price: str) -> dict[str, Any]:
    everywhere = {"regionCode": REGION, "location": "US East (N. Virginia)", "locationType": "AWS Region"}
    sku = hashlib.sha256(json.dumps([family, attributes], sort_keys=True).encode()).hexdigest()[:16].upper()
    term, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"  # AWS's own codes for "on demand" and "hourly"
    dimension = {"unit": unit, "pricePerUnit": {"USD": f"{price}0000000"}, "rateCode": rate, "appliesTo": []}
    return {
        "serviceCode": "AmazonEC2",
        "product": {"sku": sku, "productFamily": family, "attributes": {**everywhere, **attributes}},
        "terms": {"OnDemand": {term: {"sku": sku, "termAttributes": {}, "priceDimensions": {rate: dimension}}}},
    }
