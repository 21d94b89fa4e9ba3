"""Instances are real processes: they boot, print, are kept apart, and leave nothing when they end."""

import os
import subprocess
import uuid
from pathlib import Path

import pytest

from awsac_async.local import cgroups, cloud, hypervisor
from awsac_async.local.settings import Isolation, Settings
from tests.conftest import embedded_cloud

from .account import BOOT, Account, eventually


def _running_with(word: str) -> list[str]:
    """Return the processes of this machine that have a word in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and word.encode() in (entry / "cmdline").read_bytes():
                found.append(entry.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_an_instance_is_pending_then_running_and_its_console_shows_what_its_script_prints(account: Account) -> None:
    answer = account.ec2.run_instances(
        ImageId="ami-0a35ac00000000001", InstanceType="c1.medium", MinCount=1, MaxCount=1, UserData="echo I live"
    )
    instance = answer["Instances"][0]
    assert instance["State"]["Name"] == "pending"
    account.printed(instance["InstanceId"], "I live")
    assert account.instance(instance["InstanceId"])["State"] == {"Code": 16, "Name": "running"}
    account.terminate(instance["InstanceId"])


def test_an_instance_outlives_its_boot_script_and_terminates_when_told(account: Account) -> None:
    instance_id = account.launch("true")
    account.printed(instance_id, "the boot script ended with status 0")
    assert account.instance(instance_id)["State"]["Name"] == "running"
    account.terminate(instance_id)
    gone = account.instance(instance_id)
    assert gone["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert gone["StateTransitionReason"].startswith("User initiated (")


def test_termination_takes_processes_that_left_their_session_and_ignore_sigterm(account: Account) -> None:
    word = f"86400.{uuid.uuid4().int}"
    instance_id = account.launch(
        f"trap '' TERM; (setsid sleep {word} &); env -i setsid sleep {word} & echo started; wait"
    )
    account.printed(instance_id, "started")
    eventually(lambda: _running_with(word), lambda found: len(found) >= 2)
    account.terminate(instance_id)
    assert _running_with(word) == []
    assert account.processes(instance_id) == []


def test_whoever_enters_an_instance_is_in_it_and_what_they_left_running_ends_with_it(account: Account) -> None:
    word = f"86400.{uuid.uuid4().int}"
    instance_id = account.launch("echo up; sleep 60")
    directory = account.cloud.directory
    script = f"touch $ATLASworkingDir-entered; echo $ATLASworkingDir; env; setsid sleep {word} >/dev/null 2>&1 &"
    account.printed(instance_id, "up")

    entered = subprocess.run(
        cloud.entering(directory, instance_id, [script]), capture_output=True, text=True, check=True
    )
    seen = subprocess.run(
        cloud.entering(directory, instance_id, ["ls", "-d", "$ATLASworkingDir-entered"]),
        capture_output=True,
        text=True,
        check=True,
    )
    account.terminate(instance_id)

    assert seen.stdout == entered.stdout.splitlines()[0] + "-entered\n"
    assert "AWS_" not in entered.stdout
    assert _running_with(word) == []
    with pytest.raises(cloud.LocalCloudError, match="does not run"):
        cloud.entering(directory, instance_id)


def test_a_poweroff_inside_ends_that_instance_only(account: Account) -> None:
    neighbour = account.launch("echo neighbour")
    commands = ("poweroff", "shutdown -h now", "halt", "systemctl poweroff")
    launched = [
        account.launch(f"{command}; sleep 60", InstanceInitiatedShutdownBehavior="terminate") for command in commands
    ]
    for instance_id in launched:
        gone = account.reached(instance_id, "terminated")
        assert gone["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert account.instance(neighbour)["State"]["Name"] == "running"
    account.terminate(neighbour)


def test_a_shutdown_can_be_set_for_later_and_cancelled(account: Account) -> None:
    script = "shutdown -h +60 && echo armed; sleep 0.3; shutdown -c && echo disarmed; ps -e -o args | grep -c '[3]600'"
    instance_id = account.launch(script)
    console = account.printed(instance_id, "the boot script ended")
    assert "armed\ndisarmed\n" in console
    assert not list((account.cloud.directory / "instances" / instance_id).glob("shutdown.pid"))
    account.terminate(instance_id)


def test_an_end_set_through_the_power_switch_comes_whatever_the_instance_does(account: Account) -> None:
    script = "trap '' TERM; $AWSACPower in 3600; $AWSACPower never; $AWSACPower in 1; while :; do sleep 0.1; done"
    instance_id = account.launch(script, InstanceInitiatedShutdownBehavior="terminate")
    gone = account.reached(instance_id, "terminated")
    assert gone["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert "[hypervisor] powering off, as was asked for inside" in account.console(instance_id)
    assert account.processes(instance_id) == []


DEEP = """
cat > /tmp/deep-$$ <<'END'
import os, sys
os.chdir(sys.argv[1])
for _ in range(int(sys.argv[2])):
    os.mkdir("folder")
    os.chdir("folder")
os.mkfifo(b"two\\nlines \\xff")
os.symlink("/etc", "link")
END
python3 /tmp/deep-$$ "$HOME" 1500; python3 /tmp/deep-$$ "${ATLASDir:-/mnt}" 1500; rm /tmp/deep-$$; echo made
"""


def test_a_tree_that_is_deeper_than_any_path_keeps_no_instance_from_its_end(account: Account) -> None:
    instance_id = account.launch(f"mkdir -p ${{ATLASDir:-/mnt}}; {DEEP}; sleep 60")
    account.printed(instance_id, "made")
    account.terminate(instance_id)
    assert {entry.name for entry in (account.cloud.directory / "instances" / instance_id).iterdir()} == {"console"}


def test_an_end_that_was_called_off_does_not_come(account: Account) -> None:
    instance_id = account.launch("$AWSACPower now nonsense; $AWSACPower in 1; $AWSACPower never; sleep 2; echo alive")
    account.printed(instance_id, "alive")
    account.terminate(instance_id)


def test_an_instance_has_a_control_group_below_which_it_may_make_others_and_which_goes_with_it(
    account: Account,
) -> None:
    if cgroups.own() is None or os.geteuid() != 0:
        pytest.skip("this machine lets us make no control groups")
    script = (
        "group=$(mount -t cgroup2 | cut -d' ' -f3 | head -n 1)$(grep ^0:: /proc/self/cgroup | cut -c 4-); "
        "mkdir $group/job; (echo 0 > $group/job/cgroup.procs; exec setsid env -i sleep 600) & echo in $group; wait"
    )
    instance_id = account.launch(script)
    console = account.printed(instance_id, "in ")
    (line,) = (line for line in console.splitlines() if line.startswith("in "))
    group = Path(line.removeprefix("in "))
    assert instance_id in group.parts
    eventually(lambda: (group / "job" / "cgroup.procs").read_text().split(), lambda pids: len(pids) == 1)
    account.suffers(instance_id, "lost")
    account.reached(instance_id, "terminated")
    assert not group.exists()


def test_a_disk_with_a_size_can_be_full(tmp_path: Path) -> None:
    if hypervisor.detect_isolation() is Isolation.PLAIN:
        pytest.skip("plain instances have no file system of their own")
    with embedded_cloud(tmp_path / "cloud", Settings(boot=BOOT, disk_size=1 << 20)) as running:
        account = Account(cloud=running, isolation="")
        instance_id = account.launch("head -c 2000000 /dev/zero > /mnt/file; stat -c %s /mnt/file; echo done")
        console = account.printed(instance_id, "done")
        assert "No space left on device" in console
        assert "1048576" in console
        account.terminate(instance_id)


def test_a_reboot_inside_is_refused(account: Account) -> None:
    instance_id = account.launch("reboot || echo refused")
    account.printed(instance_id, "refused")
    account.terminate(instance_id)


def test_an_instance_that_stops_keeps_its_identity_and_boots_again(account: Account) -> None:
    instance_id = account.launch("echo booted; poweroff; sleep 60", InstanceInitiatedShutdownBehavior="stop")
    account.reached(instance_id, "stopped")
    account.ec2.start_instances(InstanceIds=[instance_id])
    eventually(lambda: account.console(instance_id).count("booted"), lambda times: times == 2)
    account.terminate(instance_id)


def test_an_instance_finds_no_credentials_and_nothing_of_our_environment(account: Account) -> None:
    instance_id = account.launch("env; echo HOME has $(ls -A $HOME | wc -l); echo done")
    console = account.printed(instance_id, "done")
    names = {line.partition("=")[0] for line in console.splitlines() if "=" in line}
    if account.isolation != Isolation.PLAIN:
        names -= {"PWD", "_", "SHLVL", "OLDPWD"}
        ours = {"AWS_ENDPOINT_URL", "AWSACPower"}
        assert names == {"PATH", "HOME", "LANG"} | ours
    assert not {name for name in names if "KEY" in name or "TOKEN" in name}
    assert "HOME has 0" in console
    account.terminate(instance_id)


def test_two_instances_have_their_own_mnt_processes_and_host_name(account: Account) -> None:
    if account.isolation == Isolation.PLAIN:
        pytest.skip("plain instances share the machine's /mnt, processes and name")
    word = f"only-{uuid.uuid4()}"
    first = account.launch(f"touch /mnt/{word}; ls /mnt; hostname; echo done")
    account.printed(first, f"{word}\n")
    second = account.launch("ls /mnt; ls /proc; echo init is $(tr '\\0' ' ' </proc/1/cmdline | cut -c1-200); echo done")
    console = account.printed(second, "done")
    assert word not in console
    assert "awsac_async.local.guest" in console
    for entry in Path("/mnt").iterdir():
        assert f"{entry.name}\n" in console
    assert not Path("/mnt", word).exists()
    hostname = account.instance(first)["PrivateDnsName"].partition(".")[0]
    assert f"{hostname}\n" in account.console(first)
    account.terminate(first, second)


def test_no_socket_and_no_power_command_of_the_machine_is_within_reach(account: Account) -> None:
    if account.isolation == Isolation.PLAIN:
        pytest.skip("plain instances see the machine's own /run")
    script = (
        "find /run /dev -type s -o -type b; for c in /sbin/poweroff /bin/systemctl; do head -c 2 $c; done; echo done"
    )
    instance_id = account.launch(script)
    console = account.printed(instance_id, "done\n")
    assert "/run/" not in console
    assert "/dev/" not in console
    assert "ELF" not in console
    account.terminate(instance_id)


def test_a_boot_script_that_is_missing_shows_on_the_console(tmp_path: Path) -> None:
    with embedded_cloud(tmp_path / "cloud", Settings(boot=tmp_path / "missing")) as running:
        account = Account(cloud=running, isolation="")
        instance_id = account.launch("echo never")
        account.printed(instance_id, f"No such file or directory: '{tmp_path / 'missing'}'")
        account.terminate(instance_id)


def test_the_console_keeps_the_last_64_kilobytes(account: Account) -> None:
    instance_id = account.launch("yes line | head -n 40000; echo the end; sleep 60")
    console = account.printed(instance_id, "the end")
    assert len(console) == 64 * 1024
    account.terminate(instance_id)


def test_an_instance_whose_hardware_fails_is_dead_at_once_and_terminated(account: Account) -> None:
    instance_id = account.launch("trap 'echo asked to end' TERM; echo up; while :; do sleep 0.1; done")
    account.printed(instance_id, "up")
    account.suffers(instance_id, "lost")
    gone = account.reached(instance_id, "terminated")
    assert gone["StateReason"]["Code"] == "Server.InternalError"
    assert account.processes(instance_id) == []
    assert "asked to end" not in account.console(instance_id)


def test_an_agent_that_is_killed_leaves_what_it_started(account: Account) -> None:
    instance_id = account.launch("(setsid sleep 600; echo never) & echo started; exec sleep 600")
    account.printed(instance_id, "started")
    account.suffers(instance_id, "agent-killed")
    account.printed(instance_id, "the boot script ended with status -9\n")
    assert account.processes(instance_id)
    account.terminate(instance_id)
