"""The EBS snapshots that are releases of ours: made of a volume, found by their tag, shared, deleted.

Owns every EC2 call that makes or changes a snapshot; whether those that jobs name exist is asked by ``volumes``.
CreateSnapshot has no client token: who is not sure whether a snapshot was made looks for it by its volume first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from awsac_async.cloud.aws import Aws, translated
from awsac_async.cloud.volumes import tag_specification
from awsac_async.cloud.volumewaits import VISIBLE_WITHIN
from awsac_async.cloud.waiting import attempts, retried
from awsac_async.session.errors import CloudError, NotFoundError
from awsac_async.session.names import RELEASE_TAG, SESSION_TAG

_LONGEST_PAUSE = 15.0  # seconds; EC2 writes a snapshot of some GiB in minutes


@dataclass(frozen=True, kw_only=True)
class ReleaseSnapshot:
    """A release as EC2 has it. ``gib`` is the size of its volumes, ``begun`` in UTC, ``progress`` as EC2 says it.

    ``key_id`` is the key it is encrypted with, "" if it is not; ``session_id`` is that which built it.
    """

    snapshot_id: str
    name: str
    session_id: str
    volume_id: str
    state: str
    progress: str
    gib: int
    begun: datetime
    key_id: str

    @property
    def encrypted(self) -> bool:
        """Whether it is, and with it the volumes made of it."""
        return bool(self.key_id)


class Snapshots:
    """The snapshots of one account in a region that carry the tag of a release."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    async def create(self, volume_id: str, *, description: str, tags: Mapping[str, str]) -> str:
        """Begin a snapshot of what a volume holds at this moment, and return its ID. Not safe to repeat."""
        ec2 = await self._aws.client("ec2", repeats=False)
        return str((await self._create(ec2, volume_id, description, tags))["SnapshotId"])

    async def check(self, volume_id: str, *, description: str, tags: Mapping[str, str]) -> None:
        """Return if ``create`` would be allowed. Raises CloudError as that does; DeniedError if a right is missing."""
        ec2 = await self._aws.client("ec2")
        try:
            await self._create(ec2, volume_id, description, tags, DryRun=True)
        except CloudError as error:
            if error.code != "DryRunOperation":
                raise

    async def _create(
        self, ec2: Any, volume_id: str, description: str, tags: Mapping[str, str], **options: Any
    ) -> dict[str, Any]:
        with translated("CreateSnapshot", volume_id):
            snapshot: dict[str, Any] = await ec2.create_snapshot(
                VolumeId=volume_id,
                Description=description,
                TagSpecifications=[tag_specification("snapshot", tags)],
                **options,
            )
        return snapshot

    async def of_volume(self, volume_id: str) -> list[ReleaseSnapshot]:
        """Return the releases made of a volume, the oldest first."""
        return await self._find({"volume-id": volume_id, "tag-key": RELEASE_TAG})

    async def releases(self) -> list[ReleaseSnapshot]:
        """Return all releases of the account in this region, the oldest first."""
        return await self._find({"tag-key": RELEASE_TAG})

    async def release(self, snapshot_id: str) -> ReleaseSnapshot:
        """Return one of them. Raises NotFoundError, also for a snapshot that is no release of ours."""
        for found in await self._find({"snapshot-id": snapshot_id, "tag-key": RELEASE_TAG}):
            return found
        cause = f"this account has no such release in {self._aws.region}"
        raise NotFoundError("DescribeSnapshots", snapshot_id, cause)

    async def just_begun(self, snapshot_id: str) -> ReleaseSnapshot:
        """Return one that was begun moments ago, which EC2 may not show at once. Raises NotFoundError."""
        return await retried(lambda: self.release(snapshot_id), again=_not_there, within=VISIBLE_WITHIN)

    async def wait_completed(self, snapshot_id: str, *, within: float) -> ReleaseSnapshot:
        """Wait until volumes can be made of a snapshot that was just begun.

        Raises:
            NotFoundError: it is not there, or somebody has deleted it.
            CloudError: EC2 could not make it, or it took longer than ``within`` seconds.
        """
        found = await self.just_begun(snapshot_id)
        async for _ in attempts(within=within, longest=_LONGEST_PAUSE):
            found = await self.release(snapshot_id)
            if found.state != "pending":
                break
        if found.state == "completed":
            return found
        state = f"{found.state}, {found.progress}"
        raise CloudError("wait for the snapshot", snapshot_id, state, temporary=found.state == "pending")

    async def delete(self, snapshot_id: str) -> None:
        """Delete a snapshot; volumes that were made of it stay."""
        ec2 = await self._aws.client("ec2")
        with translated("DeleteSnapshot", snapshot_id):
            await ec2.delete_snapshot(SnapshotId=snapshot_id)

    async def share(self, snapshot_id: str, account: str, *, allowed: bool) -> None:
        """Let another account make volumes of a snapshot, or no more."""
        ec2 = await self._aws.client("ec2")
        with translated("ModifySnapshotAttribute", snapshot_id):
            await ec2.modify_snapshot_attribute(
                SnapshotId=snapshot_id,
                Attribute="createVolumePermission",
                OperationType="add" if allowed else "remove",
                UserIds=[account],
            )

    async def _find(self, filters: Mapping[str, str]) -> list[ReleaseSnapshot]:
        ec2 = await self._aws.client("ec2")
        asked = [{"Name": name, "Values": [value]} for name, value in filters.items()]
        found: list[ReleaseSnapshot] = []
        with translated("DescribeSnapshots", " ".join(filters.values())):
            async for page in ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=asked):
                found += map(_info, page["Snapshots"])
        return sorted(found, key=lambda each: (each.begun, each.snapshot_id))


def _not_there(error: Exception) -> bool:
    return isinstance(error, NotFoundError)


def _info(snapshot: dict[str, Any]) -> ReleaseSnapshot:
    tags = {tag["Key"]: tag["Value"] for tag in snapshot.get("Tags") or []}
    return ReleaseSnapshot(
        snapshot_id=snapshot["SnapshotId"],
        name=tags.get(RELEASE_TAG, ""),
        session_id=tags.get(SESSION_TAG, ""),
        volume_id=snapshot.get("VolumeId", ""),
        state=snapshot["State"],
        progress=snapshot.get("Progress", ""),
        gib=snapshot["VolumeSize"],
        begun=snapshot["StartTime"].astimezone(UTC),
        key_id=snapshot.get("KmsKeyId", "the account's") if snapshot.get("Encrypted") else "",
    )
