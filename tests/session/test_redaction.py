"""Credentials do not leave in any text, however they are quoted; what is no credential stays as it is."""

import json
import traceback
from urllib.parse import quote, quote_plus, urlencode

import pytest

from awsac_async.session.redaction import Redactor

KEY_ID = "ASIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY="
TOKEN = "IQoJb3JpZ2luX2VjEPT//////////wEaCXVzLWVhc3QtMSJHMEUCIQD+example/token=="
KNOWN = (KEY_ID, SECRET, TOKEN)


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    redactor.know(*KNOWN)
    return redactor


def raised_with(value: str) -> str:
    try:
        raise RuntimeError(f"the service said {value}") from ValueError(value)
    except RuntimeError:
        return traceback.format_exc()


@pytest.mark.parametrize("value", KNOWN)
@pytest.mark.parametrize(
    "text_of",
    [
        str,
        lambda value: f"before{value}after",
        lambda value: quote(value, safe=""),
        lambda value: quote(value, safe="").replace("%2F", "%2f").replace("%3D", "%3d").replace("%2B", "%2b"),
        quote,
        quote_plus,
        lambda value: urlencode({"some": value}),
        lambda value: json.dumps({"some": [value]}),
        lambda value: json.dumps(value).replace("/", r"\/"),
        lambda value: json.dumps(json.dumps({"some": value})),
        repr,
        raised_with,
    ],
)
def test_a_known_value_is_replaced_however_it_is_quoted(redactor, value, text_of):
    text = text_of(value)
    cleaned = redactor.redact(text)
    assert "[redacted]" in cleaned
    assert not any(form in cleaned for form in (value, quote(value), quote(value, safe=""), quote_plus(value)))


def test_a_value_that_was_rotated_away_stays_secret(redactor):
    redactor.know("another-secret-access-key-of-the-role")
    assert redactor.redact(f"{SECRET} another-secret-access-key-of-the-role") == "[redacted] [redacted]"


HIDDEN = "aB3/x+9" * 6


@pytest.mark.parametrize(
    "text",
    [
        f"aws_secret_access_key={HIDDEN}",
        f"aws_secret_access_key = {HIDDEN}",
        f"AWS_SESSION_TOKEN='{HIDDEN}'",
        f'{{"Code": "Success", "SecretAccessKey": "{HIDDEN}", "Token" : "{HIDDEN}"}}',
        json.dumps(json.dumps({"SecretAccessKey": HIDDEN, "Token": HIDDEN})),
        f"{{'secret_key': '{HIDDEN}', 'token': '{HIDDEN}'}}",
        f"ReadOnlyCredentials(access_key='x', secret_key='{HIDDEN}', token='x')",
        f"<SecretAccessKey>{HIDDEN}</SecretAccessKey><SessionToken>{HIDDEN}</SessionToken>",
        f"Authorization: AWS4-HMAC-SHA256 Credential=x/20261122/us-east-1/s3/aws4_request, Signature={HIDDEN}",
        f"{{'Authorization': b'AWS4-HMAC-SHA256 Credential={HIDDEN}', 'x-amz-date': '1'}}",
        f"X-Amz-Security-Token: {HIDDEN}",
        f"https://b.s3.amazonaws.com/k?X-Amz-Credential={HIDDEN}&X-Amz-Signature={HIDDEN}",
        f"X-Amz-Security-Token%3D{HIDDEN}",
        f"https://sdb.amazonaws.com/?AWSAccessKeyId={HIDDEN}&Signature={HIDDEN}&SecurityToken={HIDDEN}",
        f"X-aws-ec2-metadata-token: {HIDDEN}",
        f"headers={{'X-aws-ec2-metadata-token': '{HIDDEN}'}}",
    ],
)
def test_what_looks_like_a_credential_is_replaced_though_nobody_knows_it(text):
    assert HIDDEN not in Redactor().redact(text)


def test_an_access_key_id_is_known_by_its_looks():
    said = "The AWS Access Key Id AKIAIOSFODNN7EXAMPLE does not exist, nor does ASIAIOSFODNN7EXAMPLE."
    assert Redactor().redact(said) == "The AWS Access Key Id [redacted] does not exist, nor does [redacted]."


@pytest.mark.parametrize(
    "text",
    [
        "attach volume=vol-0123456789abcdef0 instance=i-0123456789abcdef0: done in 2.125 s",
        "PutObject s3://bucket/261122_1500--test--1a2b/results_job_1.tar.bz2 failed: Access Denied (AccessDenied)",
        "X-aws-ec2-metadata-token-ttl-seconds: 21600",
        "the client token of the session, 261122_1500--test--1a2b, is in its file",
        "no AWS credentials were found: choose a profile (AWS_PROFILE), set AWS_ACCESS_KEY_ID and so on",
        "the request signature we calculated does not match the signature you provided",
    ],
)
def test_other_texts_stay_as_they_are(redactor, text):
    redactor.know("test", "", None)  # what a local endpoint takes for credentials
    assert redactor.redact(text) == text
