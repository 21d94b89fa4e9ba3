"""Of which launch of the session an instance is: the launch of ``start``, or a further one, which has a document.

Owns what follows from that: the instance's launch index in the session, its jobs, from which attempt each of them goes
on, and from which byte of its log. Learned once; a successor finds it in the state directory.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from awsac_async.agent.retry import keep_trying, passing
from awsac_async.agent.state import State
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.objects import address
from awsac_async.session.errors import FormatError
from awsac_async.session.jobs import select_jobs
from awsac_async.session.launches import LaunchDocument, parse_launch
from awsac_async.session.model import Job, UserData
from awsac_async.session.names import USER_DATA_LAUNCH, job_log_prefix, launch_key
from awsac_async.session.userdata import launch_number

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 300.0  # as for the archive: a fresh instance role may take a while to be known everywhere


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

    def own(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those of a session's jobs that are this instance's."""
        if self.document is None:
            return select_jobs(jobs, launch_index=self.launch_index, cores_per_instance=self.cores_per_instance)
        return [job for job in jobs if job.number in self._attempts]

    def first_attempt(self, job: int) -> int:
        """Return the number of the first attempt at a job in this launch."""
        return self._attempts.get(job, 1)

    def log_begin(self, job: int) -> int:
        """Return at which byte of a job's log that of this launch begins."""
        return self.log_begins.get(job, 0)

    @property
    def _attempts(self) -> dict[int, int]:
        if self.document is None:
            return {}
        return {job.number: job.attempt for job in self.document.jobs_of(self._index)}

    @property
    def _index(self) -> int:
        return self.launch_index - (self.document.first_launch_index if self.document else 0)


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
    return document, {number: await _log_end(bucket, session_id, number) for number in own}


async def _log_end(bucket: Bucket, session_id: str, job: int) -> int:
    """Return where the chunks of a job's log end: earlier launches have sent them, and are over."""
    prefix = job_log_prefix(session_id, job)
    offsets = {each.key.removeprefix(prefix): each.size for each in await bucket.list(prefix)}
    return max((int(offset) + size for offset, size in offsets.items() if offset.isdecimal()), default=0)
