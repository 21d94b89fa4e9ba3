"""Where a session's instances may be started, in order, and what each reservation of its start is.

Owns the order of the places, how many instances there may be at each, and which instance of a start has which cores,
jobs and price. A session that was started in one reservation has nothing written of it: all is as in 2008.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from awsac_async.session import fields
from awsac_async.session.jobs import instances_needed
from awsac_async.session.model import SessionRecord, StartInfo, StartReservation
from awsac_async.session.userdata import shares_jobs

_FORM = "reservations like c1.medium/2/2/0.13: type, instances, cores, and the price if it is known"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A type of instances in a subnet; ``subnet_id`` is "" where EC2 chooses."""

    instance_type: str
    subnet_id: str = ""

    @property
    def name(self) -> str:
        """The place in words: "c1.medium in subnet-0123abcd"."""
        return f"{self.instance_type} in {self.subnet_id}" if self.subnet_id else self.instance_type


def types_of(info: StartInfo) -> tuple[str, ...]:
    """Return the types that a session may have, in order, each once."""
    return tuple(dict.fromkeys((info.instance_type, *info.instance_types)))


def subnets_of(info: StartInfo) -> tuple[str, ...]:
    """Return the subnets that a session may be in, in order, each once; none: EC2 chooses."""
    return tuple(dict.fromkeys((*filter(None, [info.subnet_id]), *info.subnet_ids)))


def places_of(info: StartInfo) -> tuple[Place, ...]:
    """Return the places of a session in the order in which they are tried: all subnets of a type, then the next."""
    subnets = subnets_of(info) or ("",)
    return tuple(Place(instance_type=name, subnet_id=subnet) for name in types_of(info) for subnet in subnets)


def instances_at(info: StartInfo, cores: int, *, wanted: int, n_instances: int = 0, n_cores: int = 0) -> int:
    """Return how many instances with so many cores each a session is to get.

    Args:
        info: what the session may have.
        cores: of each instance.
        wanted: cores that are wanted beside those there are; the jobs of a session have no use for more than one each.
        n_instances: how many instances there are already.
        n_cores: how many cores those have.
    """
    most = [instances_needed(wanted, cores)]
    if info.n_instances is not None:
        most.append(info.n_instances - n_instances)
    if info.max_cores is not None:
        most.append((info.max_cores - n_cores) // cores)
    return max(0, min(most))


def prices_of(record: SessionRecord) -> dict[str, float | None]:
    """Return what an instance of each type that a session was started with costs an hour, in order of its types."""
    started = {each.instance_type: each.price_per_hour for each in record.reservations}
    return started or {record.instance_type: record.price_per_hour}


def type_at(record: SessionRecord, launch_index: int) -> str:
    """Return the type of the instance with this launch index."""
    found = _at(record, launch_index)
    return found.reservation.instance_type if found else record.instance_type


def price_at(record: SessionRecord, launch_index: int) -> float | None:
    """Return what the instance with this launch index costs an hour in USD; None: it is not known."""
    found = _at(record, launch_index)
    return found.reservation.price_per_hour if found else record.price_per_hour


def cores_at(record: SessionRecord, launch_index: int) -> int:
    """Return how many cores the instance with this launch index gives to jobs."""
    found = _at(record, launch_index)
    return found.reservation.cores_per_instance if found else record.cores_per_instance


def n_cores(record: SessionRecord) -> int:
    """Return how many cores all instances of the start give to jobs."""
    return sum(cores_at(record, index) for index in range(record.n_instances))


def jobs_at(record: SessionRecord, launch_index: int) -> range:
    """Return the numbers of the jobs that the start has given to the instance with this launch index.

    Where jobs are shared it has given none: only their records say who ran what.
    """
    if shares_jobs(record.user_data):
        return range(0)
    found = _at(record, launch_index)
    cores = cores_at(record, launch_index)
    first = found.first_job + (launch_index - found.first_index) * cores if found else launch_index * cores + 1
    beyond = found is None and bool(record.reservations)
    return range(0) if beyond else range(first, min(first + cores, record.n_jobs + 1))


def started_indexes(record: SessionRecord) -> dict[int, int]:
    """Return the launch index at which the start has let each job run, by its number; none where jobs are shared."""
    if shares_jobs(record.user_data):
        return {}
    if not record.reservations:
        return {number: (number - 1) // record.cores_per_instance for number in range(1, record.n_jobs + 1)}
    return {number: index for index in range(record.n_instances) for number in jobs_at(record, index)}


@dataclass(frozen=True, kw_only=True)
class _Found:
    reservation: StartReservation
    first_index: int
    first_job: int


def _at(record: SessionRecord, launch_index: int) -> _Found | None:
    """Return the reservation of the start that has this launch index; None: none, or the start had but one."""
    index, job = 0, 1
    for each in record.reservations:
        if launch_index < index + each.n_instances:
            return _Found(reservation=each, first_index=index, first_job=job)
        index += each.n_instances
        job += each.n_instances * each.cores_per_instance
    return None


# --- as text, in the session file ---


def parse_reservations(text: str) -> tuple[StartReservation, ...]:
    """Read what ``shown_reservation`` has written, separated by commas; raises ValueError."""
    return tuple(_reservation(part) for part in filter(None, text.split(",")))


def shown_reservation(reservation: StartReservation) -> str:
    """Return a reservation as a word."""
    price = "" if reservation.price_per_hour is None else f"{reservation.price_per_hour:g}"
    return f"{reservation.instance_type}/{reservation.n_instances}/{reservation.cores_per_instance}/{price}"


def _reservation(text: str) -> StartReservation:
    parts: Iterator[str] = iter(text.split("/"))
    name, *numbers = islice(parts, 3)
    price = next(parts, None)
    if not name or len(numbers) != 2 or price is None or next(parts, None) is not None:
        raise ValueError(_FORM)
    return StartReservation(
        instance_type=name,
        n_instances=fields.positive_integer(numbers[0]),
        cores_per_instance=fields.positive_integer(numbers[1]),
        price_per_hour=fields.price(price) if price else None,
    )
