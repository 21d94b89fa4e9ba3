"""The Service Quotas API, as far as GetServiceQuota is asked for the vCPUs of EC2: there is room for all.

Owns the quotas' codes and values. They are told, not kept: a launch is bound by this machine alone.
"""

from collections.abc import Mapping
from typing import Any

from awsac_async.local.jsonapi import Refused
from awsac_async.local.settings import ACCOUNT, REGION

_VCPUS = 100_000.0
# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
_NAMES: Mapping[str, str] = {
    "L-1216C47A": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
    "L-34B43A08": "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
}


def get_service_quota(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer GetServiceQuota."""
    code = request.get("QuotaCode", "")
    if request.get("ServiceCode") != "ec2" or code not in _NAMES:
        raise Refused("NoSuchResourceException", "The request failed because the specified quota does not exist.")
    quota = {
        "ServiceCode": "ec2",
        "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
        "QuotaArn": f"arn:aws:servicequotas:{REGION}:{ACCOUNT}:ec2/{code}",
        "QuotaCode": code,
        "QuotaName": _NAMES[code],
        "Value": _VCPUS,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }
    return {"Quota": quota}


OPERATIONS = {"ServiceQuotasV20190624.GetServiceQuota": get_service_quota}
