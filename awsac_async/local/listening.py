"""HTTP servers of the embedded cloud: on a loopback port, or on a socket that was made inside an instance's network."""

import socket
import threading
from collections.abc import Callable
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from awsac_async.local.doors import Hosts, guarded

LOOPBACK = ("127.0.0.1", "localhost")
STOP_POLL = 0.1  # s: how soon a server notices that it is to stop


class QuietHandler(WSGIRequestHandler):
    """Speaks HTTP/1.1 and writes no line for each request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: the log of the cloud is for what goes wrong in it."""

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Log nothing of what is no request, or asked by nobody."""


class Server:
    """Answers by a WSGI application, in threads, until it is stopped."""

    def __init__(
        self,
        application: Callable[..., Any],
        *,
        name: str,
        handler: type[WSGIRequestHandler] = QuietHandler,
        hosts: tuple[str, ...] = LOOPBACK,
        place: socket.socket | None = None,
    ) -> None:
        """``place`` is a listening socket, which belongs to this from now on; without one it is a port of loopback.

        Requests reach the application that name one of the hosts, and come from no page of a browser.
        """
        self._name = name
        if place is None:
            self._server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=handler)
        else:
            with place:
                host, port = place.getsockname()
                self._server = make_server(
                    host, port, application, threaded=True, request_handler=handler, fd=place.fileno()
                )
        self.port = self._server.port
        self._server.app = guarded(Hosts(port=self.port, names=hosts), application)

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self._server.serve_forever, args=(STOP_POLL,), name=self._name, daemon=True).start()

    def stop(self) -> None:
        """Stop answering and close the socket. It has been started."""
        self._server.shutdown()
        self._server.server_close()
