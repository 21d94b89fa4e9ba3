"""The verb ``gc``: finds what costs money and belongs to no living session, and deletes it.

``account`` sees what there is, ``rules`` judge what of it is garbage, ``collect`` does both and deletes.
"""

from awsac_async.client.gc.collect import Collection, collect_garbage, find_garbage
from awsac_async.client.gc.rules import Garbage, GarbageKind

__all__ = ["Collection", "Garbage", "GarbageKind", "collect_garbage", "find_garbage"]
