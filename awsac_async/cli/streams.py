"""The standard streams of a command, whatever the one who called it did with them.

Owns two rules. A stream that is closed is /dev/null: nothing else may be opened under its number, and standard input
has ended. And when nobody reads an output any more, the work goes on: a reader does not decide whether it is done.
"""

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def secure() -> None:
    """Make the three streams safe to use; before anything is opened."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # under the lowest number that is free: this one
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115  open as long as the process
    sys.stdout, sys.stderr = _text(1, "strict"), _text(2, "backslashreplace")


def write(data: bytes) -> bool:
    """Write bytes as they are to standard output, at once; returns whether somebody still reads it."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    raw = getattr(sys.stdout.buffer, "raw", None)
    return not (isinstance(raw, _Output) and raw.unread)


def _text(number: int, errors: str) -> io.TextIOWrapper:
    """Return a stream like Python's own, a line at a time at a terminal and for errors."""
    raw = _Output(number, "w", closefd=False)
    given = sys.stdout if number == 1 else sys.stderr
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=given.encoding if given else None,
        errors=given.errors if given else errors,
        line_buffering=number == 2 or raw.isatty(),
    )


class _Output(io.FileIO):
    """An output that becomes /dev/null when nobody reads it any more, and then is ``unread``."""

    unread = False

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            self.unread = True
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return memoryview(data).nbytes
