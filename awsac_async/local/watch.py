"""The watch that a service manager keeps over a service (``WatchdogSec``): one that is silent for too long is killed.

Owns the socket at which the service says that it lives, as sd_notify(3) tells it. Whoever may write there is believed.
"""

import math
import socket
import time
from pathlib import Path

_LONGEST_ADDRESS = 107  # bytes of a socket's path, unix(7)


class Watch:
    """The watch over one service, by the socket at ``address``; ``seconds`` of silence are too many."""

    def __init__(self, address: Path, seconds: float) -> None:
        self._address, self._seconds = address, seconds
        self._socket: socket.socket | None = None
        self._until = math.inf  # monotonic

    def begin(self) -> dict[str, str]:
        """Watch a service that is about to start; returns what its environment must say. Raises OSError."""
        self.end()
        if len(str(self._address).encode()) > _LONGEST_ADDRESS:
            return {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(self._address))
        self._address.chmod(0o600)
        self._until = time.monotonic() + self._seconds
        return {"NOTIFY_SOCKET": str(self._address), "WATCHDOG_USEC": str(int(self._seconds * 1e6))}

    def end(self) -> None:
        """Watch nothing until it begins again."""
        if self._socket is not None:
            self._socket.close()
        self._address.unlink(missing_ok=True)
        self._socket, self._until = None, math.inf

    def left(self) -> float:
        """Return for how many seconds it may still be silent."""
        return max(0.0, self._until - time.monotonic())

    def is_over(self) -> bool:
        """Say whether it has been silent for too long."""
        while self._socket is not None:
            try:
                said = self._socket.recv(4096).split(b"\n")
            except BlockingIOError:
                break
            if b"WATCHDOG_USEC=0" in said:
                self.end()
            elif b"WATCHDOG=1" in said:
                self._until = time.monotonic() + self._seconds
        return time.monotonic() >= self._until
