"""What the manifests of a session say of its saved objects.

Owns their reading, many at once. A manifest that cannot be read says nothing, and is named. What an instance has left
as copies of its jobs' manifests saves requests: a copy counts if it is of the very manifest that is there now, by its
MD5; where there is none, the manifest itself is read.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.objects import ObjectInfo
from awsac_async.session.errors import FormatError
from awsac_async.session.manifest import Manifest, SavedFile, parse_copies, parse_manifest
from awsac_async.session.model import SessionRecord
from awsac_async.session.names import manifest_copies_prefix, manifest_key, manifests_prefix

_log = logging.getLogger(__name__)
_MOST = 1 << 20  # bytes; a job saves two files, which take some hundred


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What a manifest says of one object, and when the manifest was written."""

    saved: SavedFile
    written: datetime


@dataclass(kw_only=True)
class Manifests:
    """The manifests that there are, by job, and what those that were read say, by key.

    ``copies`` are the instances' documents of copies.
    """

    listed: dict[int, ObjectInfo]
    copies: Sequence[ObjectInfo] = ()
    statements: dict[str, Statement] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    async def read(self, bucket: Bucket, session_id: str, jobs: Collection[int]) -> None:
        """Read the manifests of these jobs, as far as there are any; ``faults`` says what is wrong with which."""
        wanted = {job: info for job, info in self.listed.items() if job in jobs}
        if len(self.copies) < len(wanted):  # else they save nothing
            wanted = await self._take_copies(bucket, session_id, wanted)
        for info in wanted.values():
            if info.size > _MOST:
                self.faults[info.key] = f"found {info.size} bytes, expected a manifest"
        contents = await bucket.read_all([info for info in wanted.values() if info.size <= _MOST])
        for job, info in wanted.items():
            if info.key in contents:
                self._take(contents[info.key], info, session_id, job)

    async def _take_copies(
        self, bucket: Bucket, session_id: str, wanted: Mapping[int, ObjectInfo]
    ) -> dict[int, ObjectInfo]:
        """Take what is wanted from the copies; returns what is not among them."""
        contents = await bucket.read_all([info for info in self.copies if info.size <= _MOST])
        manifests = {md5: copy for key, body in contents.items() for md5, copy in _copies(body, session_id, key)}
        rest = {}
        for job, info in wanted.items():
            copy = manifests.get(info.etag.strip('"'))
            if copy is None or copy.job != job:
                rest[job] = info
            else:
                self._note(copy, info)
        return rest

    def _take(self, content: bytes, info: ObjectInfo, session_id: str, job: int) -> None:
        try:
            manifest = parse_manifest(content, session_id=session_id, job=job, file=info.key)
        except FormatError as error:
            self.faults[info.key] = f"found {error.found}, expected {error.expected}"
            return
        self._note(manifest, info)

    def _note(self, manifest: Manifest, info: ObjectInfo) -> None:
        for saved in manifest.files:
            self.statements[saved.key] = Statement(saved=saved, written=info.modified)


def _copies(content: bytes, session_id: str, key: str) -> Iterable[tuple[str, Manifest]]:
    try:
        return parse_copies(content, session_id=session_id, file=key).items()
    except FormatError as error:  # the manifests themselves are there
        _log.warning("%s", error)
        return ()


async def list_manifests(bucket: Bucket, record: SessionRecord) -> Manifests:
    """Return which jobs of a session have a manifest, by one listing."""
    objects: Sequence[ObjectInfo] = await bucket.list_below(manifests_prefix(record.session_id))
    by_key = {info.key: info for info in objects}
    keys = {job: manifest_key(record.session_id, job) for job in range(1, record.n_jobs + 1)}
    listed = {job: by_key.pop(key) for job, key in keys.items() if key in by_key}
    copies = [info for key, info in by_key.items() if key.startswith(manifest_copies_prefix(record.session_id))]
    return Manifests(listed=listed, copies=copies)
