"""The ten operations over HTTP, as boto3 calls them: what they store, what they return, and what they refuse."""
# ruff: noqa: S608  # Select is not SQL, and the domains are the test's own

import sys
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from awsac_async.local.simpledb import exceptions
from awsac_async.local.simpledb.models import Expected, PutPair, SimpleDBBackend
from tests.conftest import Embedded

from .domains import pairs, replacing, stored


def select(sdb: Any, expression: str) -> list[dict[str, Any]]:
    found = sdb.get_paginator("select").paginate(SelectExpression=expression, ConsistentRead=True)
    return [item for page in found for item in page.get("Items", [])]


def refusal(call: Any, **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_simpledb_s3_and_ec2_answer_on_one_port(embedded: Embedded, sdb: Any, domain: str) -> None:
    s3, ec2 = embedded.client("s3"), embedded.client("ec2")
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
    assert select(sdb, f"select * from `{domain}`") == []
    sdb.delete_attributes(DomainName=domain, ItemName="i")


def test_batches_put_and_delete_many_items(sdb: Any, domain: str) -> None:
    items = [{"Name": f"i{number:02}", "Attributes": replacing(n=str(number), x="y")} for number in range(25)]
    sdb.batch_put_attributes(DomainName=domain, Items=items)
    query = f"select n from `{domain}` limit 10"
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
    assert select(sdb, f"select * from `{domain}`") == [{"Name": "<i>", "Attributes": pairs(v=value)}]


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
