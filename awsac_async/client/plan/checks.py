"""What the cloud says to a session before it is started: all at once, by calls that cost and change nothing.

Owns the sentence for each name in the user's files that AWS does not know. A check whose question depends on the answer
of another one waits for that, and is left out if there is none: nothing is reported twice.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from awsac_async.client.plan.archives import find_archives
from awsac_async.client.plan.prices import Price, find_price, find_volume_prices, optional
from awsac_async.client.plan.statusstore import StatusChoice, choose_status_store
from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.images import Image, Images, InstanceType
from awsac_async.cloud.instances import Instances, Launch
from awsac_async.cloud.quotas import Quotas, quota_code
from awsac_async.cloud.volumes import SnapshotInfo, Volumes
from awsac_async.session.archive import ArchiveContents, inner_name
from awsac_async.session.errors import (
    AwsacError,
    CloudError,
    CredentialsError,
    DeniedError,
    EndpointError,
    FormatError,
    InputError,
    NotFoundError,
    ProblemsError,
)
from awsac_async.session.model import Schedule, StartInfo, StatusKind
from awsac_async.session.names import JOBS_FILE, NO_SESSION, RELEASE_TAG
from awsac_async.session.places import Place, instances_at, places_of, types_of
from awsac_async.session.releases import is_snapshot, need_volumes
from awsac_async.session.wording import counted

T = TypeVar("T")
# What keeps every call from being answered: said once.
_NO_WAY = (CredentialsError, EndpointError)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the cloud has said; what it did not say is None, and its problem is among the others, in their order.

    ``instance_types`` and ``prices`` are by the name of a type. ``archives`` are the sizes in bytes of the releases in
    S3, by address. ``volume_prices`` are those of a GiB for a month in USD, by EBS type; None: not known.
    """

    status: StatusChoice | None
    instance_types: Mapping[str, InstanceType]
    image: Image | None
    snapshots: Mapping[str, SnapshotInfo] | None
    archives: Mapping[str, int] | None
    prices: Mapping[str, Price | None]
    volume_prices: Mapping[str, float | None]
    problems: tuple[AwsacError, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Noted(Generic[T]):
    """What one check has found."""

    value: T | None
    problems: tuple[AwsacError, ...]
    remarks: tuple[str, ...]


async def _noted(check: Callable[[list[str]], Awaitable[T]]) -> _Noted[T]:
    remarks: list[str] = []
    value: T | None = None
    problems: tuple[AwsacError, ...] = ()
    try:
        value = await check(remarks)
    except ProblemsError as error:
        problems = error.problems
    except AwsacError as error:
        problems = (error,)
    return _Noted(value=value, problems=problems, remarks=tuple(remarks))


class CloudChecks:
    """The checks of one start.

    Args:
        aws: the connection.
        startinfo: the ``session.ini``.
        contents: of the archive, None if that cannot be read.
        ini, archive: the files' names, as the user gave them.
        builds: the session makes a volume for a new release.
        begun: where an earlier start has begun to keep the status; None: there was none.
        launched: the session's instances are there: whether they could be started is not asked.
    """

    def __init__(
        self,
        aws: Aws,
        startinfo: StartInfo,
        contents: ArchiveContents | None,
        *,
        ini: str,
        archive: str,
        builds: bool,
        begun: StatusKind | None,
        launched: bool,
    ) -> None:
        self._aws, self._startinfo, self._contents = aws, startinfo, contents
        self._ini, self._archive, self._begun, self._launched = ini, archive, begun, launched
        self._builds = builds
        self._images = Images(aws)
        self._types: asyncio.Task[_Noted[Mapping[str, InstanceType]]]
        self._image: asyncio.Task[_Noted[Image]]
        self._profile: asyncio.Task[_Noted[None]]

    async def run(self) -> Facts:
        """Make all checks at once."""
        async with asyncio.TaskGroup() as group:

            def begin(check: Callable[[list[str]], Awaitable[T]]) -> asyncio.Task[_Noted[T]]:
                return group.create_task(_noted(check), name=f"check {check.__name__.strip('_')}")

            status = begin(self._check_status_store)
            self._types = begin(self._find_types)
            self._image = begin(self._find_image)
            snapshots = begin(self._find_snapshots)
            archives = begin(self._find_archives)
            bucket = begin(self._check_bucket)
            self._profile = begin(self._check_profile)
            checks = (self._check_cores, self._check_quotas, self._check_launches)
            launch = [] if self._launched else [begin(check) for check in checks]
            prices = begin(self._find_prices)
            volume_prices = begin(self._find_volume_prices)
        tasks: list[asyncio.Task[_Noted[Any]]] = [
            status, self._types, self._image, snapshots, archives, bucket, self._profile, *launch, prices, volume_prices
        ]  # fmt: skip
        return Facts(
            status=status.result().value,
            instance_types=self._types.result().value or {},
            image=self._image.result().value,
            snapshots=snapshots.result().value,
            archives=archives.result().value,
            prices=prices.result().value or {},
            volume_prices=volume_prices.result().value or {},
            problems=_once(problem for task in tasks for problem in task.result().problems),
            remarks=tuple(remark for task in tasks for remark in task.result().remarks),
        )

    async def _check_status_store(self, _: list[str]) -> StatusChoice:
        return await choose_status_store(self._aws, self._startinfo.status_store, begun=self._begun, ini=self._ini)

    async def _find_types(self, _: list[str]) -> Mapping[str, InstanceType]:
        first, *others = types_of(self._startinfo)
        found = {first: await self._find_type("instance_type", first)}
        return found | {name: await self._find_type("instance_types", name) for name in others}

    async def _find_type(self, key: str, name: str) -> InstanceType:
        try:
            return await self._images.instance_type(name)
        except NotFoundError as error:
            expected = f"an instance type that EC2 offers in {self._aws.region}"
            raise self._unknown(key, name, expected) from error

    async def _find_image(self, _: list[str]) -> Image:
        image_id, owner = self._startinfo.ami_id, self._startinfo.ec2_uid
        try:
            image = await self._images.find_image(image_id, owner)
        except NotFoundError as error:
            expected = f"an image of account {owner} in {self._aws.region}"
            raise self._unknown("ami_id", image_id, expected) from error
        if image.state != "available":
            raise self._unknown("ami_id", f"{image_id}, which is {image.state}", "an image that is available")
        for instance_type in ((await self._types).value or {}).values():
            if image.architecture not in instance_type.architectures:
                found = f"{image_id}, which is made for {image.architecture}"
                expected = f"an image for {' or '.join(instance_type.architectures)}, which {instance_type.name} has"
                raise self._unknown("ami_id", found, expected)
        return image

    async def _find_snapshots(self, remarks: list[str]) -> Mapping[str, SnapshotInfo]:
        definitions = self._contents.definitions if self._contents else ()
        lines = {each.release: each.line for each in reversed(definitions) if is_snapshot(each.release)}
        found = await Volumes(self._aws).snapshots(lines.keys()) if lines else {}
        unknown = sorted(lines.keys() - found.keys())
        unfinished = sorted(name for name, snapshot in found.items() if not snapshot.completed)
        wrong = [
            (unknown, f"snapshots that EC2 knows in {self._aws.region}, and that this account may use"),
            (unfinished, "snapshots that are completed"),
        ]
        problems = [self._bad_snapshots(lines, names, expected) for names, expected in wrong if names]
        if problems:
            raise ProblemsError(problems)
        if untagged := sorted(name for name, snapshot in found.items() if not snapshot.released):
            remarks.append(
                f"{', '.join(untagged)}: without the tag {RELEASE_TAG}, as far as can be seen. The role of awsac setup "
                f"may use it only if awsac setup --release {untagged[0]} has named it"
            )
        return found

    async def _find_archives(self, _: list[str]) -> Mapping[str, int]:
        definitions = self._contents.definitions if self._contents else ()
        return await find_archives(self._aws, definitions, file=inner_name(self._archive, JOBS_FILE))

    def _bad_snapshots(self, lines: Mapping[str, int], names: list[str], expected: str) -> FormatError:
        return FormatError(
            file=inner_name(self._archive, JOBS_FILE),
            line=min(lines[name] for name in names),
            field="snapshotID",
            found=", ".join(names),
            expected=expected,
        )

    async def _check_bucket(self, _: list[str]) -> None:
        bucket = Bucket(self._aws, self._startinfo.bucket)
        try:
            await bucket.check()
        except NotFoundError as error:
            raise self._unknown("sessionsbucket", bucket.name, "a bucket that exists; awsac setup makes one") from error
        try:
            heeds_conditions = await bucket.check_writable()
        except DeniedError as error:
            rights = "a session needs s3:PutObject and s3:GetObject on its bucket"
            raise DeniedError(error.operation, error.resource, f"{error.cause}; {rights}", code=error.code) from error
        if self._startinfo.schedule is Schedule.SHARED and not heeds_conditions:
            expected = "fixed: the server of this bucket does not heed If-Match, by which instances agree who runs what"
            raise FormatError(file=self._ini, field="schedule", found=Schedule.SHARED, expected=expected)

    async def _check_profile(self, remarks: list[str]) -> None:
        name = self._startinfo.instance_profile
        try:
            await optional(self._images.check_profile(name), f"whether there is an instance profile {name}", remarks)
        except NotFoundError as error:
            expected = "an instance profile of this account; awsac setup makes one"
            raise self._unknown("instance_profile", name, expected) from error

    async def _check_cores(self, _: list[str]) -> None:
        """Refuse types of which not even one instance keeps to the most cores that there may be."""
        types, most = ((await self._types).value or {}).values(), self._startinfo.max_cores
        for each in types:
            if most is not None and self._cores(each) > most:
                found = f"{most}, and an instance of type {each.name} has {counted(self._cores(each), 'core')}"
                expected = f"at least as many, or a cores_per_instance of at most {most}, which leaves the others idle"
                raise FormatError(file=self._ini, field="max_cores", found=found, expected=expected)

    async def _check_quotas(self, remarks: list[str]) -> None:
        """Refuse what is more than every quota; where only some types have too little, that is a remark."""
        types = ((await self._types).value or {}).values()
        short = []
        for instance_type in types:
            try:
                await self._check_quota(instance_type, remarks)
            except InputError as error:
                short.append(error)
        if short and len(short) == len(types):
            raise ProblemsError(short)
        remarks += [str(error) for error in short]

    async def _check_quota(self, instance_type: InstanceType, remarks: list[str]) -> None:
        code = quota_code(instance_type.name, self._startinfo.market)
        if code is None:
            remarks.append(f"the vCPU quota is not checked: awsac does not know which one counts {instance_type.name}")
            return
        try:
            quota = await optional(Quotas(self._aws).read(code), "the vCPU quota", remarks)
        except NotFoundError as error:
            remarks.append(f"the vCPU quota could not be read: {error}")
            return
        needed = self._count(instance_type) * instance_type.vcpus
        if quota and needed > quota.left:
            raise InputError(
                f"{self._ini}: {counted(self._count(instance_type), 'instance')} of type {instance_type.name} "
                f"need {needed} vCPUs, and the account has {quota.left} of {quota.limit} left in {self._aws.region}: "
                f"ask Service Quotas for more ({quota.code}), or let fewer jobs run at once"
            )

    async def _check_launches(self, remarks: list[str]) -> None:
        """Let EC2 say whether it would start the instances: each type in the first subnet, the first in the others.

        A type that a zone does not have is a remark, unless that is so wherever it was asked for.
        """
        types, image = (await self._types).value, (await self._image).value
        if types is None or image is None:
            return
        places = places_of(self._startinfo)
        of_first = [each for each in places if each.instance_type == places[0].instance_type]
        asked = [*of_first, *(each for each in places if each.subnet_id == places[0].subnet_id and each != places[0])]
        problems: dict[str, AwsacError] = {}  # what is not known is so everywhere, and said once
        nowhere: list[CloudError] = []
        for place in (each for each in asked if self._count(types[each.instance_type])):
            for problem in await self._check_launch(place, types, image):
                if isinstance(problem, CloudError) and problem.code == "Unsupported":
                    nowhere.append(problem)
                    remarks.append(f"{place.name} cannot be had: {problem.cause}")
                else:
                    problems.setdefault(str(problem), problem)
        if found := [*problems.values(), *(nowhere[:1] if len(nowhere) == len(asked) else [])]:
            raise ProblemsError(found)

    async def _check_launch(
        self, place: Place, types: Mapping[str, InstanceType], image: Image
    ) -> Sequence[AwsacError]:
        """Return what keeps EC2 from starting the instances at a place.

        It names one unknown thing at a time: each is noted, and the question asked again without it.
        """
        launch = self._launch(place, self._count(types[place.instance_type]), image)
        profile = await self._profile
        if profile.problems:
            launch = replace(launch, instance_profile="")
        problems: list[AwsacError] = []
        while error := await self._refusal(launch, profile_exists=not profile.remarks):
            without = _without(launch, error)
            if without or not problems:
                problems.append(self._named(error, place))
            if without is None or without == launch:
                break
            launch = without
        return problems

    def _named(self, error: CloudError, place: Place) -> AwsacError:
        """Return the error with the key of the ini that names what EC2 does not know; itself if there is none."""
        info, expected = self._startinfo, f"one that EC2 knows in {self._aws.region} ({error.cause})"
        for code, field, found in [
            ("InvalidKeyPair", "key_name", info.key_name),
            ("InvalidGroup", "security_group_ids", ", ".join(info.security_group_ids)),
            ("InvalidSubnet", "subnet_id" if place.subnet_id == info.subnet_id else "subnet_ids", place.subnet_id),
        ]:
            if found and error.code.startswith(code):
                return self._unknown(field, found, expected)
        return error

    async def _refusal(self, launch: Launch, *, profile_exists: bool) -> CloudError | None:
        try:
            await Instances(self._aws).dry_run(launch, profile_exists=profile_exists)
        except CloudError as error:
            return error
        return None

    async def _find_prices(self, remarks: list[str]) -> Mapping[str, Price | None]:
        info = self._startinfo
        return {name: await find_price(self._aws, info, name, remarks) for name in types_of(info)}

    async def _find_volume_prices(self, remarks: list[str]) -> Mapping[str, float | None]:
        image = (await self._image).value
        definitions = self._contents.definitions if self._contents else ()
        releases = self._builds or need_volumes(each.release for each in definitions)
        return await find_volume_prices(self._aws, image, releases=releases, remarks=remarks)

    def _cores(self, instance_type: InstanceType) -> int:
        return self._startinfo.cores_per_instance or instance_type.vcpus

    def _count(self, instance_type: InstanceType) -> int:
        """Return how many instances are asked for: none of a type with more cores than there may be in all."""
        return instances_at(self._startinfo, self._cores(instance_type), wanted=self._startinfo.n_jobs)

    def _launch(self, place: Place, count: int, image: Image) -> Launch:
        """Return what ``start`` will ask for, with other words in tags and user data."""
        info = self._startinfo
        return Launch(
            image_id=info.ami_id,
            instance_type=place.instance_type,
            count=count,
            user_data="plan",
            client_token=uuid.uuid4().hex,
            session_id=NO_SESSION,
            instance_profile=info.instance_profile,
            key_name=info.key_name,
            security_group_ids=info.security_group_ids,
            subnet_id=place.subnet_id or None,
            public_ip=info.public_ip,
            root_device=image.root_device if info.encrypted else "",
            market=info.market,
        )

    def _unknown(self, field: str, found: str, expected: str) -> FormatError:
        return FormatError(file=self._ini, field=field, found=found, expected=expected)


def _without(launch: Launch, error: CloudError) -> Launch | None:
    """Return the launch without the option that an error says is unknown; None if it speaks of something else."""
    if error.code.startswith("InvalidKeyPair"):
        return replace(launch, key_name=None)
    if error.code.startswith("InvalidGroup"):
        return replace(launch, security_group_ids=())
    if error.code.startswith("InvalidSubnet"):
        return replace(launch, subnet_id=None)
    if "Invalid IAM Instance Profile" in error.cause:
        return replace(launch, instance_profile="")
    return None


def _once(problems: Iterable[AwsacError]) -> tuple[AwsacError, ...]:
    """Leave one of the errors that every call has alike when there is no way to AWS."""
    kept: list[AwsacError] = []
    for problem in {str(problem): problem for problem in problems}.values():
        kind = next((kind for kind in _NO_WAY if isinstance(problem, kind)), None)
        if kind is None or not any(isinstance(each, kind) for each in kept):
            kept.append(problem)
    return tuple(kept)
