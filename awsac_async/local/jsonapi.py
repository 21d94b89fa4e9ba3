"""Services that speak JSON (``application/x-amz-json-1.1``) and that moto lacks, as WSGI before it.

Owns the form of their requests and answers. What they answer is the business of one function for each operation, in a
module for each service: it takes the request's members and returns the answer's, or raises Refused.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from werkzeug.wrappers import Request, Response

TARGET_HEADER = "HTTP_X_AMZ_TARGET"
CONTENT_TYPE = "application/x-amz-json-1.1"
Application = Callable[[Any, Any], Iterable[bytes]]
Operation = Callable[[Mapping[str, Any]], dict[str, Any]]


class Refused(Exception):  # noqa: N818  a service's answer, no fault
    """What a service answers instead of what was asked for."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def answering(operations: Mapping[str, Operation], others: Application) -> Application:
    """Return an application that answers these operations, by their targets, and leaves all other requests alone."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        operation = operations.get(environ.get(TARGET_HEADER, ""))
        if operation is None:
            return others(environ, start_response)
        return _answer(operation, Request(environ).get_data())(environ, start_response)

    return application


def _answer(operation: Operation, body: bytes) -> Response:
    try:
        members = json.loads(body or b"{}")
    except ValueError:
        return refusal("SerializationException", "the request is no JSON")
    try:
        return Response(json.dumps(operation(members)), content_type=CONTENT_TYPE)
    except Refused as error:
        return refusal(error.code, str(error))


def refusal(code: str, message: str, *, status: int = 400) -> Response:
    """Return an error as such a service words it."""
    return Response(json.dumps({"__type": code, "message": message}), status=status, content_type=CONTENT_TYPE)
