"""Objects of some megabytes that are written once and never changed, one after another for hours.

Owns the threads and the one connection of that: hashing and sending go on beside the event loop, and a bucket that
hangs holds up no other work in threads.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.objects import address
from awsac_async.cloud.store import make_store
from awsac_async.session.errors import CredentialsError

if TYPE_CHECKING:
    from obstore.store import S3Store

_AT_ONCE = 4
_PATIENCE = timedelta(minutes=1)


class Creation:
    """Creates objects in one bucket, for one event loop."""

    def __init__(self, aws: Aws, bucket: str) -> None:
        self._aws, self._bucket = aws, bucket
        self._store: S3Store | None = None
        self._threads: ThreadPoolExecutor | None = None

    async def create(self, key: str, body: bytes | memoryview) -> None:
        """Write an object that is not there yet.

        Cancelling does not take back what a thread has begun: the object may be there then.

        Raises:
            ConflictError: there is one.
        """
        store = self._store = self._store or await make_store(self._aws, self._bucket, retries=2, patience=_PATIENCE)
        threads = self._threads = self._threads or self._start_threads()
        try:
            async with self._aws.renewing():
                await asyncio.get_running_loop().run_in_executor(threads, self._put, store, key, body)
        except CredentialsError:
            self._store = None  # it would keep the old credentials
            raise

    def _start_threads(self) -> ThreadPoolExecutor:
        """Return threads that end with the connection, as soon as what they have begun is done."""
        threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="create object")
        self._aws.at_end(partial(threads.shutdown, wait=False, cancel_futures=True))
        return threads

    def _put(self, store: "S3Store", key: str, body: bytes | memoryview) -> None:
        import obstore  # only a transfer should cost this

        with translated("PutObject", address(self._bucket, key)):
            obstore.put(store, key, body, use_multipart=False, mode="create")
