"""The launches of a session: what EC2 is asked for, and the documents in its bucket that tell of the further ones.

Owns reading these documents, and how many instances a session has had in all. Every launch but the first has one, from
before its instances run.
"""

import contextlib
from dataclasses import replace

from awsac_async.client.bootfiles import cloud_config
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.instances import Launch
from awsac_async.cloud.objects import address
from awsac_async.session.errors import NotFoundError
from awsac_async.session.launches import LaunchDocument, parse_launch
from awsac_async.session.model import SessionRecord
from awsac_async.session.names import launch_key, launches_prefix
from awsac_async.session.userdata import max_hours, parse_user_data, with_launch


def launch_of(record: SessionRecord) -> Launch:
    """Return the first launch of a session; a further one differs in count, user data, token and first launch index."""
    return Launch(
        image_id=record.ami_id,
        instance_type=record.instance_type,
        count=record.n_instances,
        user_data=user_data_of(record, record.user_data),
        client_token=record.client_token,
        session_id=record.session_id,
        instance_profile=record.instance_profile,
        key_name=record.key_name or None,
        security_group_ids=record.security_group_ids,
        subnet_id=record.subnet_id or None,
        public_ip=record.public_ip,
        root_device=record.root_device,
        market=record.market,
    )


def user_data_of(record: SessionRecord, session: str) -> str:
    """Return what a launch gives its instances: the session string, or what makes a stock image take it up.

    Raises FormatError if that is too large for EC2.
    """
    if not record.agent_package:
        return session
    hours = max_hours(parse_user_data(session))
    return cloud_config(mode="session", package=record.agent_package, hours=hours, session=session)


def further_launch_of(record: SessionRecord, document: LaunchDocument) -> Launch:
    """Return a further launch of a session; where its document says nothing, it is as the first one."""
    session = with_launch(record.user_data, document.launch, cores=document.cores_per_instance)
    return replace(
        launch_of(record),
        instance_type=document.instance_type or record.instance_type,
        subnet_id=(document.subnet_id if document.instance_type else record.subnet_id) or None,
        count=document.n_instances,
        user_data=user_data_of(record, session),
        client_token=document.client_token,
        first_launch_index=document.first_launch_index,
    )


async def read_launches(bucket: Bucket, session_id: str) -> list[LaunchDocument]:
    """Return the documents of all further launches, in order. Raises as ``read_last_launch``."""
    keys = [launch_key(session_id, launch) for launch in await _numbers(bucket, session_id)]
    return [parse_launch((await bucket.read(key))[0], file=address(bucket.name, key)) for key in keys]


async def read_last_launch(bucket: Bucket, session_id: str) -> LaunchDocument | None:
    """Return the document of a session's last launch; None if that is the one of ``start``.

    Raises:
        FormatError: what stands in its place is none.
        CloudError: it could not be read.
    """
    for launch in reversed(await _numbers(bucket, session_id)):
        key = launch_key(session_id, launch)
        with contextlib.suppress(NotFoundError):  # undone since it was listed
            content, _ = await bucket.read(key)
            return parse_launch(content, file=address(bucket.name, key))
    return None


async def count_instances(bucket: Bucket, record: SessionRecord) -> int:
    """Return how many instances a session has had in all: their launch indexes are those below. Raises likewise."""
    last = await read_last_launch(bucket, record.session_id)
    return last.end_launch_index if last else record.n_instances


async def _numbers(bucket: Bucket, session_id: str) -> list[int]:
    """Return the numbers of the further launches, in order."""
    prefix = launches_prefix(session_id)
    names = [each.key.removeprefix(prefix).removesuffix(".json") for each in await bucket.list(prefix)]
    return sorted(int(name) for name in names if name.isdecimal())
