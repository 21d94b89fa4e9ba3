"""An S3 bucket: listing, small documents, conditional writes, deletion; and the way to bulk transfer.

Owns the control plane of S3 (aioboto3). Large or many bytes go through ``transfer``, never through here.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.creation import Creation
from awsac_async.cloud.failures import by_code
from awsac_async.cloud.listing import list_quickly
from awsac_async.cloud.objects import Download, Downloaded, ObjectInfo, Progress, Upload, address
from awsac_async.cloud.ordered import Write, head, read_in_order
from awsac_async.cloud.store import make_store
from awsac_async.cloud.transfer import PATIENCE_DOWN, PATIENCE_UP, OnDone, OnProgress, download, read, upload
from awsac_async.cloud.unfinished import abort_unfinished
from awsac_async.session.errors import (
    CloudError,
    ConflictError,
    CredentialsError,
    DamagedError,
    InputError,
    NotFoundError,
)
from awsac_async.session.names import WRITE_CHECK_KEY
from awsac_async.session.wording import shown_size

if TYPE_CHECKING:
    from obstore.store import S3Store

__all__ = ["Bucket", "Download", "Downloaded", "ObjectInfo", "Progress", "Upload"]

_NO_ETAG = '"00000000000000000000000000000000"'
_NOT_IN_XML = re.compile("[\x00-\x1f\ufffe\uffff]")  # characters of a key that XML does not carry as they are
_KEYS_A_CALL = 1000  # of DeleteObjects
_MOST_READ = 64 << 20  # bytes of a small object; more is nothing that awsac has written
_NOT_MODIFIED = "304"  # the SDK takes this answer, which has no code of its own, for an error


class Bucket:
    """One bucket, used by one event loop."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws, self.name = aws, name
        self._creation = Creation(aws, name)
        self._making_store = asyncio.Lock()
        self._store: S3Store | None = None

    async def check(self) -> None:
        """Return if the bucket is there, in this connection's region, and may be used.

        Raises:
            NotFoundError, DeniedError: it is not there, or not ours.
            InputError: it is in another region.
        """
        s3 = await self._client()
        with translated("HeadBucket", self.name):
            answer = await s3.head_bucket(Bucket=self.name)
        # The SDK follows a bucket to its region, bulk transfers do not; and traffic between regions costs money.
        region = answer.get("BucketRegion") or self._aws.region
        if region != self._aws.region:
            raise InputError(f"the bucket {self.name} is in {region}, the session is to run in {self._aws.region}")

    async def check_writable(self) -> bool:
        """Return, if objects may be written here, whether conditions are heeded; nothing is written.

        S3 looks at the rights first, and then refuses to replace a version of an object that there cannot be.

        Raises:
            DeniedError: they may not.
        """
        try:
            await self.write(WRITE_CHECK_KEY, b"", etag=_NO_ETAG)
        except (NotFoundError, ConflictError):
            return True
        await self.delete([WRITE_CHECK_KEY])  # a server that knows no conditions has written it
        return False

    async def list(self, prefix: str, *, after: str = "") -> list[ObjectInfo]:
        """Return all objects whose keys begin with ``prefix`` and sort after ``after``, sorted by key."""
        pages = (await self._client()).get_paginator("list_objects_v2")
        bounds = {"Prefix": prefix} | ({"StartAfter": after} if after else {})
        found = []
        with translated("ListObjectsV2", self._place(prefix)):
            async for page in pages.paginate(Bucket=self.name, **bounds):
                found += [_info(item) for item in page.get("Contents", [])]
        return found

    async def list_below(self, prefix: str) -> Sequence[ObjectInfo]:
        """Return what ``list`` does for a prefix that ends with ``/``, sooner if there are thousands of objects."""
        async with self._downloading() as store:
            quickly = await list_quickly(store, prefix)
        return await self.list(prefix) if quickly is None else quickly

    async def read(self, key: str) -> tuple[bytes, str]:
        """Return a small object's content and its ETag. Raises NotFoundError, and DamagedError if it is a large one."""
        return await self._read(key)

    async def read_if_changed(self, key: str, etag: str | None) -> tuple[bytes, str] | None:
        """Return a small object's content and its ETag, or None if it is still the one of this ETag.

        Raises:
            NotFoundError: there is no such object.
        """
        try:
            return await self._read(key, **({"IfNoneMatch": etag} if etag else {}))
        except CloudError as error:
            if error.code == _NOT_MODIFIED:
                return None
            raise

    async def read_part(self, key: str, *, start: int, end: int) -> bytes:
        """Return bytes ``start`` to ``end`` (not included) of an object that has that many. Raises NotFoundError."""
        content, _ = await self._read(key, Range=f"bytes={start}-{end - 1}")
        return content

    async def _read(self, key: str, **condition: str) -> tuple[bytes, str]:
        s3 = await self._client()
        with translated("GetObject", self._place(key)):
            answer = await s3.get_object(Bucket=self.name, Key=key, **condition)
            async with answer["Body"] as body:
                if answer["ContentLength"] > _MOST_READ:
                    cause = f"found {shown_size(answer['ContentLength'])}, expected a small object"
                    raise DamagedError("GetObject", self._place(key), cause)
                return await body.read(), str(answer["ETag"])

    async def write(self, key: str, body: bytes, *, etag: str | None) -> str:
        """Write a small object if it still has this ETag (None: if there is none yet), and return its new one.

        Raises:
            ConflictError: somebody else has written it meanwhile.
            NotFoundError: somebody else has deleted it meanwhile.
        """
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        s3 = await self._client()
        with translated("PutObject", self._place(key)):
            answer = await s3.put_object(Bucket=self.name, Key=key, Body=body, **condition)
        return str(answer["ETag"])

    async def put(self, key: str, body: bytes) -> None:
        """Write a small object, whatever is there."""
        s3 = await self._client()
        with translated("PutObject", self._place(key)):
            await s3.put_object(Bucket=self.name, Key=key, Body=body)

    async def create(self, key: str, body: bytes | memoryview) -> None:
        """Write an object of some megabytes that is not there yet; it is never changed. See `Creation.create`.

        Raises:
            ConflictError: it is there.
        """
        await self._creation.create(key, body)

    async def upload(
        self,
        items: Sequence[Upload],
        *,
        patience: timedelta = PATIENCE_UP,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Upload files, bytes or streams, many at once; progress is told on the loop. See `transfer.upload`."""
        await upload(self._aws, self.name, items, patience=patience, on_progress=on_progress)

    async def download(
        self, items: Sequence[Download], *, on_progress: OnProgress = None, on_done: OnDone = None
    ) -> None:
        """Download objects into files, many at once; progress is told on the loop. See `transfer.download`."""
        async with self._downloading() as store:
            await download(self._aws, self.name, items, store=store, on_progress=on_progress, on_done=on_done)

    async def read_all(self, objects: Sequence[ObjectInfo]) -> dict[str, bytes]:
        """Return the contents of small objects by key, many read at once. See `transfer.read`."""
        async with self._downloading() as store:
            return await read(self._aws, self.name, objects, store=store)

    async def head(self, key: str) -> ObjectInfo:
        """Return what S3 says of an object without its content. Only for keys that obstore can name.

        Raises:
            NotFoundError, DeniedError: it is not there, or S3 does not say.
        """
        async with self._downloading() as store:
            return await head(self._aws, store, self.name, key)

    async def read_in_order(self, info: ObjectInfo, write: Write, *, start: int = 0) -> None:
        """Hand the bytes of an object to ``write`` in their order, while those behind are fetched.

        See `ordered.read_in_order`.
        """
        async with self._downloading() as store:
            await read_in_order(self._aws, store, self.name, info, write, start=start)

    @asynccontextmanager
    async def _downloading(self) -> AsyncIterator["S3Store"]:
        """Give the way for all downloads, whose connections stay open from one call to the next."""
        async with self._making_store:
            store = self._store = self._store or await make_store(
                self._aws, self.name, retries=0, patience=PATIENCE_DOWN
            )
        try:
            yield store
        except CredentialsError:
            self._store = None  # it would keep the old credentials
            raise

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there are deleted already."""
        s3 = await self._client()
        plain = [key for key in keys if not _NOT_IN_XML.search(key)]
        for start in range(0, len(plain), _KEYS_A_CALL):
            names = [{"Key": key} for key in plain[start : start + _KEYS_A_CALL]]
            with translated("DeleteObjects", self._place(plain[start])):
                answer = await s3.delete_objects(Bucket=self.name, Delete={"Objects": names, "Quiet": True})
            self._raise_first(answer.get("Errors", []))
        for key in keys:
            if _NOT_IN_XML.search(key):
                with translated("DeleteObject", self._place(key)):
                    await s3.delete_object(Bucket=self.name, Key=key)

    def _raise_first(self, errors: Sequence[dict[str, str]]) -> None:
        """Raise what a 200 answer says went wrong with single keys."""
        for error in errors:
            place = self._place(error.get("Key", ""))
            raise by_code(
                error.get("Code", ""), "", error.get("Message", ""), operation="DeleteObjects", resource=place
            )

    async def abort_uploads(self, prefix: str) -> int:
        """Drop the parts of multipart uploads that nobody will complete, which cost as objects do; returns how many.

        Only for keys to which nobody is uploading now: whoever is, fails.
        """
        return await abort_unfinished(self._aws, self.name, prefix)

    async def _client(self) -> Any:
        return await self._aws.client("s3")

    def _place(self, key: str) -> str:
        return address(self.name, key)


def _info(item: dict[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key=item["Key"], size=item["Size"], etag=item["ETag"], modified=item["LastModified"].astimezone(UTC)
    )
