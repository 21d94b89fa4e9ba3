"""How each service words that a call may not be made, or that nobody can tell who makes it."""

from awsac_async.local.faults.answers import Refusal
from awsac_async.local.iam.documents import Decision, Need

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


def unknown_key(service: str) -> Refusal:
    """Return what is said of an access key that is nobody's, or of a session token that is not its own."""
    match service:
        case "s3":
            message = "The AWS Access Key Id you provided does not exist in our records."
            return Refusal(code="InvalidAccessKeyId", status=403, message=message)
        case "ec2" | "sdb":
            message = "AWS was not able to validate the provided access credentials"
            return Refusal(code="AuthFailure", status=401 if service == "ec2" else 403, message=message)
        case "pricing" | "servicequotas":
            return Refusal(code="UnrecognizedClientException", status=400, message=_UNKNOWN_KEY)
    return Refusal(code="InvalidClientTokenId", status=403, message=_UNKNOWN_KEY)


def no_key(service: str) -> Refusal:
    """Return what is said of a request that nobody has signed."""
    if service == "s3":
        return Refusal(code="AccessDenied", status=403, message="Access Denied")
    message = "Request is missing Authentication Token"
    return Refusal(code="MissingAuthenticationToken", status=403, message=message)


def wrong_signature(service: str) -> Refusal:
    """Return what is said of a request whose signature is not that of its key."""
    if service == "ec2":
        return unknown_key(service)
    return Refusal(code="SignatureDoesNotMatch", status=403, message=_WRONG_SIGNATURE)
