"""What a client is told when the cloud itself has failed: an error of the service, and never a traceback.

Stands before everything else that answers. Each fault is logged once, by where it came from: who asks again and again
does not fill the log.
"""

import logging
import threading
import traceback
from collections.abc import Iterable
from typing import Any

from awsac_async.local.faults.acts import Application
from awsac_async.local.faults.answers import INTERNAL, worded
from awsac_async.local.faults.calls import Call, read_call

log = logging.getLogger(__name__)
_MOST_FAULTS = 100  # that are logged


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
            place = traceback.extract_tb(error.__traceback__)[-1]
            fault = (type(error).__name__, place.filename, place.lineno or 0)
            with lock:
                new = fault not in known and len(known) < _MOST_FAULTS
                known.add(fault) if new else None
            if new:
                log.exception("%s %s failed; this fault is logged once", call.service, call.operation)
            return worded(INTERNAL.get(call.service, INTERNAL["ec2"]), call)(environ, start_response)

    return application


def _call(environ: dict[str, Any]) -> Call:
    try:
        return read_call(environ)
    except Exception:  # that is what failed
        return Call(service="ec2", operation="", names=())
