"""The verb ``ssh``: which instance a job is on, and the command that leads there.

Owns which way there is: SSH with the session's key pair, else AWS Systems Manager. It runs nothing, opens nothing and
changes no security group.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from awsac_async.client.check import SessionStatus, read_status
from awsac_async.cloud.aws import connect
from awsac_async.cloud.instances import InstanceInfo
from awsac_async.session.errors import InputError
from awsac_async.session.jobs import no_such_job
from awsac_async.session.model import JobRecord, SessionRecord
from awsac_async.session.record import read_record

DEFAULT_USER = "ec2-user"  # of Amazon Linux


@dataclass(frozen=True, kw_only=True)
class WayIn:
    """The command that leads to the instance of a job, and what has to be so for it to work."""

    instance: InstanceInfo
    command: tuple[str, ...]
    needs: str


async def job_instance(session: Path, job: int) -> tuple[SessionRecord, InstanceInfo]:
    """Return the session, and the running instance that has, or will have, the last attempt of a job.

    Raises:
        InputError: there is no such job, its instance does not run, or the session file is not one.
        CloudError: the cloud could not be asked.
    """
    record = await asyncio.to_thread(read_record, session)
    async with connect(region=record.region, access=record) as aws:
        status = await read_status(aws, record)
    return record, _running(status, _job(status, job), session)


async def way_in(session: Path, job: int, *, user: str = DEFAULT_USER, command: Sequence[str] = ()) -> WayIn:
    """Return the command that leads to the instance of a job.

    Args:
        session: the session file.
        job: the job's number.
        user: as whom, by SSH.
        command: what to run there instead of a shell; its words are joined by spaces, as ``ssh`` does.

    Raises:
        InputError: as ``job_instance``, or neither way can work.
        CloudError: the cloud could not be asked.
    """
    record, instance = await job_instance(session, job)
    if record.key_name and instance.host:
        return _by_ssh(record, instance, user, command)
    if record.instance_profile:
        return _by_session_manager(record, instance, command)
    missing = "instance_profile and key_name" if not record.key_name else "instance_profile, and has no host name"
    raise InputError(
        f"instance {instance.instance_id} cannot be entered: the session has no {missing}; name a key pair by key_name "
        f"in session.ini before the next start (awsac console {instance.launch_index} and awsac logs need no way in)"
    )


def _by_ssh(record: SessionRecord, instance: InstanceInfo, user: str, command: Sequence[str]) -> WayIn:
    key = f"{record.key_name}.pem"
    inside = " (a private name: from inside its network only)" if _is_private(instance.host) else ""
    return WayIn(
        instance=instance,
        command=("ssh", "-i", key, f"{user}@{instance.host}", *([" ".join(command)] if command else [])),
        needs=f"the private key {key} in this folder, and port 22 open in the security group{inside}",
    )


def _by_session_manager(record: SessionRecord, instance: InstanceInfo, command: Sequence[str]) -> WayIn:
    why = "no key_name in session.ini" if not record.key_name else "the instance has no host name"
    words = ["aws", "ssm", "start-session", "--target", instance.instance_id, "--region", record.region]
    if command:
        document = json.dumps({"command": [" ".join(command)]})
        words += ["--document-name", "AWS-StartInteractiveCommand", "--parameters", document]
    return WayIn(
        instance=instance,
        command=tuple(words),
        needs=f"{why}, so by Session Manager: its agent in the image, AmazonSSMManagedInstanceCore in the role "
        f"{record.instance_profile}, and its plugin for the AWS command line here",
    )


def _is_private(host: str) -> bool:
    return host.endswith((".internal", ".local"))


def _job(status: SessionStatus, number: int) -> JobRecord:
    for job in status.jobs:
        if job.number == number:
            return job
    known = [job.number for job in status.jobs]
    raise InputError(no_such_job([number], session_id=status.record.session_id, known=known))


def _running(status: SessionStatus, job: JobRecord, session: Path) -> InstanceInfo:
    own = next((each for each in status.instances if each.launch_index == job.launch_index), None)
    if own is not None and own.state == "running":
        return own
    if own is not None and own.state == "pending":
        raise InputError(f"the instance of job {job.number} is only being started: try again in a minute")
    if status.shared and not status.over and job.launch_index is None:
        raise InputError(f"no instance has taken up job {job.number} yet: it waits for a core that is free")
    if own is None and not status.over and not job.instance_id:
        raise InputError(f"EC2 does not show the instance of job {job.number} yet: try again in some seconds")
    gone = f"{own.instance_id} is {own.state}: {own.reason}" if own else "EC2 does not show it any more"
    printed = f"awsac console -c {session} {own.launch_index} shows what it printed, " if own else ""
    written = f"awsac logs -c {session} --job {job.number} shows what the job wrote"
    others = "; another one takes the job over" if job.number in status.taken_over else ""
    raise InputError(f"the instance of job {job.number} cannot be entered, {gone}{others}; {printed}{written}")
