"""The file that says how the embedded cloud misbehaves: TOML in, checked values out. Opens nothing and starts nothing.

    seed = 1                                        [latency]
                                                    seconds = 0.04
    [[fault]]                                       [[event]]
    service = "s3"                                  kind = "lost"
    operation = "PutObject"                         instance = 0
    kind = "throttle"                               on = "CreateVolume"
    probability = 0.3

Whatever is wrong is told in one sentence with the number of the table, from 1, and the key.
"""

import math
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from awsac_async.local.faults.operations import AWS_SERVICES, METADATA, SERVICES, exists
from awsac_async.local.faults.plan import Event, EventKind, Fault, Kind, Order, Plan

_MOST_WHOLE = 10**18
_MOST_SECONDS = 10**9  # what no clock waits for
_MOST_SHOWN = 80  # characters of a value in a sentence


class FaultsError(ValueError):
    """The file does not say what to do; the sentence names the place."""


def read_plan(text: str) -> Plan:
    """Read and check the text of a file.

    Raises:
        FaultsError: the first thing that is wrong with it.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of numbers of 5,000 digits, of 3,000 brackets
        # Each Python has words of its own for what is wrong.
        place = re.search(r"at line \d+", str(error))
        raise FaultsError(f"it is not TOML that can be read{f', {place[0]}' if place else ''}") from None
    _refuse_others(document, ("seed", "latency", "fault", "event"), "the file")
    return Plan(
        seed=_WHOLE.of(document, "seed", "the file", 0),
        latency=_latency(document.get("latency", {})),
        faults=tuple(_fault(table, f"fault {number}") for number, table in _tables(document, "fault")),
        events=tuple(_event(table, f"event {number}") for number, table in _tables(document, "event")),
    )


# --- the tables ---


def _tables(document: Mapping[str, Any], name: str) -> list[tuple[int, dict[str, Any]]]:
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        raise FaultsError(f"{name}: it is written as tables, [[{name}]]")
    return list(enumerate(found, 1))


def _latency(table: Any) -> dict[str, float]:
    if not isinstance(table, dict):
        raise FaultsError("latency: it is written as a table, [latency]")
    _refuse_others(table, ("seconds", *SERVICES), "latency")
    usual = _SECONDS.of(table, "seconds", "latency", 0.0)
    return {service: _SECONDS.of(table, service, "latency", usual) for service in SERVICES}


def _fault(table: dict[str, Any], place: str) -> Fault:
    keys = {"for" if name == "lasting" else name for name in Fault.__dataclass_fields__}
    _refuse_others(table, keys, place)
    _require(table, ("service", "kind"), place)
    values = {name: check.of(table, name, place) for name, check in _FAULT_KEYS.items() if name in table}
    if "for" in values:
        values["lasting"] = values.pop("for")
    if values["kind"] is Kind.EXPIRED:
        values.setdefault("count", 1)  # else no new credentials would ever be good
    fault = Fault(**values)
    _check_kind(fault, table, place)
    if not exists(fault.service, fault.operation):
        raise FaultsError(f"{place}: operation: {fault.service} has no operation {_shown(fault.operation)}")
    return fault


def _check_kind(fault: Fault, table: dict[str, Any], place: str) -> None:
    """Refuse a key that its kind does not use, a kind that its service does not have, and what is missing."""
    for key in ("code", "status", "message", "seconds", "room"):
        if key in table and key not in _USES.get(fault.kind, ()):
            raise FaultsError(f"{place}: {key}: a fault of the kind {fault.kind} has none")
    only = _ONLY_FOR.get(fault.kind, SERVICES)
    if fault.service not in only:
        raise FaultsError(f"{place}: kind: {fault.kind} is for {', '.join(only)}, not for {fault.service}")
    if fault.kind is Kind.ERROR:
        _require(table, ("status",) if fault.service == METADATA else ("code",), place)
    if fault.kind in {Kind.DELAY, Kind.STALE}:
        _require(table, ("seconds",), place)
    if fault.kind is Kind.ROOM and fault.operation != "RunInstances":
        raise FaultsError(f"{place}: operation: room is for RunInstances, not for {_named(fault.operation)}")


def _event(table: dict[str, Any], place: str) -> Event:
    _refuse_others(table, Event.__dataclass_fields__, place)
    _require(table, ("kind",), place)
    event = Event(**{name: check.of(table, name, place) for name, check in _EVENT_KEYS.items() if name in table})
    triggers = [name for name in ("after", "on", "console") if name in table]
    if len(triggers) != 1:
        raise FaultsError(f"{place}: it needs one of after, on and console, and has {' and '.join(triggers) or 'none'}")
    if not event.on and (stray := [name for name in ("nth", "order") if name in table]):
        raise FaultsError(f"{place}: {stray[0]}: it belongs to on, which is not there")
    if event.on and not any(exists(service, event.on) for service in AWS_SERVICES):
        raise FaultsError(f"{place}: on: no service has an operation {_shown(event.on)}")
    return event


def _refuse_others(table: Mapping[str, Any], known: Collection[str], place: str) -> None:
    for key in table:
        if key not in known:
            raise FaultsError(f"{place}: {_named(key)}: there is no such key, only {', '.join(sorted(known))}")


def _require(table: Mapping[str, Any], keys: Collection[str], place: str) -> None:
    for key in keys:
        if key not in table:
            raise FaultsError(f"{place}: {key}: it is missing")


# --- the values ---


def _named(key: str) -> str:
    return key if key.isprintable() and len(key) <= _MOST_SHOWN else _shown(key)


def _shown(value: object) -> str:
    """Quote a value of the file; one that is nested too deep or too large has no text."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return "a value that is too large or nested too deep"
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."


@dataclass(frozen=True)
class _Check:
    """What a value must be: in words, whether one is, and what is made of it."""

    words: str
    good: Callable[[Any], bool]
    made: Callable[[Any], Any] = lambda value: value

    def of(self, table: Mapping[str, Any], key: str, place: str, default: Any = None) -> Any:
        """Return the checked value of a key, or the default if it is not there."""
        if key not in table:
            return default
        value = table[key]
        if not self.good(value):
            raise FaultsError(f"{place}: {key}: {_shown(value)} is not {self.words}")
        return self.made(value)


def _number(value: Any, least: float, most: float = math.inf) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _whole(value: Any, least: int, most: float = math.inf) -> bool:
    return isinstance(value, int) and _number(value, least, most)


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _texts(value: Any) -> bool:
    return _text(value) or (isinstance(value, list) and value != [] and all(map(_text, value)))


def _one_of(choices: Collection[str], made: Callable[[str], Any] = str) -> _Check:
    return _Check(f"one of {', '.join(choices)}", lambda value: isinstance(value, str) and value in choices, made)


_WHOLE = _Check("a whole number from 0", lambda value: _whole(value, 0, _MOST_WHOLE))
_FROM_1 = _Check("a whole number from 1", lambda value: _whole(value, 1, _MOST_WHOLE))
_SECONDS = _Check("a number of seconds", lambda value: _number(value, 0, _MOST_SECONDS), float)
_TEXT = _Check("a text", _text)
_TEXTS = _Check(
    "a text or a list of texts", _texts, lambda value: tuple(value) if isinstance(value, list) else (value,)
)

_FAULT_KEYS: Mapping[str, _Check] = {
    "service": _one_of(SERVICES),
    "kind": _one_of([*Kind], Kind),
    "operation": _TEXT,
    "resource": _TEXTS,
    "instance": _WHOLE,
    "probability": _Check("a number from 0 to 1", lambda value: _number(value, 0, 1)),
    "count": _FROM_1,
    "after": _WHOLE,
    "for": _SECONDS,
    "code": _TEXT,
    "status": _Check("a status of HTTP from 400 to 599", lambda value: _whole(value, 400, 599)),
    "message": _TEXT,
    "seconds": _SECONDS,
    "room": _WHOLE,
}
_EVENT_KEYS: Mapping[str, _Check] = {
    "kind": _one_of([*EventKind], EventKind),
    "resource": _TEXTS,
    "instance": _WHOLE,
    "after": _SECONDS,
    "on": _TEXT,
    "nth": _FROM_1,
    "order": _one_of([*Order], Order),
    "console": _TEXT,
}
_USES: Mapping[Kind, Collection[str]] = {
    Kind.ERROR: ("code", "status", "message"),
    Kind.DELAY: ("seconds",),
    Kind.STALE: ("seconds",),
    Kind.STUCK: ("seconds",),
    Kind.ROOM: ("room",),
}
_ONLY_FOR: Mapping[Kind, Collection[str]] = {
    Kind.STALE: ("ec2",),
    Kind.STUCK: ("ec2",),
    Kind.ROOM: ("ec2",),
    Kind.EXPIRED: AWS_SERVICES,
}
