"""The jobs that instances share, as one of them sees them: which are free, which can be taken over, which it has got.

Owns how a job is claimed: noted on disk, so that a successor knows of it, and then by a conditional write, on the lease
that ``lease`` keeps. The lowest numbers go first. What is asked, and how often, is in ``docs/protocol.md``. When jobs
are taken, and what becomes of them, is not said here.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from awsac_async.agent.launch import Beginning, OwnLaunch, find_log_end
from awsac_async.agent.log import describe
from awsac_async.agent.retry import Hurry, foreseen, keep_trying, passing
from awsac_async.agent.shared.lease import Lease
from awsac_async.agent.shared.others import Others
from awsac_async.agent.state import Holding, State
from awsac_async.agent.stopping import Stop, StoppedError
from awsac_async.agent.timings import uptime
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.claims import Claims, Leases
from awsac_async.cloud.status import StatusStore
from awsac_async.cloud.waiting import jittered
from awsac_async.session.claims import Claim, claim_of, lease_index
from awsac_async.session.errors import CloudError
from awsac_async.session.model import Job, JobRecord, JobState
from awsac_async.session.timings import read_attempt

_log = logging.getLogger(__name__)
_random = random.SystemRandom()
_Result = TypeVar("_Result")
_PATIENCE_SECONDS = 3600.0  # how long the cloud may fail before this instance takes no more jobs
_LOOK_SECONDS = 15.0  # at most, between two looks at the others
_LOOKS_A_LEASE = 6
# So many instances may be lost with a job; then it may be by the job.
_MOST_LOSSES = 3


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A job that is this instance's from now on, until ``lost`` is requested.

    ``end`` is there if it is not to be run: how it ends, and why.
    """

    job: Job
    claim: Claim
    begin: Beginning
    lost: Stop
    end: tuple[JobState, str] | None = None


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A job that may be claimed, the last claim on it, and what its holder said of it.

    ``silent``: the version of that claim's lease, if it is to be broken.
    """

    job: Job
    claim: Claim
    before: JobRecord | None = None
    silent: str = ""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a look has shown: jobs that can be taken over, and whether this instance is to stay for what may come."""

    wanted: tuple[_Wanted, ...]
    stay: bool


class Pool:
    """The jobs that the instances of a pool share, as one of them sees them.

    Args:
        jobs: all of them, in order.
        had: the numbers of those that this instance has, or has had.
        launch: that of this instance.
        claims, leases, store, bucket: where it is written who has which, who lives, how they stand, and what they log.
        lease: this instance's.
        state: its state directory.
        session_id: the session.
        hurry: how long the cloud may refuse is bounded by it.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        had: Collection[int],
        launch: OwnLaunch,
        claims: Claims,
        leases: Leases,
        lease: Lease,
        store: StatusStore,
        bucket: Bucket,
        state: State,
        session_id: str,
        hurry: Hurry,
    ) -> None:
        self._hurry = hurry
        self._jobs, self._launch = {job.number: job for job in jobs}, launch
        self._claims, self._leases, self._lease, self._store = claims, leases, lease, store
        self._bucket, self._state, self._session_id = bucket, state, session_id
        self._others = Others(seconds=lease.seconds)
        self._had = set(had)
        self._claimed = set(self._had)  # by somebody, for sure
        self._unended: list[int] | None = None  # by the status that was read last
        self.unfinished = True  # whether jobs of others had not ended then
        self._first = [number for number in launch.first_share(list(self._jobs)) if number not in self._had]
        self._conflicts = 0

    @property
    def _open(self) -> list[int]:
        """The jobs that may be free."""
        return [number for number in self._jobs if number not in self._claimed]

    @property
    def pause(self) -> float:
        """Seconds until the next look at the others, when there is nothing to do."""
        return jittered(min(_LOOK_SECONDS, self._lease.seconds / _LOOKS_A_LEASE))

    async def take_free(self, count: int) -> list[Taken]:
        """Claim so many jobs that nobody has claimed; fewer, if others were quicker.

        None only if none is left, or if there is no lease just now. Raises CloudError, OSError.
        """
        while (there := self._open) and self._lease.holds:
            if self._first:
                chosen, self._first = self._first[:count], self._first[count:]
            else:
                free = await self._patiently("list claims", lambda: self._claims.free(there))
                self._claimed |= set(there) - set(free)
                chosen = self._choose(free, count)
            if taken := await self._take_all([self._unclaimed(number) for number in chosen]):
                return taken
        return []

    async def take_over(self, wanted: Sequence[_Wanted], count: int) -> list[Taken]:
        """Claim so many of the jobs that were somebody else's; fewer, or none, if others were quicker.

        Before that their leases are broken: an instance that was only silent, and renews its lease by now, keeps its
        jobs. Then the status is read once more: what was written of a job before its lease was over counts. Raises
        CloudError.
        """
        chosen = _random.sample(wanted, min(count, len(wanted)))
        over = {}
        for lease, version in sorted({(each.claim.lease, each.silent) for each in chosen if each.silent}):
            over[lease] = await self._patiently(f"break {lease}", lambda: self._leases.break_up(lease, version))  # noqa: B023
        left = [each for each in chosen if over.get(each.claim.lease, True)]
        if not left:
            return []
        records = await self._patiently("read the status", self._records)
        again = [replace(each, before=records.get(each.job.number)) for each in left]
        return await self._take_all([each for each in again if not self._is_past(each.claim, each.before)])

    async def take_if_free(self, numbers: Iterable[int]) -> list[Taken]:
        """Claim those of these jobs that nobody has claimed. Raises CloudError."""
        free = await self._patiently("list claims", lambda: self._claims.free(sorted(self._jobs.keys() & set(numbers))))
        return await self._take_all([self._unclaimed(number) for number in free])

    async def take_again(self, job: int, holding: Holding, *, certain: bool) -> Taken | None:
        """Go on with a job that a predecessor had, or noted that it was going to claim; None if it is somebody else's.

        ``certain``: it had claimed it.

        Raises:
            CloudError: it is not known whose it is.
            StoppedError: the lease runs out. Whoever gives up all jobs then gives up this one as well.
        """
        if job not in self._jobs or holding.claim.lease != self._lease.name:
            return None  # a claim on a lease that ran out is anybody's to follow on
        lost = self._lease.lost
        taken = await lost.unless(self._take_again(job, holding, lost, certain=certain), name=f"resume job {job}")
        lost.check()
        return taken

    async def give_up(self, job: int) -> None:
        """Forget a job that this instance had, or was about to claim: it is somebody else's, anybody's, or free."""
        self._had.discard(job)
        self._claimed.discard(job)
        await asyncio.to_thread(self._state.drop_job, job)

    async def look(self, *, busy: bool) -> Outlook:
        """Find out how the jobs of others stand; ``busy``: some run here. Raises CloudError."""
        return await self._patiently("look at the others", lambda: self._look(busy=busy))

    # --- looking ---

    async def _look(self, *, busy: bool) -> Outlook:
        """Look in the order in which no instance can fool this one.

        An instance claims jobs on a lease that is there, and removes the lease when the end of its jobs is written. So
        claims are read before leases, and leases before the status.
        """
        if self._unended is None:  # of jobs that have ended long ago nobody needs to read the claims
            self._note_unended(await self._records())
        asked = [number for number in self._unended or () if number not in self._had]
        claims = await self._claims.last(asked) if asked else {}
        began = uptime()
        versions = await self._leases.read()
        ended = uptime()
        records = await self._records()
        unfinished = {number for number in self._note_unended(records) if number not in self._had}
        self.unfinished = bool(unfinished)
        last = {number: claim for number, claim in sorted(claims.items()) if number in unfinished}
        holders = {claim.lease for claim in last.values()}
        self._others.look(versions, holders, began=began, ended=ended)
        wanted = [
            wanted
            for number, claim in last.items()
            if (wanted := self._wanted(self._jobs[number], claim, records.get(number)))
        ]
        needed = busy or not self._others.enough(self._launch.launch_index, holders)
        return Outlook(wanted=tuple(wanted), stay=self.unfinished and needed)

    async def _records(self) -> dict[int, JobRecord]:
        return {record.number: record for record in await self._store.read(timings=False)}

    def _note_unended(self, records: Mapping[int, JobRecord]) -> list[int]:
        self._unended = [number for number in self._jobs if not self._ended(records.get(number))]
        return self._unended

    def _ended(self, record: JobRecord | None) -> bool:
        """Whether nobody of this pool is to run a job any more: it has ended, or a retry has it."""
        if record is None:
            return False
        claim = claim_of(record)
        if claim and claim.pool != self._launch.pool:
            return True
        return record.state.final and record.state is not JobState.INTERRUPTED

    def _is_past(self, claim: Claim, record: JobRecord | None) -> bool:
        """Whether nobody is to follow on a claim: the job has ended, or somebody has followed on it."""
        said = claim_of(record) if record else None
        return self._ended(record) or (said is not None and said.count > claim.count)

    def _wanted(self, job: Job, claim: Claim, record: JobRecord | None) -> _Wanted | None:
        """Return a job that may be taken over; else None."""
        if self._is_past(claim, record):
            return None
        # On ones own lease: a claim that nobody knew to have succeeded.
        if claim.lease == self._lease.name or _interrupted(claim, record):
            return _Wanted(job=job, claim=claim, before=record)
        if self._others.lost(claim.lease):
            return _Wanted(job=job, claim=claim, before=record, silent=self._others.version(claim.lease))
        return None

    # --- claiming ---

    def _unclaimed(self, number: int) -> _Wanted:
        return _Wanted(job=self._jobs[number], claim=Claim(pool=self._launch.pool, count=0))

    def _choose(self, numbers: Sequence[int], count: int) -> list[int]:
        """Return the first of these; if others have just been quicker, some of the first."""
        room = min(len(numbers), count << self._conflicts)
        return sorted(_random.sample(numbers[:room], min(count, room)))

    async def _take_all(self, wanted: Sequence[_Wanted]) -> list[Taken]:
        """Claim these. Raises CloudError or OSError if none could be: those that were would be held, and not run."""
        found = await asyncio.gather(*map(self._take, wanted), return_exceptions=True)
        taken = [each for each in found if isinstance(each, Taken)]
        for error in (each for each in found if isinstance(each, BaseException)):
            if not taken or not isinstance(error, CloudError | OSError):
                raise error
            _log.error("a job is not taken here: %s", describe(error))
        self._conflicts = min(self._conflicts + 1, 6) if len(taken) < len(wanted) else 0
        return taken

    async def _take(self, wanted: _Wanted) -> Taken | None:
        lease, lost, job = self._lease.name, self._lease.lost, wanted.job
        if not self._lease.holds:  # it ran out a moment ago
            return None
        claim = self._next_claim(wanted, lease)
        holding = self._holding(wanted, claim)
        await asyncio.to_thread(self._state.keep_holding, job.number, holding)
        claiming = self._patiently(f"claim job {job.number}", lambda: self._claims.take(job.number, claim))
        try:
            won = await lost.unless(claiming, name=f"claim job {job.number}")
        except StoppedError:  # whether it is claimed, on a lease that ran out, will show
            await self.give_up(job.number)
            return None
        self._settle(job.number)
        if not won:
            await asyncio.to_thread(self._state.drop_job, job.number)
            return None
        _log.info("job %d: claimed%s", job.number, f", after {wanted.claim.lease}" if wanted.claim.count else "")
        taken = await self._taken(job, holding, lost)
        if claim.losses >= _MOST_LOSSES:
            return replace(taken, end=(JobState.FAILED, f"{claim.losses} instances were lost while they had it"))
        return taken

    def _next_claim(self, wanted: _Wanted, lease: str) -> Claim:
        last = wanted.claim
        lost = last.count > 0 and last.lease != lease and not _interrupted(last, wanted.before)
        return replace(last, count=last.count + 1, lease=lease, losses=last.losses + lost)

    def _settle(self, job: int) -> None:
        """Know that somebody has claimed a job: until that is certain it may be free."""
        self._claimed.add(job)
        self._first = [number for number in self._first if number != job]

    def _holding(self, wanted: _Wanted, claim: Claim) -> Holding:
        """Return how a job begins here: after what others have made of it, if there was anybody."""
        begin = self._launch.beginning(wanted.job.number)
        if claim.count == 1:
            end = None if begin.replaces else 0
            return Holding(claim=claim, attempt=begin.attempt, log_begin=end, replaces=begin.replaces)
        made = (read_attempt(wanted.before) if wanted.before else None) or begin.attempt
        return Holding(claim=claim, attempt=made + 1, log_begin=None, replaces=True)

    async def _take_again(self, job: int, holding: Holding, lost: Stop, *, certain: bool) -> Taken | None:
        if certain or await self._patiently(f"claim job {job}", lambda: self._claims.take(job, holding.claim)):
            return await self._taken(self._jobs[job], holding, lost)
        return None

    async def _taken(self, job: Job, holding: Holding, lost: Stop) -> Taken:
        self._had.add(job.number)
        if holding.log_begin is None:
            end = await self._patiently(
                f"find the end of the log of job {job.number}",
                lambda: find_log_end(self._bucket, self._session_id, job.number),
            )
            holding = replace(holding, log_begin=end)
            await asyncio.to_thread(self._state.keep_holding, job.number, holding)
        begin = Beginning(attempt=holding.attempt, log_begin=holding.log_begin or 0, replaces=holding.replaces)
        return Taken(job=job, claim=holding.claim, begin=begin, lost=lost)

    async def _patiently(self, what: str, call: Callable[[], Awaitable[_Result]]) -> _Result:
        until = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        return await keep_trying(
            what, lambda: foreseen(what, self._session_id, call()), until=until, hurry=self._hurry, again=passing
        )


def _interrupted(claim: Claim, record: JobRecord | None) -> bool:
    """Whether the last holder of a job has said that its instance was taken away: nothing of the job runs there.

    In SimpleDB the item of a job has its last claim as soon as that is made, and else what the holder before has said.
    """
    said = claim_of(record) if record else None
    by_holder = record is not None and record.launch_index == lease_index(claim.lease)
    return bool(record and said and by_holder and record.state is JobState.INTERRUPTED and said.count == claim.count)
