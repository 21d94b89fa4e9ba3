"""The instance metadata service of one instance, versions 1 and 2.

It is at EC2's own address inside the instance's network, or, where an instance has none, on a loopback port. Serves
that instance's facts and nothing else. Version 2 asks for a session token first; with ``tokens_required`` an unsigned
request is refused, as EC2 does with ``HttpTokens=required``. A token's answer goes no further than ``hop_limit`` hops.
"""

import json
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from werkzeug.wrappers import Request, Response

from awsac_async.local.interior import METADATA_ADDRESS
from awsac_async.local.listening import LOOPBACK, Server

TOKEN_PATH = "/latest/api/token"  # noqa: S105 (a path)
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 (a header's name)
FORWARDED_HEADER = "X-Forwarded-For"
LONGEST_TTL = 21600  # s
_TTL = 64  # hops: Linux' own default

# A tree of folders (mappings) and values (functions, asked at each request).
Tree = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What an instance is told about itself.

    ``credentials`` is asked each time; ``revoke`` ends those that were given, when the service stops.
    """

    document: Mapping[str, str]  # the instance identity document
    values: Mapping[str, str]  # path below meta-data/ to value
    user_data: bytes | None
    tokens_required: bool
    role: str | None
    profile: Mapping[str, str]
    credentials: Callable[[], Mapping[str, str]]
    revoke: Callable[[], None] = lambda: None
    hop_limit: int = 1  # how far an answer with a token goes


def tree_of(facts: Facts) -> Tree:
    """Arrange the facts as the paths of the service."""
    meta_data: dict[str, Any] = {}
    for path, value in facts.values.items():
        *folders, name = path.split("/")
        place = meta_data
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = lambda value=value: value
    if facts.role:
        meta_data["iam"] = {
            "info": lambda: json.dumps(facts.profile, indent=2),
            "security-credentials": {facts.role: lambda: json.dumps(facts.credentials(), indent=2)},
        }
    document = {"document": lambda: json.dumps(facts.document, indent=2)}
    tree: dict[str, Any] = {"dynamic": {"instance-identity": document}, "meta-data": meta_data}
    if facts.user_data:
        tree["user-data"] = lambda: facts.user_data
    return {"latest": tree}


class Tokens:
    """The session tokens that have been handed out, and when they end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[str, float] = {}

    def issue(self, seconds: int) -> str:
        """Return a new token that is good for so long."""
        now = self._clock()
        self._ends = {token: end for token, end in self._ends.items() if end > now}
        token = secrets.token_urlsafe(40)
        self._ends[token] = now + seconds
        return token

    def good(self, token: str) -> bool:
        """Say whether a token was handed out and has not ended."""
        return self._ends.get(token, 0.0) > self._clock()


class MetadataService:
    """Answers one instance, from ``start`` until ``stop``."""

    def __init__(self, facts: Facts, around: Callable[[Any], Any] = lambda service: service) -> None:
        """``around`` puts another WSGI application before this one: one that misbehaves."""
        self._tree = tree_of(facts)
        self._facts = facts
        self._tokens = Tokens()
        self._application = around(self._serve)
        self._server: Server | None = None
        self.endpoint = ""

    def start(self, place: socket.socket | None = None) -> None:
        """Begin to answer, on a socket of the instance's own network if there is one."""
        hosts = (METADATA_ADDRESS,) if place else LOOPBACK
        self._server = Server(self._application, name="metadata service", hosts=hosts, place=place)
        self.endpoint = f"http://{METADATA_ADDRESS}/" if place else f"http://127.0.0.1:{self._server.port}/"
        self._server.start()

    def stop(self) -> None:
        """Stop answering, close the port, and end the credentials that were given."""
        if self._server:
            self._server.stop()
        self._facts.revoke()

    def give_spot_notice(self, end: datetime) -> None:
        """Answer ``spot/instance-action`` from now on: the instance is terminated at this time (UTC)."""
        notice = {"action": "terminate", "time": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
        self._tree["latest"]["meta-data"]["spot"] = {"instance-action": lambda: json.dumps(notice)}

    def _serve(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        self._limit_hops(request, environ["werkzeug.socket"])
        response = self._answer(request)
        response.headers["Server"] = "EC2ws"
        return response(environ, start_response)

    def _limit_hops(self, request: Request, connection: socket.socket) -> None:
        """Let the answer with a token go as far as the instance's options say.

        This service is in the instance's own network, and so one hop nearer than EC2's: who asks from another address
        than the service's own (a container, say) is behind the instance, which an answer with one hop left never is.
        """
        asks_for_token = request.path == TOKEN_PATH and request.method == "PUT"
        limit = self._facts.hop_limit if asks_for_token else _TTL
        connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, limit)
        here, there = connection.getsockname()[0], connection.getpeername()[0]
        if asks_for_token and here != there and limit <= 1:
            connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, request: Request) -> Response:
        if request.path == TOKEN_PATH:
            return self._issue_token(request) if request.method == "PUT" else Response(status=405)
        if request.method not in {"GET", "HEAD"}:
            return Response(status=405)
        token = request.headers.get(TOKEN_HEADER)
        if (token is None and self._facts.tokens_required) or (token is not None and not self._tokens.good(token)):
            return Response(status=401)
        return _look_up(self._tree, request.path)

    def _issue_token(self, request: Request) -> Response:
        if FORWARDED_HEADER in request.headers:  # it comes by a proxy, which may ask for anybody
            return Response(status=403)
        try:
            seconds = int(request.headers.get(TTL_HEADER, ""))
        except ValueError:
            return Response(status=400)
        if not 1 <= seconds <= LONGEST_TTL:
            return Response(status=400)
        return Response(self._tokens.issue(seconds), headers={TTL_HEADER: str(seconds)})


def _look_up(tree: Tree, path: str) -> Response:
    place: Any = tree
    for name in filter(None, path.split("/")):
        if not isinstance(place, Mapping) or name not in place:
            return Response(status=404)
        place = place[name]
    if isinstance(place, Mapping):
        return Response("\n".join(name + "/" * isinstance(below, Mapping) for name, below in sorted(place.items())))
    return Response(place())
