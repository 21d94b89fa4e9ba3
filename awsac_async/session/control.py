"""The control document: what clients ask of the agents of a running session.

Owns its form, ``{"version": 1, "kill": [3, 4], "stop": false, "follow": 7}``, and the rule that commands stay: an agent
that looks seldom, or again after its death, misses nothing. Only ``retry`` withdraws what was asked of jobs that are to
run again: then no agent is left that has not acted, and the next one must not. Members that a version does not know
are kept as they are, for the agents that know them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from awsac_async.session.jsonobject import is_integer, parse_object
from awsac_async.session.model import MAX_JOBS

VERSION = 1
_MOST_FOLLOWED = 2**60
_DEEPEST = 50  # lists in lists, of members that a later version may add
_KNOWN = ("version", "kill", "stop", "follow")


@dataclass(frozen=True, kw_only=True)
class Control:
    """All that has been asked so far.

    ``kill``: numbers of jobs that are to be stopped. ``stop``: the whole session is. ``follow``: a counter that changes
    as long as somebody follows the logs. ``others``: members of a later version.
    """

    kill: frozenset[int] = frozenset()
    stop: bool = False
    follow: int = 0
    others: Mapping[str, Any] = field(default_factory=dict)

    def killing(self, jobs: Iterable[int]) -> "Control":
        """Return the document that asks for the end of these jobs as well."""
        return replace(self, kill=self.kill.union(jobs))

    def stopping(self) -> "Control":
        """Return the document that asks for the end of the session as well."""
        return replace(self, stop=True)

    def withdrawing(self, jobs: Iterable[int]) -> "Control":
        """Return the document that asks neither for the end of these jobs nor for that of the session any more."""
        return replace(self, kill=self.kill.difference(jobs), stop=False)

    def following(self) -> "Control":
        """Return the document that tells once more that somebody follows the logs."""
        return replace(self, follow=self.follow + 1)


def format_control(control: Control) -> bytes:
    """Return the document's bytes."""
    members = {"version": VERSION, "kill": sorted(control.kill), "stop": control.stop, "follow": control.follow}
    return json.dumps(dict(control.others) | members).encode()


def parse_control(content: bytes, *, file: str) -> Control:
    """Read the document; a member that is absent asks for nothing. Raises FormatError."""
    document = parse_object(content, file=file, deepest=_DEEPEST)
    return Control(
        kill=frozenset(document.read("kill", _are_jobs, "a list of job numbers", absent=[])),
        stop=document.read("stop", lambda value: isinstance(value, bool), "true or false", absent=False),
        follow=document.read("follow", _is_counter, "an integer", absent=0),
        others={member: value for member, value in document.members.items() if member not in _KNOWN},
    )


def _are_jobs(value: object) -> bool:
    return isinstance(value, list) and all(is_integer(number, most=MAX_JOBS) for number in value)


def _is_counter(value: object) -> bool:
    return is_integer(value, least=0, most=_MOST_FOLLOWED)
