"""What goes wrong, as values: calls that fail, events that strike instances, and how slow each service is."""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field


class Kind(enum.StrEnum):
    """What goes wrong with a call."""

    ERROR = "error"  # it is refused, with a code of the file's choice
    THROTTLE = "throttle"  # it is refused as the service does when there are too many calls
    DELAY = "delay"  # it is answered later
    DROP = "drop"  # the connection is closed, and nothing was done
    HALF = "half"  # the connection is closed in the middle of an upload or an answer
    LOST_ANSWER = "lost-answer"  # it was done, but the connection is closed without an answer
    EXPIRED = "expired"  # the caller's temporary credentials are over; the metadata service has new ones
    STALE = "stale"  # EC2 does not show what is younger than some seconds
    ROOM = "room"  # EC2 has room for so many instances only at what a call of RunInstances names
    STUCK = "stuck"  # EC2 answers, but what should change its state does not for some seconds, or ever


class EventKind(enum.StrEnum):
    """What happens to an instance."""

    LOST = "lost"
    SPOT_NOTICE = "spot-notice"
    AGENT_KILLED = "agent-killed"


class Order(enum.StrEnum):
    """Whether an event comes before the call that sets it off is performed, which it then is not, or after."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with some calls, and with which and how often. All times are seconds."""

    service: str
    kind: Kind
    operation: str = "*"
    resource: tuple[str, ...] = ()
    instance: int | None = None
    probability: float = 1.0
    count: float = math.inf
    after: int = 0
    lasting: float = math.inf
    code: str = ""
    status: int = 0
    message: str = ""
    seconds: float = math.inf
    room: int = 0


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happens to an instance, once: so long after its launch, or at a call, or at a text on its console."""

    kind: EventKind
    resource: tuple[str, ...] = ()
    instance: int | None = None
    after: float | None = None
    on: str = ""
    nth: int = 1
    order: Order = Order.AFTER
    console: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a file says."""

    seed: int = 0
    latency: Mapping[str, float] = field(default_factory=dict)  # seconds of each service's calls
    faults: tuple[Fault, ...] = ()
    events: tuple[Event, ...] = ()
