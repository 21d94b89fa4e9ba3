"""Claims: which instance has a job, where instances share the jobs of a session, and the leases that back them.

Owns how both are named and written. Jobs are shared within a *pool*: those of the start, or those of one retry. Of each
job there may be a first claim, a second one by whoever took it over from an instance that was lost, and so on; only the
last one counts, and none is ever changed. A claim names a *lease*, which its holder renews as long as it lives. A lease
that ran out is never renewed again: who comes back has lost its jobs, and begins another lease.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from awsac_async.session.model import JobRecord
from awsac_async.session.names import X_CLAIM

FIRST_POOL = 1  # of the launch, or launches, of ``start``; that of a retry has the number of its launch
# ``2.1:0-9f3a…`` is the first claim in pool 2, on the lease of launch index 0; ``2.0`` says that there is none yet.
# ``1.4.2:3-c01d…`` is the fourth in pool 1, of which two followed on instances that were lost.
_CLAIM = re.compile(
    r"(?P<pool>[0-9]{1,9})\.(?P<count>[0-9]{1,9})(\.(?P<losses>[0-9]{1,9}))?(:(?P<lease>[0-9]{1,9}-[0-9a-z]{1,40}))?",
    re.ASCII,
)
_LEASE = re.compile(r"([0-9]{1,9})-[0-9a-z]{1,40}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The ``count``-th claim on a job in its pool, by the holder of a lease; 0: nobody has made one yet.

    ``losses``: how many of those before it were ended by the loss of an instance, and not by a notice.
    """

    pool: int
    count: int
    lease: str = ""
    losses: int = 0


def format_claim(claim: Claim) -> str:
    """Return a claim as the attribute of a job, ``x_claim``."""
    losses = f".{claim.losses}" if claim.losses else ""
    return f"{claim.pool}.{claim.count}{losses}" + (f":{claim.lease}" if claim.lease else "")


@lru_cache(maxsize=1 << 14)  # a look at thousands of jobs reads the same claims as the one before
def parse_claim(text: str) -> Claim | None:
    """Read what ``format_claim`` has written; None if it is anything else."""
    found = _CLAIM.fullmatch(text)
    if not found:
        return None
    pool, count, losses = (int(found[name] or 0) for name in ("pool", "count", "losses"))
    return Claim(pool=pool, count=count, lease=found["lease"] or "", losses=losses)


def claim_attribute(claim: Claim) -> Mapping[str, str]:
    """Return the attribute by which the record of a job says who has it."""
    return {X_CLAIM: format_claim(claim)}


def claim_of(record: JobRecord) -> Claim | None:
    """Return who has a job, as its record says; None where jobs are not shared."""
    return parse_claim(record.extra.get(X_CLAIM, ""))


def new_lease(launch_index: int, token: str) -> str:
    """Return the name of a lease of an instance; ``token``, small letters and digits, tells it from its others."""
    return f"{launch_index}-{token}"


def lease_index(lease: str) -> int | None:
    """Return the launch index of the instance that has a lease; None if that is no name of one."""
    found = _LEASE.fullmatch(lease)
    return int(found[1]) if found else None
