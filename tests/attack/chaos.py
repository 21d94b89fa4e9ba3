"""Chaos: sessions of small jobs, to which bad things happen at random moments; afterwards all must be true and tidy.

A session is made of a seed and its number alone: its schedule, store, releases, user and market, its jobs, and what is
done to it and when. What happens at which step of an agent depends on the machine, too. Killed are agents, the fences
of leases, clients (also `start`), instances, spot instances by notice, and, as the last thing, the cloud's own process.
"""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from awsac_async.local import cloud
from awsac_async.local.hypervisor import detect_isolation
from awsac_async.local.settings import Isolation, Settings
from tests.agent.account import BUCKET, Account
from tests.cli.conftest import AWSAC, environment_for
from tests.conftest import Embedded, embedded_cloud

LONGEST = 300.0  # s that a session of some seconds may take, on a machine that does much else
SPOT_WARNING = 8.0
FINAL = {"finished", "failed", "killed", "timedout", "interrupted", "savefailed", "lost"}
# What may come of a session by its jobs, what counts most first, and its exit code: docs/commands.md.
EXIT_CODES = (
    ({"failed", "lost", "interrupted", "savefailed"}, 4),
    ({"timedout"}, 5),
    ({"killed"}, 6),
)
JOB = """#!/bin/sh
folder={folder}
exec 9>>"$folder/lock_$AWSAC_JOB"
flock --nonblock 9 || echo "twice $AWSAC_JOB $AWSAC_ATTEMPT" >>"$folder/journal"
echo "begin $AWSAC_JOB $AWSAC_ATTEMPT" >>"$folder/journal"
echo "job $AWSAC_JOB attempt $AWSAC_ATTEMPT"
[ "{release}" = none ] || cat "$ATLASDir/version"
mkdir results
head -c {size} /dev/urandom >results/data
sleep {seconds}
sum=$(sha256sum results/data | cut -d' ' -f1)
code=$((AWSAC_ATTEMPT < {good} ? 3 : {code}))
echo "end $AWSAC_JOB $AWSAC_ATTEMPT $code $sum" >>"$folder/journal"
exit $code
"""


class Broken(Exception):  # noqa: N818  an invariant, not an error of a program
    """Something that must always hold does not."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a session is to be."""

    schedule: str
    store: str
    release: str  # none, snapshot or archive
    user: str
    market: str
    retries: int
    instances: int
    jobs: Sequence[str]  # their scripts
    codes: Sequence[tuple[int, int]]  # of each job: the first attempt that is good, and its exit code then
    kills_start: float | None
    acts: Sequence[str]
    kills_cloud: bool

    def __str__(self) -> str:
        """Show it in a line."""
        kinds = f"{self.schedule} {self.store} release={self.release} {self.user} {self.market}"
        acts = ",".join([*["start"] * (self.kills_start is not None), *self.acts, *["cloud"] * self.kills_cloud])
        return f"{kinds} {len(self.jobs)} jobs, {self.instances} instances, {self.retries} retries: {acts or 'nothing'}"


def plan(numbers: random.Random, folder: Path, *, releases: Sequence[str]) -> Plan:
    """Draw a session."""
    schedule, market = numbers.choice(["fixed", "shared"]), numbers.choice(["on-demand", "on-demand", "spot"])
    release, n_jobs = numbers.choice(releases), numbers.randint(2, 8)
    codes = [(numbers.choice([1, 1, 1, 2]), numbers.choice([0, 0, 0, 7])) for _ in range(n_jobs)]
    jobs = [
        JOB.format(
            folder=folder,
            release=release,
            size=numbers.choice([0, 100, 300_000]),
            seconds=numbers.choice([0, 0.2, 1, 3]),
            good=good,
            code=code,
        )
        for good, code in codes
    ]
    kinds = ["agent", "agent", "client", "wait", *(["fence", "lost"] if schedule == "shared" else ["lost"])]
    kinds += ["notice"] if market == "spot" else []
    return Plan(
        schedule=schedule,
        store=numbers.choice(["simpledb", "s3"]),
        release=release,
        user=numbers.choice(["root", "nobody"]) if os.geteuid() == 0 else "root",
        market=market,
        retries=numbers.choice([0, 1, 2]),
        instances=numbers.randint(1, 3) if schedule == "shared" else -(-n_jobs // 2),
        jobs=jobs,
        codes=codes,
        kills_start=numbers.uniform(0.3, 4) if numbers.random() < 0.25 else None,
        acts=numbers.choices(kinds, k=numbers.randint(0, 6)),
        kills_cloud=numbers.random() < 0.1,
    )


@dataclass(kw_only=True)
class Client:
    """The command line, and all that it said."""

    folder: Path
    environment: dict[str, str]
    said: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str, codes: Sequence[int], killed_after: float | None = None) -> tuple[int, str]:
        """Run a verb, or kill it after so many seconds; return its exit code and what it printed."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                [AWSAC, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
            try:
                code = process.wait(LONGEST if killed_after is None else killed_after)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
                if killed_after is None:
                    raise Broken(f"awsac {' '.join(arguments)} did not end within {LONGEST:.0f} s") from None
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode())
        self.said += texts
        if code not in (*codes, *([-signal.SIGKILL] if killed_after is not None else [])):
            raise Broken(f"awsac {' '.join(arguments)} ended with {code}, not one of {codes}: {texts[1][-500:]}")
        return code, texts[0]


@dataclass(kw_only=True)
class Bout:
    """A session while bad things happen to it."""

    plan: Plan
    numbers: random.Random
    embedded: Embedded
    client: Client
    account: Account
    journal_folder: Path
    session_id: str = ""
    losses: int = 0
    killed: Counter[str] = field(default_factory=Counter)

    @property
    def file(self) -> str:
        """The session file."""
        return f"session-{self.session_id}.cfg"

    def run(self, release: str) -> None:
        """Begin it, let things happen, wait for its end, and look whether all is as it must be."""
        self._write(release)
        self._start()
        self._disturb()
        if self.plan.kills_cloud:
            return
        self._wait_for_the_end()
        self._check()

    # --- what happens ---

    def _write(self, release: str) -> None:
        jobs = self.client.folder / "jobs"
        jobs.mkdir()
        for number, script in enumerate(self.plan.jobs, 1):
            (jobs / f"job{number}.sh").write_text(script)
        lines = [f"{release};job{number}.sh;1" for number in range(1, len(self.plan.jobs) + 1)]
        (jobs / "jobs.cfg").write_text("\n".join(lines) + "\n")
        values = {
            "instance_type": "c1.medium",
            "ami_id": "ami-0a35ac00000000001",
            "sessionsbucket": BUCKET,
            "ec2_uid": "123456789012",
            "shortdescr": "chaos",
            "n_jobs": len(self.plan.jobs),
            "max_hours": 1,
            "retries": self.plan.retries,
            "job_user": self.plan.user,
            "market": self.plan.market,
            "status_store": self.plan.store,
            "schedule": self.plan.schedule,
        }
        if self.plan.user != "root" and detect_isolation() is not Isolation.NAMESPACES:
            values |= {"job_user_shield": "optional"}  # nothing else can keep the role from them
        if self.plan.schedule == "shared":
            values |= {"n_instances": self.plan.instances, "lease": "15s"}
        text = "".join(f"{key} = {value}\n" for key, value in values.items())
        (self.client.folder / "session.ini").write_text(f"[startinfo]\n{text}")
        (self.journal_folder / "journal").touch()
        for number in range(1, len(self.plan.jobs) + 1):
            (self.journal_folder / f"lock_{number}").touch()
        for each in self.journal_folder.iterdir():
            each.chmod(0o666)

    def _start(self) -> None:
        """Start it; a start that was killed is begun again, and must start nothing twice."""
        order = ("start", "--yes", "-i", "session.ini", "-a", "jobs")
        if self.plan.kills_start is not None:
            self.client(*order, codes=(0,), killed_after=self.plan.kills_start)
            self.killed["start"] += 1
        files = sorted(self.client.folder.glob("session-*.cfg"))
        if len(files) == 1 and "ec2_reservation_id = r-" in files[0].read_text():
            self.session_id = files[0].stem.removeprefix("session-")
            return
        self.client(*order, codes=(0,))
        files = sorted(self.client.folder.glob("session-*.cfg"))
        if len(files) != 1:
            raise Broken(f"{len(files)} session files after start")
        self.session_id = files[0].stem.removeprefix("session-")
        started = len(self._instances())
        if started > self.plan.instances:
            raise Broken(f"{started} instances, and not {self.plan.instances}")

    def _disturb(self) -> None:
        for act in self.plan.acts:
            time.sleep(self.numbers.expovariate(0.7))
            running = [each["InstanceId"] for each in self._instances() if each["State"]["Name"] == "running"]
            if not running:
                return
            victim = self.numbers.choice(running)
            getattr(self, f"_do_{act}")(victim)
            self.killed[act] += 1
        if self.plan.kills_cloud:
            self._kill_the_cloud()

    def _do_agent(self, victim: str) -> None:
        self._event(victim, "agent-killed")

    def _do_lost(self, victim: str) -> None:
        self.losses += 1
        self._event(victim, "lost")

    def _do_notice(self, victim: str) -> None:
        self.losses += 1
        self._event(victim, "spot-notice")

    def _event(self, victim: str, event: str) -> None:
        with suppress(cloud.LocalCloudError):  # it has just gone
            cloud.instance_event(self.embedded.directory, victim, event)

    def _do_client(self, _: str) -> None:
        verb = self.numbers.choice([("check",), ("logs",), ("getresults", "--extract", "-o", "early"), ("report",)])
        self.client(*verb, "-c", self.file, codes=(0, 1, 4), killed_after=self.numbers.uniform(0.2, 2))

    def _do_wait(self, _: str) -> None:
        self.client("wait", "-c", self.file, "--timeout", "1s", codes=(0, 1, 4, 5, 6))

    def _do_fence(self, _: str) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if "awsac_async.agent.shared.fence" in words and self.session_id in words:
                    os.kill(int(process.name), signal.SIGKILL)
                    return

    def _kill_the_cloud(self) -> None:
        """Kill the cloud's process: clients say so in a sentence, and ``down`` leaves nothing."""
        os.kill(json.loads((self.embedded.directory / "cloud.json").read_text())["pid"], signal.SIGKILL)
        self.killed["cloud"] += 1
        self.client("check", "-c", self.file, codes=(3,))

    # --- what must hold ---

    def _instances(self) -> list[dict[str, Any]]:
        filters = [{"Name": "tag:awsac:session", "Values": [self.session_id]}]
        groups = self.account.ec2.describe_instances(Filters=filters)["Reservations"]
        return [each for group in groups for each in group["Instances"]]

    def _wait_for_the_end(self) -> None:
        until = time.monotonic() + LONGEST
        while any(each["State"]["Name"] != "terminated" for each in self._instances()):
            if time.monotonic() > until:
                raise Broken("an instance does not end:\n" + "\n".join(self._consoles())[-5000:])
            time.sleep(0.3)

    def _consoles(self) -> list[str]:
        return [self.account.console(each["InstanceId"]) for each in self._instances()]

    def _check(self) -> None:
        code, text = self.client("wait", "--json", "-c", self.file, codes=(0, 1, 4, 5, 6))
        over = json.loads(text)["over"]
        _, text = self.client("check", "--json", "-c", self.file, codes=(0, 1))
        jobs = json.loads(text)["jobs"]
        if not over or {each["status"] for each in jobs} - FINAL:
            raise Broken(f"all instances are gone, and the session is not over: {jobs}")
        if [each["number"] for each in jobs] != list(range(1, len(self.plan.jobs) + 1)):
            raise Broken(f"not each job once: {jobs}")
        self._check_exit_code(code, jobs)
        self._check_jobs(jobs)
        self._check_logs()
        self._check_nothing_is_left()

    def _check_exit_code(self, code: int, jobs: Sequence[dict[str, Any]]) -> None:
        states = {each["status"] for each in jobs}
        failed = any(each["return_code"] != 0 for each in jobs if each["status"] == "finished")
        expected = next((number for kinds, number in EXIT_CODES if kinds & states), int(failed))
        if code != expected:
            raise Broken(f"wait ended with {code}, and not {expected}: {jobs}")

    def _check_jobs(self, jobs: Sequence[dict[str, Any]]) -> None:
        lines = [line.split() for line in (self.journal_folder / "journal").read_text().splitlines()]
        begun = Counter((line[1], line[2]) for line in lines if line[0] == "begin")
        if twice := [line for line in lines if line[0] == "twice"]:
            raise Broken(f"jobs ran twice at once: {twice}")
        again = {each for each, times in begun.items() if times > 1}
        if again and not self.losses and not self.killed["fence"]:
            raise Broken(f"attempts were begun again, and no instance was lost: {again}")
        self.client("getresults", "--extract", "-o", "results", "-c", self.file, codes=(0, 1, 4))
        (results,) = (self.client.folder / "results").glob("*")
        for job in jobs:
            number = job["number"]
            if not self.losses and job["status"] != "finished":
                raise Broken(f"job {number} is {job['status']}, and no instance was lost: {job}")
            if job["status"] == "finished":
                ends = [line for line in lines if line[:3] == ["end", str(number), str(job["attempt"])]]
                self._check_finished(job, ends, results)

    def _check_finished(self, job: dict[str, Any], ends: Sequence[Sequence[str]], results: Path) -> None:
        number, attempt = job["number"], job["attempt"]
        good, code = self.plan.codes[number - 1]
        expected = code if attempt >= good else 3
        if job["return_code"] != expected or not any(each[3] == str(expected) for each in ends):
            raise Broken(f"job {number} is said to have ended with {job['return_code']}; its journal: {ends}")
        if expected != 0 and attempt <= self.plan.retries and not self.losses:
            raise Broken(f"job {number} had {self.plan.retries} retries, and ended after attempt {attempt}")
        content = (results / f"job_{number}" / "results" / "data").read_bytes()
        if hashlib.sha256(content).hexdigest() not in {each[4] for each in ends}:
            raise Broken(f"the results of job {number} are not those of its attempt {attempt}")
        _, said = self.client("logs", "--job", str(number), "-c", self.file, codes=(0,))
        wanted = f"job {number} attempt {attempt}"
        if sum(line.endswith(wanted) for line in said.splitlines()) != 1:
            raise Broken(f"the log of job {number} does not have {wanted!r} once: {said!r}")
        if self.plan.release != "none" and "release 1" not in said:
            raise Broken(f"job {number} has not seen its release: {said!r}")

    def _check_logs(self) -> None:
        _, agents = self.client("logs", "--agent", "-c", self.file, codes=(0, 1, 2, 3, 4))
        cloud_log = "".join(log.read_text() for log in self.embedded.directory.glob("log*"))
        for name, text in (("cloud", cloud_log), ("agents", agents), ("consoles", "\n".join(self._consoles()))):
            if "Traceback" in text:
                raise Broken(f"a traceback in the log of the {name}: …{text[text.index('Traceback') - 300 :][:3000]}")

    def _check_nothing_is_left(self) -> None:
        _, cleaned = self.client("cleanup", "--yes", "--json", "-c", self.file, codes=(0,))
        tag = [{"Name": "tag:awsac:session", "Values": [self.session_id]}]
        left: list[Any] = list(self.account.ec2.describe_volumes(Filters=tag)["Volumes"])
        for prefix in (f"{self.session_id}/", f"awsac/{self.session_id}/"):
            left += self.account.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        left += self.account.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        left += [each for each in self.account.sdb.list_domains().get("DomainNames", []) if each == self.session_id]
        status = cloud.status(self.embedded.directory)
        left += [*status.processes, *status.mounts, *status.loop_devices]
        if left:
            raise Broken(f"left behind: {left}; cleanup said {cleaned}")


def said_well(client: Client) -> None:
    """Raise unless the client has put all that went wrong in sentences."""
    for text in client.said:
        if "Traceback" in text:
            raise Broken(f"a client printed a traceback: {text[-3000:]}")
        for line in text.splitlines():
            if line.startswith("awsac: ") and len(line) > 450:
                raise Broken(f"a client printed {len(line)} characters: {line[:200]}…")


def releases(embedded: Embedded, parent: Path) -> dict[str, str]:
    """Make the releases of both kinds: what stands for each in jobs.cfg."""
    folder = parent / "release"
    folder.mkdir(exist_ok=True)
    (folder / "version").write_text("release 1\n")
    packed = shutil.make_archive(str(parent / "release"), "gztar", folder)
    account = Account(embedded)
    account.s3.put_object(Bucket=BUCKET, Key="releases/one.tgz", Body=Path(packed).read_bytes())
    snapshot = cloud.import_snapshot(embedded.directory, folder, description="a release")
    return {"none": "-", "snapshot": snapshot, "archive": f"s3://{BUCKET}/releases/one.tgz"}


def run(*, seed: int, first: int = 0, sessions: int | None = None, seconds: float = 0) -> tuple[int, list[str]]:
    """Run sessions in a row, so many or for so long; return how many, and what was found, each with its seed."""
    findings: list[str] = []
    until, number = time.monotonic() + seconds, first
    while number < first + sessions if sessions is not None else time.monotonic() < until:
        findings += _some(seed, number)
        number += 1
    return number - first, findings


def _some(seed: int, number: int) -> list[str]:
    """Run one session in a cloud of its own."""
    numbers = random.Random(f"{seed}/{number}")  # noqa: S311
    with tempfile.TemporaryDirectory(prefix="awsac-chaos-") as name:
        parent = Path(name)
        journal, workstation = Path(tempfile.mkdtemp(prefix="awsac-chaos-journal-")), parent / "workstation"
        journal.chmod(0o777)
        workstation.mkdir()
        drawn = plan(numbers, journal, releases=["none", "snapshot", "archive"])
        how = f"chaos --seed {seed} --session {number}: {drawn}"
        began = time.monotonic()
        problem = ""
        try:
            with embedded_cloud(parent / "cloud", Settings(spot_warning=SPOT_WARNING)) as embedded:
                client = Client(folder=workstation, environment=environment_for(embedded))
                bout = Bout(
                    plan=drawn,
                    numbers=numbers,
                    embedded=embedded,
                    client=client,
                    account=Account(embedded),
                    journal_folder=journal,
                )
                bout.run(releases(embedded, parent)[drawn.release])
                said_well(client)
        except Exception as error:  # whatever it is, it is a finding
            problem = f"{type(error).__name__}: {error}"
        finally:
            shutil.rmtree(journal)
        took = f"{time.monotonic() - began:.0f} s"
        print(f"{how}: {'BROKEN' if problem else 'well'} after {took}", flush=True)
        return [f"{how}\n  {problem}"] if problem else []


def main(*, seed: int, seconds: float, session: int | None, sessions: int | None) -> int:
    """Run, print what was found, and return an exit code."""
    count, findings = run(
        seed=seed, first=session or 0, sessions=1 if session is not None else sessions, seconds=seconds
    )
    for finding in findings:
        print(re.sub(r"\n", "\n  ", finding))
    print(f"chaos, seed {seed}: {count} sessions, {len(findings)} findings")
    return int(bool(findings))
