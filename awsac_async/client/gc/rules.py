"""The rules of ``gc``: what costs money, and belongs to no living session.

Pure: what was seen, and when, are arguments. The rules keep whatever may still be wanted: of an instance its session's
deadline, of a status that it can still be shown, of a start that it may just be under way. Absence proves something
only where everything could be looked at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from awsac_async.cloud.builders import BuilderInfo
from awsac_async.cloud.instances import InstanceInfo
from awsac_async.cloud.objects import address
from awsac_async.cloud.unfinished import UnfinishedUpload
from awsac_async.cloud.volumes import VolumeInfo
from awsac_async.session.durations import MAX_HOURS
from awsac_async.session.model import SessionRecord
from awsac_async.session.places import price_at
from awsac_async.session.record import session_id_time
from awsac_async.session.times import format_time, parse_time

YOUNGEST = timedelta(minutes=10)  # what is younger may belong to something that EC2 does not show yet
_AFTER_DEADLINE = timedelta(hours=1)  # for the boot before the deadline is set, and the saving after it
# A start uploads input data before it writes the session's file: no file of 5 TB takes longer than this.
_UPLOAD_OF_A_START = timedelta(days=7)
_IMAGE_OF_A_BUILDER = timedelta(hours=1.5)  # from its deadline on: a client waits for its image for an hour
_ID_IN_USE = timedelta(days=2)  # an ID has the local time of some place, and its start may wait at its question


class GarbageKind(StrEnum):
    """What costs money, or one of the few domains that an account may have."""

    INSTANCE = "instance"
    BUILDER = "builder"
    VOLUME = "volume"
    UPLOAD = "upload"
    DOMAIN = "domain"


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """One thing that no living session owns.

    ``name``: an ID, an address in S3, or the domain's name. ``session_id``: of a builder the ID of its build.
    ``reason``: why it is nobody's. ``since``: from when it is there (UTC; of a domain None). ``cost``: USD so far, None
    if it is not known. ``gib``: the size of a volume. ``upload``: which of the uploads to that address.
    """

    kind: GarbageKind
    name: str
    session_id: str
    reason: str
    since: datetime | None
    cost: float | None = None
    gib: int | None = None
    upload: UnfinishedUpload | None = None


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What may be garbage of one session, as it was listed."""

    instances: Sequence[InstanceInfo] = ()
    volumes: Sequence[VolumeInfo] = ()
    uploads: Sequence[UnfinishedUpload] = ()
    domain: bool = False


@dataclass(frozen=True, kw_only=True)
class Owner:
    """What there is of a session.

    ``record``: its file, from the copy in S3. ``elsewhere``: it runs in another region. ``buckets``: where an object of
    it stands. ``domain``: whether its status is there. ``instances``: all that EC2 shows. ``unread``: what could not be
    looked at, in words; where there is any, that nothing was found says nothing. ``max_hours``: its deadline; None: not
    known.
    """

    session_id: str
    instances: Sequence[InstanceInfo]
    record: SessionRecord | None
    elsewhere: bool
    buckets: Sequence[str]
    domain: bool
    unread: Sequence[str]
    max_hours: float | None

    @property
    def has_instances(self) -> bool:
        """Whether one of its instances is not gone yet."""
        return any(each.live for each in self.instances)

    @property
    def launched(self) -> bool:
        """Whether its start has come to its end."""
        return bool(self.record and self.record.ec2_reservation_id)

    def nothing_in_s3(self) -> bool:
        """Whether no bucket of the account has an object of it, for sure."""
        return not self.buckets and not self.unread

    def just_started(self, at: datetime) -> bool:
        """Whether it may have instances that EC2 does not show yet."""
        started = parse_time(self.record.started) if self.record else None
        return started is not None and at - started < YOUNGEST


def judged_builder(builder: BuilderInfo, *, at: datetime, older_than: timedelta) -> Iterator[Garbage]:
    """Yield a builder whose client cannot be waiting for it any more: with or without its image, that has ended it."""
    hours = MAX_HOURS if builder.max_hours is None else builder.max_hours
    end = builder.launched + timedelta(hours=hours) + _IMAGE_OF_A_BUILDER
    if builder.live and builder.state != "shutting-down" and builder.launched <= at - older_than and at > end:
        yield Garbage(
            kind=GarbageKind.BUILDER,
            name=builder.instance_id,
            session_id=builder.build_id,
            reason=f"it is {builder.state}, and whoever built an image with it is gone",
            since=builder.launched,
        )


def judged(owned: Resources, owner: Owner, *, at: datetime, older_than: timedelta) -> Iterator[Garbage]:
    """Yield what of these resources of a session is garbage at this time, and ``older_than`` so much."""
    if owner.elsewhere or owner.just_started(at):
        return
    oldest = at - older_than
    for instance in owned.instances:
        if instance.launched <= oldest and (reason := _of_instance(instance, owner, at)):
            yield _instance(instance, owner, reason, at)
    for volume in owned.volumes:
        if volume.created <= oldest and (reason := _of_volume(volume, owner)):
            yield _volume(volume, reason)
    for upload in owned.uploads:
        if upload.initiated <= oldest and (reason := _of_upload(upload, owner, at)):
            yield _upload(upload, owner.session_id, reason)
    if owned.domain and (reason := _of_domain(owner, at)):
        yield Garbage(
            kind=GarbageKind.DOMAIN, name=owner.session_id, session_id=owner.session_id, reason=reason, since=None
        )


def _of_instance(instance: InstanceInfo, owner: Owner, at: datetime) -> str:
    """Say why an instance is nobody's; one that is on its way out needs nobody."""
    if not instance.live or instance.state == "shutting-down":
        return ""
    deadline = instance.launched + timedelta(hours=MAX_HOURS if owner.max_hours is None else owner.max_hours)
    if at > deadline + _AFTER_DEADLINE:
        return f"it is {instance.state}, and its deadline was {format_time(deadline)}"
    if owner.nothing_in_s3() and not owner.domain:
        return f"it is {instance.state}, and neither the objects nor the status of its session are there any more"
    return ""


def _of_volume(volume: VolumeInfo, owner: Owner) -> str:
    if not volume.free or owner.has_instances:
        return ""
    return "it is attached to nothing, and its session has no instance"


def _of_upload(upload: UnfinishedUpload, owner: Owner, at: datetime) -> str:
    if owner.has_instances:
        return ""
    if owner.launched:
        return "it was never completed, and its session has no instance"
    if at - upload.initiated > _UPLOAD_OF_A_START:
        return "it was never completed, and nothing says that its session was started"
    return ""


def _of_domain(owner: Owner, at: datetime) -> str:
    if owner.instances or not owner.nothing_in_s3():
        return ""
    local = session_id_time(owner.session_id)
    if local is None or at.replace(tzinfo=None) - local < _ID_IN_USE:
        return ""
    return "no bucket of the account has an object of its session, and no instance is there"


def _instance(instance: InstanceInfo, owner: Owner, reason: str, at: datetime) -> Garbage:
    price = price_at(owner.record, instance.launch_index) if owner.record else None
    return Garbage(
        kind=GarbageKind.INSTANCE,
        name=instance.instance_id,
        session_id=owner.session_id,
        reason=reason,
        since=instance.launched,
        cost=None if price is None else price * ((at - instance.launched) / timedelta(hours=1)),
    )


def _volume(volume: VolumeInfo, reason: str) -> Garbage:
    return Garbage(
        kind=GarbageKind.VOLUME,
        name=volume.volume_id,
        session_id=volume.session_id,
        reason=reason,
        since=volume.created,
        gib=volume.gib,
    )


def _upload(upload: UnfinishedUpload, session_id: str, reason: str) -> Garbage:
    return Garbage(
        kind=GarbageKind.UPLOAD,
        name=address(upload.bucket, upload.key),
        session_id=session_id,
        reason=reason,
        since=upload.initiated,
        upload=upload,
    )
