"""One real session, watched at a terminal, waited for, entered, and asked for its console, while it runs and after."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from awsac_async.local.hypervisor import detect_isolation
from awsac_async.local.settings import Isolation
from tests.cli.conftest import AWSAC, Account, Awsac, environment_for, write_ini, write_jobs
from tests.cli.terminal import ENTER_SCREEN, LEAVE_SCREEN, SHOW_CURSOR, Terminal
from tests.conftest import Embedded
from tests.waiting import wait_until

# The jobs go on until somebody who has entered the instance lets them.
SCRIPT = """echo "job ${AWSAC_JOB} waits"
until [ -e "${ATLASworkingDir}/go" ]; do sleep 0.2; done
exit $((AWSAC_JOB == 2 ? 7 : 0))
"""
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True, kw_only=True)
class Story:
    """What was seen of a session while it ran (``watched``, ``left``: terminals), and the session, which is over."""

    awsac: Awsac
    file: Path
    instance: str
    entered: Done
    console: Done
    impatient: Done
    impatient_notice: dict[str, str]
    way_in: Done
    watched: Terminal
    watched_code: int
    left: Terminal
    left_code: int
    waited: Done
    notice: dict[str, str]
    isolation: Isolation


def notice_of(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if line.startswith("AWSAC_"))


@pytest.fixture(scope="module")
def story(embedded: Embedded, account: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("workstation")
    awsac = Awsac(folder=folder, environment=environment_for(embedded))
    ini = write_ini(folder)
    write_jobs(folder, job=SCRIPT)
    awsac.ok("pack", "jobs")
    awsac.ok("start", "--yes", "-i", ini, "-a", "jobs.tar.bz2")
    (file,) = folder.glob("session-*.cfg")
    session_id = file.stem.removeprefix("session-")
    terminals = []

    def at_a_terminal() -> Terminal:
        command = [AWSAC, "check", "--watch", "-c", str(file)]
        terminals.append(Terminal(command, folder=folder, environment=awsac.environment, columns=110, rows=20))
        return terminals[-1]

    try:
        watched, left = at_a_terminal(), at_a_terminal()
        wait_until(lambda: all("2 running" in each.drawn for each in terminals))
        left.process.send_signal(signal.SIGINT)
        left_code = left.end()
        ask = ("wait", "-c", file, "--notify")
        impatient = awsac(*ask, "env > impatient; exit 3", "--timeout", "1s")
        way_in = awsac("ssh", "-c", file, "2")
        console = awsac("console", "-c", file, "0")
        entering = ("ssh", "--local", "-c", file, "--run", "2", "--")
        entered = awsac(*entering, "tr", "'\\0'", "' '", "<", "/proc/1/cmdline;", "touch", "$ATLASworkingDir/go")
        assert (entered.returncode, entered.stderr) == (0, "")  # or the jobs wait for ever, as wait does
        waited = awsac(*ask, "env > notice", "--json", "--timeout", "60s")
        yield Story(
            awsac=awsac,
            file=file,
            instance=account.instances(session_id)[0]["InstanceId"],
            entered=entered,
            console=console,
            impatient=impatient,
            impatient_notice=notice_of(folder / "impatient"),
            way_in=way_in,
            watched=watched,
            watched_code=watched.end(),
            left=left,
            left_code=left_code,
            waited=waited,
            notice=notice_of(folder / "notice"),
            isolation=detect_isolation(),
        )
    finally:
        for each in terminals:
            each.process.kill()
            each.process.wait()
        awsac("cleanup", "--yes", "--force", "-c", file)


def test_watching_at_a_terminal_ends_on_the_normal_screen_with_the_table_and_the_exit_code(story: Story) -> None:
    screen, _, after = story.watched.drawn.rpartition(LEAVE_SCREEN)

    assert story.watched_code == 1
    assert screen.count(ENTER_SCREEN) == 1
    assert "Ctrl-C leaves this view; the session goes on" in screen
    assert SHOW_CURSOR in screen.rpartition(ENTER_SCREEN)[2] + after
    assert f"session {story.file.stem.removeprefix('session-')} is over" in after
    assert [line.split()[:2] for line in after.splitlines()[-2:]] == [["1", "finished"], ["2", "finished"]]


def test_ctrl_c_leaves_a_clean_screen_and_the_session_alone(story: Story) -> None:
    _, _, after = story.left.drawn.rpartition(LEAVE_SCREEN)

    assert story.left_code == 130
    assert after.replace(SHOW_CURSOR, "").strip() == "awsac: interrupted: the session goes on"
    assert story.waited.returncode == 1


def test_wait_tells_a_time_to_wait_that_has_passed_from_the_end_of_the_session(story: Story) -> None:
    session = f"session {story.file.stem.removeprefix('session-')}"
    line = f"{session} is not over after 1 second of --timeout, and goes on: 2 of 2 jobs left\n"

    assert (story.impatient.returncode, story.impatient.stdout) == (5, line)
    assert story.impatient.stderr == "awsac: the command of --notify failed with exit code 3: env > impatient; exit 3\n"
    assert story.impatient_notice["AWSAC_OUTCOME"] == "timedout"


def test_wait_says_what_came_of_a_session_by_its_exit_code_in_json_and_to_a_command(story: Story) -> None:
    again = story.awsac("wait", "-c", story.file)
    session_id = story.file.stem.removeprefix("session-")

    assert story.waited.returncode == 1
    assert json.loads(story.waited.stdout) == {
        "session_id": session_id,
        "over": True,
        "outcome": "failed",
        "exit_code": 1,
        "n_jobs": 2,
        "failed_jobs": [2],
    }
    assert story.notice == {
        **{name: value for name, value in story.awsac.environment.items() if name.startswith("AWSAC_")},
        "AWSAC_OUTCOME": "failed",
        "AWSAC_EXIT_CODE": "1",
        "AWSAC_SESSION_ID": session_id,
        "AWSAC_SESSION_FILE": str(story.file),
        "AWSAC_N_JOBS": "2",
        "AWSAC_FAILED_JOBS": "2",
    }
    assert again.returncode == 1
    assert again.stderr.startswith("awsac: awsac getresults gets the output")
    assert again.stderr.count("\n") == 1
    assert again.stdout == f"session {session_id} is over: 1 of 2 jobs went wrong (failed): job 2\n"
    assert story.awsac("wait", "-c", story.file, "--quiet").stdout == ""


def test_the_console_is_there_while_the_instance_runs_and_afterwards(story: Story) -> None:
    after = story.awsac("console", "-c", story.file, "0", "--json")
    every = story.awsac.ok("console", "-c", story.file, "--all")
    unknown = story.awsac("console", "-c", story.file, "3")

    assert story.console.returncode == 0, story.console.stderr
    assert "INFO job 2: running" in story.console.stdout
    assert json.loads(after.stdout)["text"].startswith(story.console.stdout)
    assert every.startswith(f"==> instance 0, {story.instance} <==\n{story.console.stdout}")
    assert unknown.returncode == 2
    assert "there is no instance 3 of session" in unknown.stderr
    assert "EC2 shows 0 of it" in unknown.stderr


def test_without_a_key_pair_the_way_into_an_instance_is_session_manager(story: Story) -> None:
    command = f"aws ssm start-session --target {story.instance} --region us-east-1\n"

    assert (story.way_in.returncode, story.way_in.stdout) == (0, command)
    assert story.way_in.stderr.startswith("awsac: this needs no key_name in session.ini, so by Session Manager")


def test_an_instance_of_the_embedded_cloud_can_really_be_entered(story: Story) -> None:
    if story.isolation is not Isolation.PLAIN:  # else an instance has no processes of its own to be seen
        assert "awsac_async.local.guest" in story.entered.stdout
    assert story.waited.returncode == 1  # what was done in there ended the jobs


def test_an_instance_that_is_gone_cannot_be_entered_and_there_is_another_way(story: Story) -> None:
    file = story.file.relative_to(story.awsac.folder)
    refused = story.awsac("ssh", "-c", file, "2")

    assert refused.returncode == 2
    assert re.search(rf"cannot be entered, {story.instance} is (shutting-down|terminated): ", refused.stderr)
    assert f"awsac console -c {file} 0 shows what it printed" in refused.stderr
    assert f"awsac logs -c {file} --job 2" in refused.stderr


def test_looking_once_goes_before_a_configuration_that_watches(story: Story) -> None:
    looked = story.awsac("check", "-c", story.file, "--watch", "--once")

    assert looked.stdout.startswith("session ")  # no line for each job before it
