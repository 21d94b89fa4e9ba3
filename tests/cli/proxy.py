"""A proxy before the embedded cloud that holds back one request, so that a test can act just then."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.conftest import FORWARDED

# Seconds after which a test that waits for what does not come fails.
PATIENCE = 120


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as the proxy sees it; ``operation`` is the Action of a query, else the HTTP method.

    Behind that of a dry run stands `` (dry run)``.
    """

    operation: str
    path: str


class Proxy:
    """Forwards all; of the first request that ``hold`` wants, the second half of the answer is kept back.

    With a ``refusal``, that request is not forwarded but answered with it, and with its status.
    """

    def __init__(self, endpoint: str, hold: Callable[[Request], bool], refusal: bytes, status: int) -> None:
        self.host, self._hold, self.refusal = endpoint.removeprefix("http://"), hold, refusal
        self.status = status
        self._lock, self._held, self.released = threading.Lock(), threading.Event(), threading.Event()

    def wait(self) -> None:
        """Return when the cloud has done what was asked, and the client has only half of the answer."""
        assert self._held.wait(PATIENCE), "the request that was to be held did not come"

    def holds(self, request: Request) -> bool:
        with self._lock:
            return not self._held.is_set() and self._hold(request)

    def hold(self) -> None:
        self._held.set()
        if not self.refusal:
            self.released.wait(PATIENCE)


@contextmanager
def proxy_before(
    endpoint: str, *, hold: Callable[[Request], bool], refusal: bytes = b"", status: int = 500
) -> Iterator[tuple[Proxy, str]]:
    """Give a proxy and its address; when it is left, what was held is let go."""
    proxy = Proxy(endpoint, hold, refusal, status)
    server = ThreadingHTTPServer((FORWARDED, 0), type("Handler", (_Handler,), {"proxy": proxy}))
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="proxy")
    serving.start()
    try:
        yield proxy, f"http://{FORWARDED}:{server.server_port}"
    finally:
        proxy.released.set()
        server.shutdown()
        serving.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, BrokenPipeError):
            self.close_connection = True

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(operation=_operation(self.command, body), path=self.path)
        held = self.proxy.holds(request)
        if held and self.proxy.refusal:
            self.proxy.hold()
            self.send_response(self.proxy.status)
            self.send_header("Content-Length", str(len(self.proxy.refusal)))
            self.end_headers()
            self.wfile.write(self.proxy.refusal)
            return
        connection = http.client.HTTPConnection(self.proxy.host)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            self._answer(answer, answer.read(), held=held)
        finally:
            connection.close()

    def _answer(self, answer: http.client.HTTPResponse, content: bytes, *, held: bool) -> None:
        half = len(content) // 2 if held else len(content)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "content-length", "date", "server"}:
                self.send_header(name, value)
        length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        if held and not half:
            self.proxy.hold()
        self.end_headers()
        self.wfile.write(content[:half])
        self.wfile.flush()
        if held and half:
            self.proxy.hold()
        self.wfile.write(content[half:])

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815  the names that http.server asks for

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def _operation(method: str, body: bytes) -> str:
    fields = dict(part.partition("=")[::2] for part in body.decode("latin-1").split("&") if "=" in part)
    return fields.get("Action", method) + (" (dry run)" if fields.get("DryRun") == "true" else "")
