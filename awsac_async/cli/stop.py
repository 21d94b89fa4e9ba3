"""``awsac stop``: asks for the end of a whole session, after a question, since it ends everything."""

from typing import TYPE_CHECKING

from awsac_async.cli.common import ChangedSession, Json, Local, Yes, ask, print_json, run, use_local
from awsac_async.cli.render import stopped_values
from awsac_async.session.wording import counted

if TYPE_CHECKING:
    from awsac_async.client import SessionStatus


def stop(*, session: ChangedSession, yes: Yes = False, as_json: Json = False, local: Local = False) -> None:
    """Stop a running session.

    Its agents act within some seconds: they stop all jobs, save what these left, and terminate their instances. Where
    an agent does not answer, awsac cleanup --force terminates its instance.

    Example: awsac stop -c session-081215_1646--eventgen--1816.cfg
    """
    from awsac_async.client import stop as stop_session

    async def confirm(status: "SessionStatus") -> bool:
        return yes or await ask(_question(status), "yn") == "y"

    if local:
        use_local()
    stopped = run(stop_session(session, confirm=confirm), interrupted=lambda: "awsac check shows whether the jobs stop")
    if as_json:
        print_json(stopped_values(stopped))
    elif stopped:
        print(f"asked for the end of session {stopped.record.session_id}; it begins within some seconds")
    else:
        print("the session goes on")


def _question(status: "SessionStatus") -> str:
    jobs = counted(sum(not status.ended(job) for job in status.jobs), "job is not finished", "jobs are not finished")
    return f"stop session {status.record.session_id}? {jobs}"
