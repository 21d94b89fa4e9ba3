"""The verb ``retry``: runs jobs of a session again on new instances, within the same session.

Owns the order of the steps, each of which may find its work done by a ``retry`` that died: document, commands, status,
RunInstances, document. Until RunInstances is called, all can be undone; then only its client token is ever used again.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from awsac_async.client.check import SessionStatus, read_status
from awsac_async.client.control import amend_control, read_control
from awsac_async.client.launches import Launches, further_launch_of, read_launches
from awsac_async.client.retryplan import Choice, RetryPlan, choose, new_launch, refuse_other_jobs
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.instances import Instances
from awsac_async.cloud.status import store_of
from awsac_async.cloud.waiting import attempts
from awsac_async.session.claims import Claim, claim_attribute
from awsac_async.session.control import Control
from awsac_async.session.errors import AwsacError, CloudError, ConflictError, InputError
from awsac_async.session.launches import LaunchDocument, format_launch
from awsac_async.session.model import JobRecord, SessionRecord
from awsac_async.session.names import X_ATTEMPT, archive_key, launch_key
from awsac_async.session.record import read_record
from awsac_async.session.statusdocs import StatusWriter
from awsac_async.session.times import format_time, now
from awsac_async.session.userdata import parse_user_data

_PATIENCE = 30.0  # seconds; each conflict means that another client has begun a retry
_FORGOTTEN = "unknown"  # the reservation of a launch that EC2 shows no more; its agents' status shows that it was


@dataclass(frozen=True, kw_only=True)
class RetryLaunched:
    """RunInstances has answered, now or to a ``retry`` that died. ``jobs`` are the numbers of the jobs."""

    launch: int
    jobs: tuple[int, ...]
    reservation_id: str
    instance_ids: tuple[str, ...]
    continued: bool


@dataclass(frozen=True, kw_only=True)
class RetryUndone:
    """Nothing was started, and the session is as it was before."""


@dataclass(frozen=True, kw_only=True)
class RetryKept:
    """It is not known whether instances were started: the next ``retry`` goes on, and starts nothing twice."""

    reason: str


RetryEvent = RetryLaunched | RetryUndone | RetryKept
OnEvent = Callable[[RetryEvent], None]
Proceed = Callable[[RetryPlan], Awaitable[bool]]


async def retry(
    session: Path,
    *,
    proceed: Proceed,
    jobs: Collection[int] | None = None,
    failed: bool = False,
    lost: bool = False,
    interrupted: bool = False,
    on_event: OnEvent = lambda _: None,
) -> RetryLaunched | None:
    """Run jobs of a session again, or continue a ``retry`` that died.

    Args:
        session: the session file.
        proceed: asked once, before anything is changed.
        jobs: numbers of jobs, whatever became of them; with one of the next three, only those of them.
        failed: the jobs that failed, timed out, exited non-zero, or could not be saved.
        lost: the jobs whose instance ended before them.
        interrupted: the jobs whose spot instance was taken away, or whose agent was stopped.
        on_event: told of what became of it.

    Without any of these four, all that did not succeed are run again, but for those that were killed on request.

    Returns:
        What was launched; None if ``proceed`` said no.

    Raises:
        InputError: there is nothing to retry, or it cannot be now; nothing was changed.
        CloudError: the cloud refused or failed; the last event says what that means, if anything was changed.
    """
    record = await asyncio.to_thread(read_record, session)
    _refuse_incomplete(record, session)
    numbers = None if jobs is None else frozenset(jobs)
    choice = Choice(numbers=numbers, failed=failed, lost=lost, interrupted=interrupted)
    async with connect(region=record.region, access=record) as aws:
        async for last in attempts(within=_PATIENCE):
            decided = await _decide(aws, record, choice, on_event)
            if isinstance(decided, RetryLaunched):
                return decided
            if not await proceed(decided.plan):
                return None
            try:
                return await decided.run()
            except _AnotherRetryError as error:
                if last:
                    raise InputError("another retry of this session is under way: look at awsac check") from error
    raise AssertionError("attempts() ends with a last one")


class _AnotherRetryError(Exception):
    """Another client has begun a retry since the session was looked at."""


def _refuse_incomplete(record: SessionRecord, file: Path) -> None:
    if not record.client_token or not record.instance_profile:
        raise InputError(
            f"{file}: this session cannot be retried, since its file does not say how instances are launched: "
            "it is from a client of 2008, or from an earlier awsac"
        )
    if not record.ec2_reservation_id:
        raise InputError(f"{file}: this session was not started wholly: run the same awsac start again first")


async def _decide(aws: Aws, record: SessionRecord, choice: Choice, tell: OnEvent) -> "_Retry | RetryLaunched":
    """Return the retry that is to be made, or the one that had been made when its client died."""
    bucket = Bucket(aws, record.bucket)
    launches, status = await read_launches(bucket, record), await read_status(aws, record)
    last = launches.last
    if last and not last.reservation_id:
        found = _Retry(aws, RetryPlan(record=record, document=last, continued=True), status, tell)
        launched = await found.find()
        if launched is None:
            refuse_other_jobs(last, status, choice)
            await _refuse_unready(bucket, status)
            return found
        if launched.instance_ids:
            return launched
    chosen = choose(status, choice)
    await _refuse_unready(bucket, status)
    document = new_launch(record, chosen, launch=launches.next_number, first_launch_index=_free_index(launches, status))
    return _Retry(aws, RetryPlan(record=record, document=document, continued=False), status, tell)


def _free_index(launches: Launches, status: SessionStatus) -> int:
    """Return the first launch index that no instance of the session has, or can have had."""
    return max(launches.next_launch_index, *(each.launch_index + 1 for each in status.instances), 0)


async def _refuse_unready(bucket: Bucket, status: SessionStatus) -> None:
    """Raise InputError if the session is being stopped, or its archive is gone."""
    record = status.record
    asked = await read_control(bucket, record.session_id)
    _refuse_stopping(asked, status)
    key = archive_key(record.session_id, parse_user_data(record.user_data).archive_name)
    if not any(each.key == key for each in await bucket.list(key)):
        raise InputError(f"session {record.session_id} has no archive any more, so none of its jobs can run again")


def _refuse_stopping(control: Control, status: SessionStatus) -> None:
    # There may be an agent that has not acted on what was asked: instances that shut down have one, too.
    if control.stop and any(each.live for each in status.instances):
        raise InputError(f"session {status.record.session_id} is being stopped: retry when its instances are gone")


class _Retry:
    """One retry: writes what its instances need, launches, and undoes what it wrote if nothing was launched."""

    def __init__(self, aws: Aws, plan: RetryPlan, status: SessionStatus, tell: OnEvent) -> None:
        self.plan = plan
        self._aws, self._record, self._document, self._tell = aws, plan.record, plan.document, tell
        self._status = status
        self._bucket = Bucket(aws, plan.record.bucket)
        self._store = store_of(aws, plan.record)
        self._writer = StatusWriter(launch=plan.document.launch)
        self._key = launch_key(plan.record.session_id, plan.document.launch)
        self._before: list[JobRecord] = []
        self._can_be_undone = not plan.continued

    async def find(self) -> RetryLaunched | None:
        """Complete the document if its launch was made; None: it was not, as far as anybody can see.

        No instance is named if all of them are gone.
        """
        shown = [each for each in self._status.instances if self._document.has(each.launch_index)]
        running = tuple(each.instance_id for each in self._status.running_instances if each in shown)
        if shown:
            return await self._complete(shown[0].reservation_id, running)
        jobs = [job for job in self._status.jobs if job.number in self._document.numbers]
        if any(job.instance_id and self._document.has(job.launch_index) for job in jobs):
            return await self._complete(_FORGOTTEN, ())
        return None

    async def run(self) -> RetryLaunched:
        """Go through all steps.

        Raises:
            _AnotherRetryError: another client has begun a launch of this number.
            CloudError: the cloud refused or failed.
        """
        try:
            await self._write_document()
            await self._withdraw_commands()
            await self._reset_jobs()
        except _AnotherRetryError:
            raise
        except BaseException:  # Whatever it was, Ctrl-C too: no job may wait for a launch that nobody makes.
            await self._undo()
            raise
        return await self._launch()

    async def _write_document(self) -> None:
        self._document = replace(self._document, started=format_time(now()))
        content = format_launch(self._document)
        if self.plan.continued:
            await self._bucket.put(self._key, content)
            return
        try:
            await self._bucket.write(self._key, content, etag=None)
        except ConflictError as error:
            if await self._is_ours():  # an answer was lost on its way, and the SDK has asked again
                return
            raise _AnotherRetryError from error

    async def _is_ours(self) -> bool:
        return await self._last() == self._document

    async def _last(self) -> LaunchDocument | None:
        return (await read_launches(self._bucket, self._record)).last

    async def _withdraw_commands(self) -> None:
        """Take back what was asked of the jobs' earlier attempts, and of agents that are gone."""

        def withdraw(control: Control) -> Control:
            _refuse_stopping(control, self._status)
            return control.withdrawing(self._document.numbers)

        await amend_control(self._bucket, self._record.session_id, withdraw)

    async def _reset_jobs(self) -> None:
        """Write the jobs as pending in the new launch, but for those that are: an agent of it may have told of them."""
        indexes = self._document.launch_indexes()
        await self._store.create()
        kept = {job.number: job for job in await self._store.read()}
        jobs = [kept.get(each.number) or JobRecord(number=each.number) for each in self._document.jobs]
        self._before = [job for job in jobs if not self._document.has(job.launch_index)]
        self._can_be_undone = len(self._before) == len(jobs)
        first = {job.number: job.attempt for job in self._document.jobs}
        claim = claim_attribute(Claim(pool=self._document.pool, count=0)) if self._document.pool else {}
        waiting = [_pending(job, indexes[job.number], first[job.number], claim) for job in self._before]
        await self._store.write(waiting, by=self._writer)

    async def _launch(self) -> RetryLaunched:
        try:
            reservation = await Instances(self._aws).run(further_launch_of(self._record, self._document))
        except AwsacError as error:
            if isinstance(error, ConflictError) or (isinstance(error, CloudError) and error.temporary):
                self._tell(RetryKept(reason=str(error)))
            else:
                await self._undo()
            raise
        except BaseException as error:  # Interrupted, or an answer that cannot be read: it may have launched.
            self._tell(RetryKept(reason="RunInstances was under way" + (f": {error}" if str(error) else "")))
            raise
        return await self._complete(reservation.reservation_id, reservation.instance_ids)

    async def _complete(self, reservation_id: str, instance_ids: tuple[str, ...]) -> RetryLaunched:
        launched = RetryLaunched(
            launch=self._document.launch,
            jobs=tuple(sorted(self._document.numbers)),
            reservation_id=reservation_id,
            instance_ids=instance_ids,
            continued=self.plan.continued,
        )
        if instance_ids:
            self._tell(launched)
        with contextlib.suppress(CloudError):  # the next retry finds the instances, and completes it
            await self._bucket.put(self._key, format_launch(replace(self._document, reservation_id=reservation_id)))
        return launched

    async def _undo(self) -> None:
        """Let the jobs be as they were, and remove the document last: while it is there, the next retry goes on."""
        if not self._can_be_undone:
            self._tell(RetryKept(reason="what an earlier retry has prepared stays"))
            return
        try:
            last = await self._last()
            if last and last.launch >= self._document.launch and last != self._document:
                self._tell(RetryKept(reason="another client has taken it up"))
                return
            await self._store.take_back(self._before, by=self._writer)
            if await self._is_ours():
                await self._bucket.delete([self._key])
        except AwsacError as error:
            self._tell(RetryKept(reason=str(error)))
            return
        self._tell(RetryUndone())


def _pending(job: JobRecord, launch_index: int, attempt: int, claim: Mapping[str, str]) -> JobRecord:
    """Return a job as it waits for its next launch; what is said of the last attempt is overwritten by nothing."""
    extra = dict.fromkeys(job.extra, "") | {X_ATTEMPT: str(attempt), **claim}
    return JobRecord(number=job.number, script=job.script, launch_index=launch_index, extra=extra)
