"""All buckets of the account, and what they hold of sessions: by folders and single keys, never by whole lists.

Reads only. A bucket may be anybody's: nothing here looks into an object.
"""

from dataclasses import dataclass
from typing import Any

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.objects import address

_BUCKETS_A_PAGE = 1000  # with a page size S3 names the region of each bucket as well


@dataclass(frozen=True, kw_only=True)
class BucketPlace:
    """A bucket of the account; ``region`` is that of the connection where the server does not tell one."""

    name: str
    region: str


async def account_buckets(aws: Aws) -> list[BucketPlace]:
    """Return all buckets that the account owns, of every region, by name."""
    pages, found = (await aws.client("s3")).get_paginator("list_buckets"), []
    with translated("ListBuckets"):
        async for page in pages.paginate(PaginationConfig={"PageSize": _BUCKETS_A_PAGE}):
            found += [_place(bucket, aws.region) for bucket in page.get("Buckets", [])]
    return sorted(found, key=lambda place: place.name)


async def subfolders(aws: Aws, bucket: str, prefix: str) -> list[str]:
    """Return the names between ``prefix``, which ends with "/", and the next "/" of the keys; 1,000 a request."""
    pages, found = (await aws.client("s3")).get_paginator("list_objects_v2"), []
    with translated("ListObjectsV2", address(bucket, prefix)):
        async for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            found += [each["Prefix"].removeprefix(prefix).rstrip("/") for each in page.get("CommonPrefixes", [])]
    return found


async def holds_any(aws: Aws, bucket: str, prefix: str) -> bool:
    """Whether there is an object whose key begins with ``prefix``: one request."""
    s3 = await aws.client("s3")
    with translated("ListObjectsV2", address(bucket, prefix)):
        answer = await s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    return bool(answer.get("Contents"))


def _place(bucket: dict[str, Any], region: str) -> BucketPlace:
    return BucketPlace(name=bucket["Name"], region=bucket.get("BucketRegion") or region)
