"""The launches of a session: what EC2 is asked for, and the documents in its bucket that tell of the further ones.

Owns reading these documents, and how many instances a session has had in all. Every launch but the first has one, from
before its instances run.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from awsac_async.client.bootfiles import cloud_config
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.instances import Launch
from awsac_async.cloud.objects import ObjectInfo, address
from awsac_async.session.errors import DamagedError, FormatError, NotFoundError
from awsac_async.session.launches import (
    FIRST_WITH_DOCUMENT,
    MOST_BYTES,
    LaunchDocument,
    check_bounds,
    parse_launch,
)
from awsac_async.session.model import SessionRecord
from awsac_async.session.names import launch_key, launches_prefix
from awsac_async.session.userdata import max_hours, parse_user_data, with_launch
from awsac_async.session.wording import shown_size

_log = logging.getLogger(__name__)
_told: set[str] = set()


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


@dataclass(frozen=True, kw_only=True)
class Launches:
    """The further launches of a session: their documents in order, and of those that could not be read, why.

    ``next_number`` and ``next_launch_index`` are those of a launch that follows on all of them. One that could not be
    read counts with as many instances as it may have.
    """

    documents: Sequence[LaunchDocument]
    damage: Sequence[str]
    next_number: int
    next_launch_index: int

    @property
    def last(self) -> LaunchDocument | None:
        """The document of the last launch; None if there is none, or it could not be read."""
        last = self.documents[-1] if self.documents else None
        return last if last and last.launch == self.next_number - 1 else None


async def read_launches(bucket: Bucket, record: SessionRecord) -> Launches:
    """Return what there is to know of all further launches, whoever may have written it; damage is logged as well.

    Launches follow on one another: a document whose number leaves a gap is no launch of the session.

    Raises:
        CloudError: a document could not be fetched.
    """
    prefix = launches_prefix(record.session_id)
    listed = {each.key: each for each in await bucket.list(prefix)}
    most = max(record.n_jobs, record.n_instances)
    documents, damage = list[LaunchDocument](), list[str]()
    number, index = FIRST_WITH_DOCUMENT, record.n_instances
    while info := listed.get(launch_key(record.session_id, number)):
        try:
            document = await _read(bucket, info, number, record)
        except NotFoundError:  # undone since it was listed
            break
        except (FormatError, DamagedError) as error:
            damage.append(str(error))
            _tell_once(str(error))
            index += most
        else:
            documents.append(document)
            index = document.end_launch_index
        number += 1
    return Launches(documents=documents, damage=damage, next_number=number, next_launch_index=index)


def _tell_once(damage: str) -> None:
    """Log what stays so, and is read again and again."""
    if damage not in _told:
        _told.add(damage)
        _log.warning("%s", damage)


async def _read(bucket: Bucket, info: ObjectInfo, number: int, record: SessionRecord) -> LaunchDocument:
    place = address(bucket.name, info.key)
    if info.size > MOST_BYTES:
        raise FormatError(file=place, found=shown_size(info.size), expected="the document of a launch")
    content, _ = await bucket.read(info.key)
    document = parse_launch(content, file=place)
    check_bounds(document, number=number, n_jobs=record.n_jobs, n_instances=record.n_instances, file=place)
    return document


async def count_instances(bucket: Bucket, record: SessionRecord) -> int:
    """Return how many instances a session has had in all: their launch indexes are those below. Raises likewise."""
    launches = await read_launches(bucket, record)
    return launches.documents[-1].end_launch_index if launches.documents else record.n_instances
