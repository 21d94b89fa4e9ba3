"""The boot scripts as an administrator's tools read them, and the deadline as systemd is asked for it.

What autorun does is proven by the sessions that it boots. Here systemd's commands are stand-ins, first in PATH, that
write down what they are asked.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from awsac_async.local.metadata import Facts, MetadataService

BOOT = Path(__file__).parents[2] / "boot"
SCRIPTS = tuple(BOOT / f"awsac-{name}" for name in ("autorun", "deadline", "install", "clean"))
SESSION = b"081215_1646--eventgen--1816;atlassessions;sessionarchive.tar.bz2;2"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
HOUR = 3600
TOOLS = ("awk", "date", "mv", "sleep", "dirname", "mkdir", "rm")

# A timer is a file that holds after how many seconds it powers off.
SYSTEMD_RUN = """#!/bin/sh
echo "systemd-run $*" >> "$STAND_INS/calls"
for word; do
    case $word in --unit=*) unit=${word#*=} ;; --on-active=*) seconds=${word#*=} ;; esac
done
[ ! -e "$STAND_INS/$unit.timer" ] || exit 1
echo "$seconds" > "$STAND_INS/$unit.timer"
"""
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >> "$STAND_INS/calls"
case $1 in
    is-active) [ -e "$STAND_INS/$3" ] ;;
    stop) rm "$STAND_INS/$2" ;;
esac
"""
AGENT = """#!/bin/sh
echo "agent $*" >> "$STAND_INS/calls"
"""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_boot_scripts_are_posix_shell(script: Path) -> None:
    if shutil.which("dash") is None:
        pytest.skip("no dash here, which knows nothing but POSIX shell")
    subprocess.run(["dash", "-n", script], check=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_finds_nothing_in_the_boot_scripts(script: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    assert subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False).stdout == ""


@dataclass(kw_only=True)
class Machine:
    """A machine with systemd, as far as the scripts can see."""

    directory: Path
    endpoint: str = "http://127.0.0.1:1/"  # where nobody answers
    program: str  # by which the metadata service is asked

    def __post_init__(self) -> None:
        self.state.mkdir(parents=True)
        self.commands.mkdir()
        for name, text in {"systemd-run": SYSTEMD_RUN, "systemctl": SYSTEMCTL, "awsac-agent": AGENT}.items():
            (self.commands / name).write_text(text)
            (self.commands / name).chmod(0o755)

    @property
    def state(self) -> Path:
        return self.directory / "awsac" / "sessioninfo" / "state"

    @property
    def commands(self) -> Path:
        return self.directory / "commands"

    def run(self, script: str, *arguments: str, **environment: str) -> str:
        """Run one of the scripts with nothing else in PATH than what it may use."""
        for name in (*TOOLS, self.program):
            found = os.path.realpath(sys.executable) if name == "python3" else shutil.which(name)
            if found and not (self.commands / name).exists():
                (self.commands / name).symlink_to(found)
        own = {
            "PATH": str(self.commands),
            "STAND_INS": str(self.directory),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.endpoint,
            "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "1",
            "AWSACworkingDir": str(self.directory / "awsac"),
            "ATLASDir": str(self.directory / "atlas"),
            "ATLASworkingDir": str(self.directory / "work"),
        }
        ended = subprocess.run(
            ["/bin/sh", BOOT / script, *arguments],
            env=own | environment,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout
        return ended.stdout

    def booted(self, *, seconds_ago: float) -> None:
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        (self.state / "booted").write_text(f"{BOOT_ID} {uptime - seconds_ago:.2f} 17\n")

    def timers(self) -> dict[str, int]:
        return {file.stem: int(file.read_text().strip().removesuffix("s")) for file in self.directory.glob("*.timer")}

    def calls(self) -> list[str]:
        file = self.directory / "calls"
        return file.read_text().splitlines() if file.exists() else []


Start = Callable[..., Machine]


@pytest.fixture(params=["curl", "python3"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Make a machine with these user data. Its metadata service is asked by curl, or where there is none by Python."""
    program: str = request.param
    if program == "curl" and shutil.which(program) is None:
        pytest.skip("there is no curl on this machine")
    services = []

    def start(user_data: bytes | None) -> Machine:
        facts = Facts(
            document={}, values={}, user_data=user_data, tokens_required=True, role=None, profile={}, credentials=dict
        )
        services.append(service := MetadataService(facts))
        service.start()
        return Machine(directory=tmp_path, endpoint=service.endpoint, program=program)

    yield start
    for service in services:
        service.stop()


def test_the_end_is_max_hours_after_the_boot_and_never_without_a_timer(machine: Start) -> None:
    here = machine(SESSION + b";n_jobs=4;max_hours=2.5")
    here.booted(seconds_ago=HOUR)
    said = here.run("awsac-deadline")
    assert here.timers() == {"awsac-deadline": pytest.approx(1.5 * HOUR, abs=10)}
    assert "2.5 hours after its boot" in said
    armed, session, gone = (call for call in here.calls() if "is-active" not in call)
    assert "--unit=awsac-deadline-default" in armed
    assert "--unit=awsac-deadline " in session
    assert "systemctl poweroff" in session
    assert gone == "systemctl stop awsac-deadline-default.timer"


def test_the_end_is_found_in_a_cloud_config_too(machine: Start) -> None:
    here = machine(b"#cloud-config\n# awsac-session: " + SESSION + b";max_hours=2.5\nruncmd:\n- a;b;c;7;max_hours=1\n")
    here.booted(seconds_ago=HOUR)
    here.run("awsac-deadline")
    assert here.timers() == {"awsac-deadline": pytest.approx(1.5 * HOUR, abs=10)}


def test_a_second_start_postpones_nothing(machine: Start) -> None:
    here = machine(SESSION + b";max_hours=3")
    here.booted(seconds_ago=0)
    here.run("awsac-deadline")
    before = here.calls()
    here.endpoint = "http://127.0.0.1:1/"
    here.run("awsac-deadline")
    assert here.timers() == {"awsac-deadline": pytest.approx(3 * HOUR, abs=10)}
    assert here.calls() == [*before, "systemctl is-active --quiet awsac-deadline.timer"]


def test_an_end_that_is_over_comes_at_once(machine: Start) -> None:
    here = machine(SESSION + b";max_hours=1")
    here.booted(seconds_ago=2 * HOUR)
    here.run("awsac-deadline")
    assert here.timers() == {"awsac-deadline": 1}


@pytest.mark.parametrize("more", [b"", b";max_hours=", b";max_hours=0", b";max_hours=never"])
def test_a_session_that_says_no_time_ends_after_48_hours(machine: Start, more: bytes) -> None:
    here = machine(SESSION + more)
    here.booted(seconds_ago=HOUR)
    here.run("awsac-deadline")
    assert here.timers() == {"awsac-deadline": pytest.approx(47 * HOUR, abs=10)}


@pytest.mark.parametrize(
    "user_data",
    [None, b"#!/bin/sh\necho a;b;c;2", b"#cloud-config\na;b;c;2", b"a;b;c", b"a;b;c;many", b"\x1f\x8b\x00;;;"],
)
def test_a_machine_of_somebody_else_is_left_alone(machine: Start, user_data: bytes | None) -> None:
    here = machine(user_data)
    assert "is in no session" in here.run("awsac-deadline")
    assert here.timers() == {}


def test_48_hours_stay_while_the_metadata_service_does_not_answer_and_a_later_start_knows_better(
    machine: Start,
) -> None:
    here = machine(SESSION + b";max_hours=1")
    known, here.endpoint = here.endpoint, "http://127.0.0.1:1/"
    here.booted(seconds_ago=0)
    assert "does not answer" in here.run("awsac-deadline")
    assert here.timers() == {"awsac-deadline-default": pytest.approx(48 * HOUR, abs=10)}
    here.endpoint = known
    here.run("awsac-deadline")
    assert here.timers() == {"awsac-deadline": pytest.approx(HOUR, abs=10)}


def test_powering_off_now_asks_systemd(machine: Start) -> None:
    here = machine(SESSION)
    here.run("awsac-deadline", "now")
    assert here.calls() == ["systemctl poweroff"]


def test_where_another_program_ends_the_machine_systemd_is_never_asked(machine: Start) -> None:
    here = machine(SESSION + b";max_hours=2")
    power = here.commands / "power"
    power.write_text('#!/bin/sh\necho "$*" >> "$STAND_INS/asked"\n')
    power.chmod(0o755)
    here.booted(seconds_ago=HOUR)
    for arguments in ([], [], ["now"]):
        here.run("awsac-deadline", *arguments, AWSACPower=str(power))
    first, *ends, now = (here.directory / "asked").read_text().splitlines()
    assert first.startswith("in 16")
    assert [int(end.removeprefix("in ")) for end in ends] == [pytest.approx(HOUR, abs=10)] * 2
    assert now == "now"
    assert here.calls() == []


def test_the_boot_is_written_down_once_and_the_deadline_set_before_the_agent_is_called(machine: Start) -> None:
    here = machine(SESSION)
    here.run("awsac-autorun")
    booted = (here.state / "booted").read_text()
    boot_id, uptime, epoch = booted.split()
    assert boot_id == BOOT_ID
    assert 0 < float(uptime) <= float(Path("/proc/uptime").read_text().split()[0])
    assert int(epoch) > 1_700_000_000
    calls = [call.split()[0] for call in here.calls()]
    assert calls.index("systemd-run") < calls.index("agent")
    assert here.calls()[-1] == "agent boot"
    here.run("awsac-autorun")
    assert (here.state / "booted").read_text() == booted


def test_the_deadline_is_set_also_where_nothing_can_be_written(machine: Start) -> None:
    here = machine(SESSION + b";max_hours=2")
    shutil.rmtree(here.directory / "awsac")
    (here.directory / "awsac").write_text("a file where the folder should be")
    with pytest.raises(AssertionError):
        here.run("awsac-autorun")
    assert here.timers() == {"awsac-deadline": pytest.approx(2 * HOUR, abs=10)}


@pytest.mark.parametrize(("agent_ran", "then"), [(True, ["agent run"]), (False, [])])
def test_a_script_of_the_session_has_its_turn_once_and_the_agent_it_called_goes_on(
    machine: Start, agent_ran: bool, then: list[str]
) -> None:
    here = machine(SESSION)
    (here.state / "handed-over").write_text("{}")
    if agent_ran:
        (here.state / "run.json").write_text("{}")
    here.run("awsac-autorun", AWSACPower="true")
    assert here.calls() == then


def test_the_unit_restarts_an_agent_that_died_and_leaves_the_jobs_alive() -> None:
    lines = (BOOT / "awsac-agent.service").read_text().splitlines()
    expected = {"Restart=on-failure", "SuccessExitStatus=1", "StartLimitIntervalSec=0", "KillMode=process"}
    assert expected | {"RestartSec=2", "Delegate=yes"} <= set(lines)
    assert os.access(SCRIPTS[0], os.X_OK)
    assert os.access(SCRIPTS[1], os.X_OK)
