"""The log of the cloud's process: what it prints, in a file that stays small whoever makes it print.

When the file is full it becomes ``log.1``, whose place it takes, and another begins. Owns the standard output and error
of the process; what a child prints there goes to the file of when it began.
"""

import io
import os
import sys
import threading
from pathlib import Path

LIMIT = 1 << 20  # bytes, of each of the two files
_LONGEST = 64 * 1024  # characters of one text


class BoundedLog(io.TextIOBase):
    """A text stream into a file that begins anew when it is full."""

    def __init__(self, file: Path, *, descriptors: tuple[int, ...] = (), limit: int = LIMIT) -> None:
        """``descriptors`` are made to be the file too."""
        self._file, self._descriptors, self._limit = file, descriptors, limit
        self._lock = threading.RLock()  # a signal may interrupt a line by another
        self._open()

    def _open(self) -> None:
        self._descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        for each in self._descriptors:
            os.dup2(self._descriptor, each)

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def write(self, text: str) -> int:
        """Write a text, cut where it is endless."""
        with self._lock:
            if os.fstat(self._descriptor).st_size >= self._limit:
                os.close(self._descriptor)
                self._file.replace(self._file.with_name(f"{self._file.name}.1"))
                self._open()
            os.write(self._descriptor, text[:_LONGEST].encode(errors="backslashreplace"))
        return len(text)


def install(file: Path) -> None:
    """Let this process print into a file."""
    sys.stdout = sys.stderr = BoundedLog(file, descriptors=(1, 2))
