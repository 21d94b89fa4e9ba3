"""SimpleDB over HTTP, on the one port of moto's server: the ten operations as clients old and new call them."""

import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from awsac_async.local.simpledb import exceptions, install
from awsac_async.local.simpledb.models import Expected, PutPair, SimpleDBBackend

NAMESPACE = {"sdb": "http://sdb.amazonaws.com/doc/2009-04-15/"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    install()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def sdb(endpoint: str) -> Any:
    return boto3.client("sdb", endpoint_url=endpoint, config=Config(retries={"max_attempts": 0}))


domain_numbers = count()


@pytest.fixture
def domain(sdb: Any) -> Iterator[str]:
    name = f"domain-{next(domain_numbers)}"
    sdb.create_domain(DomainName=name)
    yield name
    sdb.delete_domain(DomainName=name)


def pairs(**attributes: str | list[str]) -> list[dict[str, Any]]:
    return [
        {"Name": name, "Value": value}
        for name, values in attributes.items()
        for value in ([values] if isinstance(values, str) else values)
    ]


def replacing(**attributes: str | list[str]) -> list[dict[str, Any]]:
    return [pair | {"Replace": True} for pair in pairs(**attributes)]


def stored(sdb: Any, domain: str, item: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sdb.get_attributes(DomainName=domain, ItemName=item).get("Attributes", [])
    return found


def select(sdb: Any, expression: str) -> list[dict[str, Any]]:
    found = sdb.get_paginator("select").paginate(SelectExpression=expression, ConsistentRead=True)
    return [item for page in found for item in page.get("Items", [])]


def refusal(call: Any, **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_simpledb_s3_and_ec2_answer_on_one_port(endpoint: str, sdb: Any, domain: str) -> None:
    s3, ec2 = boto3.client("s3", endpoint_url=endpoint), boto3.client("ec2", endpoint_url=endpoint)
    s3.create_bucket(Bucket="beside-simpledb")
    assert domain in sdb.list_domains()["DomainNames"]
    assert "beside-simpledb" in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert ec2.describe_availability_zones()["AvailabilityZones"][0]["RegionName"] == "us-east-1"


def test_creating_a_domain_again_keeps_its_items(sdb: Any, domain: str) -> None:
    sdb.put_attributes(DomainName=domain, ItemName="i", Attributes=pairs(a="1"))
    sdb.create_domain(DomainName=domain)
    assert stored(sdb, domain, "i") == pairs(a="1")


def test_deleting_a_domain_takes_its_items_and_may_be_repeated(sdb: Any) -> None:
    sdb.create_domain(DomainName="short-lived")
    sdb.put_attributes(DomainName="short-lived", ItemName="i", Attributes=pairs(a="1"))
    sdb.delete_domain(DomainName="short-lived")
    sdb.delete_domain(DomainName="short-lived")
    assert "short-lived" not in sdb.list_domains().get("DomainNames", [])
    sdb.create_domain(DomainName="short-lived")
    assert stored(sdb, "short-lived", "i") == []
    sdb.delete_domain(DomainName="short-lived")


def test_domains_are_listed_in_pages(sdb: Any, domain: str) -> None:
    more = sorted([domain, f"{domain}.a", f"{domain}.b"])
    for name in more:
        sdb.create_domain(DomainName=name)
    pages = list(sdb.get_paginator("list_domains").paginate(MaxNumberOfDomains=2))
    listed = [name for page in pages for name in page["DomainNames"]]
    assert [name for name in listed if name.startswith(domain)] == more
    assert listed == sorted(set(listed))
    assert all(len(page["DomainNames"]) == 2 for page in pages[:-1])
    for name in more[1:]:
        sdb.delete_domain(DomainName=name)


def test_an_account_has_250_domains_and_no_more() -> None:
    backend = SimpleDBBackend("us-east-1", "123456789012")
    for number in range(250):
        backend.create_domain(f"domain{number}")
    with pytest.raises(exceptions.NumberDomainsExceeded):
        backend.create_domain("one-more")
    backend.create_domain("domain0")
    backend.delete_domain("domain0")
    backend.create_domain("one-more")


def test_attributes_are_sets_of_values_that_replace_replaces(sdb: Any, domain: str) -> None:
    sdb.put_attributes(DomainName=domain, ItemName="i", Attributes=pairs(a=["1", "2"], b="x"))
    sdb.put_attributes(DomainName=domain, ItemName="i", Attributes=pairs(a=["2", "3"]))
    assert stored(sdb, domain, "i") == pairs(a=["1", "2", "3"], b="x")
    sdb.put_attributes(DomainName=domain, ItemName="i", Attributes=replacing(a=["8", "9"]))
    assert stored(sdb, domain, "i") == pairs(a=["8", "9"], b="x")
    named = sdb.get_attributes(DomainName=domain, ItemName="i", AttributeNames=["b", "nothing"], ConsistentRead=True)
    assert named["Attributes"] == pairs(b="x")


def test_an_item_is_gone_with_its_last_value(sdb: Any, domain: str) -> None:
    sdb.put_attributes(DomainName=domain, ItemName="i", Attributes=pairs(a=["1", "2"], b="x"))
    sdb.delete_attributes(DomainName=domain, ItemName="i", Attributes=pairs(a=["1", "absent"]))
    assert stored(sdb, domain, "i") == pairs(a="2", b="x")
    sdb.delete_attributes(DomainName=domain, ItemName="i", Attributes=pairs(a="2", b="x"))
    assert select(sdb, f"select * from `{domain}`") == []  # noqa: S608
    sdb.delete_attributes(DomainName=domain, ItemName="i")


def test_batches_put_and_delete_many_items(sdb: Any, domain: str) -> None:
    items = [{"Name": f"i{number:02}", "Attributes": replacing(n=str(number), x="y")} for number in range(25)]
    sdb.batch_put_attributes(DomainName=domain, Items=items)
    query = f"select n from `{domain}` limit 10"  # noqa: S608
    assert select(sdb, query) == [{"Name": f"i{number:02}", "Attributes": pairs(n=str(number))} for number in range(25)]
    some = [{"Name": "i00"}, {"Name": "i01", "Attributes": pairs(n="1")}, {"Name": "i02", "Attributes": pairs(n="?")}]
    sdb.batch_delete_attributes(DomainName=domain, Items=some)
    assert [stored(sdb, domain, name) for name in ("i00", "i01", "i02")] == [[], pairs(x="y"), pairs(n="2", x="y")]


def test_a_batch_that_is_refused_stores_nothing(sdb: Any, domain: str) -> None:
    full = {"Name": "full", "Attributes": pairs(a=[str(number) for number in range(256)])}
    sdb.batch_put_attributes(DomainName=domain, Items=[full])
    items = [{"Name": "new", "Attributes": pairs(a="1")}, {"Name": "full", "Attributes": pairs(b="1")}]
    assert refusal(sdb.batch_put_attributes, DomainName=domain, Items=items) == ("NumberItemAttributesExceeded", 409)
    assert stored(sdb, domain, "new") == []


def test_metadata_counts_and_measures_in_bytes(sdb: Any, domain: str) -> None:
    sdb.put_attributes(DomainName=domain, ItemName="é", Attributes=pairs(name=["1", "22"], b="é"))
    sdb.put_attributes(DomainName=domain, ItemName="i", Attributes=pairs(name="1"))
    metadata = sdb.domain_metadata(DomainName=domain)
    assert {key: metadata[key] for key in metadata if key not in {"Timestamp", "ResponseMetadata"}} == {
        "ItemCount": 2,
        "ItemNamesSizeBytes": 3,
        "AttributeNameCount": 2,
        "AttributeNamesSizeBytes": 5,
        "AttributeValueCount": 4,
        "AttributeValuesSizeBytes": 6,
    }
    assert metadata["ResponseMetadata"]["BoxUsage"] == "0.0000219907"


@pytest.mark.parametrize("value", ["", " ", "\r\n\t", "<&>'\"", "🂡é", "x" * 1024])
def test_text_comes_back_as_it_was_stored(sdb: Any, domain: str, value: str) -> None:
    sdb.put_attributes(DomainName=domain, ItemName="<i>", Attributes=pairs(v=value))
    assert select(sdb, f"select * from `{domain}`") == [{"Name": "<i>", "Attributes": pairs(v=value)}]  # noqa: S608


def test_text_that_xml_cannot_hold_comes_back_in_base64(endpoint: str, sdb: Any, domain: str) -> None:
    sdb.put_attributes(DomainName=domain, ItemName="i", Attributes=pairs(v="\x00"))
    answer = boto_2_get(endpoint, "GetAttributes", DomainName=domain, ItemName="i")
    (value,) = answer.iterfind(".//sdb:Value", NAMESPACE)
    assert (value.get("encoding"), value.text) == ("base64", "AA==")


@pytest.mark.parametrize(
    ("expected", "refused"),
    [
        ({"Name": "state", "Value": "running"}, None),
        ({"Name": "state", "Value": "running", "Exists": True}, None),
        ({"Name": "absent", "Exists": False}, None),
        ({"Name": "state", "Value": "done"}, ("ConditionalCheckFailed", 409)),
        ({"Name": "state", "Exists": False}, ("ConditionalCheckFailed", 409)),
        ({"Name": "absent", "Value": "x"}, ("AttributeDoesNotExist", 404)),
        ({"Name": "many", "Value": "1"}, ("MultiValuedAttribute", 409)),
        ({"Name": "state"}, ("IncompleteExpectedExpression", 400)),
        ({"Name": "state", "Value": "x", "Exists": False}, ("ExistsAndExpectedValue", 400)),
        ({"Value": "x"}, ("MissingParameter", 400)),
    ],
)
def test_a_conditional_write_is_done_only_if_the_condition_holds(
    sdb: Any, domain: str, expected: dict[str, Any], refused: tuple[str, int] | None
) -> None:
    before, change = pairs(many=["1", "2"], state="running"), replacing(state="written")
    item = {"DomainName": domain, "ItemName": "i"}
    sdb.put_attributes(**item, Attributes=before)
    if refused:
        assert refusal(sdb.put_attributes, **item, Attributes=change, Expected=expected) == refused
        assert refusal(sdb.delete_attributes, **item, Expected=expected) == refused
        assert stored(sdb, domain, "i") == before
    else:
        sdb.put_attributes(**item, Attributes=replacing(state="running", extra="1"), Expected=expected)
        sdb.delete_attributes(**item, Expected=expected)
        assert stored(sdb, domain, "i") == []


def test_of_writers_that_race_on_absence_exactly_one_wins() -> None:
    backend = SimpleDBBackend("us-east-1", "123456789012")
    backend.create_domain("race")
    barrier, wins = threading.Barrier(4), []

    def claim(writer: str) -> None:
        for number in range(200):
            barrier.wait()
            try:
                absent = Expected(name="owner", exists=False)
                backend.put_attributes("race", f"i{number}", [PutPair(name="owner", value=writer)], absent)
                wins.append((f"i{number}", writer))
            except exceptions.ConditionalCheckFailed:
                continue

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=claim, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    owners = [(name, backend.get_attributes("race", name, [])) for name in (f"i{number}" for number in range(200))]
    assert owners == [(name, [("owner", writer)]) for name, writer in sorted(wins, key=lambda win: int(win[0][1:]))]


LONG = "x" * 1025


@pytest.mark.parametrize(
    ("operation", "parameters", "expected"),
    [
        ("create_domain", {"DomainName": "ab"}, ("InvalidParameterValue", 400)),
        ("create_domain", {"DomainName": "x" * 256}, ("InvalidParameterValue", 400)),
        ("create_domain", {"DomainName": "with space"}, ("InvalidParameterValue", 400)),
        ("create_domain", {"DomainName": "umlaut-ü\n"}, ("InvalidParameterValue", 400)),
        ("list_domains", {"MaxNumberOfDomains": 0}, ("InvalidParameterValue", 400)),
        ("list_domains", {"MaxNumberOfDomains": 101}, ("InvalidParameterValue", 400)),
        ("list_domains", {"NextToken": "%"}, ("InvalidNextToken", 400)),
        ("domain_metadata", {"DomainName": "nosuch"}, ("NoSuchDomain", 400)),
        ("get_attributes", {"DomainName": "nosuch", "ItemName": "i"}, ("NoSuchDomain", 400)),
        ("delete_attributes", {"DomainName": "nosuch", "ItemName": "i"}, ("NoSuchDomain", 400)),
        ("select", {"SelectExpression": "select * from nosuch"}, ("NoSuchDomain", 400)),
        ("select", {"SelectExpression": "select * from `errors` where"}, ("InvalidQueryExpression", 400)),
        ("select", {"SelectExpression": "select * from `errors` order by a"}, ("InvalidSortExpression", 400)),
        ("select", {"SelectExpression": "select * from `errors`", "NextToken": "?"}, ("InvalidNextToken", 400)),
        ("get_attributes", {"AttributeNames": [f"a{i}" for i in range(257)]}, ("TooManyRequestedAttributes", 400)),
        ("put_attributes", {"ItemName": LONG, "Attributes": pairs(a="1")}, ("InvalidParameterValue", 400)),
        ("put_attributes", {"ItemName": "", "Attributes": pairs(a="1")}, ("InvalidParameterValue", 400)),
        ("put_attributes", {"Attributes": pairs(**{"é" * 513: "1"})}, ("InvalidParameterValue", 400)),
        ("put_attributes", {"Attributes": pairs(**{"": "1"})}, ("InvalidParameterValue", 400)),
        ("put_attributes", {"Attributes": pairs(a=LONG)}, ("InvalidParameterValue", 400)),
        (
            "put_attributes",
            {"Attributes": pairs(a=[str(i) for i in range(257)])},
            ("NumberSubmittedAttributesExceeded", 409),
        ),
        (
            "batch_put_attributes",
            {"Items": [{"Name": f"i{i}", "Attributes": pairs(a="1")} for i in range(26)]},
            ("NumberSubmittedItemsExceeded", 409),
        ),
        (
            "batch_put_attributes",
            {"Items": [{"Name": "same", "Attributes": pairs(a="1")}] * 2},
            ("DuplicateItemName", 400),
        ),
        (
            "batch_delete_attributes",
            {"Items": [{"Name": f"i{i}"} for i in range(26)]},
            ("NumberSubmittedItemsExceeded", 409),
        ),
    ],
)
def test_a_request_beyond_the_documented_limits_is_refused_by_its_code(
    sdb: Any, operation: str, parameters: dict[str, Any], expected: tuple[str, int]
) -> None:
    sdb.create_domain(DomainName="errors")
    if operation.endswith("attributes"):
        parameters = {"DomainName": "errors"} | parameters
    if operation in {"get_attributes", "put_attributes"}:
        parameters = {"ItemName": "i"} | parameters
    assert refusal(getattr(sdb, operation), **parameters) == expected
    sdb.delete_domain(DomainName="errors")


# --- what boto 2.49 sends ---------------------------------------------------------------------------------------------


def boto_2_parameters(action: str, parameters: dict[str, str]) -> str:
    signed = {
        "AWSAccessKeyId": "test",
        "Action": action,
        "SignatureMethod": "HmacSHA256",
        "SignatureVersion": "2",
        "Timestamp": "2026-01-01T00:00:00Z",
        "Version": "2009-04-15",
    }
    query = urllib.parse.urlencode(dict(sorted((signed | parameters).items())), quote_via=urllib.parse.quote)
    return query + "&Signature=4b1z%2Bx0%3D"


def boto_2_get(endpoint: str, action: str, **parameters: str) -> ET.Element:
    """What boto 2 sends for most operations: everything in the address."""
    headers = {"User-Agent": "Boto/2.49.0 Python/2.7.5 Linux/2.6.32"}
    request = urllib.request.Request(f"{endpoint}/?{boto_2_parameters(action, parameters)}", headers=headers)  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310  # the server of this test
        return ET.fromstring(answer.read())  # noqa: S314


def boto_2_post(endpoint: str, action: str, **parameters: str) -> ET.Element:
    """What boto 2 sends for batches: everything in the body."""
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    body = boto_2_parameters(action, parameters).encode()
    request = urllib.request.Request(f"{endpoint}/", data=body, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return ET.fromstring(answer.read())  # noqa: S314


def items_of(answer: ET.Element) -> dict[str, dict[str, str | None]]:
    return {
        str(item.findtext("sdb:Name", namespaces=NAMESPACE)): {
            str(pair.findtext("sdb:Name", namespaces=NAMESPACE)): pair.findtext("sdb:Value", namespaces=NAMESPACE)
            for pair in item.iterfind("sdb:Attribute", NAMESPACE)
        }
        for item in answer.iterfind("sdb:SelectResult/sdb:Item", NAMESPACE)
    }


def test_boto_2_49_selects_by_get_and_by_post(endpoint: str, sdb: Any, domain: str) -> None:
    sdb.put_attributes(DomainName=domain, ItemName="1", Attributes=pairs(job_state="READY", script="a.sh"))
    for call in (boto_2_get, boto_2_post):
        answer = call(endpoint, "Select", SelectExpression=f"select * from `{domain}`", ConsistentRead="true")  # noqa: S608
        assert items_of(answer) == {"1": {"job_state": "READY", "script": "a.sh"}}
        assert answer.findtext("sdb:ResponseMetadata/sdb:BoxUsage", namespaces=NAMESPACE) == "0.0000219907"


def test_boto_2_49_counts_batch_items_from_zero_and_numbers_its_condition(endpoint: str, sdb: Any, domain: str) -> None:
    batch = {"Item.0.ItemName": "1", "Item.0.Attribute.0.Name": "a", "Item.0.Attribute.0.Value": "x"}
    boto_2_post(endpoint, "BatchPutAttributes", DomainName=domain, **batch)
    condition = {"Expected.1.Name": "a", "Expected.1.Value": "x"}
    change = {"Attribute.1.Name": "a", "Attribute.1.Value": "y", "Attribute.1.Replace": "true"}
    boto_2_get(endpoint, "PutAttributes", DomainName=domain, ItemName="1", **change, **condition)
    assert stored(sdb, domain, "1") == pairs(a="y")
    with pytest.raises(urllib.error.HTTPError) as refused:
        boto_2_get(endpoint, "PutAttributes", DomainName=domain, ItemName="1", **change, **condition)
    with refused.value as answer:
        error = ET.fromstring(answer.read())  # noqa: S314
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
    ],
)
def test_a_malformed_request_is_answered_with_its_error(
    endpoint: str, action: str, parameters: dict[str, str], code: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        boto_2_get(endpoint, action, **parameters)
    with refused.value as answer:
        assert (answer.code, ET.fromstring(answer.read()).findtext("Errors/Error/Code")) == (400, code)  # noqa: S314


def test_a_body_that_is_not_percent_encoded_is_understood(endpoint: str, sdb: Any, domain: str) -> None:
    sdb.put_attributes(DomainName=domain, ItemName="i", Attributes=pairs(a="x"))
    query = f"select count(*) from `{domain}` where a = 'x'"  # noqa: S608
    body = f"Action=Select&Version=2009-04-15&SelectExpression={query}".encode()
    with urllib.request.urlopen(f"{endpoint}/", data=body) as answer:  # noqa: S310
        assert items_of(ET.fromstring(answer.read())) == {"Domain": {"Count": "1"}}  # noqa: S314
