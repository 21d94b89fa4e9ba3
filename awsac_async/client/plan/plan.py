"""The verb ``plan``, which is also the first part of ``start``: everything that can be known before money is spent.

Owns the plan (instances, cores, volumes, costs, deadline) and the order in which problems are told. Only reads; all
problems are told at once.
"""

import math
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from awsac_async.client.plan.checks import CloudChecks, Facts
from awsac_async.client.plan.inputs import Reading, reading
from awsac_async.client.plan.places import PlannedPlace, dearest_per_hour
from awsac_async.client.plan.prices import PriceSource
from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.images import Disk, Image
from awsac_async.cloud.volumes import RELEASE_VOLUME_TYPE
from awsac_async.session.archive import ArchiveContents
from awsac_async.session.costs import hours_within, shown_usd, volume_per_hour
from awsac_async.session.durations import LAST_SECONDS, warning_seconds
from awsac_async.session.errors import AwsacError, InputError, ProblemsError
from awsac_async.session.jobs import expand, launch_index_of
from awsac_async.session.model import JobSettings, Schedule, StartInfo, StatusKind
from awsac_async.session.names import AUTOSTART_FILE
from awsac_async.session.places import instances_at, places_of, types_of
from awsac_async.session.purpose import Build, Purpose
from awsac_async.session.releases import SPARE_RELEASES, is_snapshot, need_volumes

# Of a shorter session nothing is left when its jobs have been stopped and saved.
_LEAST_HOURS = LAST_SECONDS / 3600


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be started. ``max_hours`` is the deadline of every instance, counted from its boot.

    ``job_timeout`` is in seconds, None if the session has none. ``job_user`` is whom jobs run as;
    ``release_mount`` is ``rw`` or ``ro``. ``encrypted``: volumes are to be; ``root_device``: that of the image which
    is. ``schedule`` and ``lease`` (seconds): as in JobSettings. ``n_volumes`` and ``volumes_gib`` are those of all
    instances together; where jobs are shared, the most that there may be at a time.
    ``status_store`` is where the status is kept, and ``status_reason`` why, as the end of a sentence.
    ``kept_volumes``: whether there may be volumes that do not go with their instances by themselves.
    ``price_per_hour`` is that of one instance, ``volumes_per_hour`` that of all volumes, in USD; None: not known.
    ``places`` are where it may be started, in order; all else is said of the first, but for the costs.
    ``archives``: the releases in S3, each with its size in bytes as it is there; how large it is unpacked nobody knows.
    ``shortened_from``: the hours of the deadline before it was shortened. ``agent``: what instances of a stock image
    install, in words; "" if their image has it. ``remarks``: what is no problem, but should
    be known.
    """

    n_jobs: int
    n_instances: int
    instance_type: str
    cores_per_instance: int
    max_hours: float
    job_timeout: float | None
    retries: int
    job_user: str
    release_mount: str
    encrypted: bool = True
    schedule: Schedule = Schedule.FIXED
    lease: float = JobSettings.lease
    market: str
    region: str
    root_device: str = ""
    status_store: StatusKind = StatusKind.SIMPLEDB
    status_reason: str = ""
    kept_volumes: bool = True
    n_volumes: int = 0
    volumes_gib: int = 0
    price_per_hour: float | None = None
    price_source: PriceSource | None = None
    volumes_per_hour: float | None = None
    places: tuple[PlannedPlace, ...] = ()
    archives: tuple[tuple[str, int], ...] = ()
    shortened_from: float | None = None
    agent: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def unused_cores(self) -> int:
        """Cores that get no job."""
        return max(0, self.n_cores - self.n_jobs)

    @property
    def n_cores(self) -> int:
        """The cores of all instances together."""
        return self.n_instances * self.cores_per_instance

    @property
    def deadline_first(self) -> bool:
        """Whether no job can run as long as ``job_timeout`` allows, since the deadline stops it before that."""
        return self.job_timeout is not None and self.job_timeout >= self.max_hours * 3600 - warning_seconds(
            self.max_hours
        )

    @property
    def cost_per_hour(self) -> float | None:
        """What all instances with their volumes cost in an hour, in USD, wherever they are; None: not known.

        A price that the user gave is taken to include volumes whose price is not known.
        """
        return dearest_per_hour(self.places, without_volumes=self.price_source is PriceSource.INI)

    @property
    def n_types(self) -> int:
        """How many types its instances may have."""
        return len({each.instance_type for each in self.places})

    @property
    def worst_case(self) -> float | None:
        """What the session costs in USD if every instance runs until its deadline; None: not known."""
        return None if self.cost_per_hour is None else self.cost_per_hour * self.max_hours


async def plan(
    *,
    ini: Path,
    archive: Path,
    data: Path | None = None,
    region: str | None = None,
    max_cost: float | None = None,
    shorten_deadline: bool = False,
) -> Plan:
    """Check everything that can be checked before a session is started, and say what will be; starts nothing.

    Args:
        ini: the ``session.ini``.
        archive: the session archive, or a folder to be packed into one.
        data: folder of input data.
        region: where, whatever the ini says.
        max_cost: what the session may cost in USD, at most.
        shorten_deadline: shorten the deadline if it costs more.

    Raises:
        InputError: one thing is not right.
        CloudError: the cloud could not be asked, or refuses.
        ProblemsError: several such errors: those of files first, then of scripts, then of the cloud.
    """
    async with (
        reading(ini=ini, archive=archive, data=data) as read,
        connected(read, region=region) as aws,
    ):
        return await make_plan(aws, read, max_cost=max_cost, shorten_deadline=shorten_deadline)


@asynccontextmanager
async def connected(read: Reading, *, region: str | None) -> AsyncIterator[Aws]:
    """Connect to AWS, in the ini's region if none is given; why that fails is told with what is wrong in the files."""
    if read.startinfo is None:
        raise _told(read.problems)
    async with AsyncExitStack() as stack:
        try:
            aws = await stack.enter_async_context(
                connect(region=region or read.startinfo.region, access=read.startinfo)
            )
        except AwsacError as error:
            raise _told([*read.problems, error]) from error
        yield aws


async def make_plan(
    aws: Aws,
    read: Reading,
    *,
    max_cost: float | None = None,
    shorten_deadline: bool = False,
    deadline: float | None = None,
    status_store: StatusKind | None = None,
    launched: bool = False,
) -> Plan:
    """Check what the files name, and return the plan; raises as ``plan`` does.

    Args:
        aws: the connection.
        read: the files, whose ini can be read.
        max_cost: as in ``plan``.
        shorten_deadline: as in ``plan``.
        deadline: the hours that an earlier start has promised its instances; None: those of the ini.
        status_store: where that start has begun to keep the status; None: as the ini says.
        launched: that start has launched them: it is too late to ask whether that can be, and what it may cost.
    """
    startinfo = read.startinfo
    if startinfo is None:
        raise _told(read.problems)
    if shorten_deadline and max_cost is None:
        raise InputError("--shorten-deadline: found no --max-cost, expected it, to say what the session may cost")
    checks = CloudChecks(
        aws,
        startinfo,
        read.contents,
        ini=read.ini,
        archive=read.archive,
        builds=isinstance(read.purpose, Build),
        begun=status_store,
        launched=launched,
    )
    facts = await checks.run()
    problems = [*read.problems, *facts.problems]
    made = _assemble(startinfo, read.contents, facts, region=aws.region, purpose=read.purpose)
    if made is not None:
        remarks = (*read.remarks, *facts.remarks, *_network_remarks(startinfo))
        agent = str(read.agent or "")
        made = replace(made, max_hours=deadline or made.max_hours, agent=agent, remarks=remarks)
        if max_cost is not None and not launched:
            try:
                made = _within(made, max_cost, shorten=shorten_deadline and deadline is None)
            except InputError as error:
                problems.append(error)
    if problems or made is None:
        raise _told(problems)
    return made


def _network_remarks(startinfo: StartInfo) -> list[str]:
    """Say what a network without public addresses needs: to look at its routes would take further rights."""
    if startinfo.public_ip is not False:
        return []
    return [
        "the instances get no public address: they reach S3, EC2 and the status store only if the subnet has a "
        "NAT gateway or endpoints; else they do nothing until their deadline, and cost"
    ]


def _told(problems: Sequence[AwsacError]) -> AwsacError:
    return problems[0] if len(problems) == 1 else ProblemsError(problems)


def _assemble(
    startinfo: StartInfo, contents: ArchiveContents | None, facts: Facts, *, region: str, purpose: Purpose | None
) -> Plan | None:
    """Return the plan, as far as the cloud has said what it is made of."""
    if facts.snapshots is None or facts.archives is None:
        return None
    if facts.image is None or contents is None:
        return None
    if facts.status is None:
        return None
    built = [Disk(gib=purpose.gib, volume_type=RELEASE_VOLUME_TYPE)] if isinstance(purpose, Build) else []
    places = _places(startinfo, contents, facts, facts.image, built)
    if not places:
        return None
    first = places[0]
    releases = _releases(startinfo, contents, facts, first.n_instances, first.cores_per_instance)
    disks = [*built, *facts.image.disks * first.n_instances, *releases]
    return Plan(
        n_jobs=startinfo.n_jobs,
        n_instances=first.n_instances,
        instance_type=startinfo.instance_type,
        cores_per_instance=first.cores_per_instance,
        max_hours=startinfo.max_hours,
        job_timeout=startinfo.job_timeout,
        retries=startinfo.retries,
        job_user=startinfo.job_user,
        release_mount=startinfo.release_mount,
        encrypted=startinfo.encrypted,
        schedule=startinfo.schedule,
        lease=startinfo.lease,
        root_device=facts.image.root_device if startinfo.encrypted else "",
        market=startinfo.market,
        region=region,
        status_store=facts.status.kind,
        status_reason=facts.status.reason,
        kept_volumes=isinstance(purpose, Build) or _keeps_volumes(contents, facts.image),
        n_volumes=len(disks),
        volumes_gib=sum(disk.gib for disk in disks),
        price_per_hour=first.price_per_hour,
        price_source=price.source if (price := facts.prices.get(first.instance_type)) else None,
        volumes_per_hour=first.volumes_per_hour,
        places=places,
        archives=tuple(facts.archives.items()),
    )


def _places(
    startinfo: StartInfo, contents: ArchiveContents, facts: Facts, image: Image, built: list[Disk]
) -> tuple[PlannedPlace, ...]:
    """Return the places with what the session is at each, ``built`` with it; none if one of the types is not known."""
    planned = {}
    for name in types_of(startinfo):
        if name not in facts.instance_types:
            return ()
        cores = startinfo.cores_per_instance or facts.instance_types[name].vcpus
        n_instances = instances_at(startinfo, cores, wanted=startinfo.n_jobs)
        releases = _releases(startinfo, contents, facts, n_instances, cores)
        price = facts.prices.get(name)
        planned[name] = PlannedPlace(
            instance_type=name,
            cores_per_instance=cores,
            n_instances=n_instances,
            price_per_hour=price.per_hour if price else None,
            volumes_per_hour=_per_hour([*built, *image.disks * n_instances, *releases], facts),
            disks_per_hour=_per_hour(image.disks, facts),
        )
    return tuple(replace(planned[each.instance_type], subnet_id=each.subnet_id) for each in places_of(startinfo))


def _keeps_volumes(contents: ArchiveContents, image: Image) -> bool:
    """Whether a volume may outlive its instance: that of a release, of a disk that the image keeps, or of a script.

    A session that brings its own start script may name other jobs there, and so releases.
    """
    volumes = need_volumes(each.release for each in contents.definitions) or AUTOSTART_FILE in contents.members
    return volumes or any(disk.kept for disk in image.disks)


def _releases(
    startinfo: StartInfo, contents: ArchiveContents, facts: Facts, n_instances: int, cores: int
) -> list[Disk]:
    """Return the volumes of releases: each instance makes one of every snapshot that its jobs name.

    Where jobs are shared those may be any: of the snapshots, the largest that an instance can have at a time.
    """
    snapshots = {name: found.gib for name, found in (facts.snapshots or {}).items()}
    jobs = [(job.number, job.release) for job in expand(contents.definitions) if is_snapshot(job.release)]
    if startinfo.schedule is Schedule.SHARED:
        named = {release for _, release in jobs}
        sizes = sorted((snapshots[each] for each in named), reverse=True)[: cores + SPARE_RELEASES] * n_instances
    else:
        needed = {(launch_index_of(number, cores_per_instance=cores), release) for number, release in jobs}
        sizes = [snapshots[release] for _, release in needed]
    return [Disk(gib=gib, volume_type=RELEASE_VOLUME_TYPE) for gib in sizes]


def _per_hour(disks: Iterable[Disk], facts: Facts) -> float | None:
    """Return what volumes cost in USD an hour; None if the price of one is not known."""
    total = 0.0
    for disk in disks:
        price = None if disk.extra else facts.volume_prices.get(disk.volume_type)
        if price is None:
            return None
        total += volume_per_hour(disk.gib, price)
    return total


def _within(made: Plan, limit: float, *, shorten: bool) -> Plan:
    """Return a plan that costs at most ``limit`` USD; raises InputError if there is none, or nobody asked for it."""
    if not 0 < limit < math.inf:
        raise InputError(f"--max-cost: found {limit:g}, expected an amount of USD above 0")
    if made.worst_case is None or made.cost_per_hour is None:
        raise InputError(
            "what the session may cost is not known, so it cannot be kept below --max-cost: "
            "give the price of an instance as price_per_hour in session.ini"
        )
    if made.worst_case <= limit:
        return made
    hours = hours_within(limit, made.cost_per_hour)
    over = f"the session may cost {shown_usd(made.worst_case)}, more than {shown_usd(limit)}"
    if hours < _LEAST_HOURS:
        least = f"{math.ceil(LAST_SECONDS / 60)} minutes"
        raise InputError(f"{over}, and no deadline of at least {least} fits: it costs {_hourly(made)}")
    if not shorten:
        raise InputError(f"{over}; a deadline of {hours:g} hours fits: set max_hours, or add --shorten-deadline")
    return replace(made, max_hours=hours, shortened_from=made.max_hours)


def _hourly(made: Plan) -> str:
    return f"{shown_usd(made.cost_per_hour or 0)} an hour"
