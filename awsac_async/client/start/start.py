"""The verb ``start``: from checked files to running instances, once.

Owns the order of the steps. Whatever fails before RunInstances is undone; once RunInstances may have been answered, the
session file stays, and the same start continues it with the same client token. Never launches anything twice.
"""

import asyncio
import contextlib
import os
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from awsac_async.client.launches import launch_of
from awsac_async.client.plan import Plan, connected, make_plan
from awsac_async.client.plan.inputs import Inputs, reading
from awsac_async.client.start import events
from awsac_async.client.start.launching import Launching
from awsac_async.client.start.prepare import Preparation
from awsac_async.client.start.unfinished import find_uncompleted, read_uncompleted
from awsac_async.cloud.aws import Aws
from awsac_async.cloud.instances import Instances
from awsac_async.session.errors import (
    AwsacError,
    CapacityError,
    CloudError,
    ConflictError,
    InputError,
    NoPlaceError,
    ProblemsError,
)
from awsac_async.session.model import SessionRecord, UserData
from awsac_async.session.names import (
    USER_DATA_DOCUMENT,
    USER_DATA_HOURS,
    USER_DATA_JOBS,
    USER_DATA_OBJECTS,
    session_file,
)
from awsac_async.session.purpose import Purpose, purpose_fields
from awsac_async.session.record import new_session_id, write_record
from awsac_async.session.times import format_time, now
from awsac_async.session.userdata import (
    access_fields,
    format_user_data,
    max_hours,
    parse_user_data,
    settings_fields,
    status_fields,
)

OnEvent = Callable[[events.StartEvent], None]
Proceed = Callable[[Plan], Awaitable[bool]]


async def start(
    *,
    ini: Path,
    archive: Path,
    proceed: Proceed,
    data: Path | None = None,
    directory: Path = Path(),
    session: Path | None = None,
    region: str | None = None,
    max_cost: float | None = None,
    shorten_deadline: bool = False,
    purpose: Purpose | None = None,
    on_event: OnEvent = lambda _: None,
) -> SessionRecord | None:
    """Start a session, or continue one whose start died.

    Args:
        ini: the ``session.ini``.
        archive: the session archive, or a folder to be packed into one.
        proceed: asked once, when all is prepared and nothing costs money yet.
        data: folder of input data.
        directory: where the session file is written, and an uncompleted one of the same inputs is looked for.
        session: the uncompleted session file to continue; ``directory`` is its folder then.
        region: where, whatever the ini says; a session that is continued stays where it is.
        max_cost: what the session may cost in USD, at most.
        shorten_deadline: shorten the deadline if it costs more.
        purpose: what the session of one job is for, if not its results: then the ini's ``n_jobs`` does not count.
        on_event: told each step when it is done.

    Returns:
        The record in the completed session file; None if ``proceed`` said no, and all was undone.

    Raises:
        InputError: the input is not right; nothing was started, and nothing is left.
        CloudError: the cloud refused or failed; the last event is Undone or Kept, if there was anything to undo.
        ProblemsError: several of both, as ``plan`` tells them; nothing was started, and nothing is left.
    """
    async with reading(ini=ini, archive=archive, data=data, purpose=purpose) as read:
        earlier = await asyncio.to_thread(_earlier, read.inputs, session, directory)
        async with connected(read, region=earlier.region if earlier else region) as aws:
            plan = await make_plan(
                aws,
                read,
                max_cost=max_cost,
                shorten_deadline=shorten_deadline,
                deadline=max_hours(parse_user_data(earlier.user_data)) if earlier else None,
                status_store=earlier.status_store if earlier else None,
                launched=earlier is not None and bool(await Instances(aws).of_session(earlier.session_id)),
            )
            if read.inputs is None:
                raise ProblemsError(read.problems)
            record = earlier or _new_record(read.inputs, plan, aws)
            launch_of(record)  # if its user data are too large, that is known before anything is there
            on_event(events.Planned(plan=plan))
            start = _Start(
                aws=aws,
                inputs=read.inputs,
                record=record,
                continued=earlier is not None,
                directory=session.parent if session else directory,
                on_event=on_event,
            )
            return await start.run(plan, proceed)


def _earlier(inputs: Inputs | None, session: Path | None, directory: Path) -> SessionRecord | None:
    """Return the uncompleted session that this start continues; raises InputError if the one named is not such."""
    if inputs is None:
        return None
    return read_uncompleted(session, inputs.digest) if session else find_uncompleted(directory, inputs.digest)


def _new_record(inputs: Inputs, plan: Plan, aws: Aws) -> SessionRecord:
    info, time = inputs.startinfo, now()
    session_id = new_session_id(info.shortdescr, time.astimezone(), os.urandom(16))
    extra = {USER_DATA_JOBS: str(info.n_jobs), USER_DATA_HOURS: f"{plan.max_hours:g}"}
    if inputs.data.files:
        extra[USER_DATA_OBJECTS] = str(len(inputs.data.files))
    if inputs.data.about:
        extra[USER_DATA_DOCUMENT] = "yes"
    extra |= settings_fields(info) | access_fields(aws.access_in_use) | status_fields(plan.status_store)
    extra |= purpose_fields(inputs.purpose)
    user_data = UserData(
        session_id=session_id,
        bucket=info.bucket,
        archive_name=inputs.archive.name,
        cores_per_instance=plan.cores_per_instance,
        extra=extra,
    )
    return SessionRecord(
        session_id=session_id,
        ec2_reservation_id="",
        n_instances=plan.n_instances,
        unused_cores=plan.unused_cores,
        cores_per_instance=plan.cores_per_instance,
        user_data=format_user_data(user_data),
        shortdescr=info.shortdescr,
        bucket=info.bucket,
        n_jobs=info.n_jobs,
        ami_id=info.ami_id,
        ec2_uid=info.ec2_uid,
        instance_type=info.instance_type,
        client_token=uuid.uuid4().hex,
        input_digest=inputs.digest,
        region=plan.region,
        started=format_time(time),
        price_per_hour=plan.price_per_hour,
        instance_profile=info.instance_profile,
        key_name=info.key_name or "",
        security_group_ids=info.security_group_ids,
        subnet_id=plan.places[0].subnet_id,
        public_ip=info.public_ip,
        root_device=plan.root_device,
        market=info.market,
        status_store=plan.status_store,
        volumes=plan.kept_volumes,
        step=0,
        reservations=(),
        **info.access(),
        agent_package=inputs.agent.for_session(info.bucket, session_id) if inputs.agent else "",
    )


class _Start:
    """One start: prepares, asks, launches; undoes what it prepared if nothing was launched."""

    def __init__(
        self,
        *,
        aws: Aws,
        inputs: Inputs,
        record: SessionRecord,
        continued: bool,
        directory: Path,
        on_event: OnEvent,
    ) -> None:
        self._aws, self._inputs, self._record, self._continued = aws, inputs, record, continued
        self._directory, self._tell = directory, on_event
        self._file = directory / session_file(record.session_id)
        self._preparation = Preparation(aws=aws, inputs=inputs, record=record, continued=continued, on_event=on_event)

    async def run(self, plan: Plan, proceed: Proceed) -> SessionRecord | None:
        try:
            await self._write(self._record)
        except asyncio.CancelledError:
            await self._undo()
            raise
        named = events.Named(session_id=self._record.session_id, session_file=self._file, continued=self._continued)
        self._tell(named)
        try:
            await self._preparation.do()
            # Who continues a session whose instances run has answered the question before.
            agreed = (self._continued and await self._preparation.launched()) or await proceed(plan)
            if agreed:  # From now on there may be instances that EC2 does not show yet: cleanup goes by this time.
                self._record = replace(self._record, started=format_time(now()))
                await self._write(self._record)
                await self._preparation.write_copy(self._record)
        except BaseException:  # Whatever it was, Ctrl-C too: what was prepared must not stay behind.
            await self._undo()
            raise
        if not agreed:
            await self._undo()
            return None
        return await self._launch(plan)

    async def _launch(self, plan: Plan) -> SessionRecord:
        launching = Launching(
            aws=self._aws,
            record=self._record,
            continued=self._continued,
            startinfo=self._inputs.startinfo,
            places=plan.places,
            write=self._write_try,
            tell=self._tell,
        )
        try:
            record = await launching.run()
        except NoPlaceError:
            await self._undo(with_instances=True, launched=launching.instance_ids)
            raise
        except (CapacityError, ConflictError) as error:
            self._keep(str(error))
            raise
        except CloudError as error:
            if error.temporary:
                self._keep(str(error))
            else:
                await self._undo(with_instances=len(plan.places) > 1, launched=launching.instance_ids)
            raise
        except BaseException as error:  # Interrupted, or an answer that cannot be read: it may have launched.
            self._keep("RunInstances was under way" + (f": {error}" if str(error) else ""))
            raise
        return await self._complete(record)

    async def _complete(self, record: SessionRecord) -> SessionRecord:
        try:
            await self._write(record)
        except InputError as error:
            self._keep(str(error))
            raise
        except asyncio.CancelledError:  # It is written all the same.
            self._tell(events.Completed(session_file=self._file))
            raise
        self._tell(events.Completed(session_file=self._file))
        with contextlib.suppress(CloudError):  # attach completes a copy that is not, by what EC2 knows
            await self._preparation.write_copy(record)
        return record

    async def _write_try(self, record: SessionRecord) -> None:
        """Write what is going to be tried now, for whoever continues."""
        self._record = record
        await self._write(record)
        await self._preparation.write_copy(record)

    async def _undo(self, *, with_instances: bool = False, launched: Sequence[str] = ()) -> None:
        """Remove objects and domain, and the session file last: while it is there, the rest can be found.

        ``with_instances``: those that EC2 has given end as well, unless jobs have begun there. ``launched``: their IDs,
        as far as this start was told them; seconds after RunInstances EC2 may not show them yet.
        """
        try:
            if (launched or await self._preparation.launched()) and not (
                with_instances and await self._preparation.end_unused_instances(launched)
            ):
                self._keep("its instances are there")
                return
            await self._preparation.undo()
            await asyncio.to_thread(self._file.unlink, missing_ok=True)
        except (AwsacError, OSError) as error:
            self._keep(str(error))
            return
        except asyncio.CancelledError:
            self._keep("it was being undone")
            raise
        self._tell(events.Undone(session_id=self._record.session_id))

    async def _write(self, record: SessionRecord) -> None:
        """Write the session file; who is cancelled meanwhile finds it written."""
        writing = asyncio.create_task(
            asyncio.to_thread(write_record, self._directory, record), name="write the session file"
        )
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            raise

    def _keep(self, reason: str) -> None:
        self._tell(events.Kept(session_file=self._file, reason=reason))
