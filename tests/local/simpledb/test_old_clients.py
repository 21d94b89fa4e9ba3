"""Clients that sign with version 2 by hand: what boto 2.49 sends, by GET and by POST, and what a shell script sends."""
# ruff: noqa: S310, S314, S608  # the server is this test's own, on loopback, and what it answers; Select is not SQL

import base64
import hmac
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conftest import Embedded

from .domains import pairs, stored

NAMESPACE = {"sdb": "http://sdb.amazonaws.com/doc/2009-04-15/"}


def boto_2_parameters(embedded: Embedded, method: str, action: str, parameters: dict[str, str]) -> str:
    signed = {
        "AWSAccessKeyId": embedded.environment["AWS_ACCESS_KEY_ID"],
        "Action": action,
        "SignatureMethod": "HmacSHA256",
        "SignatureVersion": "2",
        "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Version": "2009-04-15",
    }
    query = urllib.parse.urlencode(dict(sorted((signed | parameters).items())), quote_via=urllib.parse.quote)
    return f"{query}&Signature={signature(embedded, method, query)}"


def signature(embedded: Embedded, method: str, query: str) -> str:
    """Sign a query whose parameters are sorted and percent-encoded, as the page on signature version 2 says."""
    text = f"{method}\n{embedded.endpoint.removeprefix('http://')}\n/\n{query}"
    digest = hmac.digest(embedded.environment["AWS_SECRET_ACCESS_KEY"].encode(), text.encode(), "sha256")
    return urllib.parse.quote(base64.b64encode(digest), safe="")


def boto_2_get(embedded: Embedded, action: str, **parameters: str) -> ET.Element:
    """What boto 2 sends for most operations: everything in the address."""
    headers = {"User-Agent": "Boto/2.49.0 Python/2.7.5 Linux/2.6.32"}
    query = boto_2_parameters(embedded, "GET", action, parameters)
    request = urllib.request.Request(f"{embedded.endpoint}/?{query}", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return ET.fromstring(answer.read())


def boto_2_post(embedded: Embedded, action: str, **parameters: str) -> ET.Element:
    """What boto 2 sends for batches: everything in the body."""
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    body = boto_2_parameters(embedded, "POST", action, parameters).encode()
    request = urllib.request.Request(f"{embedded.endpoint}/", data=body, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return ET.fromstring(answer.read())


def items_of(answer: ET.Element) -> dict[str, dict[str, str | None]]:
    return {
        str(item.findtext("sdb:Name", namespaces=NAMESPACE)): {
            str(pair.findtext("sdb:Name", namespaces=NAMESPACE)): pair.findtext("sdb:Value", namespaces=NAMESPACE)
            for pair in item.iterfind("sdb:Attribute", NAMESPACE)
        }
        for item in answer.iterfind("sdb:SelectResult/sdb:Item", NAMESPACE)
    }


def test_boto_2_49_selects_by_get_and_by_post(embedded: Embedded, sdb: Any, domain: str) -> None:
    sdb.put_attributes(DomainName=domain, ItemName="1", Attributes=pairs(job_state="READY", script="a.sh"))
    for call in (boto_2_get, boto_2_post):
        answer = call(embedded, "Select", SelectExpression=f"select * from `{domain}`", ConsistentRead="true")
        assert items_of(answer) == {"1": {"job_state": "READY", "script": "a.sh"}}
        assert answer.findtext("sdb:ResponseMetadata/sdb:BoxUsage", namespaces=NAMESPACE) == "0.0000219907"


def test_boto_2_49_counts_batch_items_from_zero_and_numbers_its_condition(
    embedded: Embedded, sdb: Any, domain: str
) -> None:
    batch = {"Item.0.ItemName": "1", "Item.0.Attribute.0.Name": "a", "Item.0.Attribute.0.Value": "x"}
    boto_2_post(embedded, "BatchPutAttributes", DomainName=domain, **batch)
    condition = {"Expected.1.Name": "a", "Expected.1.Value": "x"}
    change = {"Attribute.1.Name": "a", "Attribute.1.Value": "y", "Attribute.1.Replace": "true"}
    boto_2_get(embedded, "PutAttributes", DomainName=domain, ItemName="1", **change, **condition)
    assert stored(sdb, domain, "1") == pairs(a="y")
    with pytest.raises(urllib.error.HTTPError) as refused:
        boto_2_get(embedded, "PutAttributes", DomainName=domain, ItemName="1", **change, **condition)
    with refused.value as answer:
        error = ET.fromstring(answer.read())
        assert answer.code == 409
    assert error.findtext("Errors/Error/Code") == "ConditionalCheckFailed"
    assert error.findtext("RequestID")


@pytest.mark.parametrize(
    ("action", "parameters", "code"),
    [
        ("CreateDomain", {}, "MissingParameter"),
        ("Select", {}, "MissingParameter"),
        ("PutAttributes", {"DomainName": "d", "ItemName": "i"}, "MissingParameter"),
        ("PutAttributes", {"DomainName": "d", "ItemName": "i", "Attribute.1.Name": "a"}, "MissingParameter"),
        ("BatchPutAttributes", {"DomainName": "d"}, "MissingParameter"),
        ("ListDomains", {"MaxNumberOfDomains": "many"}, "InvalidParameterValue"),
        (
            "DeleteAttributes",
            {"DomainName": "d", "ItemName": "i", "Expected.1.Name": "a", "Expected.2.Name": "b"},
            "MultipleExpectedNames",
        ),
        ("Query", {"DomainName": "d"}, "InvalidAction"),
        ("Select", {"SelectExpression": "select * from d", "ConsistentRead": "yes"}, "InvalidParameterValue"),
    ],
)
def test_a_malformed_request_is_answered_with_its_error(
    embedded: Embedded, action: str, parameters: dict[str, str], code: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        boto_2_get(embedded, action, **parameters)
    with refused.value as answer:
        assert (answer.code, ET.fromstring(answer.read()).findtext("Errors/Error/Code")) == (400, code)


def test_a_request_without_an_action_is_told_so(embedded: Embedded) -> None:
    parameters = boto_2_parameters(embedded, "GET", "Select", {"DomainName": "d"}).partition("&Signature=")[0]
    query = parameters.replace("Action=Select&", "")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{embedded.endpoint}/?{query}&Signature={signature(embedded, 'GET', query)}")
    with refused.value as answer:
        assert (answer.code, ET.fromstring(answer.read()).findtext("Errors/Error/Code")) == (400, "MissingAction")


def test_a_body_that_is_not_percent_encoded_is_understood(embedded: Embedded, sdb: Any, domain: str) -> None:
    sdb.put_attributes(DomainName=domain, ItemName="i", Attributes=pairs(a="x"))
    expression = f"select count(*) from `{domain}` where a = 'x'"
    signed = boto_2_parameters(embedded, "POST", "Select", {"SelectExpression": expression})
    body = signed.replace(urllib.parse.quote(expression), expression)
    with urllib.request.urlopen(f"{embedded.endpoint}/", data=body.encode()) as answer:
        assert items_of(ET.fromstring(answer.read())) == {"Domain": {"Count": "1"}}


def test_text_that_xml_cannot_hold_comes_back_in_base64(embedded: Embedded, sdb: Any, domain: str) -> None:
    sdb.put_attributes(DomainName=domain, ItemName="i", Attributes=pairs(v="\x00"))
    answer = boto_2_get(embedded, "GetAttributes", DomainName=domain, ItemName="i")
    (value,) = answer.iterfind(".//sdb:Value", NAMESPACE)
    assert (value.get("encoding"), value.text) == ("base64", "AA==")
