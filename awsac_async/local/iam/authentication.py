"""Stands before the services, as a WSGI application, and lets no request in that nobody has signed.

Whether policies are enforced or not: every request carries a signature, made just now with a secret of this cloud, of
all that it asks. What is behind this can believe a request, and finds who asks in it.
"""

import hashlib
import hmac
import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from moto.s3.models import s3_backends

from awsac_async.local.facts import PARTITION
from awsac_async.local.faults.acts import Application
from awsac_async.local.faults.answers import worded
from awsac_async.local.faults.calls import LONGEST_BODY, Call, is_s3, read_call
from awsac_async.local.faults.operations import AWS_SERVICES
from awsac_async.local.iam import bodies, refusals
from awsac_async.local.iam.principals import Principal, Principals
from awsac_async.local.iam.signatures import Problem, Signature, SignatureError, Version4, read_signature
from awsac_async.local.settings import ACCOUNT, REGION

PRINCIPAL = "local.principal"  # where a request's environment has who asks
_STREAMED = {"PutObject", "UploadPart"}  # of S3; the bodies of all others are small


class _WrongRegionError(SignatureError):
    """A request to S3 for a bucket that is in another region."""

    def __init__(self, message: str, region: str) -> None:
        super().__init__(Problem.MALFORMED, message)
        self.region = region


def authenticated(
    services: Application, principals: Principals, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Application:
    """Return the services with this before them."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            if not is_s3(environ):
                _buffer(environ)
            call = read_call(environ)
        except bodies.BodyError as error:
            call, refusal = read_call({**environ, "CONTENT_TYPE": ""}), error.refusal
            return worded(refusal, call)(environ, start_response)
        try:
            environ[PRINCIPAL] = _principal(environ, call, principals, now())
            return services(environ, start_response)
        except _WrongRegionError as error:
            refusal = replace(refusals.not_signed("s3", error.problem, str(error)), region=error.region)
        except SignatureError as error:
            refusal = refusals.not_signed(call.service, error.problem, str(error))
        except bodies.BodyError as error:
            refusal = error.refusal
        return worded(refusal, call)(environ, start_response)

    return application


def _principal(environ: dict[str, Any], call: Call, principals: Principals, now: datetime) -> Principal:
    """Return who asks.

    Raises:
        SignatureError: nobody can tell.
        BodyError: the body is not the one that was signed.
    """
    streamed = call.service == "s3" and call.operation in _STREAMED
    if not streamed:
        _buffer(environ)
    body = b"" if streamed else environ["wsgi.input"].getvalue()
    signature = read_signature(environ, body if _is_form(environ) else b"")
    _check_scope(signature, call)
    signature.check_time(now)
    found = principals.find(signature.access_key)
    if found is None or not hmac.compare_digest(found.token.encode(), signature.token.encode()):
        raise SignatureError(Problem.UNKNOWN_KEY)
    if found.end is not None and found.end <= now:
        raise SignatureError(Problem.EXPIRED)
    digest = signature.digest if call.service == "s3" else hashlib.sha256(body).hexdigest()
    if not digest:
        raise bodies.BodyError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    if not signature.matches(environ, digest, found.secret):
        raise SignatureError(Problem.WRONG)
    if call.service == "s3":
        bodies.check(environ, signature=signature if isinstance(signature, Version4) else None, secret=found.secret)
        if not streamed:
            _buffer(environ)
    return found


def _is_form(environ: dict[str, Any]) -> bool:
    return str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded")


def _buffer(environ: dict[str, Any]) -> None:
    """Read the body, whatever way it comes, unless it is too long for one that is no object."""
    length = bodies.content_length(environ)
    stream = environ["wsgi.input"]
    if isinstance(stream, io.BytesIO):
        return
    if length is not None and length > LONGEST_BODY:
        raise bodies.BodyError("RequestEntityTooLarge", "The request is too large.", status=413)
    body = b"".join(bodies.plain(stream, LONGEST_BODY + 1 if length is None else length, exact=length is not None))
    if len(body) > LONGEST_BODY:
        raise bodies.BodyError("RequestEntityTooLarge", "The request is too large.", status=413)
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
    environ["wsgi.input_terminated"] = False
    environ.pop("HTTP_TRANSFER_ENCODING", None)


def _check_scope(signature: Signature, call: Call) -> None:
    """Refuse what is signed for something else than it asks."""
    if signature.service != call.service or signature.access_key != call.access_key:
        raise SignatureError(Problem.MALFORMED, f"This signature is not for {call.service}.")
    if call.service not in AWS_SERVICES:
        raise SignatureError(Problem.NO_SERVICE, f"This cloud has no service {call.service}.")
    regions = _regions(call)
    if isinstance(signature, Version4) and signature.scope[1] not in regions:
        message = f"the region '{signature.scope[1]}' is wrong; expecting '{regions[-1]}'"
        raise (
            _WrongRegionError(message, regions[-1]) if call.service == "s3" else SignatureError(Problem.WRONG, message)
        )


def _regions(call: Call) -> list[str]:
    """Return the regions that are served: this cloud's, and, of S3, that of the bucket, which may have another."""
    buckets = s3_backends[ACCOUNT][PARTITION].buckets
    bucket = buckets.get(call.names[0].partition("/")[0]) if call.service == "s3" else None
    return [REGION, bucket.region_name] if bucket else [REGION]
