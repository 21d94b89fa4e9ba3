"""The agent's life: its phases in order, and what is done at the end, whatever happened.

Owns the order and nothing else. Set-up stops at the first error; the departure runs every step, always, and ends with
the instance terminated. A fault of the agent itself is no reason to depart as long as a successor may try again: jobs
run on meanwhile, and it finds them.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

from awsac_async.agent import departure, phases
from awsac_async.agent.context import Agent
from awsac_async.agent.log import describe, step
from awsac_async.agent.stopping import StoppedError
from awsac_async.session.errors import AwsacError

_log = logging.getLogger(__name__)
Phase = Callable[[Agent], Awaitable[None]]

# How awsac-agent boot begins; after it, the jobs are run, or the session's own start script takes over.
BOOT: tuple[Phase, ...] = (
    phases.check,
    phases.remember,
    phases.learn_launch,
    phases.fetch,
    phases.unpack_archive,
)
# How awsac-agent run begins, when such a script calls it.
CALLED: tuple[Phase, ...] = (
    phases.check,
    phases.learn_launch,
)
# "work" takes each job through: provide, run, save, release.
RUN: tuple[Phase, ...] = (
    phases.select,
    phases.work,
)
# After the jobs, and after a beginning that failed.
DEPARTURE = (
    departure.report_unended,
    departure.remove_releases,
    departure.write_status,
    departure.end_lease,
    departure.copy_manifests,
    departure.upload_log,
    departure.terminate,
)


class FaultError(Exception):
    """A fault of the agent, logged and counted: its successor is to try again."""


async def go_through(agent: Agent, order: Sequence[Phase]) -> str:
    """Run phases in this order, up to the first that fails; returns why it failed, or "".

    Raises:
        FaultError: it failed by a fault of the agent, not too many of which have been before.
    """
    for phase in order:
        try:
            with step(f"phase {phase.__name__}", instance=agent.instance.instance_id):
                await phase(agent)
        except (AwsacError, StoppedError) as error:
            return str(error)
        except Exception as fault:
            _log.exception("phase %s: fault of the agent", phase.__name__)
            if agent.state.may_try_again():
                raise FaultError from fault
            return f"fault of the agent: {describe(fault)}"
    return ""


async def depart(agent: Agent, trouble: str) -> None:
    """Run every step of the departure, whatever fails."""
    for leave in DEPARTURE:
        try:
            with step(f"departure {leave.__name__}", instance=agent.instance.instance_id):
                await leave(agent, trouble)
        except Exception:
            _log.exception("departure %s: failed, going on", leave.__name__)
