"""`awsac policy`: a document that another program can read, and nothing else on standard output."""

import json

import pytest

from awsac_async.session.policies import Holder, Scope, policy
from tests.cli.conftest import Awsac

SESSION = "081215_1646--eventgen--1816"


@pytest.mark.parametrize("holder", Holder)
def test_the_document_alone_is_on_standard_output_limited_as_the_options_say(awsac: Awsac, holder: Holder) -> None:
    options = ("--bucket", "atlassessions", "--session", SESSION, "--role", "cms", "--account", "123456789012")
    options += ("--release", "s3://software/atlas/*", "--release", "s3://software/r.tar.zst")
    done = awsac("policy", holder, *options, "--region", "cn-north-1")

    limits = {"bucket": "atlassessions", "session_id": SESSION, "role": "cms", "account": "123456789012"}
    scope = Scope(**limits, region="cn-north-1", releases=("software/atlas/*", "software/r.tar.zst"))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == policy(holder, scope)


def test_without_a_bucket_it_is_said_that_the_policy_is_for_any(awsac: Awsac) -> None:
    done = awsac("policy", "agent")

    assert done.stderr == "awsac: the policy is for sessions in any bucket: --bucket limits it to one\n"
    assert json.loads(done.stdout) == policy(Holder.AGENT, Scope())


def test_it_asks_no_cloud_and_needs_no_credentials(awsac: Awsac) -> None:
    nothing = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "", "AWS_DEFAULT_REGION": ""}
    assert awsac("policy", "client", "--bucket", "atlassessions", **nothing).returncode == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--bucket", "*"), "--bucket: found '*', expected the name of an S3 bucket"),
        (("--session", "*"), "--session: found '*', expected a session ID like 081215_1646--eventgen--1816"),
        (("--account", "mine"), "--account: found 'mine', expected the 12 digits of an account"),
        (("--release", "s3://*/r.tar.zst"), "--release: found 's3://*/r.tar.zst', expected an address like s3://"),
        (("--role", "a b"), "--role: found 'a b', expected the name of a role"),
    ],
)
def test_what_would_widen_a_policy_or_spoil_it_is_refused_in_one_sentence(
    awsac: Awsac, options: tuple[str, ...], says: str
) -> None:
    done = awsac("policy", "agent", *options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr
