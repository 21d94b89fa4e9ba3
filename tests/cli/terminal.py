"""A terminal for a program: what it draws, and how it ends."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cli.proxy import PATIENCE

ENTER_SCREEN, LEAVE_SCREEN, SHOW_CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


class Terminal:
    """A program that runs at a terminal of its own."""

    def __init__(
        self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], columns: int, rows: int
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._drawn = bytearray()
        self._reader = threading.Thread(target=self._read, name="read a terminal", daemon=True)
        self._reader.start()

    @property
    def drawn(self) -> str:
        """All that was written so far, control sequences included."""
        return self._drawn.decode(errors="replace").replace("\r\n", "\n")

    def end(self) -> int:
        """Wait for the end of the program, and return its exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        os.close(self._master)
        return code

    def _read(self) -> None:
        try:
            while data := os.read(self._master, 1 << 16):
                self._drawn += data
        except OSError:  # EIO: the program has closed the other end
            return
