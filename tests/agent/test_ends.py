"""At the deadline an instance ends: with its jobs stopped and saved, and, when its agent hangs, all the same."""

from contextlib import ExitStack

from tests.agent.account import Account, Session, session_of
from tests.waiting import wait_until

HOURS = 0.006  # 21.6 s: the jobs are stopped after 19.4 s
JOB = """\
trap 'echo asked to end; mkdir results; echo half > results/part; exit 7' TERM
echo begun
while :; do sleep 0.1; done
"""
HANGING_AGENT = "trap '' TERM; echo hanging; while :; do sleep 0.1; done\n"


def test_the_deadline_ends_jobs_whose_work_is_saved_and_also_an_instance_whose_agent_hangs(account: Account) -> None:
    with ExitStack() as stack:
        working, hanging = (stack.enter_context(session_of(account)) for _ in range(2))  # at the same time
        working.upload_archive({"jobs.cfg": "-;job.sh;1\n", "job.sh": JOB})
        hanging.upload_archive({"jobs.cfg": "-;job.sh;1\n", "awsac_all_instances_autorun.sh": HANGING_AGENT})
        for session in (working, hanging):
            session.start(cores=1, more=f";max_hours={HOURS}")
        wait_until(lambda: account.states(working.instance_ids + hanging.instance_ids) == {"terminated"})
        check_saved(working)
        check_powered_off(hanging)


def check_saved(session: Session) -> None:
    item = session.items()["job1"]
    assert (item.status, item.returncode) == ("timedout", "7")
    assert item.reason == f"the session's deadline, {HOURS:g} hours after boot, is near"
    assert "begun" in session.output(1)
    assert "asked to end" in session.output(1)
    assert session.members("results_job_1.tar.bz2")["results/part"] == "half\n"
    assert "stopping the jobs" in session.log(0)


def check_powered_off(session: Session) -> None:
    assert "hanging" in session.console()
    assert "[hypervisor] powering off, as was asked for inside" in session.console()
    found = session.account.ec2.describe_instances(InstanceIds=session.instance_ids)
    assert found["Reservations"][0]["Instances"][0]["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
