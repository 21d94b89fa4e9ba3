"""Whole sessions on the embedded cloud: real instances boot, run jobs, save, and go away."""

import re
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.agent.account import Account, Item, Session, session_of
from tests.conftest import Embedded
from tests.contract import ITEM_ATTRIBUTES
from tests.waiting import wait_until

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) \S")
PARTS = ("boot", "fetch", "provide", "queue", "run", "save")
COUNT = """
echo "job $AWSAC_JOB of $AWSAC_N_JOBS in $AWSAC_SESSION_ID on core $AWSAC_CORE"
cat "$AWSAC_DATA/one.txt" "$AWSAC_DATA/below/two.txt"
echo "result of $AWSAC_JOB" > result
python3 -m tarfile -c results.tar.bz2 result
"""
ENVIRONMENT = "env | cut -d= -f1\nexit 3\n"
LEAVE = """
sleep 600 &
echo $! > pid.part && mv pid.part pid
"""
WATCH = """
until [ -f ../4/pid ]; do sleep 0.05; done
while kill -0 "$(cat ../4/pid)" 2>/dev/null; do sleep 0.05; done
echo gone
"""


@pytest.fixture(scope="module")
def ended(account: Account) -> Iterator[Session]:
    """A session of six jobs on two instances, with input data, after its end."""
    with session_of(account) as session:
        session.upload_archive(
            {
                "jobs.cfg": "-;count.sh;2\n-;environment.sh;1\n-;leave.sh;1\n-;watch.sh;1\n-;missing.sh;1\n",
                "count.sh": COUNT,
                "environment.sh": ENVIRONMENT,
                "leave.sh": LEAVE,
                "watch.sh": WATCH,
            }
        )
        account.put(f"awsac/{session.id}/data/one.txt", b"one\n")
        account.put(f"awsac/{session.id}/data/below/two.txt", b"two\n")
        session.run(instances=2, cores=3, more=";n_jobs=6;max_hours=1;data=2")
        yield session


def of_2008(item: Item) -> set[str]:
    return {name for name in item.attributes if not name.startswith("x_")}


def test_every_job_says_how_and_where_it_ended(ended: Session) -> None:
    items = ended.items()
    assert {name: (item.status, item.returncode, item.launchindex) for name, item in items.items()} == {
        "job1": ("finished", "0", "0"),
        "job2": ("finished", "0", "0"),
        "job3": ("finished", "3", "0"),
        "job4": ("finished", "0", "1"),
        "job5": ("finished", "0", "1"),
        "job6": ("failed", "", "1"),
    }
    for number in range(1, 7):
        item = items[f"job{number}"]
        assert (item.jobnr, item.instance_id) == (str(number), ended.instance_ids[(number - 1) // 3])
    assert items["job1"].shellscript.endswith("/mnt/awsac/count.sh")


def test_the_items_are_those_of_2008_with_times_in_utc(ended: Session) -> None:
    items = ended.items()
    missing = items.pop("job6")
    assert missing.reason
    for item in items.values():
        assert of_2008(item) == {*ITEM_ATTRIBUTES} | {"reason"}
        assert item.reason == ""
        times = [item.runstarttime, item.runendtime, item.savestarttime, item.saveendtime]
        assert times == sorted(times)
        assert all(datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ") for time in times)


def test_each_job_says_where_its_time_went(ended: Session) -> None:
    items = ended.items()
    for number in range(1, 6):
        attributes = items[f"job{number}"].attributes
        seconds = {part: float(attributes[f"x_seconds_{part}"]) for part in PARTS}
        assert min(seconds.values()) >= 0
        assert (seconds["boot"] > 0, attributes["x_attempt"]) == (True, "1")


def test_results_outputs_and_logs_are_saved(ended: Session) -> None:
    assert ended.objects() == {
        *(f"results_job_{job}.tar.bz2" for job in (1, 2)),
        *(f"stdouterr_job_{job}.tar.bz2" for job in (1, 2, 3, 4, 5)),
        *(f"processjobslog_LI_{index}.tar.bz2" for index in (0, 1)),
    }
    assert ended.members("results_job_2.tar.bz2") == {"result": "result of 2\n"}


def test_a_job_can_tell_itself_from_its_twin_and_finds_the_input_data(ended: Session) -> None:
    for job in (1, 2):
        assert ended.output(job) == f"job {job} of 6 in {ended.id} on core {job - 1}\none\ntwo\n"


def test_a_job_is_given_no_credential_and_nothing_of_the_agents(ended: Session) -> None:
    allowed = """ATLASDir ATLASworkingDir AWSACAutostartFile AWSAC_ATTEMPT AWSAC_CORE AWSAC_DATA AWSAC_INTERRUPT_AT
        AWSAC_JOB AWSAC_N_JOBS AWSAC_SESSION_ID AWSACworkingDir HOME LANG PATH PWD SessionArchiveFile SessionInfoDir
        SessionInfoFile TZ USER LOGNAME SHELL"""
    found = set(ended.output(3).split())
    assert found - set(allowed.split()) == set()
    assert {"PATH", "AWSAC_JOB", "ATLASDir", "AWSACworkingDir"} <= found


def test_what_a_job_leaves_running_ends_with_it(ended: Session) -> None:
    assert ended.output(5) == "gone\n"


def test_a_script_that_is_missing_fails_its_own_job_only(ended: Session) -> None:
    assert ended.items()["job6"].reason == "the script missing.sh is not in the session archive"


def test_the_log_is_on_the_console_too_in_lines_of_utc_time(ended: Session) -> None:
    lines, console = ended.log(0).splitlines(), ended.console()
    assert [line for line in lines if not LOG_LINE.match(line)] == []
    assert [line for line in lines if line not in console] == []
    for phase in ("fetch", "unpack_archive", "select", "work"):
        assert [line for line in lines if re.search(rf"phase {phase}: done in \d", line)]


def test_the_final_states_and_the_log_are_up_before_the_instance_goes(ended: Session) -> None:
    steps = re.findall(r"departure (\w+): start", ended.console())
    assert steps == [
        "report_unended",
        "remove_releases",
        "write_status",
        "end_lease",
        "copy_manifests",
        "upload_log",
        "terminate",
    ]


def test_input_data_that_are_not_complete_fail_the_jobs(session: Session) -> None:
    session.upload_archive({"jobs.cfg": "-;true.sh;1\n", "true.sh": "true\n"})
    session.account.put(f"awsac/{session.id}/data/one.txt", b"one\n")
    session.run(cores=1, more=";data=2")

    job = session.items()["job1"]
    assert (job.status, job.returncode) == ("failed", "")
    assert job.reason == f"input data: found 1 objects below awsac/{session.id}/data/, expected 2"


def test_an_agent_that_is_told_to_stop_saves_what_there_is(session: Session) -> None:
    # A job's parent is the shell that keeps its exit code; the parent of that is the agent.
    stop_the_agent = """
        echo partial
        until [ -f ../2/ready ]; do sleep 0.05; done
        read -r _ _ _ agent _ < /proc/$PPID/stat
        kill -TERM "$agent"
        while :; do sleep 1; done
    """
    tidy = "trap 'echo tidied up; exit 4' TERM\n: > ready\nwhile :; do sleep 0.1; done\n"
    session.upload_archive({"jobs.cfg": "-;stop.sh;1\n-;tidy.sh;1\n", "stop.sh": stop_the_agent, "tidy.sh": tidy})
    session.run()

    items = session.items()
    for job in ("job1", "job2"):
        assert (items[job].status, items[job].reason) == ("interrupted", "the agent was stopped by SIGTERM")
    assert (items["job1"].returncode, items["job2"].returncode) == (str(128 + 15), "4")
    assert session.output(1).startswith("partial\n")
    assert session.output(2).endswith("tidied up\n")


def test_an_archive_that_is_none_is_reported_by_every_job(session: Session) -> None:
    session.account.put(f"{session.id}/archive.tar.bz2", b"this is no archive")
    session.run(more=";n_jobs=2")

    items = session.items()
    assert {name: item.status for name, item in items.items()} == dict.fromkeys(("job1", "job2"), "failed")
    assert all("sessionarchive.tar.bz2" in item.reason for item in items.values())
    assert session.objects() == {"processjobslog_LI_0.tar.bz2"}
    assert "sessionarchive.tar.bz2" in session.log(0)


def test_a_missing_archive_fails_the_jobs_that_a_client_of_2008_left_pending(
    session: Session, account: Account
) -> None:
    account.sdb.create_domain(DomainName=session.id)
    for number in (1, 2, 3):
        pending = {"jobnr": str(number), "status": "pending"}
        attributes = [{"Name": name, "Value": value, "Replace": True} for name, value in pending.items()]
        account.sdb.put_attributes(DomainName=session.id, ItemName=f"job{number}", Attributes=attributes)
    session.run(cores=2)

    items = session.items()
    assert [items[f"job{number}"].status for number in (1, 2, 3)] == ["failed", "failed", "pending"]
    assert "there is no such object" in items["job1"].reason


def test_a_session_may_bring_its_own_start_script(session: Session) -> None:
    autorun = """
        echo "sourced by $0, in $AWSACworkingDir"
        [ ! -e "$SessionInfoDir/state/handed-over" ] || echo "handed over"
        service=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
        python3 -c "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())" \\
            "${service%/}/latest/meta-data/instance-id" > "${SessionInfoDir}/InstanceID"
        awsac-agent run --sessioninfofile "$SessionInfoFile" --jobsfile "$AWSACworkingDir/other.cfg" \\
            --instanceID "$(cat "${SessionInfoDir}/InstanceID")"
    """
    session.upload_archive(
        {
            "awsac_all_instances_autorun.sh": autorun,
            "jobs.cfg": "-;one.sh;1\n",
            "other.cfg": "-;two.sh;1\n",
            "one.sh": "echo one\n",
            "two.sh": "echo two\n",
        }
    )
    session.run(cores=1)

    assert re.search(r"sourced by \S*awsac-autorun, in \S*awsac$", session.console(), re.MULTILINE)
    assert "\nhanded over\n" in session.console()
    assert session.items()["job1"].instance_id == session.instance_ids[0]
    assert session.output(1) == "two\n"


def test_an_instance_without_user_data_is_left_alone(session: Session, account: Account, embedded: Embedded) -> None:
    session.instance_ids = account.launch(session.id, "", instances=1)
    wait_until(lambda: "the boot script ended with status" in session.console())
    assert "no user data" in session.console()
    assert "the boot script ended with status 0" in session.console()
    left = embedded.directory / "instances" / session.instance_ids[0] / "mnt" / "awsac"
    assert not left.exists()
    assert account.states(session.instance_ids) == {"running"}


def test_user_data_of_somebody_else_are_not_taken_for_a_session(session: Session, account: Account) -> None:
    session.instance_ids = account.launch(session.id, "#cloud-config", instances=1)
    wait_until(lambda: "the boot script ended with status" in session.console())
    assert "user data: found a cloud-config with 0 lines '# awsac-session:'" in session.console()
    assert account.states(session.instance_ids) == {"running"}
