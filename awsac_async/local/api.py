"""The AWS APIs of the embedded cloud on one loopback port, and the account that it comes with.

moto answers EC2, S3, IAM, STS and SimpleDB, with its EC2 and SimpleDB back ends replaced by ours; before it stand
Pricing and Service Quotas. Beside them, under ``CONTROL_PREFIX`` and behind a secret of this cloud, is what ``cloud``
asks the daemon.
"""

import dataclasses
import hmac
import json
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import moto.ec2.models
import moto.ec2.models.elastic_block_store
from moto.iam.models import iam_backends
from moto.moto_api._internal import mock_random
from moto.moto_server import werkzeug_app
from moto.moto_server.utilities import RegexConverter
from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from awsac_async.local import ec2_serializer, jsonapi, pricing, quotas, simpledb, uploads
from awsac_async.local.doors import Hosts, guarded
from awsac_async.local.ebs import EmbeddedVolume
from awsac_async.local.facts import PARTITION
from awsac_async.local.faults.acts import Application
from awsac_async.local.faults.answers import Refusal, worded
from awsac_async.local.faults.calls import read_call
from awsac_async.local.faults.layer import Layer
from awsac_async.local.faults.plan import EventKind
from awsac_async.local.faults.records import Records, as_caller
from awsac_async.local.iam.authentication import authenticated
from awsac_async.local.iam.enforcement import Enforcement
from awsac_async.local.iam.principals import Principals
from awsac_async.local.images import ImageBackend
from awsac_async.local.lastresort import excused
from awsac_async.local.listening import QuietHandler, Server
from awsac_async.local.settings import (
    ACCOUNT,
    ADMINISTRATOR,
    BUCKET,
    CONTROL_PREFIX,
    IMAGE,
    REGION,
    ROLE,
    SECRET_HEADER,
    STOCK_IMAGE,
    USER,
    Settings,
)
from awsac_async.local.validation import validated

_BY_MOTO: tuple[Any, ...] = ("ec2", "s3", "iam", "sts", "sdb")
_SIDE_DOORS = ("/moto-api", "/static/", "/favicon.ico", "/latest/")  # what moto's own server has beside the services
# By which it would find another region, or account, or another operation than the one that the form names.
_NOT_FOR_MOTO = ("HTTP_USER_AGENT", "HTTP_X_MOTO_ACCOUNT_ID", "HTTP_X_AMZ_TARGET")
_ANYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
_EC2_MAY_ASSUME = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Credentials:
    """The access key of the account's user."""

    access_key_id: str
    secret_access_key: str


class ApiHandler(MotoRequestHandler, QuietHandler):
    """moto's handling of headers, without a line for each request."""


class _AnyCharacter(RegexConverter):
    """A part of a path in which, as in keys of S3, there may be line ends."""

    def __init__(self, url_map: Any, *items: Any) -> None:
        super().__init__(url_map, f"(?s:{items[0]})", *items[1:])


def install() -> None:
    """Replace moto's EC2 and SimpleDB back ends, and its multipart uploads, by ours. Comes before the first request."""
    random = secrets.SystemRandom()  # moto's own, of which its secrets are made, could be foretold
    setattr(mock_random, "random", random.random)  # noqa: B010  not a method by its type
    setattr(mock_random, "getrandbits", random.getrandbits)  # noqa: B010
    werkzeug_app.RegexConverter = _AnyCharacter  # type: ignore[attr-defined]  # moto makes routes by this name
    ec2_serializer.install()
    simpledb.install()
    uploads.install()
    moto.ec2.models.ec2_backends.backend = ImageBackend
    moto.ec2.models.elastic_block_store.Volume = EmbeddedVolume  # type: ignore[misc]  # moto makes volumes by this name


def ec2_backend() -> ImageBackend:
    """Return the EC2 back end of the account's region."""
    return cast("ImageBackend", moto.ec2.models.ec2_backends[ACCOUNT][REGION])


def provision(settings: Settings) -> dict[str, Credentials]:
    """Make what the account comes with: images, a bucket, a role with its instance profile, users; return their keys.

    The administrator, who is there if policies are enforced, may do everything.
    """
    ec2_backend().provision_images()
    s3_backends[ACCOUNT][PARTITION].create_bucket(BUCKET, REGION)
    iam = iam_backends[ACCOUNT][PARTITION]
    iam.create_role(ROLE, json.dumps(_EC2_MAY_ASSUME), "/", None, "for instances", [], None)
    iam.put_role_policy(ROLE, "rights", settings.role_policy or _ANYTHING)
    iam.create_instance_profile(ROLE, "/", [])
    iam.add_role_to_instance_profile(ROLE, ROLE)
    users = {USER: settings.user_policy or _ANYTHING} | ({ADMINISTRATOR: _ANYTHING} if settings.iam else {})
    return {name: _make_user(name, document) for name, document in users.items()}


def _make_user(name: str, document: str) -> Credentials:
    """Make a user with a managed policy: an inline one of a user has 2,048 characters at most."""
    iam = iam_backends[ACCOUNT][PARTITION]
    iam.create_user(REGION, name)
    iam.attach_user_policy(iam.create_policy("", "/", document, f"{name}-rights", []).arn, name)
    key = iam.create_access_key(name)
    return Credentials(access_key_id=key.access_key_id, secret_access_key=key.secret_access_key)


class Control:
    """What ``cloud`` asks the daemon: what there is, to import a snapshot, and to let things go wrong."""

    def __init__(self, faults: Layer, iam: Enforcement) -> None:
        self.secret = secrets.token_urlsafe(32)
        self._faults, self._iam = faults, iam

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer, as a WSGI application."""
        request = Request(environ)
        return self._answer(request)(environ, start_response)

    def _answer(self, request: Request) -> Response:
        given = request.headers.get(SECRET_HEADER, "").encode()  # not all can be compared as text
        if not hmac.compare_digest(given, self.secret.encode()):
            return Response(status=403)
        operations: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "counts"): counts,
            ("POST", "snapshots"): import_snapshot,
            ("POST", "instance-events"): lambda order: instance_event(EventKind(order["event"]), order["instance_id"]),
            ("POST", "doors"): lambda order: ec2_backend().hardware.hypervisor.door(order["instance_id"]),
            ("GET", "faults"): lambda _: self._faults.report(),
            ("POST", "faults"): self._faults.load,
            ("GET", "access"): lambda _: self._iam.report(),
        }
        operation = operations.get((request.method, request.path.removeprefix(CONTROL_PREFIX)))
        if operation is None:
            return Response(status=404)
        try:
            order = json.loads(request.get_data() or "null")
        except ValueError:
            return Response("the order is no JSON", status=400)
        try:
            answer = operation(order)
        except (KeyError, TypeError, AttributeError) as error:
            return Response(f"the order lacks something: {error}", status=400)
        except Exception as error:  # told to the caller, who raises it
            return Response(f"{error}", status=400)
        return Response(json.dumps(answer), content_type="application/json")


def counts(_: Any) -> dict[str, int]:
    """Count what costs money on AWS: terminated instances and the snapshots of the first images do not."""
    backend = ec2_backend()
    return {
        "instances": sum(instance.state != "terminated" for instance in backend.all_instances()),
        "volumes": len(backend.volumes),
        "snapshots": sum(each.from_ami not in {IMAGE, STOCK_IMAGE} for each in list(backend.snapshots.values())),
        "objects": sum(len(bucket.keys) for bucket in list(s3_backends[ACCOUNT][PARTITION].buckets.values())),
        "domains": sum(1 for _ in _domains()),
    }


def _domains() -> Iterator[str]:
    backend = simpledb.sdb_backends[ACCOUNT][REGION]
    token: str | None = None
    while True:
        names, token = backend.list_domains(maximum=100, next_token=token)
        yield from names
        if token is None:
            return


def import_snapshot(order: dict[str, Any]) -> str:
    """Make a snapshot from a folder; return its ID."""
    snapshot = ec2_backend().import_folder(Path(order["source"]), order["description"])
    snapshot.add_tags(order["tags"])
    return snapshot.id


def instance_event(kind: EventKind, instance_id: str) -> None:
    """Let something happen to an instance that EC2 does by itself."""
    backend = ec2_backend()
    events = {
        EventKind.SPOT_NOTICE: backend.spot_notice,
        EventKind.LOST: backend.lose,
        EventKind.AGENT_KILLED: backend.kill_agent,
    }
    events[kind](instance_id)


def fault_layer(text: str) -> Layer:
    """Return what lets the account misbehave as a file's text says, its metadata services included."""
    backend = ec2_backend()
    layer = Layer(Records(backend), instance_event)
    layer.load(text)
    backend.around_metadata = lambda instance, service: layer.around_metadata(service, as_caller(instance))
    return layer


def make_api_server(
    settings: Settings, control: Control, faults: Layer, iam: Enforcement, principals: Principals
) -> Any:
    """Return the HTTP server, listening on loopback."""
    answering = jsonapi.answering({**pricing.OPERATIONS, **quotas.OPERATIONS}, _by_moto())
    services = excused(authenticated(faults.around_services(iam.around(validated(answering))), principals))

    def application(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path.startswith(_SIDE_DOORS):
            return Response(status=404)(environ, start_response)
        return (control if path.startswith(CONTROL_PREFIX) else services)(environ, start_response)

    server = make_server("127.0.0.1", settings.port, application, threaded=True, request_handler=ApiHandler)
    server.app = guarded(Hosts(port=server.server_port, forwarded=settings.forwarded), application)
    return server


def _by_moto() -> Application:
    """Return what lets moto answer a call of a service: of these alone, and nothing that moto has beside them."""
    apps = {service: create_backend_app(service) for service in _BY_MOTO}

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        call = read_call(environ)
        if call.service not in apps or (call.service != "s3" and environ["PATH_INFO"] != "/"):
            unknown = Refusal(code="UnknownOperationException", status=404, message="There is no such operation.")
            return worded(unknown, call)(environ, start_response)
        for name in _NOT_FOR_MOTO:
            environ.pop(name, None)
        return apps[call.service](environ, start_response)

    return application


def serve_instance(server: Any, place: socket.socket) -> Server:
    """Begin to answer an instance on a socket of its own network; what ``cloud`` asks the daemon is not asked there."""

    def application(environ: Any, start_response: Any) -> Any:
        inside = environ["PATH_INFO"].startswith(CONTROL_PREFIX)
        return (Response(status=404) if inside else server.app)(environ, start_response)

    serving = Server(application, name="API of an instance", handler=ApiHandler, place=place)
    serving.start()
    return serving
