"""The policies that are printed: limited as they say, small enough for IAM, and the documentation's tables."""

import fnmatch
import json
from typing import Any

import pytest

from awsac_async.local.iam.documents import Need, decide
from awsac_async.session.policies import INLINE_LIMIT, MANAGED_LIMIT, Holder, Scope, actions, compact, policy
from tests.session.document import PAGE, with_tables

SESSION = "081215_1646--eventgen--1816"
ONE = Scope(bucket="atlassessions", session_id=SESSION, region="eu-west-1", account="123456789012")
# What has no name that a policy could be limited to.
LISTS = {
    "s3:ListAllMyBuckets",
    "sdb:ListDomains",
    "servicequotas:GetServiceQuota",
    "pricing:GetProducts",
}


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def statements(holder: Holder, scope: Scope) -> list[dict[str, Any]]:
    return list(policy(holder, scope)["Statement"])


@pytest.mark.parametrize("holder", Holder)
def test_a_policy_for_one_session_names_it_its_bucket_its_region_and_its_account_wherever_it_can(
    holder: Holder,
) -> None:
    for statement in statements(holder, ONE):
        for resource in listed(statement["Resource"]):
            if resource == "*":
                assert {a for a in statement["Action"] if not a.startswith("ec2:Describe")} <= LISTS
            elif ":s3:" in resource:
                assert resource.startswith("arn:aws:s3:::atlassessions")
                assert SESSION in resource or "/" not in resource or resource.endswith("/awsac/write-check")
            elif ":sdb:" in resource:
                assert resource in {f"arn:aws:sdb:eu-west-1:123456789012:domain/{each}" for each in (SESSION, "awsac")}
            else:
                assert resource.split(":")[2] in {"ec2", "iam"}
                assert resource.split(":")[4] in {"123456789012", "*"}
        if statement["Sid"] in {"Tagged", "NewInstances", "NewVolumes", "OwnInstance", "OwnMappings", "OwnVolumes"}:
            assert list(statement["Condition"]["StringLike"].values()) == [SESSION]


def test_a_policy_for_all_sessions_allows_what_session_ids_look_like_and_not_other_keys() -> None:
    (objects,) = [each for each in statements(Holder.AGENT, Scope(bucket="b")) if each["Sid"] == "Objects"]
    theirs = [f"arn:aws:s3:::b/{SESSION}/results_job_1.tar.bz2", f"arn:aws:s3:::b/awsac/{SESSION}/control.json"]

    def allowed(name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in objects["Resource"])

    assert all(allowed(name) for name in theirs)
    assert not any(allowed(f"arn:aws:s3:::b/{key}") for key in ("thesis.tex", "awsac/other", "backup/081215/x"))


@pytest.mark.parametrize("holder", Holder)
def test_every_action_of_the_table_is_in_its_policy_once_for_each_thing_and_in_no_other_form(holder: Holder) -> None:
    found = [action for statement in statements(holder, ONE) for action in statement["Action"]]
    assert set(found) == set(actions(holder))
    assert not any("*" in action for action in found)
    assert all(len(set(each["Action"])) == len(each["Action"]) for each in statements(holder, ONE))


@pytest.mark.parametrize("holder", Holder)
def test_the_longest_policy_fits_as_an_inline_policy_of_a_role_and_as_a_managed_one(holder: Holder) -> None:
    longest = Scope(bucket="b" * 63, session_id=SESSION, role="r" * 64, region="ap-northeast-1", account="123456789012")
    assert len(compact(policy(holder, longest))) < MANAGED_LIMIT < INLINE_LIMIT


def test_what_is_optional_has_statements_of_its_own() -> None:
    optional = {each["Sid"]: each["Action"] for each in statements(Holder.CLIENT, ONE) if "Optional" in each["Sid"]}
    assert optional == {
        "OptionalProfile": ["iam:GetInstanceProfile"],
        "OptionalAccount": ["ec2:DescribeSpotPriceHistory", "pricing:GetProducts", "servicequotas:GetServiceQuota"],
    }


@pytest.mark.parametrize(
    ("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("*", "aws")]
)
def test_a_policy_is_for_the_part_of_aws_that_the_region_is_in(region: str, partition: str) -> None:
    text = json.dumps(policy(Holder.CLIENT, Scope(bucket="b", region=region)))
    assert f"arn:{partition}:s3:::b" in text
    assert all(part.startswith(f"{partition}:") for part in text.split("arn:")[1:])


def test_the_page_shows_the_tables_as_they_are() -> None:
    page = PAGE.read_text()
    assert page == with_tables(page), "make docs writes it anew"


MINE, YOURS = SESSION, "081215_1646--eventgen--1817"
ZONE = "arn:aws:ec2:eu-west-1:123456789012"
OWN = f"{ZONE}:instance/i-1"
ITSELF = {"ec2:SourceInstanceARN": OWN, "ec2:InstanceID": "i-1"}
OWNED = {"aws:ResourceTag/awsac:session": "{}", "aws:ResourceTag/awsac:instance": OWN}
ASKED = {"aws:RequestTag/awsac:session": "{}", "aws:RequestTag/awsac:instance": OWN}
# Who, what, on which resource of a session, and with which conditions; "{}" is the session's ID.
NEEDS: list[tuple[Holder, str, str, dict[str, str]]] = [
    (Holder.AGENT, "s3:PutObject", "arn:aws:s3:::atlassessions/{}/results_job_1.tar.bz2", {}),
    (Holder.AGENT, "s3:GetObject", "arn:aws:s3:::atlassessions/awsac/{}/control.json", {}),
    (Holder.AGENT, "s3:ListBucket", "arn:aws:s3:::atlassessions", {"s3:prefix": "awsac/{}/data/"}),
    (Holder.AGENT, "sdb:BatchPutAttributes", "arn:aws:sdb:eu-west-1:123456789012:domain/{}", {}),
    (Holder.AGENT, "sdb:PutAttributes", "arn:aws:sdb:eu-west-1:123456789012:domain/{}", {}),
    (Holder.AGENT, "ec2:TerminateInstances", OWN, {"aws:ResourceTag/awsac:session": "{}", **ITSELF}),
    (Holder.AGENT, "ec2:AttachVolume", f"{ZONE}:volume/vol-1", {**OWNED, **ITSELF}),
    (Holder.AGENT, "ec2:CreateVolume", f"{ZONE}:volume/*", {**ASKED, **ITSELF}),
    (Holder.CLIENT, "s3:DeleteObject", "arn:aws:s3:::atlassessions/awsac/{}/session.cfg", {}),
    (Holder.CLIENT, "s3:ListBucket", "arn:aws:s3:::atlassessions", {"s3:prefix": "{}/"}),
    (Holder.CLIENT, "sdb:DeleteDomain", "arn:aws:sdb:eu-west-1:123456789012:domain/{}", {}),
    (Holder.CLIENT, "ec2:RunInstances", f"{ZONE}:instance/*", {"aws:RequestTag/awsac:session": "{}"}),
    (Holder.CLIENT, "ec2:GetConsoleOutput", f"{ZONE}:instance/i-1", {"aws:ResourceTag/awsac:session": "{}"}),
]


@pytest.mark.parametrize(("holder", "action", "resource", "context"), NEEDS)
def test_a_policy_for_one_session_allows_nothing_of_another_one_nor_of_what_is_no_session(
    holder: Holder, action: str, resource: str, context: dict[str, str]
) -> None:
    def allowed(scope: Scope, session: str) -> bool:
        values = {name: (value.format(session),) for name, value in context.items()}
        need = Need(action=action, resource=resource.format(session), context=values)
        return decide([compact(policy(holder, scope))], need).allowed

    every = Scope(bucket="atlassessions")
    assert (allowed(ONE, MINE), allowed(ONE, YOURS), allowed(ONE, "mine")) == (True, False, False)
    assert (allowed(every, MINE), allowed(every, YOURS), allowed(every, "mine")) == (True, True, False)


@pytest.mark.parametrize(("holder", "action", "resource", "context"), [each for each in NEEDS if each[3]])
def test_what_carries_no_tag_of_a_session_is_out_of_reach(
    holder: Holder, action: str, resource: str, context: dict[str, str]
) -> None:
    need = Need(action=action, resource=resource)
    whole_bucket = action == "s3:ListBucket"  # without a prefix, as S3 asks before it says 404
    assert decide([compact(policy(holder, ONE))], need).allowed is whole_bucket
