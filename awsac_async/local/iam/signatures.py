"""Whether a request is signed with the secret of its key: versions 4 (all services), and 2 (SimpleDB, old S3 clients).

Reads a request as WSGI gives it. Of a version 4 request the digest of the body is taken as its header says, which the
signature covers; S3 itself compares the two.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
https://docs.aws.amazon.com/AmazonSimpleDB/latest/DeveloperGuide/HMACAuth.html
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

from awsac_async.local.faults.calls import Call

_V4 = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)")
_DIGESTS = {"HmacSHA256": hashlib.sha256, "HmacSHA1": hashlib.sha1}


def is_signed(environ: Mapping[str, Any], call: Call, body: bytes, secret: str) -> bool:
    """Say whether the signature is right; of a form of signature that is not known here, which S3 has, it is.

    Args:
        environ: the request.
        call: what was read of it.
        body: its body if that is a form or JSON; S3 says its digest in a header.
        secret: that of the key which the request names.
    """
    if (found := _read(environ)) is not None:
        digest = found.digest or hashlib.sha256(body).hexdigest()
        return hmac.compare_digest(_version_4(environ, found, digest, secret), found.signature)
    if call.parameters.get("SignatureVersion") == "2":
        return _is_version_2(environ, call.parameters, secret)
    return True


@dataclass(frozen=True, kw_only=True)
class _Version4:
    """What a request says of its signature: ``names`` are those of the headers that it covers."""

    signature: str
    scope: str
    names: str
    date: str
    digest: str  # of the body; "" if it is not said
    query: list[tuple[str, str]]  # that is signed


def _read(environ: Mapping[str, Any]) -> _Version4 | None:
    """Return the signature of a request, in a header or in its address, if it is one of version 4."""
    query = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if found := _V4.match(environ.get("HTTP_AUTHORIZATION", "")):
        scope, names, signature = found.groups()
        date, digest = (environ.get(f"HTTP_X_AMZ_{name}", "") for name in ("DATE", "CONTENT_SHA256"))
        return _Version4(signature=signature, scope=scope, names=names, date=date, digest=digest, query=query)
    asked = dict(query)
    if "X-Amz-Signature" not in asked:
        return None
    scope, names, date = (asked.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders", "Date"))
    return _Version4(
        signature=asked["X-Amz-Signature"],
        scope=scope,
        names=names,
        date=date,
        digest="UNSIGNED-PAYLOAD",
        query=[(name, value) for name, value in query if name != "X-Amz-Signature"],
    )


def _version_4(environ: Mapping[str, Any], said: _Version4, digest: str, secret: str) -> str:
    _, *parts = said.scope.split("/")
    headers = "".join(f"{name}:{_header(environ, name)}\n" for name in said.names.split(";"))
    pairs = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in _sorted(said.query))
    path = _path(environ, parts[2] if len(parts) > 2 else "")
    request = "\n".join([environ["REQUEST_METHOD"], path, pairs, headers, said.names, digest])
    key = f"AWS4{secret}".encode()
    for part in parts:
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(["AWS4-HMAC-SHA256", said.date, "/".join(parts), hashlib.sha256(request.encode()).hexdigest()])
    return hmac.digest(key, text.encode(), "sha256").hex()


def _sorted(query: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(query, key=lambda pair: (_quoted(pair[0]), _quoted(pair[1])))


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


def _path(environ: Mapping[str, Any], service: str) -> str:
    """Return the path as it was sent; S3 signs it as it is, others once more quoted."""
    sent = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"]).partition("?")[0]
    return sent if service == "s3" else quote(sent, safe="/-_.~")


def _header(environ: Mapping[str, Any], name: str) -> str:
    variable = name.upper().replace("-", "_")
    value = environ.get(variable if variable in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{variable}", "")
    return " ".join(str(value).split())


def _is_version_2(environ: Mapping[str, Any], parameters: Mapping[str, str], secret: str) -> bool:
    digest = _DIGESTS.get(parameters.get("SignatureMethod", ""))
    if digest is None:
        return False
    given = sorted((name.encode(), value) for name, value in parameters.items() if name != "Signature")
    pairs = "&".join(f"{_quoted(name.decode())}={_quoted(value)}" for name, value in given)
    text = "\n".join([environ["REQUEST_METHOD"], environ.get("HTTP_HOST", "").lower(), environ["PATH_INFO"], pairs])
    made = base64.b64encode(hmac.new(secret.encode(), text.encode(), digest).digest()).decode()
    return hmac.compare_digest(made, parameters.get("Signature", ""))
