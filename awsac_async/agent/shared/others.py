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
    """A lease in the state that it was last seen in (None: gone), since when it is so, and whether it ever changed."""

    version: str | None
    since: float
    changed: bool = False


class Others:
    """The leases of a session, as they were seen from one instance.

    Args:
        seconds: how long a lease may stay as it is.
    """

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[str, _Seen] = {}
        self._at = 0.0

    def look(self, versions: Mapping[str, str], holders: Collection[str], *, began: float, ended: float) -> None:
        """Note how the leases were found by a look that took this time, in seconds.

        ``holders`` are those on which jobs are held, of which some may be gone.
        """
        self._at = began
        for lease in versions.keys() | set(holders):
            version = versions.get(lease)
            before = self._seen.get(lease)
            if before is None:
                self._seen[lease] = _Seen(version=version, since=ended)
            elif before.version != version:
                self._seen[lease] = _Seen(version=version, since=ended, changed=version is not None)

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
        """Whether whoever has this lease was seen to renew it, and not too long ago."""
        seen = self._seen.get(lease)
        return seen is not None and seen.changed and not self.lost(lease)

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
