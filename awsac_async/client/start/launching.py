"""RunInstances, place after place: all instances in the first one that has room for them, else spread over the places.

Owns the order of the tries, and what is written before each: a start that dies is continued by the try that was under
way, with its client token. Of the reservations but the first each is a further launch, whose document says which jobs
it runs. Where jobs are shared it runs any, and the session goes on with fewer instances where there is not more room.
Undoes nothing.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from awsac_async.client.launches import further_launch_of, launch_of, read_launches
from awsac_async.client.plan.places import PlannedPlace
from awsac_async.client.start import events
from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.failures import NO_ROOM_FOR_TYPE_CODES, NO_ROOM_IN_ZONE_CODES
from awsac_async.cloud.instances import Instances, Reservation
from awsac_async.cloud.status import store_of
from awsac_async.session.claims import FIRST_POOL
from awsac_async.session.errors import CloudError, NoPlaceError
from awsac_async.session.jobs import launch_index_of
from awsac_async.session.launches import FIRST_WITH_DOCUMENT, LaunchDocument, LaunchedJob, format_launch
from awsac_async.session.model import JobState, SessionRecord, StartInfo, StartReservation
from awsac_async.session.names import launch_key
from awsac_async.session.places import instances_at
from awsac_async.session.statusdocs import StatusWriter
from awsac_async.session.times import format_time, now
from awsac_async.session.userdata import shares_jobs, with_cores
from awsac_async.session.wording import counted


class Launching:
    """The reservations of one start.

    Its steps, as ``SessionRecord.step`` counts them: all instances in place 0, 1, …; then some in place 0, 1, ….

    Args:
        aws: the connection.
        record: the uncompleted session.
        continued: it is that of a start that died.
        startinfo: how many instances and cores it may have.
        places: where it may be started, in order.
        write: writes the record, that of another try, wherever it is kept.
        tell: told what EC2 has answered.
    """

    def __init__(
        self,
        *,
        aws: Aws,
        record: SessionRecord,
        continued: bool,
        startinfo: StartInfo,
        places: Sequence[PlannedPlace],
        write: Callable[[SessionRecord], Awaitable[None]],
        tell: Callable[[events.StartEvent], None],
    ) -> None:
        self._record, self._places, self._write, self._tell = record, places, write, tell
        self._continued, self._startinfo, self._shared = continued, startinfo, shares_jobs(record.user_data)
        self._instances, self._bucket, self._store = Instances(aws), Bucket(aws, record.bucket), store_of(aws, record)
        # A single instance is all or none.
        self._steps = len(places) * (2 if any(place.n_instances > 1 for place in places) else 1)
        self._refused: dict[str, str] = {}
        self._had: list[StartReservation] = []
        self._left: Sequence[int] = ()  # the jobs for which there is no core yet, if each had one of its own
        self.instance_ids: list[str] = []  # all that RunInstances has answered: EC2 may show them only later

    async def run(self) -> SessionRecord:
        """Return the completed record, when every job has its instance, or, if they are shared, there is no more room.

        Raises:
            NoPlaceError: the places together have not enough room; some instances may have been launched, unless jobs
                are shared.
            CloudError: the cloud refused or failed otherwise, as that alone.
        """
        first = await self._launch_first()
        cores, price = self._record.cores_per_instance, self._record.price_per_hour
        self._left = range(1, min(self._record.n_jobs, self._record.n_instances * cores) + 1)
        wanted = len(self._left)
        self._note_had(self._record.instance_type, len(first.instance_ids), cores, price)
        await self._launch_rest()
        if self._left:
            self._tell(events.LessRoom(n_instances=self._n_instances, n_cores=self._n_cores, wanted=wanted))
        return replace(
            self._record,
            ec2_reservation_id=first.reservation_id,
            n_instances=self._n_instances,
            unused_cores=max(0, self._n_cores - self._record.n_jobs),
            reservations=tuple(self._had) if len(self._had) > 1 else (),
            started=format_time(now()),
        )

    # --- the first reservation, of which the session file tells ---

    async def _launch_first(self) -> Reservation:
        while True:
            record = self._record
            place = self._places[record.step % len(self._places)]
            if record.step and not self._shared:
                cores, numbers = record.cores_per_instance, range(1, record.n_jobs + 1)
                await self._let_wait({each: launch_index_of(each, cores_per_instance=cores) for each in numbers}, 1)
            launch = replace(launch_of(record), any_number=record.step >= len(self._places))
            try:
                reservation = await self._instances.run(launch)
            except CloudError as error:
                await self._move(self._following(record.step, error))
            else:
                self._tell_launched(reservation, place, launch.count)
                return reservation

    async def _move(self, step: int | None) -> None:
        """Write down that another place is going to be tried."""
        if step is None:
            raise self._no_place()
        place = self._places[step % len(self._places)]
        self._record = replace(
            self._record,
            instance_type=place.instance_type,
            subnet_id=place.subnet_id,
            cores_per_instance=place.cores_per_instance,
            n_instances=place.n_instances,
            unused_cores=max(0, place.n_instances * place.cores_per_instance - self._record.n_jobs),
            price_per_hour=place.price_per_hour,
            user_data=with_cores(self._record.user_data, place.cores_per_instance),
            client_token=uuid.uuid4().hex,
            step=step,
        )
        await self._write(self._record)

    # --- the others, each with a document ---

    async def _launch_rest(self) -> None:
        """Launch what the jobs that are left need, as far as there is room for it if they are shared."""
        if not self._left:
            return
        found = {each.launch: each for each in (await read_launches(self._bucket, self._record)).documents}
        # While a start was dead, there may have come up room anywhere.
        position = 0 if self._continued else self._record.step % len(self._places) + 1
        launch = FIRST_WITH_DOCUMENT
        while self._left:
            document = found.get(launch) or await self._new_document(launch, position)
            if document and not document.reservation_id:
                document = await self._launch_further(document)
                position = self._places.index(self._place_of(document)) + 1 if document else position
            if document is None:
                return
            place = self._place_of(document)
            self._note_had(place.instance_type, document.n_instances, document.cores_per_instance, place.price_per_hour)
            launch += 1

    async def _launch_further(self, document: LaunchDocument) -> LaunchDocument | None:
        """Return the document as it is when its launch, or one in its stead at a later place, is made.

        None: no place has room, and jobs are shared.
        """
        while True:
            place = self._place_of(document)
            if not self._shared:
                await self._let_wait(document.launch_indexes(), document.launch)
            launch = replace(further_launch_of(self._record, document), any_number=True)
            try:
                reservation = await self._instances.run(launch)
            except CloudError as error:
                step = self._following(len(self._places) + self._places.index(place), error)
                position = len(self._places) if step is None else step % len(self._places)
                another = await self._new_document(document.launch, position)
                if another is None:
                    return None
                document = another
            else:
                self._tell_launched(reservation, place, launch.count)
                return await self._note(document, reservation)

    async def _new_document(self, launch: int, position: int) -> LaunchDocument | None:
        """Write the document of the launch that is going to be made at this place, in the stead of an earlier one.

        Where that place has too many cores for what is left, it is made at the next that has not. None: as above.
        """
        counts = [self._count_at(place) for place in self._places]
        position = next((each for each in range(position, len(counts)) if counts[each]), len(counts))
        if position == len(counts):
            # Whoever continues this start, if it is kept, asks all places again.
            await self._bucket.delete([launch_key(self._record.session_id, launch)])
            if self._shared:
                return None
            raise self._no_place()
        place = self._places[position]
        document = LaunchDocument(
            launch=launch,
            first_launch_index=self._n_instances,
            n_instances=counts[position],
            cores_per_instance=place.cores_per_instance,
            client_token=uuid.uuid4().hex,
            reservation_id="",
            started=format_time(now()),
            jobs=() if self._shared else tuple(LaunchedJob(number=number, attempt=1) for number in self._left),
            instance_type=place.instance_type,
            subnet_id=place.subnet_id,
            pool=FIRST_POOL if self._shared else 0,
        )
        await self._put(document)
        return document

    def _count_at(self, place: PlannedPlace) -> int:
        """Return how many instances of this place what is left needs, and the user allows."""
        return instances_at(
            self._startinfo,
            place.cores_per_instance,
            wanted=len(self._left),
            n_instances=self._n_instances,
            n_cores=self._n_cores,
        )

    async def _note(self, document: LaunchDocument, reservation: Reservation) -> LaunchDocument:
        """Write down what EC2 has given; the jobs of its instances are the same as before."""
        n_instances = len(reservation.instance_ids)
        document = replace(
            document,
            reservation_id=reservation.reservation_id,
            n_instances=n_instances,
            jobs=document.jobs[: n_instances * document.cores_per_instance],
        )
        await self._put(document)
        return document

    async def _put(self, document: LaunchDocument) -> None:
        key = launch_key(self._record.session_id, document.launch)
        await self._bucket.put(key, format_launch(document))

    # --- both ---

    async def _let_wait(self, indexes: Mapping[int, int], launch: int) -> None:
        """Let jobs wait for the instances of this launch, as far as they wait for others; no agent knows them yet."""
        waiting = [
            replace(job, launch_index=indexes[job.number])
            for job in await self._store.read()
            if job.state is JobState.PENDING
            and not job.instance_id
            and job.launch_index != indexes.get(job.number, job.launch_index)
        ]
        if waiting:
            await self._store.write(waiting, by=StatusWriter(launch=launch))

    def _following(self, step: int, error: CloudError) -> int | None:
        """Return the step after one that EC2 has refused so; None: it was the last. Raises what no place changes."""
        code, count = error.code.rpartition(".")[2], len(self._places)
        of_type = code in NO_ROOM_FOR_TYPE_CODES
        if count == 1 or not (of_type or code in NO_ROOM_IN_ZONE_CODES):
            raise error
        refused = self._places[step % count]
        self._refused[refused.name] = error.cause
        self._tell(events.NoRoom(place=refused.name, reason=f"{error.cause} ({error.code})"))
        # A quota counts in all zones: it is the same in the next one.
        same = [of_type and each.instance_type == refused.instance_type for each in self._places]
        later = range(step + 1, self._steps)
        return next((each for each in later if each // count > step // count or not same[each % count]), None)

    def _place_of(self, document: LaunchDocument) -> PlannedPlace:
        where = (document.instance_type, document.subnet_id)
        return next(each for each in self._places if (each.instance_type, each.subnet_id) == where)

    @property
    def _n_instances(self) -> int:
        return sum(each.n_instances for each in self._had)

    @property
    def _n_cores(self) -> int:
        return sum(each.n_instances * each.cores_per_instance for each in self._had)

    def _note_had(self, instance_type: str, n_instances: int, cores: int, price: float | None) -> None:
        """Remember a reservation that is made."""
        had = StartReservation(
            instance_type=instance_type, n_instances=n_instances, cores_per_instance=cores, price_per_hour=price
        )
        self._had.append(had)
        self._left = self._left[n_instances * cores :]

    def _tell_launched(self, reservation: Reservation, place: PlannedPlace, asked: int) -> None:
        ids = reservation.instance_ids
        self.instance_ids += ids
        self._tell(events.Launched(reservation_id=reservation.reservation_id, instance_ids=ids, place=place.name))
        if len(ids) < asked:
            self._refused[place.name] = f"room for {len(ids)} of {counted(asked, 'instance')}"

    def _no_place(self) -> NoPlaceError:
        causes = dict.fromkeys(self._refused.values())
        places = {cause: [place for place, each in self._refused.items() if each == cause] for cause in causes}
        said = "; ".join(f"{', '.join(places[cause])}: {cause}" for cause in causes)
        what = "any of the session's instances" if self._shared else "the whole session"
        return NoPlaceError("RunInstances", self._record.ami_id, f"no place has room for {what}: {said}")
