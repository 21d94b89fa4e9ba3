"""Multipart uploads that nobody will complete: their parts are no objects, are in no listing, and cost as objects do.

Owns finding and aborting them. An upload in progress looks the same: whoever calls this knows that there is none.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.objects import address
from awsac_async.session.errors import CloudError, NotFoundError

_WITHIN = 20.0  # seconds: who is stopped, or hears of an error, waits no longer for this


async def abort_unfinished(
    aws: Aws, bucket: str, prefix: str, *, wanted: Callable[[str], bool] = lambda _: True
) -> int:
    """Abort the uploads to keys that begin with ``prefix`` and are ``wanted``; return how many there were."""
    s3, found = await aws.client("s3"), []
    with translated("ListMultipartUploads", address(bucket, prefix)):
        async for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
            found += [(each["Key"], each["UploadId"]) for each in page.get("Uploads", []) if wanted(each["Key"])]
    for key, upload_id in found:
        with contextlib.suppress(NotFoundError), translated("AbortMultipartUpload", address(bucket, key)):
            await s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    return len(found)


async def abort_if_possible(aws: Aws, bucket: str, keys: Collection[str]) -> None:
    """Abort the uploads to these keys, for a few seconds; whoever cannot, as the bucket is out of reach, goes on.

    obstore aborts what it gives up, but by one request, which may fail; and S3 may take in a part that was on its way.
    """
    with contextlib.suppress(CloudError, TimeoutError):  # the error that led here is the one to be told
        async with asyncio.timeout(_WITHIN):
            for key in keys:
                await abort_unfinished(aws, bucket, key, wanted=key.__eq__)
