"""What each kind of fault does to a call: one function for each, in the terms of WSGI and of the connection itself."""

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, NoReturn

from werkzeug.wrappers import Response

from awsac_async.local.ebs import held_up
from awsac_async.local.ec2 import room_for
from awsac_async.local.faults.answers import THROTTLED, not_found, refusal_of, worded
from awsac_async.local.faults.calls import Call
from awsac_async.local.faults.plan import Fault, Kind
from awsac_async.local.faults.staleness import without

Application = Callable[[Any, Any], Iterable[bytes]]
_CHUNK = 64 * 1024  # bytes


@dataclass(frozen=True, kw_only=True)
class Case:
    """A call that a fault befalls."""

    fault: Fault
    call: Call
    service: Application  # who would answer
    younger_than: Callable[[float], Set[str]]  # the IDs of what EC2 has made within some seconds


def answering(case: Case) -> Application:
    """Return what answers the call instead of the service. Delays and expired credentials are no business of this."""
    return _ACTS[case.fault.kind](case)


def cut(environ: dict[str, Any]) -> NoReturn:
    """Close the connection of a request, whatever is under way there.

    Raises:
        ConnectionAbortedError: always; the server takes it for a client that has gone.
    """
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError


def _cut_upload(environ: dict[str, Any], _: Any) -> NoReturn:
    """Close the connection when half of the body has come; of a body of unknown length, after one piece."""
    left = int(environ.get("CONTENT_LENGTH") or 2 * _CHUNK) // 2
    while left > 0 and (piece := environ["wsgi.input"].read(min(left, _CHUNK))):
        left -= len(piece)
    cut(environ)


def _half(case: Case) -> Application:
    if case.call.service == "s3" and case.call.method in {"PUT", "POST"}:
        return _cut_upload

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        answer = Response.from_app(case.service, environ)
        content = answer.get_data()
        start_response(answer.status, list(answer.headers))  # with the length of the whole
        yield content[: len(content) // 2]
        cut(environ)

    return application


def _lost_answer(case: Case) -> Application:
    def application(environ: dict[str, Any], _: Any) -> Iterable[bytes]:
        Response.from_app(case.service, environ).get_data()
        cut(environ)

    return application


def _stale(case: Case) -> Application:
    hidden = case.younger_than(case.fault.seconds)
    asked = [value for name, value in case.call.parameters.items() if not name.startswith("Filter.")]
    if unknown := next((value for value in asked if value in hidden), None):
        return worded(not_found(unknown), case.call)

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer = Response.from_app(case.service, environ)
        if answer.status_code < 400:
            answer.set_data(without(answer.get_data(), hidden))
        return answer(environ, start_response)

    return application


def _stuck(case: Case) -> Application:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with held_up(case.fault.seconds):
            return case.service(environ, start_response)

    return application


def _room(case: Case) -> Application:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with room_for(case.fault.room):
            return case.service(environ, start_response)

    return application


_ACTS: Mapping[Kind, Callable[[Case], Application]] = {
    Kind.ERROR: lambda case: worded(refusal_of(case.fault), case.call),
    Kind.THROTTLE: lambda case: worded(THROTTLED[case.call.service], case.call),
    Kind.DROP: lambda _: lambda environ, _: cut(environ),
    Kind.HALF: _half,
    Kind.LOST_ANSWER: _lost_answer,
    Kind.STALE: _stale,
    Kind.STUCK: _stuck,
    Kind.ROOM: _room,
}
