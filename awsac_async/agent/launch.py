"""Of which launch of the session an instance is: the launch of ``start``, or a further one, which has a document.

Owns what follows from that: the instance's launch index in the session, its jobs, or those that it shares with others,
from which attempt each of them goes on, and from which byte of its log. Learned once; a successor finds it in the state
directory.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from awsac_async.agent.retry import keep_trying, passing
from awsac_async.agent.state import State
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.objects import address
from awsac_async.session.claims import FIRST_POOL
from awsac_async.session.errors import FormatError
from awsac_async.session.jobs import select_jobs
from awsac_async.session.launches import LaunchDocument, parse_launch
from awsac_async.session.model import Job, UserData
from awsac_async.session.names import USER_DATA_LAUNCH, job_log_prefix, launch_key, log_chunk_offset
from awsac_async.session.userdata import launch_number

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 300.0  # as for the archive: a fresh instance role may take a while to be known everywhere


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """How a job begins on an instance: with which attempt, at which byte of its log.

    ``replaces``: something may have been saved of it elsewhere, which must not stay beside what is saved here.
    """

    attempt: int = 1
    log_begin: int = 0
    replaces: bool = False


@dataclass(frozen=True, kw_only=True)
class OwnLaunch:
    """The launch of an instance, as seen from there.

    ``launch_index`` counts in the session; ``document`` is None for the launch of ``start``; ``log_begins`` says behind
    which byte of its log each job goes on, by number.
    """

    launch_index: int
    cores_per_instance: int
    document: LaunchDocument | None = None
    log_begins: Mapping[int, int] = field(default_factory=dict)

    @property
    def first_launch_index(self) -> int:
        """The launch index, in the session, of its first instance."""
        return self.document.first_launch_index if self.document else 0

    @property
    def pool(self) -> int:
        """The pool of the jobs that its instances share, where they do."""
        return (self.document.pool if self.document else 0) or FIRST_POOL

    def own(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those of a session's jobs that are this instance's."""
        if self.document is None:
            return select_jobs(jobs, launch_index=self.launch_index, cores_per_instance=self.cores_per_instance)
        own = {job.number for job in self.document.jobs_of(self._index)}
        return [job for job in jobs if job.number in own]

    def shared(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those of a session's jobs that its instances share."""
        if self.document is None or not self.document.jobs:
            return list(jobs)
        return [job for job in jobs if job.number in self.document.numbers]

    def first_share(self, numbers: Sequence[int]) -> list[int]:
        """Return the shared jobs with which this instance begins, so that all that begin do so with others."""
        place = self._index if self.document and self.document.jobs else self.launch_index
        return list(numbers[place * self.cores_per_instance : (place + 1) * self.cores_per_instance])

    def beginning(self, job: int) -> Beginning:
        """Return how a job begins that no other instance of this launch has had."""
        if self.document is None or not self.document.jobs:  # of ``start``, or beside it: nobody has had the job
            return Beginning()
        return Beginning(attempt=self._attempts.get(job, 1), log_begin=self.log_begins.get(job, 0), replaces=True)

    @cached_property
    def _attempts(self) -> Mapping[int, int]:
        return {each.number: each.attempt for each in self.document.jobs} if self.document else {}

    @property
    def _index(self) -> int:
        return self.launch_index - self.first_launch_index


def first_launch(user_data: UserData, launch_index: int) -> OwnLaunch | None:
    """Return the launch of ``start``, or None if the user data name another one."""
    if USER_DATA_LAUNCH in user_data.extra:
        return None
    return OwnLaunch(launch_index=launch_index, cores_per_instance=user_data.cores_per_instance)


async def learn_launch(bucket: Bucket, user_data: UserData, *, ami_launch_index: int, state: State) -> OwnLaunch:
    """Return the further launch of the instance with this index in its reservation; tries for five minutes.

    Raises:
        FormatError: the document is none, or that of another launch.
        CloudError: it is not there, or could not be read.
    """
    launch, kept = launch_number(user_data), state.launch()
    if kept is None:
        until = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        found = await keep_trying(
            f"launch {launch}",
            lambda: _ask(bucket, user_data.session_id, launch, ami_launch_index),
            until=until,
            again=passing,
        )
        state.keep_launch(*found)
        kept = found
    document, log_begins = kept
    index = document.first_launch_index + ami_launch_index
    _log.info("launch %d of the session: launch index %d there", launch, index)
    return OwnLaunch(
        launch_index=index,
        cores_per_instance=document.cores_per_instance,
        document=document,
        log_begins=log_begins,
    )


async def _ask(
    bucket: Bucket, session_id: str, launch: int, ami_launch_index: int
) -> tuple[LaunchDocument, dict[int, int]]:
    key = launch_key(session_id, launch)
    place = address(bucket.name, key)
    document = parse_launch((await bucket.read(key))[0], file=place)
    if document.launch != launch:
        raise FormatError(file=place, field="launch", found=str(document.launch), expected=str(launch))
    own = [job.number for job in document.jobs_of(ami_launch_index)]
    return document, {number: await find_log_end(bucket, session_id, number) for number in own}


async def find_log_end(bucket: Bucket, session_id: str, job: int) -> int:
    """Return where the chunks of a job's log end: whoever has sent them does not have the job any more.

    Those that do not follow on others are no agent's: each sends its chunks one after the other.
    """
    prefix, end = job_log_prefix(session_id, job), 0
    for each in await bucket.list(prefix):
        offset = log_chunk_offset(prefix, each.key)
        if offset is not None and offset <= end:
            end = max(end, offset + each.size)
    return end
