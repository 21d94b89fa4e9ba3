"""A session's status in S3: one document of each writer below a prefix, for whoever has no SimpleDB.

Owns the calls, and remembers which versions it has read: a further look lists the prefix and reads only what has
changed. What a document holds, and which one counts, is said by ``session.statusdocs``.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.buckets import holds_any
from awsac_async.cloud.objects import ObjectInfo, address
from awsac_async.cloud.waiting import for_each
from awsac_async.session.errors import NotFoundError
from awsac_async.session.model import MAX_JOBS, JobRecord
from awsac_async.session.names import launch_key, launches_prefix, status_prefix
from awsac_async.session.statusdocs import (
    StatusDocument,
    StatusWriter,
    format_status,
    latest,
    most_bytes,
    of_no_launch,
    parse_status,
    status_key,
    too_large,
    writer_of,
)

_log = logging.getLogger(__name__)
_AT_ONCE = 16
_Understood = dict[str, tuple[str, StatusDocument | None]]  # by key: the ETag that was listed, the content
_MOST_BYTES = 512 << 20  # of all documents: ten thousand instances with the status of a large session
_START = StatusWriter()


class S3Status:
    """The status store of a session in its bucket."""

    pause = 2.0  # each write costs 0.0005 US cents: an hour of changes without a break, one cent

    def __init__(self, aws: Aws, session_id: str, bucket: str, *, n_jobs: int | None = None) -> None:
        self._aws, self._session_id, self._bucket = aws, session_id, Bucket(aws, bucket)
        self._n_jobs, self._bounded = n_jobs or MAX_JOBS, n_jobs is not None
        self._prefix = status_prefix(session_id)
        self._read: _Understood = {}
        self._written: dict[StatusWriter, dict[int, JobRecord]] = {}

    @property
    def place(self) -> str:
        """The prefix of the documents, as a person would write it."""
        return address(self._bucket.name, self._prefix)

    @property
    def damage(self) -> Sequence[str]:
        """A sentence on each document that could not be understood when the status was last read."""
        return [each.damage for each in self._documents() if each.damage]

    async def create(self) -> None:
        """Do nothing: a document comes into being when it is written."""

    async def exists(self) -> bool:
        """Whether there is any document: one request."""
        return await holds_any(self._aws, self._bucket.name, self._prefix)

    async def read(self, *, timings: bool = True) -> list[JobRecord]:  # noqa: ARG002  there is nothing to save here
        """Return what counts of each job, by number: one list for 1,000 documents, and those that have changed."""
        found = await self._bucket.list_below(self._prefix)
        listed = {each.key: each for each in found if writer_of(each.key, self._session_id)}
        changed = [each for key, each in listed.items() if self._read.get(key, ("",))[0] != each.etag]
        unchanged = listed.keys() - {each.key for each in changed}
        fitting = self._fitting(changed)
        contents = await self._contents(fitting)
        understood = await asyncio.to_thread(self._understood, fitting, contents)
        understood |= {each.key: (each.etag, self._too_large(each)) for each in changed if each not in fitting}
        if self._bounded:
            understood |= await self._of_no_launch(understood)
        for _, document in understood.values():
            if document and document.damage:
                _log.warning("%s", document.damage)
        self._read = {key: self._read[key] for key in unchanged} | understood
        return await asyncio.to_thread(latest, self._documents())

    async def write(
        self, records: Sequence[JobRecord], *, by: StatusWriter = _START, known: Sequence[JobRecord] = ()
    ) -> None:
        """Replace what this writer says of these jobs, in one request; of others it says what it has said before."""
        if not records:
            return
        said = self._said_before(by) | {each.number: each for each in (*known, *records)}
        await self._bucket.put(status_key(self._session_id, by), await asyncio.to_thread(_formatted, said, by))
        self._written[by] = said

    async def take_back(self, before: Sequence[JobRecord], *, by: StatusWriter) -> None:  # noqa: ARG002  still there
        """Remove what this writer has said; what others had said of its jobs before counts again."""
        key = status_key(self._session_id, by)
        await self._bucket.delete([key])
        self._written.pop(by, None)
        self._read.pop(key, None)

    async def delete(self) -> None:
        """Remove all documents."""
        await self._bucket.delete([each.key for each in await self._bucket.list(self._prefix)])
        self._written.clear()
        self._read.clear()

    def _fitting(self, objects: Sequence[ObjectInfo]) -> list[ObjectInfo]:
        """Return the documents that are not too large, each and together: others write here as well."""
        most, left = most_bytes(self._n_jobs), _MOST_BYTES
        fitting = []
        for each in objects:
            if each.size <= min(most, left):
                fitting.append(each)
                left -= each.size
        return fitting

    async def _of_no_launch(self, understood: _Understood) -> _Understood:
        """Return those of the documents that are of launches which the session does not have, without their content."""
        further = {key: each for key, each in understood.items() if each[1] and each[1].writer.launch > 1}
        if not further:
            return {}
        listed = {each.key for each in await self._bucket.list(launches_prefix(self._session_id))}
        last = 1
        while launch_key(self._session_id, last + 1) in listed:
            last += 1
        return {
            key: (etag, of_no_launch(document, file=address(self._bucket.name, key)))
            for key, (etag, document) in further.items()
            if document and document.writer.launch > last
        }

    def _too_large(self, info: ObjectInfo) -> StatusDocument | None:
        writer, place = writer_of(info.key, self._session_id), address(self._bucket.name, info.key)
        return too_large(info.size, writer=writer, file=place) if writer else None

    async def _contents(self, objects: Sequence[ObjectInfo]) -> dict[str, bytes]:
        """Return the contents by key; what an agent has replaced since it was listed is read as it is now."""
        contents = await self._bucket.read_all(objects)

        async def read_now(key: str) -> None:
            try:
                contents[key], _ = await self._bucket.read(key)
            except NotFoundError:  # deleted since
                return

        missing = [each.key for each in objects if each.key not in contents]
        await for_each(missing, read_now, at_once=_AT_ONCE, name="read status")
        return contents

    def _understood(self, objects: Iterable[ObjectInfo], contents: dict[str, bytes]) -> _Understood:
        """Read documents, in a thread: the first of a large session takes a while."""
        bound = {"n_jobs": self._n_jobs} if self._bounded else {}

        def document(key: str) -> StatusDocument | None:
            place = address(self._bucket.name, key)
            return parse_status(contents[key], session_id=self._session_id, key=key, file=place, **bound)

        return {each.key: (each.etag, document(each.key)) for each in objects if each.key in contents}

    def _documents(self) -> list[StatusDocument]:
        return [document for _, document in self._read.values() if document is not None]

    def _said_before(self, writer: StatusWriter) -> dict[int, JobRecord]:
        if writer in self._written:
            return self._written[writer]
        _, document = self._read.get(status_key(self._session_id, writer), ("", None))
        return {each.number: each for each in document.records} if document else {}


def _formatted(said: dict[int, JobRecord], by: StatusWriter) -> bytes:
    return format_status((said[number] for number in sorted(said)), by)
