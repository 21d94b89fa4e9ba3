"""Stands before the services, as a WSGI application, and refuses what the services' own models do not allow.

moto takes much for granted: that a number is one, that what is required is there, that a document can be read. AWS says
of each what is wrong, and so does this, in the words of each service; what a request means is left to the back ends.
"""

import json
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from botocore.utils import parse_timestamp
from botocore.validate import ParamValidator
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.utils import get_service_model
from werkzeug.datastructures import MultiDict

from awsac_async.local import uploads
from awsac_async.local.faults.acts import Application
from awsac_async.local.faults.answers import Refusal, worded
from awsac_async.local.faults.calls import Call, read_call
from awsac_async.local.faults.operations import JSON_SERVICES, model_name

_QUERY_SERVICES = {"ec2": "ec2", "iam": "query", "sts": "query"}  # and by which protocol; SimpleDB checks by itself
_MOST_PARAMETERS = 20_000
_LONGEST_KEY = 1024  # bytes
_LARGEST_NUMBER = 2**31 - 1


class Invalid(Exception):  # noqa: N818  a service's answer, no fault
    """What a service answers to a request that its model does not allow."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.refusal = Refusal(code=code, status=status, message=message)


def validated(services: Application) -> Application:
    """Return the services with this before them."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        call = read_call(environ)
        try:
            if call.service == "s3":
                _check_s3(environ, call)
            elif call.service in JSON_SERVICES:
                _check_json(environ, call)
            else:
                _check_query(environ, call)
        except Invalid as error:
            return worded(error.refusal, call)(environ, start_response)
        return services(environ, start_response)

    return application


# --- EC2, IAM, STS, SimpleDB ---


def _check_query(environ: MutableMapping[str, Any], call: Call) -> None:
    if environ["PATH_INFO"] != "/" or environ["REQUEST_METHOD"] not in {"GET", "POST"}:
        raise Invalid("InvalidAction", f"{environ['REQUEST_METHOD']} is not possible here.")
    text = environ.get("QUERY_STRING", "")
    if str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded"):
        try:
            text += "&" + environ["wsgi.input"].getvalue().decode()
        except UnicodeDecodeError as error:
            raise Invalid("InvalidParameterValue", "The parameters are no UTF-8.") from error
    elif environ["wsgi.input"].getvalue():
        raise Invalid("InvalidParameterValue", "The body must be a form (application/x-www-form-urlencoded).")
    environ.pop("HTTP_CONTENT_ENCODING", None)  # moto would unpack what no query service takes packed
    pairs = _pairs(text)
    names = [name for name, _ in pairs]
    if len(names) > _MOST_PARAMETERS or len(set(names)) < len(names):
        raise Invalid("InvalidQueryParameter", "There are too many parameters, or one of them is given twice.")
    if protocol := _QUERY_SERVICES.get(call.service):
        if "Action" not in names:
            raise Invalid("MissingAction", "The request must contain the parameter Action")
        shape = _operation(call).input_shape
        parsed = _parsed(PROTOCOL_PARSERS[protocol](_operation(call)), pairs)
        if shape and (wrong := ParamValidator().validate(parsed, shape)).has_errors():
            raise Invalid(*_complaint(wrong.generate_report()))


def _pairs(text: str) -> list[tuple[str, str]]:
    """Return names and values of a form; all must be text of XML's characters but for a few that SimpleDB takes."""
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
    except ValueError as error:
        raise Invalid("InvalidParameterValue", "The parameters are no UTF-8, or too many.") from error


def _operation(call: Call) -> Any:
    model = get_service_model(model_name(call.service))
    if call.operation not in model.operation_names:
        raise Invalid("InvalidAction", f"The action {call.operation} is not valid for this web service.")
    return model.operation_model(call.operation)


def _parsed(parser: Any, pairs: list[tuple[str, str]]) -> Any:
    try:
        return parser.parse({"values": MultiDict(pairs)})
    except (ValueError, OverflowError, ArithmeticError) as error:  # numbers, times, base64
        raise Invalid("InvalidParameterValue", f"A parameter has no valid value: {error}") from error


def _complaint(report: str) -> tuple[str, str]:
    """Return code and message for what botocore says of the parameters, line by line."""
    first = report.splitlines()[0]
    if found := re.match(r'Missing required parameter in \S+: "([^"]*)"', first):
        return "MissingParameter", f"The request must contain the parameter {found[1]}"
    return "InvalidParameterValue", first


# --- Pricing and Service Quotas ---


def _check_json(environ: MutableMapping[str, Any], call: Call) -> None:
    if environ["PATH_INFO"] != "/" or environ["REQUEST_METHOD"] != "POST":
        raise Invalid("UnknownOperationException", f"{environ['REQUEST_METHOD']} is not possible here.")
    model = get_service_model(model_name(call.service))
    if call.operation not in model.operation_names:
        raise Invalid("UnknownOperationException", f"There is no operation {call.operation}.")
    try:
        members = json.loads(environ["wsgi.input"].getvalue() or b"{}")
    except (ValueError, RecursionError):
        raise Invalid("SerializationException", "the request is no JSON") from None
    if not isinstance(members, dict):
        raise Invalid("SerializationException", "the request is no JSON object")
    known = {name: value for name, value in members.items() if value is not None}
    shape = model.operation_model(call.operation).input_shape
    wrong = ParamValidator().validate(known, shape)
    if wrong.has_errors():
        code = "InvalidParameterException" if call.service == "pricing" else "IllegalArgumentException"
        raise Invalid(code, wrong.generate_report().splitlines()[0])


# --- S3 ---

_NUMBERS = {
    "max-keys": 0,
    "max-buckets": 1,
    "max-uploads": 0,
    "max-parts": 0,
    "part-number-marker": 0,
    "partNumber": 1,
}  # and the least
_MOST_PARTS = 10_000
_RANGE = re.compile(r"bytes=(\d{1,18}-\d{0,18}|-\d{1,18})")
# Operations whose requests look like those of one that came later, with another document.
_NEWER = {
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}
_TIMES = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE")


def _check_s3(environ: MutableMapping[str, Any], call: Call) -> None:
    if not call.operation:  # nor is there one for any other method of HTTP
        message = "The specified method is not allowed against this resource."
        raise Invalid("MethodNotAllowed", message, status=405)
    _check_place(environ)
    for name, least in _NUMBERS.items():
        if (text := call.parameters.get(name)) is not None:
            _check_number(name, text, least=least, most=_MOST_PARTS if name == "partNumber" else _LARGEST_NUMBER)
    if call.parameters.get("encoding-type", "url") != "url":
        raise Invalid("InvalidArgument", "Invalid Encoding Method specified in Request")
    upload_id = call.parameters.get("uploadId")
    if upload_id is not None and not uploads.is_known(*call.names[0].partition("/")[::2], upload_id):
        message = "The specified multipart upload does not exist."
        raise Invalid("NoSuchUpload", message, status=404)
    _leave_out_what_s3_ignores(environ)
    _check_document(environ, call)


def _check_place(environ: Mapping[str, Any]) -> None:
    path = environ["PATH_INFO"].encode("latin-1")
    try:
        text = path.decode() + environ.get("QUERY_STRING", "")
        parse_qsl(environ.get("QUERY_STRING", ""), errors="strict", max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise Invalid("InvalidURI", "Couldn't parse the specified URI.") from None
    if "\0" in text:
        raise Invalid("InvalidURI", "Couldn't parse the specified URI.")
    if len(path.lstrip(b"/").partition(b"/")[2]) > _LONGEST_KEY:
        raise Invalid("KeyTooLongError", "Your key is too long")


def _check_number(name: str, text: str, *, least: int, most: int) -> None:
    if not re.fullmatch(r"[0-9]{1,19}", text) or not least <= int(text) <= most:
        raise Invalid("InvalidArgument", f"Argument {name} must be an integer between {least} and {most}")


def _leave_out_what_s3_ignores(environ: MutableMapping[str, Any]) -> None:
    """Remove ranges and times that are none: S3 answers as if they had not been given."""
    if not _RANGE.fullmatch(str(environ.get("HTTP_RANGE", ""))):
        environ.pop("HTTP_RANGE", None)
    for name in _TIMES:
        if name in environ:
            try:
                parse_timestamp(environ[name])
            except (ValueError, OverflowError, RuntimeError):
                del environ[name]


def _check_document(environ: MutableMapping[str, Any], call: Call) -> None:
    """Refuse a body that is to be a document of a form, and is not."""
    operation: Any = get_service_model("s3").operation_model(_NEWER.get(call.operation, call.operation))
    shape = operation.input_shape
    payload = shape.members.get(shape.serialization.get("payload", "")) if shape else None
    if payload is None or payload.type_name != "structure":
        return
    body = environ["wsgi.input"].getvalue()
    completes = call.operation == "CompleteMultipartUpload"  # its document is needed, which the model does not say
    if not body and not (completes or payload.required_members or payload.name in shape.required_members):
        return
    try:
        document = ElementTree.fromstring(body)  # noqa: S314  an expansion is bounded by expat
        parser: Any = PROTOCOL_PARSERS["rest-xml"](operation)
        members = parser._parse_shape(payload, document)
    except (ElementTree.ParseError, ValueError, OverflowError, RecursionError):
        raise _malformed() from None
    if ParamValidator().validate(members, payload).has_errors() or (completes and not members.get("Parts")):
        raise _malformed()


def _malformed() -> Invalid:
    message = "The XML you provided was not well-formed or did not validate against our published schema"
    return Invalid("MalformedXML", message)
