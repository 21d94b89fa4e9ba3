"""What a client is told when a request has been too much for what answers it: an error of the service, no traceback.

Stands before everything else that answers. moto fails on much that AWS refuses; where its own code stumbles over what a
request says, that is wrong with the request. All other faults are ours. Each is logged once, by where it came from: who
asks again and again does not fill the log.
"""

import logging
import threading
import traceback
from collections.abc import Iterable
from typing import Any
from xml.parsers.expat import ExpatError

from awsac_async.local.faults.acts import Application
from awsac_async.local.faults.answers import INTERNAL, Refusal, worded
from awsac_async.local.faults.calls import Call, read_call

log = logging.getLogger(__name__)
_MOST_FAULTS = 100  # that are logged
_STUMBLES = (ArithmeticError, AssertionError, AttributeError, ExpatError, LookupError, TypeError, ValueError)
_INVALID = "The request has a value that is not valid, or that this cloud cannot do."
INVALID = {
    "s3": Refusal(code="InvalidArgument", status=400, message=_INVALID),
    "ec2": Refusal(code="InvalidParameterValue", status=400, message=_INVALID),
    "sdb": Refusal(code="InvalidParameterValue", status=400, message=_INVALID),
    "iam": Refusal(code="ValidationError", status=400, message=_INVALID),
    "sts": Refusal(code="ValidationError", status=400, message=_INVALID),
}


def excused(services: Application) -> Application:
    """Return the services with this before them."""
    known: set[tuple[str, str, int]] = set()
    lock = threading.Lock()

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            return services(environ, start_response)
        except (ConnectionError, TimeoutError):  # of the connection: there is nobody to be told
            raise
        except Exception as error:
            call = _call(environ)
            refusal = _refusal(call, error)
            if is_new(error):
                if refusal.status == 500:
                    log.exception("%s %s failed; this fault is logged once", call.service, call.operation)
                else:
                    log.warning("%s %s is refused: moto ended with %r", call.service, call.operation, error)
            return worded(refusal, call)(environ, start_response)

    def is_new(error: Exception) -> bool:
        place = _place(error)
        fault = (type(error).__name__, place.filename, place.lineno or 0)
        with lock:
            new = fault not in known and len(known) < _MOST_FAULTS
            known.add(fault) if new else None
        return new

    return application


def _refusal(call: Call, error: Exception) -> Refusal:
    if isinstance(error, NotImplementedError):
        message = f"The action {call.operation} is not valid for this web service."
        return Refusal(code="InvalidAction", status=400, message=message)
    if isinstance(error, _STUMBLES) and call.service in INVALID and "/moto/" in _place(error).filename:
        return INVALID[call.service]
    return INTERNAL.get(call.service, INTERNAL["ec2"])


def _place(error: Exception) -> traceback.FrameSummary:
    """Return where a fault came from: the last code of moto's or ours, whatever library that had called."""
    frames = traceback.extract_tb(error.__traceback__)
    known = [frame for frame in frames if "/moto/" in frame.filename or "/awsac_async/" in frame.filename]
    return (known or frames)[-1]


def _call(environ: dict[str, Any]) -> Call:
    try:
        return read_call(environ)
    except Exception:  # that is what failed
        return Call(service="ec2", operation="", names=())
