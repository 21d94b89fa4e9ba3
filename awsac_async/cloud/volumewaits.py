"""One poll for all who wait for volumes: a single DescribeVolumes asks for every volume that anyone waits for.

Owns the poll and its pace. EC2 throttles describe calls by account, so twenty releases must not mean twenty polls.

How a volume stands, as a waiter sees it (EC2's states, and that of the attachment where there is one)::

    creating -> available -> attaching -> attached -> detaching -> available -> deleting -> deleted | gone
        any -> error
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.waiting import jittered
from awsac_async.session.errors import CloudError, NotFoundError

IDS_A_CALL = 200  # values of one filter
_SHORTEST, _LONGEST = 0.2, 4.0  # seconds between two polls
_SHARE = 0.1  # of the time waited so far is the next pause: what is waited for is noticed a tenth later at most
VISIBLE_WITHIN = 30.0  # seconds after which a volume that EC2 does not show does not exist
_LONGEST_WAIT = 300.0  # seconds; from a snapshot a volume takes seconds, an attachment rarely a minute


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a volume stands: a state of the diagram above, and the instance and device it is attached to, or ""."""

    state: str
    instance_id: str = ""
    device: str = ""


GONE = Standing(state="gone")


@dataclass(eq=False, kw_only=True)
class _Waiter:
    volume_id: str
    until: Collection[str]
    failed: Collection[str]
    visible_within: float
    since: float
    done: asyncio.Future[Standing] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def hear(self, standing: Standing, now: float) -> None:
        """Take notice of how the volume stands: reached, failed, given up, or still to wait."""
        age = now - self.since
        if self.done.done():
            return
        if standing.state in self.until:
            self.done.set_result(standing)
        elif standing is GONE and age >= self.visible_within:
            self.done.set_exception(NotFoundError("DescribeVolumes", self.volume_id, "there is no such volume"))
        elif standing.state in self.failed:
            self._fail(f"it is {standing.state!r} and will not become {self._wish}")
        elif age > _LONGEST_WAIT:
            self._fail(f"it is still {standing.state!r} and not {self._wish} after {age:.0f} s")

    @property
    def _wish(self) -> str:
        return " or ".join(map(repr, self.until))

    def _fail(self, cause: str) -> None:
        self.done.set_exception(CloudError("wait for volume", self.volume_id, cause))


class VolumePoll:
    """Waits for volumes, all of them by one poll that lives as long as anyone waits."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._waiters: set[_Waiter] = set()
        self._joined = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def wait(
        self,
        volume_id: str,
        *,
        until: Collection[str],
        failed: Collection[str],
        visible_within: float = VISIBLE_WITHIN,
    ) -> Standing:
        """Wait until the volume is in one of the states ``until``, and return how it stands then.

        Raises:
            NotFoundError: there is no such volume, which EC2 would have shown within ``visible_within`` seconds.
            CloudError: it came into one of the states ``failed``, or is stuck in the state that is named.
        """
        now = asyncio.get_running_loop().time()
        waiter = _Waiter(volume_id=volume_id, until=until, failed=failed, visible_within=visible_within, since=now)
        self._waiters.add(waiter)
        self._joined.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="poll volumes")
        try:
            return await waiter.done
        finally:
            self._waiters.discard(waiter)
            if not self._waiters and self._task is not None:
                self._task.cancel()
                self._task = None

    async def describe(self, ids: Collection[str]) -> dict[str, Standing]:
        """Return how volumes stand; those that EC2 does not show are missing."""
        ec2 = await self._aws.client("ec2")
        pages, wanted = ec2.get_paginator("describe_volumes"), sorted(ids)
        found: dict[str, Standing] = {}
        with translated("DescribeVolumes", " ".join(wanted)):
            for start in range(0, len(wanted), IDS_A_CALL):
                # By filter, since VolumeIds would refuse the whole call for one volume that is not there.
                filters = [{"Name": "volume-id", "Values": wanted[start : start + IDS_A_CALL]}]
                async for page in pages.paginate(Filters=filters):
                    found |= {volume["VolumeId"]: _standing(volume) for volume in page["Volumes"]}
        return found

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._joined.clear()
            try:
                standings = await self.describe({waiter.volume_id for waiter in self._waiters})
            except Exception as error:  # or the waiters would wait for ever
                self._spread(error, loop.time())
            else:
                for waiter in set(self._waiters):
                    waiter.hear(standings.get(waiter.volume_id, GONE), loop.time())
            await self._pause(loop.time())

    def _spread(self, error: Exception, now: float) -> None:
        """Let the waiters know of an error, whatever it is; one that passes is only a missed poll, within bounds."""
        passes = isinstance(error, CloudError) and error.temporary
        for waiter in self._waiters:
            if not waiter.done.done() and not (passes and now - waiter.since < _LONGEST_WAIT):
                waiter.done.set_exception(error)

    async def _pause(self, now: float) -> None:
        """Wait a share of the time that the latest waiter has waited, or until another one joins."""
        youngest = min((now - waiter.since for waiter in self._waiters), default=0.0)
        try:
            async with asyncio.timeout(jittered(min(max(_SHARE * youngest, _SHORTEST), _LONGEST))):
                await self._joined.wait()
        except TimeoutError:
            return


def _standing(volume: dict[str, Any]) -> Standing:
    attachment = next(iter(volume.get("Attachments") or []), None)
    if attachment is None or volume["State"] != "in-use":
        return Standing(state=volume["State"])
    return Standing(state=attachment["State"], instance_id=attachment["InstanceId"], device=attachment["Device"])
