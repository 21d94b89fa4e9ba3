"""A proxy on loopback before an AWS endpoint: it counts what is asked, and goes wrong on request."""

import http.client
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.conftest import FORWARDED


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: ``action`` is the operation of a query API (EC2, SimpleDB), else ""."""

    method: str
    path: str
    action: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What to do instead of passing a request on and its answer back.

    An answer of its own (``status``, ``body``), or, with no status, the real answer ``cut`` after some bytes: a cut of
    0 closes the connection without a word. ``unheeding``: it is passed on without its conditions.
    """

    status: int = 0
    body: bytes = b""
    cut: int = 0
    unheeding: bool = False


@dataclass(kw_only=True)
class Proxy:
    """The proxy: its address, what it was asked, and its faults, each used so many times for the requests it fits."""

    endpoint: str = ""
    asked: list[Asked] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)  # the status of each answer that was passed back
    _faults: list[tuple[Callable[[Asked], bool], list[Fault]]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def reset(self) -> None:
        """Forget what was asked, and have no faults."""
        self.asked.clear()
        self.answered.clear()
        self._faults.clear()

    def fail(self, fits: Callable[[Asked], bool], fault: Fault, *, times: int = 1_000_000) -> None:
        """Let the next requests that fit go wrong."""
        self._faults.append((fits, [fault] * times))

    def count(self, action: str) -> int:
        """How often an operation of a query API was asked."""
        return sum(asked.action == action for asked in self.asked)

    def wait_for(self, action: str, *, times: int) -> None:
        """Block until an operation was asked so often."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.count(action) >= times, timeout=60)

    def take(self, asked: Asked) -> Fault | None:
        """Note a request, and say what goes wrong with it."""
        with self._changed:
            self.asked.append(asked)
            self._changed.notify_all()
            return next((left.pop() for fits, left in self._faults if left and fits(asked)), None)


def error(status: int, code: str) -> Fault:
    """An answer in the form of S3's errors."""
    return Fault(status=status, body=f"<Error><Code>{code}</Code><Message>by the test</Message></Error>".encode())


def query_error(status: int, code: str, message: str = "by the test") -> Fault:
    """An answer in the form of EC2's and SimpleDB's errors."""
    inner = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
    return Fault(status=status, body=f"<Response>{inner}<RequestID>1</RequestID></Response>".encode())


@contextmanager
def proxy_to(target: str, *, one_at_a_time: bool = False) -> Iterator[Proxy]:
    """Run a proxy to an endpoint, which is asked one thing at a time if it cannot bear more."""
    proxy, turn = Proxy(), threading.Lock() if one_at_a_time else nullcontext()
    address = urlsplit(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            """Say nothing."""

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def answer(self) -> None:
            body = self._body()
            form = "urlencoded" in self.headers.get("Content-Type", "")
            asked = Asked(
                method=self.command,
                path=self.path,
                action=parse_qs(body.decode()).get("Action", [""])[0] if form else "",
                headers={name.lower(): value for name, value in self.headers.items()},
                body=body,
            )
            fault = proxy.take(asked)
            if fault and fault.status:
                self._send(fault.status, {"Content-Length": str(len(fault.body))}, fault.body)
                return
            headers = dict(self.headers.items())
            if fault and fault.unheeding:
                headers = self._without_conditions(body)
            with turn:
                status, headers, content = self._forwarded(headers, body)
            proxy.answered.append(status)
            if fault and not fault.unheeding:
                self._send(status, headers, content[: fault.cut]) if fault.cut else None
                self.close_connection = True
                self.wfile.flush()
                self.connection.shutdown(2)
                return
            self._send(status, headers, content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_OPTIONS = answer  # noqa: N815  http.server wants these

        def _body(self) -> bytes:
            size = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(size)
            if len(body) < size:  # whoever asks has gone; the server would wait for the rest
                raise ConnectionAbortedError
            return body

        def _without_conditions(self, body: bytes) -> dict[str, str]:
            """Return the headers without conditions, signed anew with the keys in the environment."""
            keys = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
            kept = {name: value for name, value in self.headers.items() if not name.lower().startswith("if-")}
            request = AWSRequest(self.command, proxy.endpoint + self.path, data=body, headers=kept)
            S3SigV4Auth(keys, "s3", "us-east-1").add_auth(request)
            return dict(request.headers.items())

        def _forwarded(self, asked: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(address.hostname or "", address.port)
            connection.request(self.command, self.path, body=body, headers=asked)
            response = connection.getresponse()
            content = response.read()
            connection.close()
            headers = {n: v for n, v in response.getheaders() if n.lower() not in {"connection", "transfer-encoding"}}
            if self.command != "HEAD":
                headers = {n: v for n, v in headers.items() if n.lower() != "content-length"}
                headers["Content-Length"] = str(len(content))
            return response.status, headers, content

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content if self.command != "HEAD" else b"")

    server = ThreadingHTTPServer((FORWARDED, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    proxy.endpoint = f"http://{FORWARDED}:{server.server_address[1]}"
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
