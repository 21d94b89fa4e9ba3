"""What a start is going to do, checked against the cloud by reading calls only; nothing here costs or changes anything.

Owns the plan (instances, cores, deadline) and the sentence for each name in the user's files that EC2 or S3 does
not know.
"""

from dataclasses import dataclass

from awsac_async.client.inputs import Inputs
from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.instances import Instances
from awsac_async.cloud.status import status_store
from awsac_async.cloud.volumes import Volumes
from awsac_async.session.durations import warning_seconds
from awsac_async.session.errors import FormatError, NotFoundError
from awsac_async.session.jobs import instances_needed
from awsac_async.session.model import StartInfo
from awsac_async.session.names import JOBS_FILE


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be started. ``max_hours`` is the deadline of every instance, counted from its boot.

    ``job_timeout`` is in seconds, None if the session has none. ``job_user`` is whom jobs run as;
    ``release_mount`` is ``rw`` or ``ro``.
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
    market: str
    region: str

    @property
    def unused_cores(self) -> int:
        """Cores of the last instance that get no job."""
        return self.n_instances * self.cores_per_instance - self.n_jobs

    @property
    def deadline_first(self) -> bool:
        """Whether no job can run as long as ``job_timeout`` allows, since the deadline stops it before that."""
        return self.job_timeout is not None and self.job_timeout >= self.max_hours * 3600 - warning_seconds(
            self.max_hours
        )


async def make_plan(aws: Aws, inputs: Inputs) -> Plan:
    """Check what the files name, and return the plan.

    Raises:
        FormatError: the instance type, image, bucket or a snapshot is not known.
        CloudError: the cloud could not be asked.
    """
    startinfo = inputs.startinfo
    # Asked of a domain that nobody has: what counts is that SimpleDB answers at all.
    await status_store(aws, "awsac").exists()
    cores = await _cores(aws, inputs)
    await _check_image(aws, inputs)
    await _check_snapshots(aws, inputs)
    await _check_bucket(aws, inputs)
    return plan_for(startinfo, cores=cores, region=aws.region)


def plan_for(startinfo: StartInfo, *, cores: int, region: str) -> Plan:
    """Return the plan for instances with so many cores to use."""
    return Plan(
        n_jobs=startinfo.n_jobs,
        n_instances=instances_needed(startinfo.n_jobs, cores),
        instance_type=startinfo.instance_type,
        cores_per_instance=cores,
        max_hours=startinfo.max_hours,
        job_timeout=startinfo.job_timeout,
        retries=startinfo.retries,
        job_user=startinfo.job_user,
        release_mount=startinfo.release_mount,
        market=startinfo.market,
        region=region,
    )


async def _cores(aws: Aws, inputs: Inputs) -> int:
    instance_type = inputs.startinfo.instance_type
    try:
        cores = await Instances(aws).default_cores(instance_type)
    except NotFoundError as error:
        expected = f"an instance type that EC2 offers in {aws.region}"
        raise _unknown(inputs, "instance_type", instance_type, expected) from error
    return inputs.startinfo.cores_per_instance or cores


async def _check_image(aws: Aws, inputs: Inputs) -> None:
    image, owner = inputs.startinfo.ami_id, inputs.startinfo.ec2_uid
    try:
        await Instances(aws).find_image(image, owner)
    except NotFoundError as error:
        raise _unknown(inputs, "ami_id", image, f"an image of account {owner} in {aws.region}") from error


async def _check_snapshots(aws: Aws, inputs: Inputs) -> None:
    lines = {each.snapshot_id: each.line for each in reversed(inputs.contents.definitions) if each.snapshot_id}
    missing = await Volumes(aws).missing_snapshots(sorted(lines)) if lines else []
    if missing:
        raise FormatError(
            file=f"{inputs.archive}: {JOBS_FILE}",
            line=lines[missing[0]],
            field="snapshotID",
            found=", ".join(missing),
            expected=f"snapshots that EC2 knows in {aws.region}",
        )


async def _check_bucket(aws: Aws, inputs: Inputs) -> None:
    try:
        await Bucket(aws, inputs.startinfo.bucket).check()
    except NotFoundError as error:
        raise _unknown(inputs, "sessionsbucket", inputs.startinfo.bucket, "a bucket that exists") from error


def _unknown(inputs: Inputs, field: str, found: str, expected: str) -> FormatError:
    return FormatError(file=str(inputs.ini), field=field, found=found, expected=expected)
