"""The agent's log: everything it prints goes to the console and to ``processjobs.log``, one record a line, in UTC.

The console is what ``GetConsoleOutput`` shows while the instance lives; the file is uploaded when it departs.
Nothing here may ever write a credential or a user's environment.
"""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger(__name__)


class _OneLine(logging.Formatter):
    """UTC times, and one line a record: a message or a traceback of several lines is folded with ``|``."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return " | ".join(super().format(record).splitlines())


def start_log(file: Path) -> None:
    """Send the log to standard output and, appending, to ``file`` (its folder is made), if that can be written."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    trouble = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(file))
    except OSError as error:
        trouble = error
    for handler in handlers:
        handler.setFormatter(_OneLine())
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logging.getLogger("awsac_async").setLevel(logging.INFO)
    if trouble:
        _log.error("no log file, only this console: %s", trouble)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Name and time a step in the log: its start, its end, how long it took, and why it failed if it did.

    Args:
        what: the step with the IDs of what it touches, ``attach vol-… to i-… as /dev/sdf``.
    """
    began = time.monotonic()
    _log.info("%s: start", what)
    try:
        yield
    except BaseException as error:
        _log.warning("%s: ended after %.3f s by %s", what, time.monotonic() - began, describe(error))
        raise
    _log.info("%s: done in %.3f s", what, time.monotonic() - began)


def describe(error: BaseException) -> str:
    """Say an error in one line, with the causes below it."""
    causes = [f"{type(error).__name__}: {error}".rstrip(": ")]
    while (cause := error.__cause__) is not None:
        causes.append(f"{type(cause).__name__}: {cause}".rstrip(": "))
        error = cause
    return ", from ".join(causes).replace("\n", " ")
