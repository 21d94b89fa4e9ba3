"""The keys of ``session.ini``: how each is read, and how it is explained.

The one list of them: `startinfo` reads by it, ``awsac init`` writes a file from it, and the table in docs/protocol.md
is compared with it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from awsac_async.session import fields, names
from awsac_async.session.durations import parse_duration, parse_hours, parse_lease
from awsac_async.session.fields import integer, matching
from awsac_async.session.model import MAX_JOBS, Schedule, Shield, StatusKind

SHORTDESCR_LENGTH = 8


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of ``session.ini``.

    ``field`` is that of StartInfo, ``read`` makes its value of the text or raises ValueError. ``example`` is a value
    that runs on the embedded cloud. ``default`` says in words what counts if the key is left out; "" if it must be
    there. ``shared_only``: it has a meaning only where jobs are shared.
    """

    field: str
    read: Callable[[str], Any]
    meaning: str
    example: str
    default: str = ""
    shared_only: bool = False

    @property
    def required(self) -> bool:
        """Whether every file has it, as in 2008."""
        return not self.default


def _shortdescr(text: str) -> str:
    """Cut a description at 8 characters, silently, as 2008 did."""
    return fields.short_description(text[:SHORTDESCR_LENGTH])


def _list_of(pattern: str, expected: str) -> Callable[[str], tuple[str, ...]]:
    read = matching(pattern, f"{expected}, separated by commas")
    return lambda text: tuple(read(part) for part in text.split(","))


_TYPE = r"[a-z0-9-]+\.[a-z0-9-]+"
_SUBNET = r"subnet-[0-9a-f]{8,17}"


KEYS: Mapping[str, Key] = {
    "instance_type": Key(
        field="instance_type",
        read=matching(_TYPE, "an instance type like c1.medium"),
        meaning="any EC2 type; its cores are those EC2 reports",
        example="c1.medium",
    ),
    "ami_id": Key(
        field="ami_id",
        read=matching(r"ami-[0-9a-f]{8,17}", "an image ID like ami-c97591a0"),
        meaning="the image that the instances boot",
        example="ami-0a35ac00000000001",
    ),
    "sessionsbucket": Key(
        field="bucket",
        read=fields.bucket,
        meaning="the S3 bucket that holds the session; it must exist",
        example="awsac-sessions",
    ),
    "ec2_uid": Key(
        field="ec2_uid",
        read=matching(r"[0-9]{12}", "the 12 digits of the account that owns the image"),
        meaning="the account that owns the image",
        example="123456789012",
    ),
    "shortdescr": Key(
        field="shortdescr",
        read=_shortdescr,
        meaning="a word for people, part of the session ID; cut after 8 characters",
        example="first",
    ),
    "n_jobs": Key(
        field="n_jobs",
        read=fields.number_of_jobs,
        meaning="number of jobs; must equal the sum in `jobs.cfg`",
        example="4",
    ),
    "region": Key(
        field="region",
        read=matching(r"[a-z]+(-[a-z0-9]+)+", "a region like us-east-1"),
        meaning="AWS region",
        default="what the AWS tools are set to",
        example="us-east-1",
    ),
    "instance_profile": Key(
        field="instance_profile",
        read=matching(r"[\w+=,.@-]{1,128}", "the name of an instance profile"),
        meaning="the role that gives the agent its credentials",
        default=f"`{names.DEFAULT_INSTANCE_PROFILE}`",
        example=names.DEFAULT_INSTANCE_PROFILE,
    ),
    "key_name": Key(
        field="key_name",
        read=matching(r"[!-~]{1,255}", "the name of a key pair"),
        meaning="key pair for logging in",
        default="none",
        example="my-key",
    ),
    "security_group_ids": Key(
        field="security_group_ids",
        read=_list_of(r"sg-[0-9a-f]{8,17}", "security group IDs like sg-0123abcd"),
        meaning="comma-separated list",
        default="the VPC's default",
        example="sg-0123abcd,sg-4567cdef",
    ),
    "subnet_id": Key(
        field="subnet_id",
        read=matching(_SUBNET, "a subnet ID like subnet-0123abcd"),
        meaning="subnet, and so the availability zone",
        default="EC2's choice",
        example="subnet-0123abcd",
    ),
    "subnet_ids": Key(
        field="subnet_ids",
        read=_list_of(_SUBNET, "subnet IDs like subnet-0123abcd"),
        meaning="comma-separated list: the subnets that are tried after `subnet_id`, in order, if it has no room",
        default="none",
        example="subnet-4567cdef,subnet-89ab0123",
    ),
    "instance_types": Key(
        field="instance_types",
        read=_list_of(_TYPE, "instance types like c1.medium"),
        meaning="comma-separated list: the types that are tried after `instance_type`, in order, if it has no room",
        default="none",
        example="m1.large,c1.xlarge",
    ),
    "public_ip": Key(
        field="public_ip",
        read=fields.yes_or_no,
        meaning="whether the instances get a public address, `yes` or `no`",
        default="as the subnet has it",
        example="yes",
    ),
    "market": Key(
        field="market",
        read=fields.market,
        meaning="`on-demand` or `spot`",
        default="`on-demand`",
        example="on-demand",
    ),
    "cores_per_instance": Key(
        field="cores_per_instance",
        read=integer(least=1, most=1024, expected="a number from 1 to 1024"),
        meaning="cores to use on each instance",
        default="the type's default vCPUs",
        example="2",
    ),
    "schedule": Key(
        field="schedule",
        read=fields.schedule,
        meaning="how jobs come to cores: `fixed`, each has its own from the start, as in 2008, "
        "or `shared`, each goes to whichever core is free",
        default=f"`{Schedule.FIXED}`",
        example=Schedule.SHARED,
    ),
    "n_instances": Key(
        field="n_instances",
        read=integer(least=1, most=MAX_JOBS, expected=f"a number of instances from 1 to {MAX_JOBS}"),
        meaning="with `schedule = shared`: how many instances there are at most",
        default="as many as give each job a core",
        example="2",
        shared_only=True,
    ),
    "max_cores": Key(
        field="max_cores",
        read=integer(least=1, most=MAX_JOBS, expected=f"a number of cores from 1 to {MAX_JOBS}"),
        meaning="with `schedule = shared`: how many cores all instances have at most",
        default="as many as there are jobs",
        example="4",
        shared_only=True,
    ),
    "lease": Key(
        field="lease",
        read=parse_lease,
        meaning="with `schedule = shared`: after how much silence of an instance others run its jobs, 10s to 2h",
        default="5m",
        example="5m",
        shared_only=True,
    ),
    "max_hours": Key(
        field="max_hours",
        read=parse_hours,
        meaning="hours after its boot at which each instance powers itself off, whatever happens",
        default="48",
        example="48",
    ),
    "job_timeout": Key(
        field="job_timeout",
        read=parse_duration,
        meaning="how long an attempt of a job may run",
        default="no limit",
        example="30m",
    ),
    "retries": Key(
        field="retries",
        read=fields.retries,
        meaning="how often a job that exits non-zero is run again, 0 to 100",
        default="0",
        example="0",
    ),
    "max_results": Key(
        field="max_results",
        read=fields.size,
        meaning="how large what a job leaves as results may be before it is packed, holes in files included",
        default="what can be saved before the deadline",
        example="500GB",
    ),
    "job_user": Key(
        field="job_user",
        read=fields.job_user,
        meaning="the user of the instance as whom the jobs run",
        default="`root`",
        example="root",
    ),
    "job_user_shield": Key(
        field="job_user_shield",
        read=fields.job_user_shield,
        meaning="with `job_user`: what becomes of jobs that cannot be kept from the credentials of the instance's "
        "role: `required`, they fail, or `optional`, they run all the same",
        default=f"`{Shield.REQUIRED}`",
        example=Shield.REQUIRED,
    ),
    "release_mount": Key(
        field="release_mount",
        read=fields.release_mount,
        meaning="how releases are mounted, `rw` or `ro`",
        default="`rw`",
        example="rw",
    ),
    "encrypted": Key(
        field="encrypted",
        read=fields.yes_or_no,
        meaning="whether root volumes and those of releases are encrypted, `yes` or `no`",
        default="`yes`",
        example="yes",
    ),
    "status_store": Key(
        field="status_store",
        read=fields.status_store,
        meaning="where the status of the jobs is kept: `simpledb`, as in 2008, or `s3`",
        default="`simpledb` where the account may use it, else `s3`",
        example=StatusKind.S3,
    ),
    "price_per_hour": Key(
        field="price_per_hour",
        read=fields.price,
        meaning="USD for an hour of one instance",
        default="asked of AWS",
        example="0.17",
    ),
    names.ENDPOINT_URL: Key(
        field=names.ENDPOINT_URL,
        read=fields.endpoint_url,
        meaning="address of all services, where it is not AWS's; what the AWS tools are set to goes before it",
        default="AWS's",
        example="https://cloud.example.org",
    ),
    names.ENDPOINT_URL_EC2: Key(
        field=names.ENDPOINT_URL_EC2,
        read=fields.endpoint_url,
        meaning="the same of EC2 alone",
        default="`endpoint_url`",
        example="https://ec2.example.org",
    ),
    names.ENDPOINT_URL_S3: Key(
        field=names.ENDPOINT_URL_S3,
        read=fields.endpoint_url,
        meaning="the same of S3 alone",
        default="`endpoint_url`",
        example="https://s3.example.org",
    ),
    names.ENDPOINT_URL_SDB: Key(
        field=names.ENDPOINT_URL_SDB,
        read=fields.endpoint_url,
        meaning="the same of SimpleDB alone",
        default="`endpoint_url`",
        example="https://sdb.example.org",
    ),
    names.S3_ADDRESSING_STYLE: Key(
        field=names.S3_ADDRESSING_STYLE,
        read=fields.s3_addressing_style,
        meaning="where a request names its bucket: `path`, `virtual` (in the host's name), or `auto`",
        default="`auto`: `virtual` on AWS, else `path`",
        example="auto",
    ),
    names.REQUEST_CHECKSUM_CALCULATION: Key(
        field=names.REQUEST_CHECKSUM_CALCULATION,
        read=fields.request_checksum_calculation,
        meaning="checksums in uploads: `when_required` or `when_supported`, which some S3 servers refuse",
        default="`when_required`",
        example="when_required",
    ),
    "bootstrap": Key(
        field="bootstrap",
        read=fields.bootstrap,
        meaning="where the agent comes from: `image`, the image has it, or `cloud-init`, a stock image installs it",
        default=f"`{names.BOOTSTRAP_IMAGE}`",
        example=names.BOOTSTRAP_IMAGE,
    ),
    "agent_wheel": Key(
        field="agent_wheel",
        read=matching(r"[!-~]+\.whl", "the name of a wheel of awsac without white space, like dist/awsac_async-….whl"),
        meaning="with `bootstrap = cloud-init`: the wheel to install, its path beginning where the ini is",
        default="this awsac: from PyPI, or as a wheel if it did not come from there",
        example="awsac_async-0.1.0-py3-none-any.whl",
    ),
}
