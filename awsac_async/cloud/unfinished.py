"""Multipart uploads that nobody will complete: their parts are no objects, are in no listing, and cost as objects do.

Owns finding and aborting them. An upload in progress looks the same: whoever calls this knows that there is none.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.objects import address
from awsac_async.session.errors import CloudError, NotFoundError

_WITHIN = 20.0  # seconds: who is stopped, or hears of an error, waits no longer for this


@dataclass(frozen=True, kw_only=True)
class UnfinishedUpload:
    """A multipart upload that was begun, at ``initiated`` (UTC), and neither completed nor aborted."""

    bucket: str
    key: str
    upload_id: str
    initiated: datetime


async def unfinished_uploads(aws: Aws, bucket: str, prefix: str = "") -> list[UnfinishedUpload]:
    """Return the uploads under way, or given up, to keys that begin with ``prefix``; 1,000 a request."""
    s3, found = await aws.client("s3"), []
    with translated("ListMultipartUploads", address(bucket, prefix)):
        async for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
            found += [
                UnfinishedUpload(
                    bucket=bucket,
                    key=each["Key"],
                    upload_id=each["UploadId"],
                    initiated=each["Initiated"].astimezone(UTC),
                )
                for each in page.get("Uploads", [])
            ]
    return found


async def abort(aws: Aws, upload: UnfinishedUpload) -> None:
    """Abort an upload and delete its parts; one that is not there is aborted already."""
    s3 = await aws.client("s3")
    with (
        contextlib.suppress(NotFoundError),
        translated("AbortMultipartUpload", address(upload.bucket, upload.key)),
    ):
        await s3.abort_multipart_upload(Bucket=upload.bucket, Key=upload.key, UploadId=upload.upload_id)


async def abort_unfinished(
    aws: Aws, bucket: str, prefix: str, *, wanted: Callable[[str], bool] = lambda _: True
) -> int:
    """Abort the uploads to keys that begin with ``prefix`` and are ``wanted``; return how many there were."""
    found = [each for each in await unfinished_uploads(aws, bucket, prefix) if wanted(each.key)]
    for each in found:
        await abort(aws, each)
    return len(found)


async def abort_if_possible(aws: Aws, bucket: str, keys: Collection[str]) -> None:
    """Abort the uploads to these keys, for a few seconds; whoever cannot, as the bucket is out of reach, goes on.

    obstore aborts what it gives up, but by one request, which may fail; and S3 may take in a part that was on its way.
    """
    with contextlib.suppress(CloudError, TimeoutError):  # the error that led here is the one to be told
        async with asyncio.timeout(_WITHIN):
            for key in keys:
                await abort_unfinished(aws, bucket, key, wanted=key.__eq__)
