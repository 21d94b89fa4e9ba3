"""The entry of ``awsac-agent``: arguments, log, signals, exit codes.

``awsac-agent boot`` is what ``awsac-autorun`` becomes on every instance of the image, in a session or not: it fetches
the session archive and goes on with the instance's jobs, or becomes the script that the archive brings for that. Such
a script may call ``awsac-agent run``, with the options of 2008.
"""

import argparse
import asyncio
import gc
import logging
import os
import shlex
import shutil
import signal
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

from awsac_async.agent import departure, lifecycle
from awsac_async.agent.boot import read_user_data, recall_user_data
from awsac_async.agent.context import Agent
from awsac_async.agent.deadline import Deadline
from awsac_async.agent.devices import Devices
from awsac_async.agent.log import flush_log, start_log
from awsac_async.agent.metadata import Instance, Metadata
from awsac_async.agent.onlyone import only_agent
from awsac_async.agent.state import RunOptions, State
from awsac_async.agent.stopping import Stop
from awsac_async.agent.watchdog import end_watch, watched
from awsac_async.cloud.aws import Aws, connect
from awsac_async.session.errors import EXIT_JOB_FAILED, EXIT_OK, AwsacError, CloudError
from awsac_async.session.model import JobState, UserData
from awsac_async.session.names import AGENT_LOG_FILE, JOBS_FILE, InstancePaths
from awsac_async.session.shebang import FIRST_BYTES, SHELL, interpreter, missing_interpreter
from awsac_async.session.userdata import read_access

EXIT_FAILED = 1  # reported, and terminated if it is an instance of a session
EXIT_FAULT = 70  # nothing is decided: whoever started the agent is to start it again (``awsac-agent.service``)
_LAST = -900  # as in boot/awsac-agent.service
_log = logging.getLogger(__name__)


class _NotRun(Enum):
    """Why this process is not the one that runs jobs: there is no session, or it brings a script that takes over."""

    NO_SESSION = "no session"
    HAND_OVER = "hand over"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent; returns the exit code."""
    options = _parse(arguments)
    os.umask(0o022)  # whoever started it: jobs read what it writes, and inherit this
    _place_in_order(_LAST)
    paths = InstancePaths.from_environment()
    start_log(paths.session_info / AGENT_LOG_FILE)
    try:
        end = asyncio.run(_live(paths, options))
    except AwsacError as error:
        _log.error("%s", error)
        return EXIT_FAULT if _may_pass(error) else EXIT_FAILED
    except Exception:
        _log.exception("fault of the agent")
        return EXIT_FAULT
    finally:
        gc.freeze()  # else Python looks at every object of the SDK before it ends: a tenth of a second
    if end is _NotRun.NO_SESSION:
        return _leave_alone(paths)
    if end is _NotRun.HAND_OVER:
        _become(paths.autostart, State(directory=paths.state))
    return end


def _place_in_order(score: int) -> None:
    """Say when the kernel is to kill this process and what it starts, if memory is short: proc_pid_oom_score_adj(5)."""
    with suppress(OSError):  # without the right to it
        Path("/proc/self/oom_score_adj").write_text(str(score))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="awsac-agent", description="AWSAC on an instance.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("boot", help="join the session that the user data name, and run its jobs or its own script")
    run = verbs.add_parser("run", help="run this instance's jobs, save, and terminate it")
    run.add_argument("--sessioninfofile", type=Path, help="file with the user data string")
    run.add_argument("--jobsfile", type=Path, help="the job definitions, jobs.cfg")
    run.add_argument("--instanceID", dest="instance_id", help="this instance's ID")
    return parser.parse_args(arguments)


async def _live(paths: InstancePaths, arguments: argparse.Namespace) -> int | _NotRun:
    async with only_agent(paths.state / "lock"), watched(os.environ):
        return await (_boot(paths) if arguments.verb == "boot" else _run(paths, arguments))


def _leave_alone(paths: InstancePaths) -> int:
    """Leave an instance that is in no session as it was found."""
    _log.info("no user data, so this instance is in no AWSAC session; nothing to do")
    asyncio.run(flush_log())
    shutil.rmtree(paths.awsac_working, ignore_errors=True)
    return EXIT_OK


def _become(script: Path, state: State) -> NoReturn:
    """Let the session's own script take the place of this process, with the same variables.

    A shell sources it, as in 2008, unless its first line names another program that is there.
    """
    _log.info("handing over to %s", script)
    asyncio.run(flush_log())
    _place_in_order(0)
    end_watch(os.environ)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores, and a shell's commands count on
    state.keep_handed_over()  # last: were this agent killed after it, nobody would run the script
    with script.open("rb") as file:
        words = interpreter(file.read(FIRST_BYTES))
    if words == [SHELL] or missing_interpreter(words, os.environ.get("PATH", os.defpath)):
        os.execv(SHELL, [SHELL, "-c", f". {shlex.quote(str(script))}", "awsac-autorun"])  # noqa: S606  a shell is meant
    os.execv(words[0], [*words, str(script)])  # noqa: S606  it is the session's own


async def _boot(paths: InstancePaths) -> int | _NotRun:
    metadata = Metadata(os.environ)
    user_data = await read_user_data(metadata)
    if user_data is None:
        return _NotRun.NO_SESSION
    return await _or_leave(_boot_session(paths, metadata, user_data), State(directory=paths.state), metadata)


async def _boot_session(paths: InstancePaths, metadata: Metadata, user_data: UserData) -> int | _NotRun:
    instance = await metadata.identify()
    async with connect(region=instance.region, access=read_access(user_data), instance_role_only=True) as aws:
        agent = await _agent(paths, user_data, instance, aws, paths.awsac_working / JOBS_FILE)
        trouble = await lifecycle.go_through(agent, lifecycle.BOOT)
        if trouble:
            _log.error("boot failed: %s", trouble)
        elif await asyncio.to_thread(paths.autostart.is_file):
            return _NotRun.HAND_OVER
        return await _go_on(agent, trouble)


async def _go_on(agent: Agent, trouble: str = "") -> int:
    """Run the jobs, unless there was trouble before, and depart."""
    trouble = trouble or await lifecycle.go_through(agent, lifecycle.RUN)
    await lifecycle.depart(agent, trouble)
    succeeded = not trouble and all(record.succeeded for record in agent.reporter.records())
    return EXIT_OK if succeeded else EXIT_JOB_FAILED


async def _run(paths: InstancePaths, arguments: argparse.Namespace) -> int | _NotRun:
    metadata, state = Metadata(os.environ), State(directory=paths.state)
    options = _options(arguments, state)
    file = options.session_info_file or paths.session_info_file
    life = _run_session(paths, options, metadata, file)
    if await asyncio.to_thread(file.exists) or state.unpacked() is not None:
        return await _or_leave(life, state, metadata, options.instance_id)
    return await life  # in no session, as far as anybody knows: not ours to terminate


def _options(arguments: argparse.Namespace, state: State) -> RunOptions:
    """Return the options as given, for a successor those of its predecessor; they are kept for the next one."""
    options = RunOptions(
        session_info_file=arguments.sessioninfofile, jobs_file=arguments.jobsfile, instance_id=arguments.instance_id
    )
    if not any(astuple(options)):
        options = state.options()
    state.keep_options(options)
    return options


async def _run_session(paths: InstancePaths, options: RunOptions, metadata: Metadata, session_info_file: Path) -> int:
    user_data = await recall_user_data(metadata, session_info_file)
    instance = await metadata.identify()
    instance = replace(instance, instance_id=options.instance_id or instance.instance_id)
    async with connect(region=instance.region, access=read_access(user_data), instance_role_only=True) as aws:
        agent = await _agent(paths, user_data, instance, aws, options.jobs_file or paths.awsac_working / JOBS_FILE)
        return await _go_on(agent, await lifecycle.go_through(agent, lifecycle.CALLED))


async def _or_leave(
    life: Coroutine[Any, Any, int | _NotRun], state: State, metadata: Metadata, instance_id: str | None = None
) -> int | _NotRun:
    """Live; if that fails before there is an agent that could depart, the instance goes all the same.

    Not at once: what may pass is tried again by a successor, without end if the cloud says that it may, since jobs of
    a predecessor may be running; a fault of the agent five times.
    """
    try:
        return await life
    except lifecycle.FaultError:
        return EXIT_FAULT
    except Exception as error:
        if _may_pass(error):
            raise
        if isinstance(error, AwsacError):
            _log.error("the agent cannot begin: %s", error)
        else:
            _log.exception("the agent cannot begin")
            if state.may_try_again():
                return EXIT_FAULT
        await departure.abandon(metadata, instance_id or "")
        return EXIT_FAILED


async def _agent(paths: InstancePaths, user_data: UserData, instance: Instance, aws: Aws, jobs_file: Path) -> Agent:
    _log.info(
        "instance %s, launch index %d, session %s", instance.instance_id, instance.launch_index, user_data.session_id
    )
    deadline = await asyncio.to_thread(Deadline.read, user_data, paths)
    return Agent(
        paths=paths,
        user_data=user_data,
        instance=instance,
        aws=aws,
        stop=stop_on_signals(deadline),
        jobs_file=jobs_file,
        deadline=deadline,
        devices=Devices(os.environ),
    )


def _may_pass(error: Exception) -> bool:
    return isinstance(error, CloudError) and error.temporary


def stop_on_signals(deadline: Deadline) -> Stop:
    """Return a request to stop that a signal makes."""
    stop = Stop()

    def stop_by(number: signal.Signals) -> None:
        if deadline.may_be_now():
            deadline.stop_jobs(stop)
        else:
            stop.request(JobState.INTERRUPTED, f"the agent was stopped by {number.name}")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop_by, number)
    return stop
