"""A proxy on loopback that lets each request take longer: ``python -m benchmarks.proxy PORT TARGET SECONDS``.

The first byte of each answer is held back for so long; what follows it passes at once. Nothing is parsed, so that TLS
passes as well, whose handshake counts as two requests. How busy it was is asked of the kernel: where that is near a
whole core, the proxy was what was measured.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PORT = 8335
_BACKLOG = 1024
_HIGH = 4 << 20  # bytes that may wait for a slow reader


class _Side(asyncio.Protocol):
    """One of the two connections of a client; what comes in goes out at the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(_HIGH)
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self.other and self.other.transport:
            self.other.transport.close()

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()


class _Client(_Side):
    """The client's side: connects to the server, and notes that an answer is due."""

    def __init__(self, target: int, delay: float) -> None:
        super().__init__()
        self._target, self._delay = target, delay
        self._server = _Server(delay)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport
        self.transport.pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._connect(), name="connect")

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self._server, "127.0.0.1", self._target)
        self.other, self._server.other = self._server, self
        assert self.transport
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        assert self._server.transport
        self._server.due = True
        self._server.transport.write(data)


class _Server(_Side):
    """The server's side: holds the beginning of each answer back."""

    def __init__(self, delay: float) -> None:
        super().__init__()
        self.due = False
        self._delay = delay

    def data_received(self, data: bytes) -> None:
        assert self.transport
        if self.due and self._delay:
            self.due = False
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(self._delay, self._pass, data)
        else:
            self._write(data)

    def _pass(self, data: bytes) -> None:
        assert self.transport
        self._write(data)
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _write(self, data: bytes) -> None:
        assert self.other
        assert self.other.transport
        self.other.transport.write(data)


@contextmanager
def running(target: int, delay: float) -> Iterator[int]:
    """Run a proxy of its own process at `PORT` and give its process ID."""
    command = [sys.executable, "-m", "benchmarks.proxy", str(PORT), str(target), str(delay)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[1])
    try:
        assert process.stdout
        assert process.stdout.readline(), "the proxy does not start"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


async def main(port: int, target: int, delay: float) -> None:
    """Serve, and say so, until SIGTERM."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    await loop.create_server(lambda: _Client(target, delay), "127.0.0.1", port, backlog=_BACKLOG)
    print("ready", flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
