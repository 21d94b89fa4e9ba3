"""The standard streams of a command, whatever the one who called it did with them.

Owns three rules. A stream that is closed is /dev/null: nothing else may be opened under its number, and standard input
has ended. When an output cannot be written any more, because nobody reads it or the disk is full, the work goes on: a
reader does not decide whether it is done, and ``fault`` tells of the disk at the end. And what the terminal's encoding
cannot show is replaced: a byte of a file's name by its number, any other character by a question mark.
"""

import codecs
import io
import os
import select
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
    codecs.register_error(_REPLACING, _replacement)
    sys.stdout, sys.stderr = _text(1), _text(2)


def fault() -> OSError | None:
    """Write what is still to be written to standard output; returns what kept it from there, if it has readers."""
    sys.stdout.flush()
    raw = getattr(sys.stdout.buffer, "raw", None)
    return raw.fault if isinstance(raw, _Output) else None


def write(data: bytes) -> bool:
    """Write bytes as they are to standard output, at once; returns whether somebody still reads it."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    raw = getattr(sys.stdout.buffer, "raw", None)
    return not (isinstance(raw, _Output) and raw.unread)


def _text(number: int) -> io.TextIOWrapper:
    """Return a stream like Python's own, a line at a time at a terminal and for errors."""
    raw = _Output(number, "w", closefd=False)
    given = sys.stdout if number == 1 else sys.stderr
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=given.encoding if given else None,
        errors=_REPLACING,
        line_buffering=number == 2 or raw.isatty(),
    )


_REPLACING = "awsac-replace"  # how this module's encoding errors are called


def _replacement(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    shown = (f"\\x{ord(each) - 0xDC00:02x}" if "\udc80" <= each <= "\udcff" else "?" for each in characters)
    return "".join(shown), error.end


class _Output(io.FileIO):
    """An output that becomes /dev/null when it cannot be written any more, and then is ``unread``.

    ``fault`` is why, unless it is that nobody reads it.
    """

    unread = False
    fault: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            while (written := super().write(data)) is None:  # of a pipe that whoever shares it made non-blocking
                select.select([], [self.fileno()], [])
            return written
        except BrokenPipeError:
            pass
        except OSError as error:
            self.fault = error
        self.unread = True
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        return memoryview(data).nbytes
