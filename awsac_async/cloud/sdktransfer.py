"""The few objects whose keys obstore cannot name, moved by the SDK: ``a//b``, ``a/./b``, ``dir/``, control characters.

Owns nothing else: such keys are rare, and the SDK is many times slower.
"""

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import aiofiles
import aiofiles.os

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.downloads import OWN_FAULTS
from awsac_async.cloud.objects import Download, Downloaded, Stream, Upload, address
from awsac_async.cloud.parts import check_sha256, part_path, writing
from awsac_async.cloud.uploads import reading
from awsac_async.cloud.waiting import for_each
from awsac_async.session.errors import ConflictError, InputError, UnwritableError

_AT_ONCE = 16
_CHUNK = 1 << 20


async def download(aws: Aws, bucket: str, items: Sequence[Download], tell: Callable[[Downloaded], None]) -> None:
    """Download objects into their targets, each by way of its ``.part`` file; ``tell`` is told what came of each."""

    async def fetch(item: Download) -> None:
        try:
            await fetch_into(item)
        except UnwritableError as error:
            tell(Downloaded(item=item, error=error))

    async def fetch_into(item: Download) -> None:
        with writing(item.target):
            await aiofiles.os.makedirs(item.target.parent, exist_ok=True)
            try:
                sha256 = await _fetch(aws, bucket, item)
                check_sha256(item, sha256, place=address(bucket, item.key))
            except OWN_FAULTS as error:
                with contextlib.suppress(FileNotFoundError):
                    await aiofiles.os.unlink(part_path(item.target))
                tell(Downloaded(item=item, error=error))
                return
            mtime_ns = (await aiofiles.os.stat(part_path(item.target))).st_mtime_ns
            await aiofiles.os.rename(part_path(item.target), item.target)
            tell(Downloaded(item=item, sha256=sha256, mtime_ns=mtime_ns))

    await for_each(items, fetch, at_once=_AT_ONCE, name="download")


async def upload(aws: Aws, bucket: str, items: Sequence[Upload]) -> None:
    """Upload files or bytes; the SDK cuts large ones into parts. Raises InputError for a stream."""

    async def send(item: Upload) -> None:
        source = item.source
        if isinstance(source, Stream):
            raise InputError(f"no stream can be uploaded to the key {item.key!r}")
        s3 = await aws.client("s3")
        with reading(source), translated("PutObject", address(bucket, item.key)):
            if isinstance(source, Path):
                await s3.upload_file(str(source), bucket, item.key)
            else:
                await s3.upload_fileobj(BytesIO(source), bucket, item.key)

    await for_each(items, send, at_once=_AT_ONCE, name="upload")


async def _fetch(aws: Aws, bucket: str, item: Download) -> str:
    """Fill the ``.part`` file, and return its SHA-256."""
    s3, place = await aws.client("s3"), address(bucket, item.key)
    condition = {"IfMatch": item.etag} if item.etag else {}
    with translated("GetObject", place):
        answer = await s3.get_object(Bucket=bucket, Key=item.key, **condition)
        size, sha256 = 0, hashlib.sha256()
        async with answer["Body"], aiofiles.open(part_path(item.target), "wb") as file:
            async for chunk in answer["Body"].iter_chunks(_CHUNK):
                size += await file.write(chunk)
                sha256.update(chunk)  # a chunk takes less than a millisecond
    if size != item.size:
        raise ConflictError("GetObject", place, "the object was replaced since it was listed")
    return sha256.hexdigest()
