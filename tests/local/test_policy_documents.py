"""What policy documents say of a right, as AWS evaluates them."""

import json
from typing import Any

import pytest

from awsac_async.local.iam.documents import Decision, Need, decide

BUCKET = "arn:aws:s3:::b"
ALLOWED, NOT_ALLOWED, DENIED = Decision.ALLOWED, Decision.NOT_ALLOWED, Decision.DENIED


def said(
    *statements: dict[str, Any], action: str = "s3:GetObject", resource: str = f"{BUCKET}/k", **context: str
) -> Decision:
    values = {name.replace("__", ":"): (value,) for name, value in context.items()}
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return decide([document], Need(action="s3:GetObject", resource=f"{BUCKET}/k", context=values)).decision


def statement(
    effect: str = "Allow", action: Any = "s3:GetObject", resource: Any = f"{BUCKET}/*", **more: Any
) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statements", "decision"),
    [
        ([], NOT_ALLOWED),
        ([statement()], ALLOWED),
        ([statement(action="S3:getobject")], ALLOWED),
        ([statement(action=["s3:Put*", "s3:Get*"])], ALLOWED),
        ([statement(action="s3:PutObject")], NOT_ALLOWED),
        ([statement(resource="arn:aws:s3:::b")], NOT_ALLOWED),
        ([statement(resource="arn:aws:s3:::?/k")], ALLOWED),
        ([statement(resource="arn:aws:s3:::[b]/k")], NOT_ALLOWED),
        ([statement(resource="arn:aws:s3:::B/k")], NOT_ALLOWED),
        ([statement(), statement("Deny", action="s3:*", resource="*")], DENIED),
        ([statement("Deny", resource="arn:aws:s3:::other/*"), statement()], ALLOWED),
        ([{"Effect": "Allow", "NotAction": "s3:PutObject", "Resource": "*"}], ALLOWED),
        ([{"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}], NOT_ALLOWED),
        ([{"Effect": "Allow", "Action": "*", "NotResource": f"{BUCKET}/*"}], NOT_ALLOWED),
    ],
)
def test_what_is_not_allowed_is_refused_and_a_deny_counts_more(statements: Any, decision: Decision) -> None:
    assert said(*statements) is decision


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ({"StringEquals": {"k": "a"}}, "a", True),
        ({"StringEquals": {"k": ["b", "a"]}}, "a", True),
        ({"StringEquals": {"k": "a*"}}, "a*b", False),
        ({"StringEquals": {"K": "a"}}, "a", True),
        ({"StringEquals": {"k": "a"}}, None, False),
        ({"StringEqualsIfExists": {"k": "a"}}, None, True),
        ({"StringEqualsIfExists": {"k": "a"}}, "b", False),
        ({"StringEqualsIgnoreCase": {"k": "A"}}, "a", True),
        ({"StringLike": {"k": "a*"}}, "ab", True),
        ({"StringLike": {"k": "a?"}}, "a", False),
        ({"StringNotEquals": {"k": ["a", "b"]}}, "a", False),
        ({"StringNotEquals": {"k": "a"}}, None, True),
        ({"StringNotLike": {"k": "a*"}}, "b", True),
        ({"ArnLike": {"k": "arn:aws:iam::*:role/r"}}, "arn:aws:iam::1:role/r", True),
        ({"Bool": {"k": "false"}}, "false", True),
        ({"Bool": {"k": True}}, "false", False),
        ({"Null": {"k": "true"}}, None, True),
        ({"Null": {"k": "true"}}, "a", False),
        ({"NumericLessThanEquals": {"k": "10"}}, "9", True),
        ({"ForAllValues:StringEquals": {"k": "a"}}, None, True),
        ({"ForAnyValue:StringEquals": {"k": "a"}}, None, False),
        ({"StringEquals": {"k": "a", "other": "b"}}, "a", False),
        ({"StringEquals": {"k": "a"}, "StringLike": {"k": "b*"}}, "a", False),
        ({"StringEquals": {"k": "${aws:username}"}}, "user", True),
    ],
)
def test_an_allow_counts_if_all_of_its_conditions_hold(condition: Any, value: str | None, holds: bool) -> None:
    given = {"k": value} if value is not None else {}
    decision = said(statement(Condition=condition), **given, aws__username="user")
    assert decision is (ALLOWED if holds else NOT_ALLOWED)


def test_a_condition_that_cannot_be_evaluated_never_allows_and_always_denies() -> None:
    dates = {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}
    assert said(statement(Condition=dates)) is NOT_ALLOWED
    assert said(statement(), statement("Deny", Condition=dates)) is DENIED
