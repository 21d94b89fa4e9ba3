"""SimpleDB, as a back end for moto: all ten operations of API version 2009-04-15, with its limits and error codes.

``install()`` puts it in the place of moto's own ``sdb``; call it once before a moto server starts. Data live in memory
and end with the process, or with moto's reset. Nothing here knows what the domains are used for.
"""

import moto.sdb
from moto.backends import get_backend
from moto.core.serialize import SERVICE_SPECIFIC_SERIALIZERS

from .models import sdb_backends
from .serializer import SimpleDBSerializer

__all__ = ["install", "sdb_backends"]


def install() -> None:
    """Let every moto server of this process answer SimpleDB requests from here; safe to call again."""
    if get_backend("sdb") is sdb_backends:
        return
    setattr(moto.sdb, "sdb_backends", sdb_backends)  # noqa: B010  # its type is that of moto's own back end
    SERVICE_SPECIFIC_SERIALIZERS["sdb"] = {"query": SimpleDBSerializer}
