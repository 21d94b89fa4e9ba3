"""What a row of the table of faults says: what goes wrong, what the jobs do, and how they must end."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.agent.account import Session


@dataclass(frozen=True, kw_only=True)
class Digest:
    """Bytes that are too many to be held: how many, and their SHA-256."""

    size: int
    sha256: str

    @classmethod
    def of(cls, pieces: Iterator[bytes]) -> "Digest":
        size, digest = 0, hashlib.sha256()
        for piece in pieces:
            size += len(piece)
            digest.update(piece)
        return cls(size=size, sha256=digest.hexdigest())


def digest(content: bytes) -> Digest:
    return Digest.of(iter([content]))


def numbers(first: int, last: int) -> str:
    """What ``seq`` prints."""
    return "".join(f"{number}\n" for number in range(first, last + 1))


# What a job does on a good day: some output, and a result. It is uploaded as it is, so any bytes do.
WORK = "seq 1 2000\nseq 5000 9000 > results.tar.bz2\n"
OUTPUT = numbers(1, 2000)
PRINTED = digest(OUTPUT.encode())
RESULT = digest(numbers(5000, 9000).encode())


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job and its end.

    ``status`` None: no status could be written. ``reason`` is a part of the reason; "" means that there must be none.
    ``output`` and ``result`` are what must be in S3; None: nothing is asked of it.
    """

    script: str = WORK
    release: str = ""  # the name of a release of ``clouds``
    status: str | None = "finished"
    code: str = "0"
    reason: str = ""
    output: Digest | None = PRINTED
    result: Digest | None = RESULT


GOOD = Job()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One bad day.

    ``faults`` is a file for ``awsac local up --faults``; in the test it is confined to the row's own session.
    """

    name: str
    what: str  # goes wrong
    then: str  # what comes of it
    faults: str = ""
    jobs: tuple[Job, ...] = (GOOD,)
    instances: int = 1
    spot: bool = False
    small: bool = False  # instances with little disk, memory, and few processes
    fields: str = ""  # further ones of the user data
    also: Callable[[Session], None] = field(default=lambda _: None)  # what else must be so
    agent_logs: Mapping[int, str | None] = field(default_factory=dict)  # launch index: what its agent's log must say
