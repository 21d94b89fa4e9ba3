"""Listings of thousands of objects: by obstore, which reads one a hundred times faster than the SDK, where it can.

Owns when it cannot: keys that it refuses or would spell differently (``a//b``, ``dir/``) are left to the SDK.
"""

import asyncio
from typing import TYPE_CHECKING

from awsac_async.cloud.objects import ObjectInfo

if TYPE_CHECKING:
    from obstore.store import S3Store

_PAGE = 1000


async def list_quickly(store: "S3Store", prefix: str) -> list[ObjectInfo] | None:
    """Return all objects below a prefix that ends with ``/``, sorted by key; None: the SDK has to be asked.

    None also stands for an error, which the SDK then meets again, and explains.
    """
    return await asyncio.to_thread(_listed, store, prefix)


def _listed(store: "S3Store", prefix: str) -> list[ObjectInfo] | None:
    import obstore
    from obstore.exceptions import BaseError

    try:
        pages = obstore.list(store, prefix=prefix, chunk_size=_PAGE)
        found = [meta for page in pages for meta in page]
    except (BaseError, OSError):  # its errors that Python has names for, like FileNotFoundError, are not BaseErrors
        return None
    if any(meta["size"] == 0 or not meta["e_tag"] for meta in found):
        return None  # "dir/" would be listed as "dir"; such marks are empty
    infos = [
        ObjectInfo(key=meta["path"], size=meta["size"], etag=meta["e_tag"] or "", modified=meta["last_modified"])
        for meta in found
    ]
    return sorted(infos, key=lambda info: info.key)
