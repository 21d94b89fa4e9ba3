"""How each service words that a call may not be made, or that nobody can tell who makes it."""

from collections.abc import Callable, Mapping

from awsac_async.local.faults.answers import EXPIRED, Refusal
from awsac_async.local.faults.operations import JSON_SERVICES
from awsac_async.local.iam.documents import Decision, Need
from awsac_async.local.iam.signatures import Problem

_UNKNOWN_KEY = "The security token included in the request is invalid."
_WRONG_SIGNATURE = "The request signature we calculated does not match the signature you provided."


def not_allowed(service: str, arn: str, need: Need, decision: Decision) -> Refusal:
    """Return what is said of a right that somebody does not have."""
    why = str(decision.value).format(need.action)
    sentence = f"User: {arn} is not authorized to perform: {need.action} on resource: {need.resource} {why}"
    match service:
        case "ec2":
            message = f"You are not authorized to perform this operation. {sentence}"
            return Refusal(code="UnauthorizedOperation", status=403, message=message)
        case "sdb":
            message = f"User ({arn}) does not have permission to perform ({need.action}) on resource ({need.resource})"
            return Refusal(code="AuthorizationFailure", status=403, message=message)
        case "pricing" | "servicequotas":
            return Refusal(code="AccessDeniedException", status=400, message=sentence)
    return Refusal(code="AccessDenied", status=403, message=sentence)


def not_signed(service: str, problem: Problem, message: str) -> Refusal:
    """Return what is said of a request whose signature does not tell who asks; ``message`` says more, or nothing."""
    worded: Mapping[Problem, Callable[[], Refusal]] = {
        Problem.UNSIGNED: lambda: _no_key(service),
        Problem.UNKNOWN_KEY: lambda: _unknown_key(service),
        Problem.EXPIRED: lambda: EXPIRED[service],
        Problem.SKEWED: lambda: _other_time(service, message, s3="RequestTimeTooSkewed"),
        Problem.OVER: lambda: _other_time(service, message, s3="AccessDenied"),
        Problem.NO_SERVICE: lambda: Refusal(code="UnknownOperationException", status=400, message=message),
        Problem.MALFORMED: lambda: _malformed(service, message),
        Problem.NOT_COVERED: lambda: _not_covered(service, message),
        Problem.WRONG: lambda: _wrong_signature(service, message or _WRONG_SIGNATURE),
    }
    return worded[problem]()


def _unknown_key(service: str) -> Refusal:
    """An access key is nobody's, or a session token not its own."""
    match service:
        case "s3":
            message = "The AWS Access Key Id you provided does not exist in our records."
            return Refusal(code="InvalidAccessKeyId", status=403, message=message)
        case "ec2" | "sdb":
            message = "AWS was not able to validate the provided access credentials"
            return Refusal(code="AuthFailure", status=401 if service == "ec2" else 403, message=message)
    if service in JSON_SERVICES:
        return Refusal(code="UnrecognizedClientException", status=400, message=_UNKNOWN_KEY)
    return Refusal(code="InvalidClientTokenId", status=403, message=_UNKNOWN_KEY)


def _no_key(service: str) -> Refusal:
    """Nobody has signed it."""
    if service == "s3":
        return Refusal(code="AccessDenied", status=403, message="Access Denied")
    if service in JSON_SERVICES:
        return Refusal(code="MissingAuthenticationTokenException", status=400, message="Missing Authentication Token")
    message = "Request is missing Authentication Token"
    return Refusal(code="MissingAuthenticationToken", status=403, message=message)


def _wrong_signature(service: str, message: str) -> Refusal:
    """The signature is not that of its key."""
    if service == "ec2":
        return _unknown_key(service)
    if service in JSON_SERVICES:
        return Refusal(code="InvalidSignatureException", status=400, message=message)
    return Refusal(code="SignatureDoesNotMatch", status=403, message=message)


def _malformed(service: str, message: str) -> Refusal:
    match service:
        case "s3":
            return Refusal(code="AuthorizationHeaderMalformed", status=400, message=message)
        case "ec2" | "sdb":
            return Refusal(code="AuthFailure", status=401 if service == "ec2" else 403, message=message)
    if service in JSON_SERVICES:
        return Refusal(code="IncompleteSignatureException", status=400, message=message)
    return Refusal(code="IncompleteSignature", status=400, message=message)


def _not_covered(service: str, message: str) -> Refusal:
    """Headers that mean something are not signed."""
    if service == "s3":
        return Refusal(code="AccessDenied", status=403, message=message)
    return _wrong_signature(service, message)


def _other_time(service: str, message: str, *, s3: str) -> Refusal:
    match service:
        case "s3":
            return Refusal(code=s3, status=403, message=message)
        case "ec2" | "sdb":
            return Refusal(code="RequestExpired", status=400, message=message)
    return _wrong_signature(service, f"Signature expired: {message}")
