"""Jobs run again on new instances, from any machine, and whatever becomes of the client: nothing is lost or doubled."""

import json
import signal
from collections.abc import Iterator

import pytest

from awsac_async.session.archive import pack
from tests.cli.conftest import Account, Awsac, environment_for, write_ini, write_jobs
from tests.cli.proxy import PATIENCE, Request, proxy_before
from tests.conftest import Embedded
from tests.waiting import wait_until

START = ("start", "--yes", "-i", "session.ini", "-a", "jobs.tar.bz2")
# Job 2 fails the first time, jobs 3 and 4 wait until their instance is lost.
ATTEMPTS = """
echo "attempt $AWSAC_ATTEMPT of $AWSAC_JOB"
[ $AWSAC_JOB = 1 ] || [ $AWSAC_ATTEMPT = 2 ] || { [ $AWSAC_JOB -gt 2 ] && exec sleep 1000; exit 3; }
mkdir results
echo "$AWSAC_ATTEMPT" >results/attempt
"""
FAILS = """
echo "attempt $AWSAC_ATTEMPT"
[ $AWSAC_ATTEMPT -gt 1 ] || echo results >results.tar.bz2
exit 3
"""


def begun(awsac: Awsac, *, job: str, n_jobs: int) -> str:
    """Start a session, and return its ID."""
    write_ini(awsac.folder, n_jobs=str(n_jobs))
    pack(write_jobs(awsac.folder, f"-;job.sh;{n_jobs}\n", job=job), awsac.folder / "jobs.tar.bz2")
    awsac.ok(*START)
    (file,) = awsac.folder.glob("session-*.cfg")
    return file.stem.removeprefix("session-")


def over(account: Account, session_id: str) -> bool:
    return all(each["State"]["Name"] == "terminated" for each in account.instances(session_id))


@pytest.fixture
def elsewhere(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Awsac]:
    """Another workstation, which has nothing of the session."""
    awsac = Awsac(folder=tmp_path_factory.mktemp("elsewhere"), environment=environment_for(embedded))
    yield awsac
    awsac.end()


def test_failed_and_lost_jobs_are_retried_from_another_machine(
    awsac: Awsac, elsewhere: Awsac, account: Account, embedded: Embedded
) -> None:
    session_id = begun(awsac, job=ATTEMPTS, n_jobs=4)
    file = f"session-{session_id}.cfg"
    following = awsac.begin("logs", "--follow", "--job", "3", "-c", file)
    assert following.stdout is not None
    assert following.stdout.readline() == "attempt 1 of 3\n"
    following.send_signal(signal.SIGINT)
    following.communicate()
    wait_until(lambda: account.items(session_id)["job2"]["status"] == "finished")
    under_way = awsac("retry", "--yes", "--jobs", "2-4", "-c", file)
    (lost,) = [each["InstanceId"] for each in account.instances(session_id) if each["AmiLaunchIndex"] == 1]
    awsac.ok("local", "event", "lost", lost)
    wait_until(lambda: over(account, session_id))

    alike = elsewhere("attach", session_id[:-1] + "x", "--bucket", "awsac-sessions")
    attached = elsewhere.ok("attach", session_id, "--bucket", "awsac-sessions")
    again = json.loads(elsewhere.ok("attach", session_id, "--bucket", "awsac-sessions", "--json"))
    retried = json.loads(elsewhere.ok("retry", "--yes", "--json", "-c", file))
    wait_until(lambda: over(account, session_id))
    checked = json.loads(elsewhere.ok("check", "--json", "-c", file))
    logs = elsewhere.ok("logs", "--job", "1-3", "-c", file)
    agents = elsewhere.ok("logs", "--agent", "-c", file)
    manifests = [json.loads(account.content(f"awsac/{session_id}/manifests/job_{job}.json")) for job in (1, 2, 3, 4)]

    assert under_way.returncode == alike.returncode == 2
    assert "jobs 3-4 are still under way" in under_way.stderr
    assert f"its sessions that begin alike: {session_id}" in alike.stderr
    assert attached == f"session file: {file}\n"
    assert again["written"] is False
    assert (elsewhere.folder / file).read_text() == (awsac.folder / file).read_text()
    assert (retried["jobs"], retried["n_instances"], retried["launch"]) == ([2, 3, 4], 2, 2)
    assert {(each["number"], each["attempt"], each["launch_index"]) for each in checked["jobs"]} == {
        (1, 1, 0),
        (2, 2, 2),
        (3, 2, 2),
        (4, 2, 3),
    }
    assert {each["status"] for each in checked["jobs"]} == {"finished"}
    assert checked["over"]
    assert [each["launch_index"] for each in checked["instances"]] == [0, 1, 2, 3]
    # Where the processes of an instance end one by one, a shell still says how its child did.
    assert [line for line in logs.splitlines() if not line.endswith(" | Terminated")] == [
        "job 1 | attempt 1 of 1",
        "job 2 | attempt 1 of 2",
        "job 2 | attempt 2 of 2",
        "job 3 | attempt 1 of 3",
        "job 3 | attempt 2 of 3",
    ]
    assert {line.partition(" | ")[0] for line in agents.splitlines()} >= {"agent 0", "agent 2", "agent 3"}
    assert [manifest["attempt"] for manifest in manifests] == [1, 2, 2, 2]
    elsewhere.ok("cleanup", "--yes", "-c", file)
    gone = awsac("attach", session_id, "--bucket", "awsac-sessions")
    assert (gone.returncode, "has no session" in gone.stderr) == (2, True)


def is_document(request: Request) -> bool:
    return request.operation == "PUT" and "/launches/" in request.path


def is_status(request: Request) -> bool:
    return request.operation == "BatchPutAttributes"


def is_run_instances(request: Request) -> bool:
    return request.operation == "RunInstances"


def test_a_retry_that_dies_at_any_step_is_continued_and_one_that_is_refused_is_undone(
    awsac: Awsac, account: Account, embedded: Embedded
) -> None:
    session_id = begun(awsac, job=FAILS, n_jobs=1)
    file, documents = f"session-{session_id}.cfg", f"awsac/{session_id}/launches/"
    wait_until(lambda: over(account, session_id))
    refusal = (
        b"<Response><Errors><Error><Code>VcpuLimitExceeded</Code>"
        b"<Message>You have requested more vCPUs than your limit.</Message></Error></Errors></Response>"
    )

    ended = account.items(session_id)["job1"]
    with proxy_before(embedded.endpoint, hold=is_run_instances, refusal=refusal, status=400) as (_, address):
        refused = awsac("retry", "--yes", "-c", file, AWS_ENDPOINT_URL=address)
    undone = account.items(session_id)["job1"], account.keys(documents)
    with proxy_before(embedded.endpoint, hold=is_status) as (proxy, address):
        stopped = awsac.begin("retry", "--yes", "-c", file, AWS_ENDPOINT_URL=address)
        proxy.wait()
        stopped.send_signal(signal.SIGINT)
        proxy.released.set()
        _, said = stopped.communicate(timeout=PATIENCE)
    undone_again = account.items(session_id)["job1"], account.keys(documents)
    for step in (is_document, is_status, is_run_instances):
        with proxy_before(embedded.endpoint, hold=step) as (proxy, address):
            dying = awsac.begin("retry", "--yes", "-c", file, AWS_ENDPOINT_URL=address)
            proxy.wait()
            dying.kill()
            dying.communicate()
        continued = awsac("retry", "--yes", "-c", file)
        assert continued.returncode == 0, continued.stderr
        wait_until(lambda: over(account, session_id))
    with proxy_before(embedded.endpoint, hold=is_status) as (proxy, address):
        slow = awsac.begin("retry", "--yes", "-c", file, AWS_ENDPOINT_URL=address)
        proxy.wait()
        awsac.ok("retry", "--yes", "-c", file)
        slow.send_signal(signal.SIGINT)
        proxy.released.set()
        _, overtaken = slow.communicate(timeout=PATIENCE)
    wait_until(lambda: over(account, session_id))
    reservations = [json.loads(account.content(key))["reservation_id"] for key in account.keys(documents)]
    launched = account.instances(session_id)
    logs = awsac.ok("logs", "--job", "1", "-c", file).split("\n")

    assert (refused.returncode, refused.stdout.count("reservation")) == (3, 0)
    assert "nothing was started, and the session is as it was" in refused.stderr
    assert (stopped.returncode, "nothing was started, and the session is as it was" in said) == (130, True)
    assert undone == undone_again == (ended, [])
    assert "the same retry continues (another client has taken it up), and starts nothing twice" in overtaken
    # Each launch was made once, and ran the next attempt.
    attempts = len(launched)
    assert {*reservations} < {each["Reservation"] for each in launched}
    assert len({each["Reservation"] for each in launched}) == attempts == len(reservations) + 1 >= 4
    assert logs == [*(f"attempt {number}" for number in range(1, attempts + 1)), ""]
    assert json.loads(account.content(f"awsac/{session_id}/manifests/job_1.json"))["attempt"] == attempts
    # Only the first attempt left results: they must not pass for those of the last.
    assert f"{session_id}/results_job_1.tar.bz2" not in account.keys(f"{session_id}/")
    awsac.ok("cleanup", "--yes", "-c", file)


def test_a_session_without_a_copy_of_its_file_is_said_to_be_older(awsac: Awsac, account: Account) -> None:
    key = "081215_1646--older--1816/jobs.tar.bz2"
    account.s3.put_object(Bucket="awsac-sessions", Key=key, Body=b"archive")
    older = awsac("attach", key.partition("/")[0], "--bucket", "awsac-sessions")
    account.s3.delete_object(Bucket="awsac-sessions", Key=key)

    assert older.returncode == 2
    assert "only its own session file leads to it" in older.stderr
    assert not list(awsac.folder.iterdir())
