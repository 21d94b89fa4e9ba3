"""How each service words a refusal: its body, and the codes that it uses for what every service does.

The codes are those of the services' own lists of errors:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
https://docs.aws.amazon.com/AmazonSimpleDB/latest/DeveloperGuide/APIError.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

from dataclasses import dataclass
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from awsac_async.local import jsonapi
from awsac_async.local.faults.calls import Call
from awsac_async.local.faults.operations import JSON_SERVICES, METADATA
from awsac_async.local.faults.plan import Fault

_REQUEST_ID = "<RequestId>embedded</RequestId>"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What a service answers instead of what was asked for."""

    code: str
    status: int
    message: str
    region: str = ""  # where S3 says that a bucket is instead


THROTTLED = {
    "s3": Refusal(code="SlowDown", status=503, message="Please reduce your request rate."),
    "ec2": Refusal(code="RequestLimitExceeded", status=503, message="Request limit exceeded."),
    "sdb": Refusal(
        code="ServiceUnavailable",
        status=503,
        message="Service AmazonSimpleDB is currently unavailable. Please try again later",
    ),
    "iam": Refusal(code="Throttling", status=400, message="Rate exceeded"),
    "sts": Refusal(code="Throttling", status=400, message="Rate exceeded"),
    "pricing": Refusal(code="ThrottlingException", status=400, message="Rate exceeded"),
    "servicequotas": Refusal(code="TooManyRequestsException", status=429, message="Rate exceeded"),
    METADATA: Refusal(code="", status=503, message="The request could not be completed. Retry the request."),
}
_TOKEN_EXPIRED = "The security token included in the request is expired"  # noqa: S105 (a sentence)
EXPIRED = {
    "s3": Refusal(code="ExpiredToken", status=400, message="The provided token has expired."),
    "ec2": Refusal(code="RequestExpired", status=400, message="Request has expired."),
    "sdb": Refusal(code="ExpiredToken", status=403, message=_TOKEN_EXPIRED),
    "iam": Refusal(code="ExpiredToken", status=403, message=_TOKEN_EXPIRED),
    "sts": Refusal(code="ExpiredToken", status=403, message=_TOKEN_EXPIRED),
    "pricing": Refusal(code="ExpiredTokenException", status=400, message=_TOKEN_EXPIRED),
    "servicequotas": Refusal(code="ExpiredTokenException", status=400, message=_TOKEN_EXPIRED),
}
_INTERNAL = "We encountered an internal error. Please try again."
INTERNAL = {
    "s3": Refusal(code="InternalError", status=500, message=_INTERNAL),
    "ec2": Refusal(code="InternalError", status=500, message=_INTERNAL),
    "sdb": Refusal(code="InternalError", status=500, message=_INTERNAL),
    "iam": Refusal(code="ServiceFailure", status=500, message=_INTERNAL),
    "sts": Refusal(code="InternalFailure", status=500, message=_INTERNAL),
    "pricing": Refusal(code="InternalErrorException", status=500, message=_INTERNAL),
    "servicequotas": Refusal(code="ServiceException", status=500, message=_INTERNAL),
}
_NOT_FOUND = {
    "i": ("InvalidInstanceID.NotFound", "The instance ID '{}' does not exist"),
    "vol": ("InvalidVolume.NotFound", "The volume '{}' does not exist."),
    "snap": ("InvalidSnapshot.NotFound", "The snapshot '{}' does not exist."),
}


def refusal_of(fault: Fault) -> Refusal:
    """Return the refusal that the file words."""
    return Refusal(code=fault.code, status=fault.status or 400, message=fault.message or "The cloud's file says so.")


def not_found(resource_id: str) -> Refusal:
    """Return what EC2 says of an ID that it does not know."""
    code, message = _NOT_FOUND[resource_id.partition("-")[0]]
    return Refusal(code=code, status=400, message=message.format(resource_id))


def worded(refusal: Refusal, call: Call) -> Response:
    """Return the answer in the form of the call's service."""
    if call.service == METADATA:
        return Response(refusal.message, status=refusal.status)
    if call.service in JSON_SERVICES:
        return jsonapi.refusal(refusal.code, refusal.message, status=refusal.status)
    body = "" if call.method == "HEAD" else f'<?xml version="1.0" encoding="UTF-8"?>\n{_body(refusal, call)}'
    where = {"x-amz-bucket-region": refusal.region} if refusal.region else {}
    return Response(body, status=refusal.status, content_type="application/xml", headers=where)


def _body(refusal: Refusal, call: Call) -> str:
    inner = f"<Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>"
    match call.service:
        case "s3":
            region = f"<Region>{escape(refusal.region)}</Region>" if refusal.region else ""
            return f"<Error>{inner}{region}<Resource>/{escape(call.names[0])}</Resource>{_REQUEST_ID}</Error>"
        case "iam" | "sts":
            return f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error>{_REQUEST_ID}</ErrorResponse>"
    usage = "<BoxUsage>0.0000219907</BoxUsage>" if call.service == "sdb" else ""
    errors = f"<Errors><Error>{inner}{usage}</Error></Errors>"
    return f"<Response>{errors}<RequestID>embedded</RequestID></Response>"
