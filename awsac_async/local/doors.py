"""Which requests reach a server of the embedded cloud at all: those of programs that mean this server.

A page in a browser on this machine can send requests to loopback too, and a name that its owner lets stand for
127.0.0.1 makes the page and the server one origin. Both are refused here, before anything of a request is read: what a
browser sends says where it comes from, and ``Host`` says whom it takes the server for.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Response

Application = Callable[[Any, Any], Iterable[bytes]]


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """Which values of ``Host`` are a server's own."""

    port: int  # where it listens
    names: tuple[str, ...] = ("127.0.0.1", "localhost")  # at this port
    forwarded: tuple[str, ...] = ()  # at any port: of what forwards to it

    def own(self, host: str) -> bool:
        """Say whether this is one of them."""
        name, colon, port = host.lower().rpartition(":")
        if not colon:
            name, port = port, "80"
        return name in self.forwarded or (name in self.names and port == str(self.port))


def guarded(hosts: Hosts, application: Application) -> Application:
    """Return the application with this before it."""

    def guard(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if reason := _refusal(environ, hosts):
            return Response(f"{reason}\n", status=403, content_type="text/plain")(environ, start_response)
        return application(environ, start_response)

    return guard


def _refusal(environ: dict[str, Any], hosts: Hosts) -> str:
    if not hosts.own(environ.get("HTTP_HOST", "")):
        return "this server has another name than the request says"
    if not str(environ.get("REQUEST_URI", "/")).startswith("/"):
        return "the request must name a path"  # not an address, nor "*"
    if "HTTP_ORIGIN" in environ or environ.get("HTTP_SEC_FETCH_SITE", "none").lower() != "none":
        return "requests of web pages are refused"
    return ""
