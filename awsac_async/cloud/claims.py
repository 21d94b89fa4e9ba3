"""Claims on jobs, made by conditional writes, and the leases that back them: for sessions whose instances share jobs.

Owns the calls, in two forms as the status: in a session's bucket a claim is an object that is created once, in its
SimpleDB domain an attribute of the job's item that is changed if it is as expected. Leases are objects in either form.
What claims and leases mean is said in ``session.claims``.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket, ObjectInfo
from awsac_async.cloud.simpledb import SimpleDbClaims
from awsac_async.cloud.waiting import for_each
from awsac_async.session.claims import Claim, format_claim, parse_claim
from awsac_async.session.errors import ConflictError, DamagedError, DeniedError, NotFoundError
from awsac_async.session.model import StatusKind
from awsac_async.session.names import claim_key, claims_prefix, lease_key, leases_prefix

_AT_ONCE = 16
_BROKEN = b"broken\n"
_CLAIM_NAME = re.compile(r"([0-9]{1,9})/([0-9]{1,9})", re.ASCII)


class Claims(Protocol):
    """The claims on the jobs of one pool. Errors are those of ``session.errors``."""

    async def free(self, jobs: Sequence[int]) -> list[int]:
        """Return those of these jobs, which are in order, that nobody has claimed."""

    async def last(self, jobs: Collection[int]) -> Mapping[int, Claim]:
        """Return the last claim on each of these jobs; those on which there is none are missing."""

    async def take(self, job: int, claim: Claim) -> bool:
        """Claim a job; returns whether the claim is the caller's, now or since an earlier call. It stays for ever.

        False: somebody else has made a claim of this count, which follows on the last one that the caller has seen.
        """


def claims_of(aws: Aws, session_id: str, *, pool: int, kind: StatusKind, bucket: str) -> Claims:
    """Return the claims of a session's pool, which are where its status is."""
    if kind is StatusKind.S3:
        return S3Claims(Bucket(aws, bucket), session_id, pool)
    return SimpleDbClaims(aws, session_id, pool)


class S3Claims:
    """Claims as objects, none of which is ever replaced: of two who create one, S3 refuses one (``If-None-Match``)."""

    def __init__(self, bucket: Bucket, session_id: str, pool: int) -> None:
        self._bucket, self._session_id, self._pool = bucket, session_id, pool
        self._prefix = claims_prefix(session_id, pool)
        self._known: dict[tuple[int, int], Claim] = {}  # by job and count

    async def free(self, jobs: Sequence[int]) -> list[int]:
        """Return those of these jobs that nobody has claimed: a list from the first of them on."""
        claimed = {job for job, _ in await self._counts(jobs)}
        return [job for job in jobs if job not in claimed]

    async def last(self, jobs: Collection[int]) -> Mapping[int, Claim]:
        """Return the last claim on each of these jobs: a list, and one read for each that was not known yet."""
        counts, wanted = dict[int, int](), set(jobs)
        for job, count in await self._counts(sorted(wanted)):
            if job in wanted:
                counts[job] = max(count, counts.get(job, 0))
        await self._read({each for each in counts.items() if each not in self._known})
        return {job: self._known[job, count] for job, count in counts.items()}

    async def take(self, job: int, claim: Claim) -> bool:
        """Create the object of a claim."""
        key = self._key(job, claim.count)
        try:
            await self._bucket.write(key, format_claim(claim).encode(), etag=None)
        except ConflictError as error:
            if error.temporary:
                raise
            # It may be ours: an answer was lost, or a predecessor died before it could note it.
            content, _ = await self._bucket.read(key)
            return content.decode(errors="replace") == format_claim(claim)
        return True

    def _key(self, job: int, count: int) -> str:
        return claim_key(self._session_id, self._pool, job, count)

    async def _counts(self, jobs: Sequence[int]) -> list[tuple[int, int]]:
        """Return job and count of every claim on jobs from the first of these on."""
        if not jobs:
            return []
        listed = await self._bucket.list(self._prefix, after=self._key(jobs[0] - 1, 10**9))
        return [found for each in listed if (found := self._parsed(each))]

    def _parsed(self, info: ObjectInfo) -> tuple[int, int] | None:
        found = _CLAIM_NAME.fullmatch(info.key.removeprefix(self._prefix))
        claim = (int(found[1]), int(found[2])) if found else (0, 0)
        return claim if found and self._key(*claim) == info.key else None

    async def _read(self, claims: Collection[tuple[int, int]]) -> None:
        async def read(claim: tuple[int, int]) -> None:
            try:
                content, _ = await self._bucket.read(self._key(*claim))
            except (NotFoundError, DamagedError):  # agents neither delete claims nor write long ones
                content = b""
            found = parse_claim(content.decode(errors="replace"))
            nobodys = Claim(pool=self._pool, count=claim[1])  # that lease is not there
            right = found is not None and (found.pool, found.count) == (self._pool, claim[1])
            self._known[claim] = found if found and right else nobodys

        await for_each(sorted(claims), read, at_once=_AT_ONCE, name="read claims")


class Leases:
    """The leases of those who share a pool of jobs, one object each: that it changes is all that it says.

    Each is written by its holder, and only as it has left it: so who breaks one can be sure that the holder sees it.
    """

    def __init__(self, bucket: Bucket, session_id: str, pool: int) -> None:
        self._bucket, self._session_id, self._pool = bucket, session_id, pool

    async def renew(self, lease: str, content: bytes, version: str | None) -> str:
        """Write a lease (None: which is not there yet), and return its version; ``content`` is another one each time.

        Raises:
            ConflictError, NotFoundError: it is not as it was left. An answer may have been lost: ``find`` tells.
        """
        return await self._bucket.write(self._key(lease), content, etag=version)

    async def find(self, lease: str) -> str | None:
        """Return the version of a lease, as its holder has left it; None: it is broken, or was removed."""
        try:
            content, version = await self._bucket.read(self._key(lease))
        except NotFoundError:
            return None
        return None if content == _BROKEN else version

    async def break_up(self, lease: str, version: str) -> bool:
        """Keep the holder of a lease, who was silent since this version, from renewing it; whether it is over."""
        try:
            await self._bucket.write(self._key(lease), _BROKEN, etag=version)
        except NotFoundError:
            return True
        except ConflictError as error:
            if error.temporary:
                raise
            # It may be broken: an answer was lost, or whoever broke it died before it was removed.
            if await self.find(lease) is not None:
                return False
        with suppress(DeniedError):  # a role that may not remove it: it is broken all the same
            await self.end(lease)
        return True

    async def read(self) -> Mapping[str, str]:
        """Return the version of each lease that is there, by lease: one list."""
        return {lease: info.etag for lease, info in (await self._list()).items()}

    async def recent(self, within: float) -> list[str]:
        """Return the leases renewed at most so many seconds before the last renewal of any, by S3's clock: one list."""
        found = await self._list()
        last = max((info.modified for info in found.values()), default=None)
        return [lease for lease, info in found.items() if last and last - info.modified <= timedelta(seconds=within)]

    async def _list(self) -> Mapping[str, ObjectInfo]:
        prefix = leases_prefix(self._session_id, self._pool)
        return {each.key.removeprefix(prefix): each for each in await self._bucket.list(prefix)}

    async def end(self, lease: str) -> None:
        """Remove a lease on which no job is held any more."""
        await self._bucket.delete([self._key(lease)])

    def _key(self, lease: str) -> str:
        return lease_key(self._session_id, self._pool, lease)
