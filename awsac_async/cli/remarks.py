"""What is said beside the output: remarks, and each step if asked for, all on stderr.

Owns how much of it: one logger, whose level is the options --quiet and --verbose. Results and errors are no remarks and
are never silenced. Whatever is said goes through the redactor.
"""

import logging
import os
import sys
from enum import IntEnum

_MOST = 393  # characters: with the name of the program as many as an error may have


class Volume(IntEnum):
    """How much is said, as a level of the log."""

    QUIET = logging.WARNING
    NORMAL = logging.INFO  # remarks, and progress at a terminal
    VERBOSE = logging.DEBUG  # and each call of the cloud


class _Stderr(logging.Handler):
    """Writes to whatever is stderr now: a live display of a terminal takes its place while it draws."""

    def emit(self, record: logging.LogRecord) -> None:
        # Most commands have nothing to say.
        from awsac_async.session.redaction import secrets
        from awsac_async.session.wording import clipped, printable

        said = printable(secrets.redact(record.getMessage()))
        print(f"awsac: {clipped(said, _MOST)}", file=sys.stderr)


_logger = logging.getLogger("awsac_async")
_stderr = _Stderr()


def set_volume(volume: Volume) -> None:
    """Say so much from now on."""
    _logger.setLevel(volume)
    if _stderr not in _logger.handlers:
        _logger.addHandler(_stderr)


def say(remark: str) -> None:
    """Tell the user what is no part of the output; with --quiet nothing is."""
    _logger.info("%s", remark)


def warn(sentence: str) -> None:
    """Tell the user what went wrong, or is not there; never silenced."""
    _logger.warning("%s", sentence)


def say_step(step: str) -> None:
    """Tell a user who wants to know each step."""
    _logger.debug("%s", step)


def quiet() -> bool:
    """Whether neither remarks nor progress are wanted."""
    return not _logger.isEnabledFor(logging.INFO)


def verbose() -> bool:
    """Whether each step is wanted."""
    return _logger.isEnabledFor(logging.DEBUG)


def can_draw() -> bool:
    """Whether progress is wanted on stderr, and a line there can be drawn anew."""
    return sys.stderr.isatty() and not quiet() and os.environ.get("TERM") not in {"dumb", "unknown"}
