"""Strikes instances when the file says so: each event once an instance, at a call, a text on the console, or a time.

Owns one thread, and only where an event waits for a time or a text.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Protocol

from awsac_async.local.faults.calls import Call, Caller
from awsac_async.local.faults.plan import Event, EventKind, Order

log = logging.getLogger(__name__)

POLL = 0.05  # s: how soon a time or a text is noticed


class Instances(Protocol):
    """Who can tell of the instances."""

    def running(self) -> list[tuple[Caller, timedelta]]:
        """Return the running instances, and how long ago each was launched."""

    def console(self, instance_id: str) -> str:
        """Return the end of what an instance has printed."""


class Events:
    """The events of one file."""

    def __init__(self, events: Sequence[Event], instances: Instances, strike: Callable[[EventKind, str], None]) -> None:
        self._events = events
        self._instances = instances
        self._strike = strike
        self._struck: list[list[str]] = [[] for _ in events]
        self._calls: Counter[tuple[int, str]] = Counter()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to wait for times and texts, if any event does."""
        if any(not event.on for event in self._events):
            threading.Thread(target=self._watch, name="instance events", daemon=True).start()

    def stop(self) -> None:
        """Let nothing happen from now on by a time or a text."""
        self._stopped.set()

    def struck(self) -> list[list[str]]:
        """Return the IDs of the instances that each event has struck, in the order of the file."""
        with self._lock:
            return [list(instance_ids) for instance_ids in self._struck]

    def at_call(self, call: Call, order: Order) -> bool:
        """Strike the caller if an event waits for this call; return whether one did."""
        numbers = [number for number, event in enumerate(self._events) if event.on and event.order is order]
        struck = [self._at(number, call) for number in numbers]
        return any(struck)

    def _at(self, number: int, call: Call) -> bool:
        event, caller = self._events[number], call.caller
        if caller is None or not call.is_by(event.instance) or not call.about(event.resource):
            return False
        if not fnmatchcase(call.operation, event.on):
            return False
        with self._lock:
            self._calls[number, caller.instance_id] += 1
            due = self._calls[number, caller.instance_id] == event.nth
        return due and self._happens(number, caller)

    def _watch(self) -> None:
        while not self._stopped.wait(POLL):
            for caller, age in self._instances.running():
                for number, event in enumerate(self._events):
                    if self._waits(number, caller) and self._is_time(event, caller, age):
                        self._happens(number, caller)

    def _waits(self, number: int, caller: Caller) -> bool:
        event = self._events[number]
        if event.on or caller.instance_id in self._struck[number]:
            return False
        nothing = Call(service="", operation="", names=(), caller=caller)
        return nothing.is_by(event.instance) and nothing.about(event.resource)

    def _is_time(self, event: Event, caller: Caller, age: timedelta) -> bool:
        if event.after is not None:
            return age >= timedelta(seconds=event.after)
        return event.console in self._instances.console(caller.instance_id)

    def _happens(self, number: int, caller: Caller) -> bool:
        """Strike an instance, once; return whether it was struck now."""
        with self._lock:
            if caller.instance_id in self._struck[number]:
                return False
            self._struck[number].append(caller.instance_id)
        try:
            self._strike(self._events[number].kind, caller.instance_id)
        except Exception:  # told on the cloud's log; the call that set it off goes on
            log.exception("event %d could not strike %s", number + 1, caller.instance_id)
            return False
        return True
