"""SimpleDB, as a back end for moto: all ten operations of API version 2009-04-15, with its limits and error codes.

``install()`` puts it in the place of moto's own ``sdb``; call it once before a moto server starts. Data live in memory
and end with the process, or with moto's reset. Nothing here knows what the domains are used for.
"""

from typing import Any
from urllib.parse import parse_qs

import moto.sdb
from moto.backends import get_backend
from moto.core.serialize import SERVICE_SPECIFIC_SERIALIZERS
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from .models import sdb_backends
from .serializer import SimpleDBSerializer

__all__ = ["install", "sdb_backends"]

API_VERSION = "2009-04-15"


def install() -> None:
    """Let every moto server of this process answer SimpleDB requests from here; safe to call again."""
    if get_backend("sdb") is sdb_backends:
        return
    setattr(moto.sdb, "sdb_backends", sdb_backends)  # noqa: B010  # its type is that of moto's own back end
    SERVICE_SPECIFIC_SERIALIZERS["sdb"] = {"query": SimpleDBSerializer}
    _route_by_version()


def _route_by_version() -> None:
    """Let moto's one-port server know a SimpleDB request that carries no Authorization header, by its API version.

    Clients sign SimpleDB with signature version 2, in the parameters. moto looks for the version in the body only, and
    gives up on a body that is not fully percent-encoded; clients of 2009 put it into the address of a GET.
    """
    by_moto = DomainDispatcherApplication.get_service_from_body

    def get_service_from_body(
        self: DomainDispatcherApplication, body: str | None, environ: dict[str, Any]
    ) -> tuple[str | None, str | None]:
        if parse_qs(body or environ.get("QUERY_STRING", "")).get("Version") == [API_VERSION]:
            return "sdb", "us-east-1"  # only the service decides which application answers
        return by_moto(self, body, environ)

    setattr(DomainDispatcherApplication, "get_service_from_body", get_service_from_body)  # noqa: B010  # see above
