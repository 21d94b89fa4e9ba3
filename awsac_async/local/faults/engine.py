"""Decides which faults befall a call: by what it asks, how often, for how long and by chance. Does nothing itself.

The same file and the same calls, one after another, have the same faults: each has a random generator of its own,
seeded by the file.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from awsac_async.local.faults.calls import Call
from awsac_async.local.faults.plan import Fault, Kind, Plan


@dataclass(kw_only=True)
class _Rule:
    """A fault, and what has come of it so far."""

    fault: Fault
    chance: random.Random
    matches: int = 0
    happened: int = 0
    began: float | None = None

    def befalls(self, call: Call, now: float) -> bool:
        """Say whether it happens to this call, and count."""
        fault = self.fault
        if not _concerns(fault, call):
            return False
        self.matches += 1
        if self.matches <= fault.after or self.happened >= fault.count:
            return False
        self.began = now if self.began is None else self.began
        happens = now - self.began < fault.lasting and self.chance.random() < fault.probability
        self.happened += happens
        return happens


def _concerns(fault: Fault, call: Call) -> bool:
    return (
        fault.service == call.service
        and fnmatchcase(call.operation, fault.operation)
        and call.is_by(fault.instance)
        and call.about(fault.resource)
    )


@dataclass(frozen=True, kw_only=True)
class Befallen:
    """What happens to a call: so many seconds of waiting, and then perhaps one thing more."""

    seconds: float = 0.0
    fault: Fault | None = None


@dataclass(kw_only=True)
class Engine:
    """The faults in force. May be asked by many threads."""

    plan: Plan
    clock: Callable[[], float] = time.monotonic
    _rules: list[_Rule] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._rules = [
            _Rule(fault=fault, chance=random.Random(f"{self.plan.seed}/{number}"))  # noqa: S311 (chance, not a secret)
            for number, fault in enumerate(self.plan.faults)
        ]

    def befalling(self, call: Call) -> Befallen:
        """Say what happens to a call: all delays that concern it, and the first fault of another kind."""
        seconds = self.plan.latency.get(call.service, 0.0)
        with self._lock:
            now = self.clock()
            for rule in self._rules:
                if not rule.befalls(call, now):
                    continue
                if rule.fault.kind is not Kind.DELAY:
                    return Befallen(seconds=seconds, fault=rule.fault)
                seconds += rule.fault.seconds
        return Befallen(seconds=seconds)

    def happened(self) -> list[int]:
        """Return how often each fault has happened, in the order of the file."""
        with self._lock:
            return [rule.happened for rule in self._rules]
