"""What AWS, its SDK and the network call an error, and which of ours it is.

Owns the table of codes and nothing else: ``aws.translated`` applies it, and no other place of the house looks at a
foreign exception. A sentence made here names the cause in one line and never carries a secret.
"""

import json
import re
import traceback

from awsac_async.cloud.network import by_way_of, proxies_in_words
from awsac_async.session.errors import (
    AttachmentLimitError,
    AwsacError,
    CapacityError,
    CloudError,
    ConflictError,
    CredentialsError,
    DeniedError,
    DeviceNameInUseError,
    EndpointError,
    InputError,
    NotFoundError,
    ProxyError,
    ThrottledError,
    UnavailableError,
)
from awsac_async.session.redaction import secrets

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
# https://docs.aws.amazon.com/AmazonSimpleDB/latest/DeveloperGuide/APIError.html
_CODES: dict[type[CloudError], str] = {
    NotFoundError: """
        NotFound NoSuchBucket NoSuchKey NoSuchDomain NoSuchEntity NoSuchUpload InvalidInstanceType 404""",
    DeniedError: """
        AccessDenied AccessDeniedException AccountProblem AllAccessDisabled AuthorizationFailure Forbidden
        OptInRequired PendingVerification SignatureDoesNotMatch SubscriptionCheckFailed SubscriptionRequiredException
        UnauthorizedOperation UnauthorizedAccess 403""",
    CredentialsError: """
        AuthFailure ExpiredToken ExpiredTokenException IncompleteSignature InvalidAccessKeyId InvalidClientTokenId
        InvalidToken MissingAuthenticationToken RequestExpired RequestTimeTooSkewed TokenRefreshRequired
        UnrecognizedClientException 401""",
    ThrottledError: """
        BandwidthLimitExceeded EC2ThrottledException RequestLimitExceeded RequestThrottled ServiceUnavailable SlowDown
        Throttling ThrottlingException TooManyRequestsException 429 503""",
    AttachmentLimitError: """
        AttachmentLimitExceeded""",
    CapacityError: """
        InstanceLimitExceeded InsufficientAddressCapacity InsufficientCapacity
        InsufficientFreeAddressesInSubnet InsufficientHostCapacity InsufficientInstanceCapacity
        InsufficientReservedInstanceCapacity InsufficientVolumeCapacity MaxSpotInstanceCountExceeded
        NumberDomainsExceeded SnapshotLimitExceeded SpotMaxPriceTooLow TooManyBuckets VcpuLimitExceeded
        VolumeIOPSLimit VolumeLimitExceeded""",
    ConflictError: """
        BucketAlreadyExists BucketAlreadyOwnedByYou BucketNotEmpty ConditionalCheckFailed ConditionalRequestConflict
        DeleteConflict DependencyViolation EntityAlreadyExists IdempotentParameterMismatch IncorrectInstanceState
        IncorrectState OperationAborted PreconditionFailed VolumeInUse 409 412""",
    UnavailableError: """
        InternalError InternalFailure InternalServerError RequestTimeout ServerInternal Unavailable 500 502 504""",
    ProxyError: "407",
}
_KINDS = {code: kind for kind, codes in _CODES.items() for code in codes.split()}

EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})  # new credentials may help
# Why RunInstances may be answered otherwise in another subnet, and for another type only: a quota counts in all zones.
NO_ROOM_IN_ZONE_CODES = frozenset(
    {
        "InsufficientCapacity",
        "InsufficientFreeAddressesInSubnet",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientReservedInstanceCapacity",
        "SpotMaxPriceTooLow",
        "Unsupported",  # the zone does not have this type at all
    }
)
NO_ROOM_FOR_TYPE_CODES = frozenset({"InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "VcpuLimitExceeded"})
_PASSING_CONFLICTS = {"ConditionalRequestConflict", "OperationAborted"}  # two requests at once; try again

# Classes of botocore (by name, since importing botocore costs a third of a second) and of aiohttp.
_CLASSES: dict[str, type[CloudError]] = {
    "NoCredentialsError": CredentialsError,
    "PartialCredentialsError": CredentialsError,
    "CredentialRetrievalError": CredentialsError,
    "NoAuthTokenError": CredentialsError,
    "SSOError": CredentialsError,
    "TokenRetrievalError": CredentialsError,
    "MetadataRetrievalError": CredentialsError,
    "EndpointConnectionError": EndpointError,
    "ConnectTimeoutError": EndpointError,
    "ProxyConnectionError": ProxyError,
    "SSLError": EndpointError,
    "ReadTimeoutError": UnavailableError,
    "ConnectionClosedError": UnavailableError,
    "HTTPClientError": UnavailableError,
    "IncompleteReadError": UnavailableError,
    "ResponseParserError": UnavailableError,
    "ClientError": UnavailableError,  # aiohttp's; botocore's has a response and is read by its code
}
_WRONG_INPUT = {"ParamValidationError", "InvalidRegionError"}
NO_CREDENTIALS = "no AWS credentials were found in the environment, in a profile, or of an instance role"
_LIBRARIES = ("botocore", "aiobotocore", "aioboto3", "aiohttp", "obstore", "yarl", "urllib3", "s3transfer", "boto3")
_OURS = "awsac_async"
FINDING = ("find", "credentials")


def failure(error: Exception, *, operation: str, resource: str) -> AwsacError | None:
    """Return our error for a foreign one, or None if it comes from neither AWS, its SDKs, nor the network."""
    if isinstance(error, FileNotFoundError) and error.errno is None:
        return _of_transfer(error, operation, resource)  # obstore's 404; one of the operating system has an errno
    libraries = _libraries(error)
    if "obstore" in libraries:
        return _of_transfer(error, operation, resource)
    if libraries and isinstance(getattr(error, "response", None), dict):
        return _of_response(error.response, operation, resource)  # type: ignore[attr-defined]  # just looked
    if libraries:
        return _of_sdk(error, operation, resource)
    return _of_python(error, operation, resource) if _comes_out_of_a_library(error) else None


def _libraries(error: Exception) -> set[str]:
    return {library for cls in type(error).__mro__ if (library := cls.__module__.split(".")[0]) in _LIBRARIES}


def _comes_out_of_a_library(error: Exception) -> bool:
    """Whether a library raised it, called by us, rather than code of ours, perhaps called by a library."""
    last = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        last = package if package == _OURS or package in _LIBRARIES else last
    return not isinstance(error, AwsacError) and last in _LIBRARIES


def _of_python(error: Exception, operation: str, resource: str) -> AwsacError:
    """Return what an error of Python itself means that a library let pass: it was given what it cannot read."""
    if isinstance(error, OSError) and error.strerror:
        said = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        said = f"{type(error).__name__}: {error}"
    if (operation, resource) == FINDING:
        source = "what a profile, a credential_process or a cache in ~/.aws holds"
        what = f"{source} is not JSON" if isinstance(error, json.JSONDecodeError) else f"{source} cannot be used"
        return CredentialsError(operation, resource, f"{what} ({_sentence(said)})")
    if isinstance(error, ValueError | OSError):
        return _not_sent(operation, resource, said)
    return CloudError(operation, resource, _sentence(said))


def _not_sent(operation: str, resource: str, why: str) -> AwsacError:
    """Return the error for a request that could not be made of what the user gave."""
    if (operation, resource) == FINDING:
        return CredentialsError(operation, resource, _sentence(why))
    return InputError(f"{operation} {resource}".strip() + f" was not sent: {_sentence(why)}")


def _of_response(response: dict[str, dict[str, object]], operation: str, resource: str) -> CloudError:
    details = response.get("Error", {})
    code = str(details.get("Code", ""))
    metadata = response.get("ResponseMetadata", {})
    status, message = str(metadata.get("HTTPStatusCode", "")), str(details.get("Message") or "")
    if by_way_of() and not metadata.get("RequestId"):  # of which each answer of AWS has one
        message = f"{_sentence(message) or 'the answer was ' + status}{by_way_of()}"
    return by_code(code, status, message, operation=operation, resource=resource)


def by_code(code: str, status: str, message: str, *, operation: str, resource: str) -> CloudError:
    """Return the error for a service's code (if the code is not known: for the HTTP status) and message."""
    kind = _by_message(code, message) or _KINDS.get(code) or _by_pattern(code) or _KINDS.get(status, CloudError)
    cause = _sentence(message) or f"the service answered {code or status}"
    return kind(operation, resource, cause, code=code, temporary=True if code in _PASSING_CONFLICTS else None)


def _by_message(code: str, message: str) -> type[CloudError] | None:
    """Read what EC2 says in words only: its code for a device name that is taken is that of any wrong value."""
    if code == "InvalidParameterValue" and message.rstrip(".").endswith("is already in use"):
        return DeviceNameInUseError
    return None


def _by_pattern(code: str) -> type[CloudError] | None:
    """Read the families of EC2: InvalidVolume.NotFound, InvalidAMIID.Malformed, Client.… and Server.… prefixes."""
    if code.endswith((".NotFound", ".Malformed", ".Unavailable", ".Unknown")):
        return NotFoundError
    return _KINDS.get(code.rpartition(".")[2])


def _of_sdk(error: Exception, operation: str, resource: str) -> AwsacError:
    names = [cls.__name__ for cls in type(error).__mro__]
    if (wrong := _of_input(error, names, operation, resource)) is not None:
        return wrong
    kind = next((_CLASSES[name] for name in names if name in _CLASSES), CloudError)
    text = NO_CREDENTIALS if "NoCredentialsError" in names else _sentence(str(error)) or names[0]
    details = getattr(error, "kwargs", {})
    if kind is ProxyError:
        return _of_proxy(details.get("error"), operation, resource)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        text = _untrusted(_first(_ADDRESS, str(details.get("endpoint_url", ""))))
    elif issubclass(kind, EndpointError | UnavailableError):
        text += by_way_of()
    return kind(operation, resource, text, temporary=False if "SSLError" in names else None)


def _of_input(error: Exception, names: list[str], operation: str, resource: str) -> AwsacError | None:
    """Return the error for what the user's configuration says, or what a call was given; None: it is another one."""
    said, inner = _sentence(str(error)), getattr(error, "kwargs", {}).get("error")
    if "ProfileNotFound" in names:
        return InputError(f"{said}: choose another with --profile or AWS_PROFILE")
    if "ConfigParseError" in names:
        return InputError(said)
    if names[0] == "HTTPClientError" and isinstance(inner, ValueError | TypeError | LookupError):
        return _not_sent(operation, resource, str(inner))
    if _WRONG_INPUT.intersection(names):
        return _not_sent(operation, resource, said)
    if names[0].startswith("Invalid"):  # of a variable or a profile
        return InputError(f"the AWS configuration cannot be used: {said}")
    return None


def _of_proxy(error: object, operation: str, resource: str) -> ProxyError:
    """Return what a proxy answered, or that it did not, by the network's error; without its password."""
    status = getattr(error, "status", None)
    said = f"answered {status} {getattr(error, 'message', '')}".rstrip() if status else "cannot be reached"
    return ProxyError(operation, resource, f"{proxies_in_words()} {said}", temporary=not str(status).startswith("4"))


def _untrusted(address: str) -> str:
    return f"the certificate of {address} is not trusted{by_way_of()}; AWS_CA_BUNDLE names a file of those that are"


# What obstore puts into the text of its errors: it has no attributes.
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([\w.]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_ADDRESS = re.compile(r"(https?://[^/ ]+)")
_PROVIDER = re.compile(r"credential provider: \w+: (.+)")  # what went wrong in store._Credentials
_HTTP_KIND = re.compile(r"kind: (Connect|Timeout|Request|Body|Interrupted|Decode)\b")


_TUNNELS = {
    "ProxyAuthRequired": "answered 407 Proxy Authentication Required",
    "TunnelUnsuccessful": "does not lead there",
    "TunnelUnexpectedEof": "closed the connection",
    "ConnectFailed": "cannot be reached",
}
_TUNNEL = re.compile(rf"\b({'|'.join(_TUNNELS)})\b")


def _of_transfer(error: Exception, operation: str, resource: str) -> CloudError:
    text = secrets.redact(str(error))
    if status := _STATUS.search(text):
        code, message = (_first(pattern, text) for pattern in (_CODE, _MESSAGE))
        if not code and by_way_of():
            message = f"the answer was {status[1]}{by_way_of()}"
        return by_code(code, status[1], message, operation=operation, resource=resource)
    if "Unauthenticated" in type(error).__name__:
        return CredentialsError(operation, resource, _first(_PROVIDER, text) or NO_CREDENTIALS)
    if "redirect" in text:
        return CloudError(operation, resource, "the bucket is in another region than the one that was chosen")
    return _of_connection(text, operation, resource)


def _of_connection(text: str, operation: str, resource: str) -> CloudError:
    kind = _first(_HTTP_KIND, text)
    if refusal := _TUNNEL.search(text):
        cause = f"{proxies_in_words()} {_TUNNELS[refusal[1]]}"
        return ProxyError(operation, resource, cause, temporary=refusal[1] != "ProxyAuthRequired")
    if "InvalidCertificate(" in text:
        return EndpointError(operation, resource, _untrusted(_first(_ADDRESS, text)), temporary=False)
    if kind == "Connect":
        return EndpointError(operation, resource, f"could not connect to {_first(_ADDRESS, text)}{by_way_of()}")
    if kind:
        cause = f"the connection was closed or timed out before the end{by_way_of()}"
        return UnavailableError(operation, resource, cause)
    return CloudError(operation, resource, _sentence(text))


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""


def _sentence(message: str) -> str:
    """Keep the first line, as long as a person reads, without credentials and EC2's encoded authorization message."""
    line = secrets.redact(message).strip().partition("\n")[0].partition(" Encoded authorization failure message")[0]
    return line if len(line) <= 300 else line[:297] + "..."
