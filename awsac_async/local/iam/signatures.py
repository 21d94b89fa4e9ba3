"""How a request is signed, and whether it is: versions 4 (all services), and 2 (SimpleDB, and old clients of S3).

Reads a request as WSGI gives it: names and values of headers are its bytes in Latin-1. Reads no body: of a request of
version 4 the digest of the body is what the caller has found it to be, or what a header of it says.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonSimpleDB/latest/DeveloperGuide/HMACAuth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Any
from urllib.parse import quote, unquote_to_bytes

SKEW = timedelta(minutes=15)
LONGEST_EXPIRY = 7 * 24 * 3600  # s: of an address that is signed with version 4
UNSIGNED = "UNSIGNED-PAYLOAD"

_ALGORITHM = "AWS4-HMAC-SHA256"
_V4 = re.compile(r"AWS4-HMAC-SHA256\s+(.*)", re.DOTALL)
_V2 = re.compile(r"AWS ([^:\s]+):(\S+)")
_DIGESTS = {"HmacSHA256": "sha256", "HmacSHA1": "sha1"}
_PRESIGNED = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")

Pairs = Sequence[tuple[bytes, bytes]]


class Problem(Enum):
    """What is wrong with how a request is signed; each service has words of its own for it."""

    UNSIGNED = auto()
    MALFORMED = auto()
    UNKNOWN_KEY = auto()
    WRONG = auto()
    NOT_COVERED = auto()  # headers that mean something are not signed
    NO_SERVICE = auto()  # it is for a service that is not here
    SKEWED = auto()  # signed at another time than now
    OVER = auto()  # an address that was good until before now
    EXPIRED = auto()  # temporary credentials that were good until before now


class SignatureError(Exception):
    """A request that is not signed as it must be."""

    def __init__(self, problem: Problem, message: str = "") -> None:
        super().__init__(message)
        self.problem = problem


@dataclass(frozen=True, kw_only=True)
class Version4:
    """What a request says of its signature. ``pairs`` is the query without the signature."""

    access_key: str
    token: str
    signature: str
    scope: tuple[str, ...]  # date, region, service, "aws4_request"
    names: tuple[str, ...]  # of the headers that it covers
    date: str
    expires: int | None  # seconds from the date; None: it is not an address
    digest: str  # of the body, as the request says; "": it says nothing
    pairs: Pairs

    @property
    def service(self) -> str:
        """Which service is asked."""
        return self.scope[2]

    @property
    def time(self) -> datetime:
        """When it was signed."""
        return datetime.strptime(f"{self.date}+0000", "%Y%m%dT%H%M%SZ%z")

    def check_time(self, now: datetime) -> None:
        """Raise SignatureError if it is not good now."""
        if self.expires is None:
            _check_skew(self.time, now)
        elif self.time - SKEW > now:
            raise SignatureError(Problem.OVER, "Request is not yet valid")
        elif self.time + timedelta(seconds=self.expires) < now:
            raise SignatureError(Problem.OVER, "Request has expired")

    def matches(self, environ: Mapping[str, Any], digest: str, secret: str) -> bool:
        """Say whether the signature is that of the request and a body with this digest."""
        key = self.key(secret)
        return any(
            hmac.compare_digest(self._made(key, _canonical(environ, self, path, digest)), self.signature.encode())
            for path in _paths(environ, self.service)
        )

    def key(self, secret: str) -> bytes:
        """Return the key that all is signed with."""
        key = f"AWS4{secret}".encode()
        for part in self.scope:
            key = hmac.digest(key, part.encode("latin-1"), "sha256")
        return key

    def _made(self, key: bytes, request: bytes) -> bytes:
        parts = [_ALGORITHM, self.date, "/".join(self.scope), hashlib.sha256(request).hexdigest()]
        return hmac.digest(key, "\n".join(parts).encode("latin-1"), "sha256").hex().encode()


@dataclass(frozen=True, kw_only=True)
class Version2:
    """A signature of version 2: in the parameters, or, only of S3, in a header or in the address."""

    access_key: str
    token: str
    signature: str
    texts: tuple[bytes, ...]  # one of which is signed
    algorithm: str
    service: str
    time: datetime | None = None  # when it was signed
    end: datetime | None = None  # until when it is good
    digest: str = UNSIGNED

    def check_time(self, now: datetime) -> None:
        """Raise SignatureError if it is not good now."""
        if self.time is not None:
            _check_skew(self.time, now)
        if self.end is not None and self.end < now:
            raise SignatureError(Problem.OVER, "Request has expired")

    def matches(self, environ: Mapping[str, Any], digest: str, secret: str) -> bool:  # noqa: ARG002  as version 4
        """Say whether the signature is right."""
        made = [base64.b64encode(hmac.digest(secret.encode(), text, self.algorithm)) for text in self.texts]
        return any(hmac.compare_digest(each, self.signature.encode()) for each in made)


Signature = Version4 | Version2


def read_signature(environ: Mapping[str, Any], form: bytes) -> Signature:
    """Return how a request is signed.

    Args:
        environ: the request.
        form: its body if that is a form, in which SimpleDB's clients sign.

    Raises:
        SignatureError: it is not signed, or not as it must be.
    """
    query = pairs_of(environ.get("QUERY_STRING", "").encode("latin-1"))
    header = str(environ.get("HTTP_AUTHORIZATION", ""))
    asked = _only(query)
    ways = [
        bool(header),
        any(f"X-Amz-{name}".encode() in asked for name in ("Algorithm", "Signature", "Credential")),
        b"Signature" in asked or b"Signature" in _only(pairs_of(form)),
    ]
    if sum(ways) > 1:
        raise SignatureError(Problem.MALFORMED, "Only one auth mechanism allowed")
    if found := _V4.fullmatch(header):
        return _in_header(environ, found[1], query)
    if found := _V2.fullmatch(header):
        return _old_s3_header(environ, found[1], found[2], query)
    if header:
        raise SignatureError(Problem.MALFORMED, "Unsupported Authorization Type")
    if ways[1]:
        return _in_address(environ, asked, query)
    if b"SignatureVersion" in (old := _only([*query, *pairs_of(form)])):
        return _in_parameters(environ, old, [*query, *pairs_of(form)])
    if ways[2]:
        return _old_s3_address(environ, asked, query)
    raise SignatureError(Problem.UNSIGNED)


def pairs_of(text: bytes) -> list[tuple[bytes, bytes]]:
    """Return names and values of a query, as bytes: not all are text."""
    parts = [part.partition(b"=") for part in text.replace(b"+", b" ").split(b"&") if part]
    return [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in parts]


def _only(pairs: Pairs) -> dict[bytes, bytes]:
    """Return the pairs by their names; what speaks of the signature must be there once."""
    found = dict(pairs)
    for name in found:
        known = name.startswith((b"X-Amz-", b"Signature", b"AWSAccessKeyId", b"SecurityToken", b"Expires"))
        if known and sum(name == other for other, _ in pairs) > 1:
            raise SignatureError(Problem.MALFORMED, f"{_text(name)} is given more than once")
    return found


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _check_skew(time: datetime, now: datetime) -> None:
    if abs(time - now) > SKEW:
        raise SignatureError(
            Problem.SKEWED, "The difference between the request time and the current time is too large."
        )


# --- version 4 ---


def _in_header(environ: Mapping[str, Any], text: str, query: Pairs) -> Version4:
    fields = [part.strip().partition("=") for part in text.split(",")]
    given = {name: value for name, _, value in fields}
    if len(fields) != 3:
        raise SignatureError(
            Problem.MALFORMED, "Authorization header must have a Credential, SignedHeaders and Signature."
        )
    for name in ("Credential", "Signature", "SignedHeaders"):
        if not given.get(name):
            raise SignatureError(Problem.MALFORMED, f"Authorization header requires '{name}' parameter.")
    return _version_4(
        environ,
        credential=given["Credential"],
        names=given["SignedHeaders"],
        signature=given["Signature"],
        token=_header(environ, "x-amz-security-token"),
        date=_date(environ),
        expires=None,
        digest=_header(environ, "x-amz-content-sha256"),
        pairs=query,
    )


def _date(environ: Mapping[str, Any]) -> str:
    """Return when a request says that it was signed, as version 4 writes it."""
    if date := _header(environ, "x-amz-date"):
        return date
    try:
        return parsedate_to_datetime(_header(environ, "date")).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (TypeError, ValueError, OverflowError):
        message = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        raise SignatureError(Problem.MALFORMED, message) from None


def _in_address(environ: Mapping[str, Any], asked: Mapping[bytes, bytes], query: Pairs) -> Version4:
    given = {name: _text(asked.get(f"X-Amz-{name}".encode(), b"")) for name in _PRESIGNED}
    missing = [name for name, value in given.items() if not value and name != "Expires"]
    if missing or given["Algorithm"] != _ALGORITHM:
        message = f"Query-string authentication version 4 requires X-Amz-{(missing or ['Algorithm'])[0]}"
        raise SignatureError(Problem.MALFORMED, message)
    if given["Expires"] and not re.fullmatch(r"[0-9]{1,9}", given["Expires"]):
        raise SignatureError(Problem.MALFORMED, "X-Amz-Expires should be a number")
    expires = int(given["Expires"] or SKEW.total_seconds())
    if not 1 <= expires <= LONGEST_EXPIRY:
        raise SignatureError(Problem.MALFORMED, "X-Amz-Expires must be between 1 second and a week (in seconds)")
    return _version_4(
        environ,
        credential=given["Credential"],
        names=given["SignedHeaders"],
        signature=given["Signature"],
        token=_text(asked.get(b"X-Amz-Security-Token", b"")),
        date=given["Date"],
        expires=expires,
        digest=_header(environ, "x-amz-content-sha256") or UNSIGNED,
        pairs=[pair for pair in query if pair[0] != b"X-Amz-Signature"],
    )


def _version_4(environ: Mapping[str, Any], *, credential: str, names: str, **rest: Any) -> Version4:
    access_key, *scope = credential.split("/")
    if len(scope) != 4 or scope[3] != "aws4_request" or not all(scope) or not access_key:
        message = 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"'
        raise SignatureError(Problem.MALFORMED, message)
    found = Version4(access_key=access_key, scope=tuple(scope), names=tuple(names.lower().split(";")), **rest)
    try:
        signed_at = found.time
    except ValueError:
        raise SignatureError(Problem.MALFORMED, "Invalid date: it must be in ISO 8601 basic format.") from None
    if scope[0] != f"{signed_at:%Y%m%d}":
        message = f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: {found.date}"
        raise SignatureError(Problem.WRONG, message)
    _check_names(environ, found.names)
    return found


def _check_names(environ: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse a signature that leaves the host or a header of AWS's own out."""
    covered = {_variable(name) for name in names}
    if "HTTP_HOST" not in covered:
        raise SignatureError(Problem.MALFORMED, "'Host' must be a 'SignedHeader' in the AWS Authorization.")
    for variable in environ:
        if variable.startswith("HTTP_X_AMZ_") and variable not in covered:
            name = variable.removeprefix("HTTP_").replace("_", "-").lower()
            message = f"There were headers present in the request which were not signed: {name}"
            raise SignatureError(Problem.NOT_COVERED, message)


def _canonical(environ: Mapping[str, Any], said: Version4, path: str, digest: str) -> bytes:
    headers = "".join(f"{name}:{_header(environ, name)}\n" for name in said.names)
    pairs = "&".join(f"{name}={value}" for name, value in sorted((_quoted(n), _quoted(v)) for n, v in said.pairs))
    request = [environ["REQUEST_METHOD"], path, pairs, headers, ";".join(said.names), digest]
    return "\n".join(request).encode("latin-1")


def _quoted(value: bytes) -> str:
    return quote(value, safe="-_.~")


def _sent_path(environ: Mapping[str, Any]) -> str:
    return str(environ.get("REQUEST_URI") or environ["PATH_INFO"]).partition("?")[0]


def _paths(environ: Mapping[str, Any], service: str) -> list[str]:
    """Return how the path may be signed: S3's as it is sent, or quoted by the rule; others' once more quoted."""
    sent = _sent_path(environ)
    if service != "s3":
        return [quote(sent, safe="/-_.~", encoding="latin-1")]
    return list(dict.fromkeys([sent, quote(unquote_to_bytes(sent.encode("latin-1")), safe="/-_.~")]))


def _variable(name: str) -> str:
    variable = name.upper().replace("-", "_")
    return variable if variable in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{variable}"


def _header(environ: Mapping[str, Any], name: str) -> str:
    return _trimmed(environ.get(_variable(name), ""))


def _trimmed(value: object) -> str:
    """Return a header's value without the blanks that do not count: not all that Latin-1 takes for one is one."""
    return re.sub(r"[ \t]+", " ", str(value)).strip(" ")


# --- version 2 ---


def _in_parameters(environ: Mapping[str, Any], given: Mapping[bytes, bytes], pairs: Pairs) -> Version2:
    """Read the form of SimpleDB, by GET and by POST."""
    algorithm = _DIGESTS.get(_text(given.get(b"SignatureMethod", b"")))
    if algorithm is None or given.get(b"SignatureVersion") != b"2":
        raise SignatureError(Problem.MALFORMED, "The request signature must be of version 2, by HmacSHA256 or HmacSHA1")
    signed = sorted((name, value) for name, value in pairs if name != b"Signature")
    text = [
        environ["REQUEST_METHOD"],
        environ.get("HTTP_HOST", "").lower(),
        _sent_path(environ),
        "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in signed),
    ]
    times = [_iso_time(given[name]) if name in given else None for name in (b"Timestamp", b"Expires")]
    if times.count(None) != 1:
        raise SignatureError(Problem.MALFORMED, "The request must contain either Timestamp or Expires")
    return Version2(
        access_key=_text(given.get(b"AWSAccessKeyId", b"")),
        token=_text(given.get(b"SecurityToken", b"")),
        signature=_text(given.get(b"Signature", b"")),
        texts=("\n".join(text).encode("latin-1"),),
        algorithm=algorithm,
        service="sdb",
        time=times[0],
        end=times[1],
    )


def _iso_time(value: bytes) -> datetime:
    try:
        time = datetime.fromisoformat(_text(value))
    except ValueError:
        raise SignatureError(Problem.MALFORMED, "Invalid value for parameter Timestamp. Must be in ISO 8601") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


# What S3 answers by, beside the path: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
_SUBRESOURCES = re.compile(
    "accelerate|acl|analytics|cors|defaultObjectAcl|delete|encryption|inventory|lifecycle|location|logging|metrics|"
    "notification|object-lock|partNumber|policy|publicAccessBlock|replication|requestPayment|restore|retention|"
    "legal-hold|select|select-type|storageClass|tagging|torrent|uploadId|uploads|versionId|versioning|versions|website|"
    "response-(cache-control|content-(disposition|encoding|language|type)|expires)"
)


def _old_s3_header(environ: Mapping[str, Any], access_key: str, signature: str, query: Pairs) -> Version2:
    date = _header(environ, "date")
    amz_date = _header(environ, "x-amz-date")
    try:
        time = parsedate_to_datetime(amz_date or date)
    except (TypeError, ValueError, OverflowError):
        message = "AWS authentication requires a valid Date or x-amz-date header"
        raise SignatureError(Problem.MALFORMED, message) from None
    return Version2(
        access_key=access_key,
        token=_header(environ, "x-amz-security-token"),
        signature=signature,
        texts=_old_s3_texts(environ, "" if amz_date else str(environ.get("HTTP_DATE", "")), query, {}),
        algorithm="sha1",
        service="s3",
        time=time if time.tzinfo else time.replace(tzinfo=UTC),
    )


def _old_s3_address(environ: Mapping[str, Any], asked: Mapping[bytes, bytes], query: Pairs) -> Version2:
    expires = _text(asked.get(b"Expires", b""))
    if not re.fullmatch(r"[0-9]{1,11}", expires):
        raise SignatureError(Problem.MALFORMED, "Query-string authentication requires a valid Expires")
    further = {_text(name): _text(value) for name, value in query if name.startswith(b"x-amz-")}
    return Version2(
        access_key=_text(asked.get(b"AWSAccessKeyId", b"")),
        token=further.get("x-amz-security-token", _header(environ, "x-amz-security-token")),
        signature=_text(asked[b"Signature"]),
        texts=_old_s3_texts(environ, expires, query, further),
        algorithm="sha1",
        service="s3",
        end=datetime.fromtimestamp(int(expires), UTC),
    )


def _old_s3_texts(environ: Mapping[str, Any], date: str, query: Pairs, further: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return what version 2 of S3 signs: a bucket with and without a slash behind its name.

    ``further`` are headers that the address has instead.
    """
    amz = {
        variable.removeprefix("HTTP_").replace("_", "-").lower(): _trimmed(value)
        for variable, value in environ.items()
        if variable.startswith("HTTP_X_AMZ_")
    } | dict(further)
    headers = "".join(f"{name}:{value}\n" for name, value in sorted(amz.items()))
    named = sorted((_text(name), _text(value)) for name, value in query if _SUBRESOURCES.fullmatch(_text(name)))
    asked = "&".join(f"{name}={value}" if value else name for name, value in named)
    sent, behind = _sent_path(environ), f"?{asked}" if asked else ""
    content = [environ.get(name, "") for name in ("HTTP_CONTENT_MD5", "CONTENT_TYPE")]
    first = "\n".join([environ["REQUEST_METHOD"], *content, date, headers])
    return tuple(f"{first}{path}{behind}".encode("latin-1") for path in dict.fromkeys([sent, _as_bucket(sent)]))


def _as_bucket(path: str) -> str:
    return f"{path}/" if path.count("/") == 1 and path != "/" else path


def is_digest(text: str) -> bool:
    """Say whether this is a SHA-256 in hexadecimal digits."""
    try:
        return len(binascii.unhexlify(text)) == hashlib.sha256().digest_size
    except ValueError:
        return False
