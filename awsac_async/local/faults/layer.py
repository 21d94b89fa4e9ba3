"""Stands before the services, as a WSGI application, and does to each call what the file in force says.

It changes nothing of a call that no fault befalls; but while a file is in force, temporary credentials whose time is
over are refused.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from awsac_async.local.faults.acts import Application, Case, answering, cut
from awsac_async.local.faults.answers import EXPIRED, worded
from awsac_async.local.faults.calls import Call, Caller, read_call, read_metadata_call
from awsac_async.local.faults.engine import Engine
from awsac_async.local.faults.events import Events
from awsac_async.local.faults.file import read_plan
from awsac_async.local.faults.plan import EventKind, Kind, Order, Plan
from awsac_async.local.faults.records import Records


@dataclass(frozen=True, kw_only=True)
class _InForce:
    """One file, and what has come of it."""

    plan: Plan
    engine: Engine
    events: Events


class Layer:
    """The faults of one embedded cloud."""

    def __init__(self, records: Records, strike: Callable[[EventKind, str], None]) -> None:
        """``strike`` lets something happen to the instance with this ID."""
        self._records = records
        self._strike = strike
        self._in_force = self._begin(Plan())

    def load(self, text: str) -> None:
        """Put the text of a file in force instead of the one before; "" ends all faults.

        Raises:
            FaultsError: the text does not say what to do; the one before stays in force.
        """
        plan = read_plan(text)
        self._in_force.events.stop()
        self._in_force = self._begin(plan)

    def _begin(self, plan: Plan) -> _InForce:
        events = Events(plan.events, self._records, self._strike)
        events.start()
        return _InForce(plan=plan, engine=Engine(plan=plan), events=events)

    def report(self) -> dict[str, list[dict[str, Any]]]:
        """Tell what is in force, how often each fault has happened, and which instances each event has struck."""
        current = self._in_force
        happened, struck = current.engine.happened(), current.events.struck()
        return {
            "faults": [
                {"service": fault.service, "operation": fault.operation, "kind": fault.kind, "happened": times}
                for fault, times in zip(current.plan.faults, happened, strict=True)
            ],
            "events": [
                {"kind": event.kind, "instances": instances}
                for event, instances in zip(current.plan.events, struck, strict=True)
            ],
        }

    def around_services(self, services: Application) -> Application:
        """Return the AWS services with this layer before them."""

        def application(environ: Any, start_response: Any) -> Iterable[bytes]:
            current = self._in_force
            if current.plan == Plan():
                return services(environ, start_response)
            call = read_call(environ)
            call = replace(call, caller=self._records.caller(call.access_key))
            if current.events.at_call(call, Order.BEFORE):
                cut(environ)
            answer = self._answer(current.engine, call, services)(environ, start_response)
            current.events.at_call(call, Order.AFTER)
            return answer

        return application

    def around_metadata(self, service: Application, caller: Caller) -> Application:
        """Return the metadata service of an instance with this layer before it."""

        def application(environ: Any, start_response: Any) -> Iterable[bytes]:
            call = read_metadata_call(environ, caller)
            return self._answer(self._in_force.engine, call, service)(environ, start_response)

        return application

    def _answer(self, engine: Engine, call: Call, service: Application) -> Application:
        """Wait as long as the file says, and return what answers the call."""
        befallen = engine.befalling(call)
        time.sleep(befallen.seconds)
        if befallen.fault and befallen.fault.kind is Kind.EXPIRED:
            self._records.expire(call.access_key)
        if self._records.expired(call.access_key):
            return worded(EXPIRED[call.service], call)
        if befallen.fault is None or befallen.fault.kind is Kind.EXPIRED:
            return service
        return answering(
            Case(fault=befallen.fault, call=call, service=service, younger_than=self._records.younger_than)
        )
