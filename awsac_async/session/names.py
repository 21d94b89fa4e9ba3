"""Every name that crosses a wire or a disk, spelled once.

S3 keys, SimpleDB names, tags, paths and variables of the AWSAC protocol (``docs/protocol.md``). Whatever reads or
writes one of them asks here; nothing here knows what is done with a name.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ARCHIVE_SUFFIX = ".tar.bz2"
JOBS_FILE = "jobs.cfg"
AUTOSTART_FILE = "awsac_all_instances_autorun.sh"
# What an instance keeps in the directory into which it unpacks the archive.
SESSION_INFO_DIRECTORY = "sessioninfo"
INSTANCE_ARCHIVE = "sessionarchive.tar.bz2"
RESERVED_MEMBERS = frozenset({SESSION_INFO_DIRECTORY, INSTANCE_ARCHIVE})

SESSION_TAG = "awsac:session"
# The launch index, in its session, of the first instance of a reservation; 0 where the tag is missing.
FIRST_LAUNCH_INDEX_TAG = "awsac:first-launch-index"
INSTANCE_TAG = "awsac:instance"  # of a volume: the ARN of the instance that may use it
SNAPSHOT_TAG = "awsac:snapshot"
# Of an image that awsac has made, and its snapshots: its name, and the version of the agent in it; of a snapshot that
# `release build` has made the version, too.
IMAGE_TAG = "awsac:image"
VERSION_TAG = "awsac:version"
# Of these, and of the instance that became the image: the ID of their build.
BUILDER_TAG = "awsac:builder"
# Of a builder: hours after its boot at which it powers itself off.
MAX_HOURS_TAG = "awsac:max-hours"
NAME_TAG = "Name"
# What is ours without being of a session: what ``awsac setup`` has made.
SETUP_TAG = "awsac"
SETUP_GROUP = "awsac"  # the security group
# What every session ID looks like, as IAM writes patterns; and one that no session has, under which rights are tried.
ANY_SESSION = "??????_????--*"
NO_SESSION = "000000_0000--plan--0000"
# Never there: it is asked for to find out whether SimpleDB answers.
STATUS_CHECK_DOMAIN = "awsac"
RELEASE_TAG = "awsac:release"  # of such a snapshot: the name of the release
DEFAULT_INSTANCE_PROFILE = "awsac-agent"

# The distribution that instances install, and the values of ``bootstrap`` in session.ini.
PACKAGE = "awsac_async"
BOOTSTRAP_IMAGE, BOOTSTRAP_CLOUD_INIT = "image", "cloud-init"
# User data that begin so hold the session string in the line that begins with the second.
CLOUD_CONFIG = "#cloud-config"
CLOUD_CONFIG_SESSION = "# awsac-session: "

RESULTS_FILE = "results.tar.bz2"
RESULTS_DIRECTORY = "results"
AGENT_LOG_FILE = "processjobs.log"
AGENT_JSON_LOG_FILE = "processjobs.jsonl"

# Attributes of a job's SimpleDB item, in the order of 2008. Everything newer carries X_PREFIX.
JOBNR = "jobnr"
STATUS = "status"
INSTANCE_ID = "instance_id"
LAUNCHINDEX = "launchindex"
SHELLSCRIPT = "shellscript"
RUNSTARTTIME = "runstarttime"
RUNENDTIME = "runendtime"
RETURNCODE = "returncode"
SAVESTARTTIME = "savestarttime"
SAVEENDTIME = "saveendtime"
REASON_ATTRIBUTE = "reason"
X_PREFIX = "x_"
X_ATTEMPT = "x_attempt"
# Where the rest of a job's log is, if not all of it was sent as chunks before the job's end.
X_LOG, LOG_PACKED = "x_log", "packed"
# At which byte of the job's log that packed output begins: those of earlier launches are before it.
X_LOG_BEGIN = "x_log_begin"
# What a job that ended well has made of its release: the ID of a snapshot, or the address of an archive.
X_SNAPSHOT = "x_snapshot"
X_ARCHIVE = "x_archive"
PRODUCTS = frozenset({X_SNAPSHOT, X_ARCHIVE})
# With ``schedule = shared``: who has the job, as a claim (``session.claims``).
X_CLAIM = "x_claim"
# How many seconds a job spent in each part of its life: attribute x_seconds_<part>.
PARTS = ("boot", "fetch", "provide", "queue", "run", "save")

# Our fields of the user data: how many jobs, hours until the deadline, and objects of input data the session has; then
# how its jobs are run: seconds before one is stopped, how often one that fails is repeated, as whom, how releases
# are mounted, and whether their volumes are encrypted.
USER_DATA_JOBS = "n_jobs"
USER_DATA_HOURS = "max_hours"
USER_DATA_OBJECTS = "data"
USER_DATA_DOCUMENT = "data_document"  # whether there is one about these objects
USER_DATA_JOB_TIMEOUT = "job_timeout"
USER_DATA_RETRIES = "retries"
USER_DATA_JOB_USER = "job_user"
USER_DATA_JOB_USER_SHIELD = "job_user_shield"
USER_DATA_RELEASE_MOUNT = "release_mount"
USER_DATA_ENCRYPTED = "encrypted"
# How jobs come to instances, if not by launch index as in 2008, and for how many seconds an instance may be silent.
USER_DATA_SCHEDULE = "schedule"
USER_DATA_LEASE = "lease"
USER_DATA_MAX_RESULTS = "max_results"
# Where the services are, and how S3 is spoken to, as the start was told: also the keys of files.
ENDPOINT_URL = "endpoint_url"
ENDPOINT_URL_EC2 = "endpoint_url_ec2"
ENDPOINT_URL_S3 = "endpoint_url_s3"
ENDPOINT_URL_SDB = "endpoint_url_sdb"
S3_ADDRESSING_STYLE = "s3_addressing_style"
REQUEST_CHECKSUM_CALCULATION = "request_checksum_calculation"
# Where the status of the jobs is kept, if not in SimpleDB as in 2008.
USER_DATA_STATUS = "status"
# Which launch of the session the instance belongs to: 2, 3 … for those of ``retry``; the first is not said.
USER_DATA_LAUNCH = "launch"

# What the session's only job makes: a release, by its name, on an empty volume of so many GiB with this file system; or
# an archive of its release, at this address.
USER_DATA_BUILD_NAME = "build_name"
USER_DATA_BUILD_SIZE = "build_size"
USER_DATA_BUILD_FS = "build_fs"
USER_DATA_PACK_TO = "pack_to"
# The release that is being built, where others have the ID of a snapshot.
NEW_RELEASE = "new"


def setup_policy(bucket: str) -> str:
    """Name of the agents' policy for one bucket: a role may serve the sessions of several."""
    return f"awsac-{bucket}"


def seconds_attribute(part: str) -> str:
    """Attribute with the seconds that a job spent in one of ``PARTS``."""
    return f"{X_PREFIX}seconds_{part}"


def archive_name(folder: str) -> str:
    """Name of the archive that a folder of this name becomes: what user data drop, white space and ``;``, becomes _."""
    return (re.sub(r"[\s;]+", "_", folder) or "jobs") + ARCHIVE_SUFFIX


# --- S3 keys. What begins with "<session_id>" belongs to 2008: its client fetches and deletes that by base name. ---


def session_prefix(session_id: str) -> str:
    """Prefix of everything a 2008 client sees: the archive, results, outputs and agent logs."""
    return f"{session_id}/"


INTERNAL_PREFIX = "awsac/"
# Never there: it is asked for to find out whether objects may be written.
WRITE_CHECK_KEY = INTERNAL_PREFIX + "write-check"


def internal_prefix(session_id: str) -> str:
    """Prefix of everything that only awsac_async reads."""
    return f"{INTERNAL_PREFIX}{session_id}/"


def session_copy_key(session_id: str) -> str:
    """Key of the session file's copy, by which a session is found from any machine."""
    return internal_prefix(session_id) + "session.cfg"


def launches_prefix(session_id: str) -> str:
    """Prefix of the documents of all launches but the first."""
    return internal_prefix(session_id) + "launches/"


def launch_key(session_id: str, launch: int) -> str:
    """Key of the document that says which instance of a later launch (from 2) runs which jobs."""
    return f"{launches_prefix(session_id)}{launch}.json"


def status_prefix(session_id: str) -> str:
    """Prefix of the status documents, where the status is kept in S3."""
    return internal_prefix(session_id) + "status/"


def client_status_key(session_id: str, launch: int) -> str:
    """Key of what clients say of the jobs of a launch (1 is that of ``start``): that they are pending."""
    return f"{status_prefix(session_id)}launch-{launch}.json"


def agent_status_key(session_id: str, launch_index: int) -> str:
    """Key of what the agent of an instance says of its jobs."""
    return f"{status_prefix(session_id)}{launch_index}.json"


def claims_prefix(session_id: str, pool: int) -> str:
    """Prefix of the claims of a pool of jobs, where the status is kept in S3."""
    return f"{internal_prefix(session_id)}claims/{pool}/"


def claim_key(session_id: str, pool: int, job: int, count: int) -> str:
    """Key of the claim that somebody has made on a job as the ``count``-th; keys sort by job."""
    return f"{claims_prefix(session_id, pool)}{job:06d}/{count}"


def leases_prefix(session_id: str, pool: int) -> str:
    """Prefix of the leases by which the instances that share a pool of jobs show that they live."""
    return f"{internal_prefix(session_id)}leases/{pool}/"


def lease_key(session_id: str, pool: int, lease: str) -> str:
    """Key of a lease."""
    return leases_prefix(session_id, pool) + lease


def manifests_prefix(session_id: str) -> str:
    """Prefix of the manifests of all jobs, and of their copies by instance."""
    return internal_prefix(session_id) + "manifests/"


def prefixes(session_id: str) -> tuple[str, str]:
    """Return the prefixes of all that a session has in its bucket."""
    return session_prefix(session_id), internal_prefix(session_id)


def archive_key(session_id: str, archive_name: str) -> str:
    """Key of the session archive."""
    return session_prefix(session_id) + archive_name


def results_key(session_id: str, job: int) -> str:
    """Key of a job's results."""
    return f"{session_prefix(session_id)}results_job_{job}.tar.bz2"


def output_key(session_id: str, job: int) -> str:
    """Key of a job's packed output."""
    return f"{session_prefix(session_id)}stdouterr_job_{job}.tar.bz2"


def agent_log_key(session_id: str, launch_index: int) -> str:
    """Key of an agent's packed log."""
    return f"{agent_logs_prefix(session_id)}{launch_index}.tar.bz2"


def agent_logs_prefix(session_id: str) -> str:
    """Prefix of the packed logs of all agents."""
    return f"{session_prefix(session_id)}processjobslog_LI_"


def data_prefix(session_id: str) -> str:
    """Prefix of the session's input data (``start -d``)."""
    return internal_prefix(session_id) + "data/"


def data_document_key(session_id: str) -> str:
    """Key of what the objects of the input data cannot say of them."""
    return internal_prefix(session_id) + "data.json"


# What a builder prints on its console, by which its end is known.
BUILDER_READY = "awsac-clean: ready to become an image"
BUILDER_FAILED = ("awsac-install: FAILED: ", "awsac-clean: FAILED: ")


def image_wheel_key(build_id: str, wheel: str) -> str:
    """Key of the wheel that a builder installs, until its image is made; belongs to no session."""
    return f"awsac-images/{build_id}/{wheel}"


def agent_wheel_key(session_id: str, wheel: str) -> str:
    """Key of the wheel, by its file name, that instances of a stock image install."""
    return f"{internal_prefix(session_id)}agent/{wheel}"


def control_key(session_id: str) -> str:
    """Key of the document by which clients reach the agents of a running session."""
    return internal_prefix(session_id) + "control.json"


def manifest_key(session_id: str, job: int) -> str:
    """Key of the list of what a job has saved, uploaded after all of it."""
    return f"{manifests_prefix(session_id)}job_{job}.json"


def manifest_copies_key(session_id: str, launch_index: int) -> str:
    """Key of the copies of all manifests of an instance's jobs, uploaded when it goes."""
    return f"{manifest_copies_prefix(session_id)}{launch_index}.json"


def manifest_copies_prefix(session_id: str) -> str:
    """Prefix of the copies of manifests of all instances."""
    return f"{manifests_prefix(session_id)}instance_"


def logs_prefix(session_id: str) -> str:
    """Prefix of the chunks of all logs."""
    return internal_prefix(session_id) + "logs/"


def job_log_prefix(session_id: str, job: int) -> str:
    """Prefix of the chunks of a job's output."""
    return f"{logs_prefix(session_id)}job_{job}/"


def agent_log_prefix(session_id: str, launch_index: int) -> str:
    """Prefix of the chunks of an agent's own log."""
    return f"{logs_prefix(session_id)}agent_{launch_index}/"


_OFFSET_DIGITS = 20


def log_chunk_key(prefix: str, offset: int) -> str:
    """Key of the chunk of a log that begins at this byte; keys sort by offset."""
    return f"{prefix}{offset:020d}"


def log_chunk_offset(prefix: str, key: str) -> int | None:
    """Return at which byte the chunk with this key begins; None if it is the key of none."""
    digits = key.removeprefix(prefix)
    if not (digits.isascii() and digits.isdecimal() and len(digits) == _OFFSET_DIGITS):
        return None
    return int(digits) if log_chunk_key(prefix, int(digits)) == key else None


# --- Files, items and the session's memory ---


def output_file(job: int) -> str:
    """Name of the file that takes a job's standard output and error, in the job's working directory."""
    return f"stdouterr_job_{job}.log"


def item_name(job: int) -> str:
    """Name of a job's item in the session's SimpleDB domain (the domain is named by the session ID)."""
    return f"job{job}"


def session_file(session_id: str) -> str:
    """Name of the file in which a client remembers a session."""
    return f"session-{session_id}.cfg"


def results_directory(session_id: str) -> str:
    """Name of the folder that ``getresults`` fills."""
    return f"session-{session_id}"


# --- On the instance ---


@dataclass(frozen=True, kw_only=True)
class InstancePaths:
    """Where things are on an instance: the seven variables of 2008, and two of ours (``state``, ``data``)."""

    atlas: Path
    atlas_working: Path
    awsac_working: Path
    session_info: Path
    session_info_file: Path
    archive: Path
    autostart: Path
    state: Path
    data: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "InstancePaths":
        """Read the variables; one that is not set has its 2008 value."""
        get = environment.get
        awsac = Path(get("AWSACworkingDir", "/mnt/awsac"))
        info = Path(get("SessionInfoDir", str(awsac / SESSION_INFO_DIRECTORY)))
        return cls(
            atlas=Path(get("ATLASDir", "/mnt/atlas")),
            atlas_working=Path(get("ATLASworkingDir", "/mnt/atlasworkarea")),
            awsac_working=awsac,
            session_info=info,
            session_info_file=Path(get("SessionInfoFile", str(info / "awsac.sessinfo"))),
            archive=Path(get("SessionArchiveFile", str(awsac / INSTANCE_ARCHIVE))),
            autostart=Path(get("AWSACAutostartFile", str(awsac / AUTOSTART_FILE))),
            state=info / "state",
            data=Path(get("AWSACDataDir", "/mnt/awsacdata")),
        )

    def variables(self) -> dict[str, str]:
        """Return the 2008 variables with these paths, for whatever runs on the instance."""
        return {
            "ATLASDir": str(self.atlas),
            "ATLASworkingDir": str(self.atlas_working),
            "AWSACworkingDir": str(self.awsac_working),
            "SessionInfoDir": str(self.session_info),
            "SessionInfoFile": str(self.session_info_file),
            "SessionArchiveFile": str(self.archive),
            "AWSACAutostartFile": str(self.autostart),
        }


# Set where the devices of volumes are elsewhere than in /dev/disk/by-id, and may only be linked.
DEVICE_DIRECTORY = "AWSACDeviceDir"

# The program that powers the machine off when the session's time is over, or at once (``now``).
DEADLINE_PROGRAM = "AWSACDeadline"

# Variables that a job finds, beside those of InstancePaths.
JOB_SESSION_ID = "AWSAC_SESSION_ID"
JOB_NUMBER = "AWSAC_JOB"
JOB_COUNT = "AWSAC_N_JOBS"
JOB_CORE = "AWSAC_CORE"
JOB_DATA = "AWSAC_DATA"
JOB_ATTEMPT = "AWSAC_ATTEMPT"
# The file that comes into being, with the time in it, when the instance is about to be taken away.
JOB_INTERRUPT_AT = "AWSAC_INTERRUPT_AT"

# --- On the workstation ---

# Variables that the command of ``awsac wait --notify`` finds, beside JOB_SESSION_ID and JOB_COUNT.
NOTICE_OUTCOME = "AWSAC_OUTCOME"
NOTICE_EXIT_CODE = "AWSAC_EXIT_CODE"
NOTICE_SESSION_FILE = "AWSAC_SESSION_FILE"
NOTICE_FAILED_JOBS = "AWSAC_FAILED_JOBS"
