"""What an instance that shares jobs concludes from looking at the others' leases again and again.

Owns two rules: whose jobs may be taken over, and whether this instance is still needed when there is nothing to do for
it. Asks nobody and reads no clock: the time of a look is an argument, by CLOCK_BOOTTIME of this machine. No clock of
another machine counts.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from awsac_async.session.claims import lease_index

# So many others that live are enough for one of them to see it when another one is lost.
_ENOUGH = 2


@dataclass(kw_only=True)
class _Seen:
    """A lease in the state that it was last seen in (None: gone), and since when it is so.

    ``renewed``: after which time it was renewed for sure, which is that of the look before; None: not that we know.
    """

    version: str | None
    since: float
    renewed: float | None = None


class Others:
    """The leases of a session, as they were seen from one instance.

    Args:
        seconds: how long a lease may stay as it is.
    """

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[str, _Seen] = {}
        self._at = self._before = 0.0

    def look(self, versions: Mapping[str, str], holders: Collection[str], *, began: float, ended: float) -> None:
        """Note how the leases were found by a look that took this time, in seconds.

        ``holders`` are those on which jobs are held, of which some may be gone.
        """
        looked_before, self._at, self._before = self._before, began, ended
        for lease in self._seen.keys() | versions.keys() | set(holders):
            version = versions.get(lease)
            before = self._seen.get(lease)
            if before is None:
                self._seen[lease] = _Seen(version=version, since=ended)
            elif before.version != version:
                self._seen[lease] = _Seen(version=version, since=ended, renewed=looked_before)

    def lost(self, lease: str) -> bool:
        """Whether whoever has this lease does not run its jobs any more: it removed the lease, or was silent too long.

        A lease is there before any job is claimed on it.
        """
        seen = self._seen.get(lease)
        return seen is not None and (seen.version is None or self._at - seen.since >= self._seconds)

    def version(self, lease: str) -> str:
        """Return the version in which a lease was last seen; "" if it was gone."""
        seen = self._seen.get(lease)
        return (seen.version if seen else None) or ""

    def alive(self, lease: str) -> bool:
        """Whether whoever has this lease was seen to renew it, for sure not too long ago."""
        seen = self._seen.get(lease)
        if seen is None or seen.renewed is None or seen.version is None:
            return False
        return self._at - seen.renewed < self._seconds

    def enough(self, own: int, holders: Collection[str]) -> bool:
        """Whether the others can do without the instance of this launch index, which has no job.

        Two of them are to stay until all is done, so that each sees it when the other is lost: those that hold jobs,
        and of those that do not those with the smaller launch indexes. A lease of its own that ran out is nobody else.
        """
        alive = {
            lease: index for lease in self._seen if self.alive(lease) and (index := lease_index(lease)) is not None
        }
        staying = {index for lease, index in alive.items() if index != own and (lease in holders or index < own)}
        return len(staying) >= _ENOUGH
