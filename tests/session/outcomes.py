"""Either outcome of reading a file, so that a test can compare what was read or refused."""

from collections.abc import Callable
from typing import TypeVar

from awsac_async.session.errors import FormatError, ProblemsError

T = TypeVar("T")


def outcome(read: Callable[[], T]) -> T | FormatError | ProblemsError:
    """Return what was read, or the refusal; any other exception is a bug and goes on to the test."""
    try:
        return read()
    except (FormatError, ProblemsError) as error:
        return error
