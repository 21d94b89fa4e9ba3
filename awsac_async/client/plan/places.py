"""The places of a session with what is known of each: cores, instances, price.

Owns the sums over places, of which nobody knows beforehand where there will be room.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from awsac_async.session.places import Place


@dataclass(frozen=True, kw_only=True)
class PlannedPlace(Place):
    """A place, and what the whole session is there. ``price_per_hour`` is that of one instance in USD, None: not known.

    ``volumes_per_hour`` is that of all volumes there, and ``disks_per_hour`` of the image's disks of one instance.
    """

    cores_per_instance: int
    n_instances: int
    price_per_hour: float | None
    volumes_per_hour: float | None
    disks_per_hour: float | None


def dearest_per_hour(places: Iterable[PlannedPlace], *, without_volumes: bool) -> float | None:
    """Return what all instances with their volumes cost in an hour at most, wherever they are; None: not known.

    That is the session at its dearest place. Spread over types it may need one instance more, the last one of the last
    type: all others have all their cores in use, and so cost less together than the dearest place alone.

    Args:
        places: where the session may be.
        without_volumes: volumes whose price is not known are left out.
    """
    by_type = {each.instance_type: each for each in places}.values()
    whole = [_sum(each.n_instances, each.price_per_hour, each.volumes_per_hour, without_volumes) for each in by_type]
    one = [_sum(1, each.price_per_hour, each.disks_per_hour, without_volumes) for each in by_type]
    known_whole, known_one = ([each for each in costs if each is not None] for costs in (whole, one))
    if not whole or len(known_whole) < len(whole) or len(known_one) < len(one):
        return None
    return max(known_whole) + (max(known_one) if len(whole) > 1 else 0)


def _sum(count: int, price: float | None, volumes: float | None, without_volumes: bool) -> float | None:
    if price is None or (volumes is None and not without_volumes):
        return None
    return count * price + (volumes or 0)
