"""The verb ``console``: what the instances of a session have printed, as EC2 keeps it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from awsac_async.cloud.aws import connect
from awsac_async.cloud.console import console_output
from awsac_async.cloud.instances import InstanceInfo, Instances
from awsac_async.cloud.waiting import for_each
from awsac_async.session.errors import InputError
from awsac_async.session.jobs import shown_numbers
from awsac_async.session.record import read_record

_AT_ONCE = 4  # an account may ask EC2 about 20 times a second


@dataclass(frozen=True, kw_only=True)
class Console:
    """What an instance has printed, the last 64 KB; ``taken`` is when EC2 took it, None if it has not yet."""

    instance: InstanceInfo
    text: str
    taken: datetime | None


async def console(session: Path, launch_index: int) -> Console:
    """Return what the instance of this launch index has printed, also after its end as long as EC2 keeps it.

    Raises:
        InputError: EC2 shows no such instance of the session, or the session file is not one.
        CloudError: the cloud could not be asked.
    """
    (found,) = await consoles(session, [launch_index])
    return found


async def consoles(session: Path, launch_indexes: Sequence[int] | None = None) -> list[Console]:
    """Return the same of several instances, in the order of their launch index; None: of all that EC2 shows."""
    record = await asyncio.to_thread(read_record, session)
    async with connect(region=record.region, access=record) as aws:
        shown = {each.launch_index: each for each in await Instances(aws).of_session(record.session_id)}
        wanted = shown.keys() if launch_indexes is None else set(launch_indexes)
        if not wanted or wanted - shown.keys():
            known = f"EC2 shows {shown_numbers(shown)}" if shown else "EC2 shows none"
            which = f"instance {shown_numbers(wanted - shown.keys())}" if wanted else "instance"
            raise InputError(
                f"there is no {which} of session {record.session_id}: {known} of it "
                "(an instance is shown some seconds after its launch, until an hour after its end)"
            )
        found: dict[int, Console] = {}

        async def read(index: int) -> None:
            output = await console_output(aws, shown[index].instance_id)
            found[index] = Console(instance=shown[index], text=output.text, taken=output.taken)

        await for_each(sorted(wanted), read, at_once=_AT_ONCE, name="console")
    return [found[index] for index in sorted(found)]
