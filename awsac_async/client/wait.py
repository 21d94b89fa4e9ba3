"""The verb ``wait``: returns when a session ends, with what came of it; and a command that is told so.

Owns what such a command finds in its environment. Reads the session only; the command is the user's own.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from awsac_async.client.check import SessionStatus, watch
from awsac_async.client.outcome import Outcome, outcome
from awsac_async.session import names
from awsac_async.session.errors import CloudError
from awsac_async.session.jobs import shown_numbers


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a session stood when nobody waited any longer, and what came of it.

    If ``status.over`` is false, the time to wait had passed: then ``outcome`` is that something timed out.
    """

    status: SessionStatus
    outcome: Outcome


async def wait(
    session: Path,
    *,
    timeout: float | None = None,  # noqa: ASYNC109  its end is no error here, but one of the results
    on_failure: Callable[[CloudError], None] = lambda _: None,
) -> Ended:
    """Wait until a session is over.

    Args:
        session: the session file.
        timeout: seconds after which nobody waits any longer; the session goes on then.
        on_failure: told of a passing failure of the cloud, once until it answers again.

    Raises:
        InputError: the session file is not one.
        CloudError: the cloud could not be asked for some minutes.
    """
    loop = asyncio.get_running_loop()
    until = None if timeout is None else loop.time() + timeout
    async with aclosing(watch(session, on_failure=on_failure)) as statuses:
        status = await anext(statuses)
        try:
            async with asyncio.timeout_at(until) as limit:
                async for status in statuses:  # noqa: B007  only the last counts
                    pass
        except TimeoutError:
            if not limit.expired():
                raise
    return Ended(status=status, outcome=outcome(status) if status.over else Outcome.TIMED_OUT)


def notice(session: Path, ended: Ended) -> dict[str, str]:
    """Return the variables that say what came of a session; lists of jobs are like ``1,3-7``."""
    return {
        names.NOTICE_OUTCOME: ended.outcome.value,
        names.NOTICE_EXIT_CODE: str(ended.outcome.exit_code),
        names.JOB_SESSION_ID: ended.status.record.session_id,
        names.NOTICE_SESSION_FILE: str(session.absolute()),
        names.JOB_COUNT: str(len(ended.status.jobs)),
        names.NOTICE_FAILED_JOBS: shown_numbers([job.number for job in ended.status.failed]),
    }


async def notify(command: str, session: Path, ended: Ended) -> int:
    """Run a shell command with ``notice`` in its environment, and return its exit code.

    It has no input, and what it prints goes to standard error. It ends when this is cancelled.
    """
    process = await asyncio.create_subprocess_shell(
        command, env={**os.environ, **notice(session, ended)}, stdin=asyncio.subprocess.DEVNULL, stdout=2
    )
    try:
        return await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        raise
