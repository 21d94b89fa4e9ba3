"""The table of faults: every bad day that the agent is known to bear, each run as a test. See ``docs/faults.md``."""

from dataclasses import replace
from datetime import datetime, timedelta

from tests.agent.account import BUCKET, Session
from tests.faults.rows import GOOD, OUTPUT, WORK, Digest, Job, Row, digest
from tests.faults.scripts import (
    DAEMONS,
    DELETED,
    FILLING,
    FIRST_ENDLESS,
    FLOOD,
    FORK_BOMB,
    JUMP,
    KILLER,
    MANY_FILES,
    MEMORY_BOMB,
    NOTICED,
    ONCE,
    OPEN_FILES,
    SHARED_MEMORY,
    STOPPER,
    STUBBORN,
    TAMPERER,
    VICTIM,
    WATCH,
)

MEGABYTE, GIGABYTE = 1 << 20, 1 << 30
ZEROS_1_GB = Digest(size=GIGABYTE, sha256="49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14")
LARGE = digest(b"0123456789" * (2 * MEGABYTE))  # three parts of a multipart upload
UPLOAD = f"seq 1 2000\nyes 0123456789 | tr -d '\\n' | head -c {20 * MEGABYTE} > results.tar.bz2\n"
WITH_RELEASE = Job(
    script=f'cat "$ATLASDir/version"\n{WORK}', release="good", output=digest(b"release 1\n" + OUTPUT.encode())
)
NOT_RUN = {"code": "", "output": None, "result": None}

SHARED = ";status=s3;schedule=shared;lease=20"
# What another instance had begun, and could not end.
AGAIN = Job(script=FIRST_ENDLESS, output=digest(b"attempt 2\n" + OUTPUT.encode()))

RAN_ONCE = Job(script=ONCE, output=digest(b"ran\n" + OUTPUT.encode()))


def _no_clock_was_believed(session: Session) -> None:
    item = session.items()["job1"]
    answer = session.account.ec2.describe_instances(InstanceIds=session.instance_ids)
    launched = answer["Reservations"][0]["Instances"][0]["LaunchTime"]
    assert datetime.fromisoformat(item.saveendtime) - launched > timedelta(minutes=13)  # else it did not jump
    assert float(item.x_seconds_run) < 600


def _the_job_knew_when(session: Session) -> None:
    body = session.account.s3.get_object(Bucket=BUCKET, Key=f"{session.id}/results_job_1.tar.bz2")["Body"]
    end = datetime.fromisoformat(body.read().decode().strip())
    assert end - datetime.fromisoformat(session.items()["job1"].runstarttime) > timedelta(seconds=20)


def _kills(*moments: str) -> str:
    return "\n".join(f'[[event]]\nkind = "agent-killed"\n{moment}\n' for moment in moments)


def _at(text: str, launch_index: int) -> str:
    return f'console = "{text}"\ninstance = {launch_index}'


def _on(operation: str, order: str, launch_index: int) -> str:
    return f'on = "{operation}"\norder = "{order}"\ninstance = {launch_index}'


ROWS = (
    Row(
        name="S3 down for a minute",
        what="S3 drops every connection for a minute: of one instance from the start, of the other once it has begun",
        then="The agents ask again. The archive is fetched, and the results are saved, when S3 is back",
        faults="""\
[[fault]]
service = "s3"
instance = 0
kind = "drop"
for = 60

[[fault]]
service = "s3"
instance = 1
kind = "drop"
after = 2
for = 60
""",
        jobs=(GOOD, GOOD),
        instances=2,
    ),
    Row(
        name="S3 throttling at 30 %",
        what="Three of ten calls to S3 are answered with SlowDown",
        then="Each is asked again, with growing pauses; a large result keeps the parts that are up already",
        faults="""\
[[fault]]
service = "s3"
kind = "throttle"
probability = 0.3
""",
        jobs=(Job(script=UPLOAD, result=LARGE), GOOD),
    ),
    Row(
        name="upload cut in half",
        what="The connection breaks in the middle of uploads, small ones and parts of a large one",
        then="They are sent again; what is in the bucket is whole, as the manifest says, and no part is left",
        faults="""\
[[fault]]
service = "s3"
operation = "PutObject"
kind = "half"
count = 3

[[fault]]
service = "s3"
operation = "UploadPart"
kind = "half"
count = 2

[[fault]]
service = "s3"
operation = "CompleteMultipartUpload"
kind = "lost-answer"
count = 1
""",
        jobs=(Job(script=UPLOAD, result=LARGE), GOOD),
    ),
    Row(
        name="SimpleDB unavailable throughout",
        what="SimpleDB answers ServiceUnavailable to everything",
        then="No status can be read, but the jobs run, their results, outputs and manifests are saved, and the "
        "instance goes at its deadline at the latest",
        faults="""\
[[fault]]
service = "sdb"
kind = "throttle"
""",
        jobs=(Job(status=None), Job(status=None)),
        fields=";max_hours=0.03",
        agent_logs={0: None},
    ),
    Row(
        name="SimpleDB throttling",
        what="Every other call to SimpleDB is answered with ServiceUnavailable, and each takes half a second",
        then="States arrive later, the last ones before the instance goes; no job waits for them",
        faults="""\
[[fault]]
service = "sdb"
kind = "delay"
seconds = 0.5

[[fault]]
service = "sdb"
kind = "throttle"
probability = 0.5
""",
        jobs=(GOOD, Job(script=f"{WORK}exit 3\n", code="3")),
    ),
    Row(
        name="status in S3, throttled, and its agent killed",
        what="Every other write of a status document is answered with SlowDown, and the agent is killed when its first "
        "job has ended, and before it writes its last states",
        then="States arrive later; the agent that is started again writes all of them, those of ended jobs too",
        faults=f"""\
[[fault]]
service = "s3"
operation = "PutObject"
resource = "/status/"
kind = "throttle"
probability = 0.5

{_kills(_at("job 1: finished", 0), _at("departure write_status: start", 0))}""",
        jobs=(GOOD, RAN_ONCE),
        fields=";status=s3",
    ),
    Row(
        name="EC2 describe not yet consistent",
        what="For five seconds EC2 does not show what it has made: no volume in lists, NotFound for its ID",
        then="The agent waits for what it has made, and makes nothing twice",
        faults="""\
[[fault]]
service = "ec2"
operation = "Describe*"
kind = "stale"
seconds = 5
""",
        jobs=(WITH_RELEASE, WITH_RELEASE),
    ),
    Row(
        name="create volume refused",
        what="CreateVolume is answered with VolumeLimitExceeded",
        then="The jobs that need the release fail, with EC2's reason; the others run",
        faults="""\
[[fault]]
service = "ec2"
operation = "CreateVolume"
kind = "error"
code = "VolumeLimitExceeded"
message = "The maximum number of volumes is reached."
""",
        jobs=(Job(release="good", status="failed", reason="The maximum number of volumes is reached", **NOT_RUN), GOOD),
    ),
    Row(
        name="attach stuck",
        what="A volume stays `attaching` for ever",
        then="Its jobs end at the deadline at the latest, here before five minutes are over, with the reason; the "
        "others run, and the volume is not left",
        faults="""\
[[fault]]
service = "ec2"
operation = "AttachVolume"
kind = "stuck"
""",
        jobs=(Job(release="good", status="timedout", reason="deadline", **NOT_RUN), GOOD),
        fields=";max_hours=0.03",
    ),
    Row(
        name="mount fails",
        what="A snapshot holds no file system",
        then="The jobs that need it fail, with the release and mount's own words as reason; the others run",
        jobs=(Job(release="blank", status="failed", reason="no file system", **NOT_RUN), WITH_RELEASE),
    ),
    Row(
        name="archive of a release cut off",
        what="An archive in S3 ends too early; of another, connections break in the middle of its bytes",
        then="The jobs that need the first fail, with the reason, and nothing of it stays; the other is fetched on "
        "from the byte where it stopped",
        faults="""\
[[fault]]
service = "s3"
operation = "GetObject"
resource = "releases/whole.tgz"
kind = "half"
count = 4
""",
        jobs=(
            Job(release="cut", status="failed", reason="the archive is cut off", **NOT_RUN),
            replace(WITH_RELEASE, release="whole"),
        ),
    ),
    Row(
        name="release larger than the disk",
        what="What is unpacked from S3 does not fit on the disk of the instance",
        then="The jobs that need it fail, with the reason; what was unpacked goes at once",
        jobs=(Job(release="huge", status="failed", reason="is full", **NOT_RUN),),
        small=True,
    ),
    Row(
        name="metadata slow",
        what="Each answer of the metadata service takes a second and a half, and every tenth is 503",
        then="Everything begins later",
        faults="""\
[[fault]]
service = "metadata"
kind = "delay"
seconds = 1.5

[[fault]]
service = "metadata"
kind = "throttle"
after = 5
count = 1
""",
    ),
    Row(
        name="credentials expire and rotate mid-session",
        what="When the first result is uploaded the role's credentials are refused, and from then on; the metadata "
        "service has new ones",
        then="The agent takes the new ones, and goes on",
        faults="""\
[[fault]]
service = "s3"
resource = "/results_job_1.tar.bz2"
kind = "expired"
""",
        jobs=(GOOD, Job(script=f"sleep 5\n{WORK}")),
    ),
    Row(
        name="agent killed in each phase",
        what="The agent is killed (KILL) as each of its phases begins, and before and after calls that make, attach "
        "and delete things",
        then="Its unit starts it again; it takes over the jobs that run. None runs twice, nothing is doubled or left",
        faults=_kills(
            _at("phase check: start", 0),
            _at("phase fetch: start", 0),
            _at("phase unpack_archive: start", 0),
            _at("phase select: start", 0),
            _at("job 1: running", 0),
            _at("job 2: saving", 0),
            _at("departure write_status: start", 0),
            _on("TerminateInstances", "before", 0),
            _at("phase remember: start", 1),
            _at("phase work: start", 1),
            _on("CreateVolume", "after", 1),
            _on("AttachVolume", "after", 1),
            _on("DetachVolume", "before", 1),
            _on("DeleteVolume", "after", 1),
            _at("departure upload_log: start", 1),
        ),
        jobs=(
            RAN_ONCE,
            RAN_ONCE,
            Job(
                script=f'cat "$ATLASDir/version"\n{ONCE}',
                release="good",
                output=digest(b"release 1\nran\n" + OUTPUT.encode()),
            ),
            RAN_ONCE,
        ),
        instances=2,
    ),
    Row(
        name="instance lost",
        what="The hardware of one of two instances fails when it has just said that its job runs",
        then="Its job stays `running` in SimpleDB, and `check` shows it as lost, with EC2's reason; its volumes go "
        "with it, and the other instance does not notice",
        faults="""\
[[event]]
kind = "lost"
instance = 0
on = "BatchPutAttributes"
resource = "running"
""",
        jobs=(
            Job(
                script=f'cat "$ATLASDir/version"\nsleep 600\n{WORK}',
                release="good",
                status="running",
                **NOT_RUN,
            ),
            GOOD,
        ),
        instances=2,
        agent_logs={0: None},
    ),
    Row(
        name="instance lost, jobs shared",
        what="The hardware of one of two instances that share jobs fails when it has just said that its job runs",
        then="The other instance takes the job over when the lease of the first has run out, and runs it anew",
        faults="""\
[[event]]
kind = "lost"
instance = 0
on = "PutObject"
resource = "status/0.json"
""",
        jobs=(AGAIN, GOOD),
        instances=2,
        fields=SHARED,
        agent_logs={0: None, 1: "job 1: claimed, after 0-"},
    ),
    Row(
        name="S3 out of reach, jobs shared",
        what="One of two instances that share jobs loses S3 for longer than its lease bears, while its job runs",
        then="It ends the job before the other instance runs it, saves nothing of it, and comes back for others",
        faults="""\
[[fault]]
service = "s3"
instance = 0
kind = "drop"
after = 12
for = 25
""",
        jobs=(AGAIN, GOOD),
        instances=2,
        fields=SHARED,
        agent_logs={0: "job 1: given up here: the lease could not be renewed", 1: "job 1: claimed, after 0-"},
    ),
    Row(
        name="spot notice",
        what="A spot instance is told that it will be taken away",
        then="The jobs get TERM and find the time in `AWSAC_INTERRUPT_AT`; what they have by then is saved, as "
        "`interrupted`",
        faults="""\
[[event]]
kind = "spot-notice"
console = "job 1: running"
""",
        jobs=(
            Job(
                script=NOTICED,
                status="interrupted",
                code="7",
                reason="spot",
                output=digest(f"{OUTPUT}interrupted\n".encode()),
                result=None,
            ),
        ),
        spot=True,
        also=_the_job_knew_when,
    ),
    Row(
        name="disk full",
        what="A job fills the disk of its instance",
        then="That job fails, with the reason; the agent does not, and needs no room to save what both jobs have left",
        jobs=(
            Job(script=FILLING, status="failed", code="1", reason="disk"),
            Job(script=f"{WORK}sleep 8\n"),
        ),
        small=True,
        agent_logs={0: "job 1: running"},  # there is no room for more of it; the console has all
    ),
    Row(
        name="job prints without end",
        what="A job prints until its disk is nearly full",
        then="It is stopped while an eighth is left, with that as reason; what it has printed is saved, others go on",
        jobs=(
            Job(script=FLOOD, status="failed", code="143", reason="printed", output=None),
            Job(script=f"sleep 12\n{WORK}"),
        ),
        small=True,
    ),
    Row(
        name="disk has no room for files",
        what="A job makes empty files until its disk takes no more",
        then="That job fails, with the reason; the other's results are saved",
        jobs=(Job(script=MANY_FILES, status="failed", code="1", reason="disk"), Job(script=f"{WORK}sleep 8\n")),
        small=True,
        agent_logs={0: "job 1: running"},
    ),
    Row(
        name="memory bomb",
        what="A job takes memory without end",
        then="The kernel ends that job, whose status says so; the agent and the other jobs go on",
        jobs=(
            Job(script=f"{WORK}{MEMORY_BOMB}", status="failed", code="137", reason="out of memory", output=None),
            Job(script=f"sleep 3\n{WORK}"),
        ),
        small=True,
    ),
    Row(
        name="file system in memory full",
        what="A job fills `/dev/shm`, as it could `/tmp` where that is in memory",
        then="That is memory which it takes: it ends as a memory bomb does, and the others have their share left",
        jobs=(
            Job(script=f"{WORK}{SHARED_MEMORY}", status="failed", code="137", reason="out of memory", output=None),
            Job(script=f"sleep 5\n{WORK}"),
        ),
        small=True,
    ),
    Row(
        name="fork bomb",
        what="A job starts processes without end, each of which starts others",
        then="It gets no more than its share, and ends with that as reason; the others start as many as they need",
        jobs=(
            Job(script=f"{WORK}{FORK_BOMB}", status="failed", code="2", reason="too many processes", output=None),
            Job(script=f"sleep 3\n{WORK}"),
        ),
        small=True,
    ),
    Row(
        name="job stops the agent",
        what="A job of root stops the agent (`SIGSTOP`)",
        then="After five minutes of silence (here after 20 s) it is killed and started again, and adopts the jobs",
        jobs=(
            Job(script=STOPPER, output=digest(b"stopped\n" + OUTPUT.encode())),
            RAN_ONCE,
        ),
    ),
    Row(
        name="job kills all it can",
        what="A job of root kills every process of its instance: the agent, the other job, and what watches over both",
        then="The agent is started again, says of both jobs that they were killed, and saves what they have left",
        jobs=(
            Job(script=KILLER, code="137", reason="its processes were killed"),
            Job(script=VICTIM, code="137", reason="its processes were killed"),
        ),
    ),
    Row(
        name="job of a user kills all it can",
        what="A job of `job_user` does the same, and writes into the other's folder",
        then="Nothing happens but to itself: each job has a user number of its own",
        jobs=(Job(script=f"{TAMPERER}{WORK}"), Job(script=f"sleep 4\n{WORK}")),
        fields=";job_user=nobody",
    ),
    Row(
        name="job opens files without end",
        what="A job opens as many files as it can, in many processes, and dumps core",
        then="It fails by itself, and says so in its output; no core fills the disk, and the others open theirs",
        jobs=(
            Job(script=OPEN_FILES, code="1", output=digest(b"Too many open files\n" * 5 + b"no core\n")),
            Job(script=f"sleep 3\n{WORK}"),
        ),
        small=True,
    ),
    Row(
        name="job forks daemons",
        what="A job leaves processes behind: in a session of their own, without its environment, deaf to TERM",
        then="They are ended when the job has ended, while other jobs run on",
        jobs=(Job(script=DAEMONS), Job(script=WATCH, output=digest(f"gone\n{OUTPUT}".encode()))),
    ),
    Row(
        name="job ignores TERM",
        what="A job and what it has started ignore TERM when their time is over",
        then="They are killed 15 seconds later; what the job has left by then is saved",
        jobs=(Job(script=STUBBORN, status="timedout", code="137", reason="job_timeout"), GOOD),
        fields=";job_timeout=5s",
    ),
    Row(
        name="job writes 1 GB of log",
        what="A job writes a gigabyte to its standard output, as fast as it can",
        then="All of it is saved; the other jobs do not notice",
        jobs=(
            Job(
                script=f"head -c 1G /dev/zero\n{WORK.splitlines()[1]}\n",
                output=ZEROS_1_GB,
            ),
            GOOD,
        ),
    ),
    Row(
        name="job deletes its own log",
        what="A job removes the file that takes its output, and makes another of that name",
        then="All that it printed is saved, and the file that it made after that",
        jobs=(Job(script=DELETED, output=digest(f"before\n{OUTPUT}mine\n".encode())),),
    ),
    Row(
        name="clock jumps",
        what="The instance's clock is set 14 minutes forward while a job runs: with more AWS refuses its signatures",
        then="Nothing is timed out, and no time that is measured is wrong: only the dates are the new ones",
        jobs=(Job(script=JUMP),),
        fields=";max_hours=0.2;job_timeout=600s",
        also=_no_clock_was_believed,
    ),
)
