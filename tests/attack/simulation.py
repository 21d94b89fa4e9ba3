"""Sessions whose instances share jobs, simulated: by hand with ``python -m tests.attack.simulation --help``.

What is simulated are machines, their processes and the cloud, on a clock that jumps. What runs is the agent's own code:
how it joins, takes jobs, keeps its lease, gives jobs up, tells how they stand, and departs. Machines are lost, get a
spot notice, are cut off from the cloud; agents are killed and come back. Then each job has ended, once; none has begun
again unless the lease on which it ran was really over; none was failed by losses that there were not.
"""

import argparse
import asyncio
import contextlib
import contextvars
import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from awsac_async.agent import departure, retry
from awsac_async.agent.launch import Beginning, OwnLaunch
from awsac_async.agent.reporter import StatusReporter
from awsac_async.agent.shared import lease as lease_module
from awsac_async.agent.shared import phases
from awsac_async.agent.shared import pool as pool_module
from awsac_async.agent.shared.fence import Until
from awsac_async.agent.state import End, Holding, KeptJob
from awsac_async.agent.stopping import Stop, StoppedError
from awsac_async.cloud import s3status, waiting
from awsac_async.cloud.claims import Claims, Leases, S3Claims
from awsac_async.cloud.simpledb import SimpleDbClaims, SimpleDbStatus
from awsac_async.cloud.status import StatusStore
from awsac_async.session.claims import Claim, claim_attribute, format_claim, parse_claim
from awsac_async.session.model import Job, JobRecord, JobState, StatusKind
from awsac_async.session.statusdocs import StatusWriter
from awsac_async.session.userdata import parse_user_data
from tests.attack.memory import (
    Caller,
    JumpingLoop,
    Memory,
    MemoryAws,
    MemoryBucket,
    belonging,
    current_owner,
    task_of_caller,
)

SESSION = "261201_0000--simulated--0001"
NOTICE_SECONDS = 120.0  # from a spot notice to the end of its instance
RESTART_SECONDS = 5.0  # an agent that died is started again
_LONGEST_SECONDS = 24 * 3600.0
_FENCE_SHARE = 3 / 4 - 2 / 3  # of a lease, from when its jobs are given up to when they are killed


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A session, and what happens in it; jobs last ``seconds`` give or take ``spread`` of it.

    ``lost``, ``noticed``, ``cut_off``, ``killed`` and ``hard`` are how many machines get lost, get a spot notice, are
    cut off for up to twice the lease, have an agent that dies, and one that comes back when its lease is about to run
    out and cannot be renewed.
    """

    seed: int = 1
    store: StatusKind = StatusKind.S3
    instances: int = 50
    cores: int = 2
    jobs: int = 500
    seconds: float = 40.0
    spread: float = 0.6
    lease: float = 60.0
    lost: int = 6
    noticed: int = 4
    cut_off: int = 4
    killed: int = 12
    hard: int = 6


@dataclass
class Run:
    """A run of a job: where, on which claim, and how it ended."""

    machine: "Machine"
    claim: Claim
    ended: str = ""  # "completed", "killed"
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, how: str) -> None:
        """Note how it ended, once."""
        self.ended = self.ended or how
        self.done.set()


@dataclass
class Outcome:
    """What came of a session: ``faults`` are sentences on what must not be."""

    faults: list[str]
    seconds: float
    runs: int
    calls: Mapping[str, int]
    states: Mapping[str, int]


class Machine:
    """An instance: its disk, processes, the program beside the agent, and the agent, which may die and come back."""

    def __init__(self, world: "World", index: int) -> None:
        self.world, self.index = world, index
        self.booted, self.gone, self.noticed, self.has_left = False, False, False, False
        self.seen_until = float("inf")
        self.jobs: dict[int, KeptJob] = {}
        self.held: dict[int, Holding] = {}
        self.told: set[int] = set()
        self.until: Until | None = None
        self.runs: dict[int, Run] = {}
        self.agent = Caller(self)
        self.stop = Stop()
        self.left = asyncio.Event()
        self._fence: asyncio.Task[None] | None = None

    @property
    def instance_id(self) -> str:
        """Its ID."""
        return f"i-{self.index:017x}"

    async def boot(self) -> None:
        """Be there, until it is gone."""
        await asyncio.sleep(self.world.chance.uniform(0, 20))
        self.booted = True
        self.start_agent()
        await self.left.wait()

    def start_agent(self, *, cut_off: float = 0.0) -> None:
        """Start an agent, if the machine is still there; it cannot reach the cloud for so many seconds."""
        if self.gone:
            return
        self.agent, self.stop = Caller(self), Stop()
        self.agent.cut_off_until = self.world.now + cut_off
        if self.noticed:
            self.stop.request(JobState.INTERRUPTED, "spot notice")
        context = belonging(self.agent)
        task = asyncio.create_task(_live(self), name=f"agent {self.index}", context=context)
        task.add_done_callback(self._agent_ended)

    def _agent_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()):
            self.world.faults.append(f"agent {self.index}: {error!r}")
            self.world.later(RESTART_SECONDS, self.start_agent)

    def kill_agent(self, *, restart: float, cut_off: float = 0.0) -> None:
        """Kill the agent; another one is started so much later."""
        self.agent.kill()
        self.world.later(restart, lambda: self.start_agent(cut_off=cut_off))

    def notice(self) -> None:
        """Give it a spot notice."""
        self.noticed = True
        self.stop.request(JobState.INTERRUPTED, "spot notice")
        self.world.later(NOTICE_SECONDS, self.lose)

    def lose(self) -> None:
        """Have the machine gone with all that runs there."""
        if self.gone:
            return
        self.gone, self.seen_until = True, self.world.now
        self.agent.kill()
        self.kill_all()
        self.left.set()

    def kill_all(self) -> None:
        """Kill all jobs that run."""
        for run in self.runs.values():
            run.end("killed")

    def find(self, job: int) -> Run | None:
        """Return the run of a job that an agent has started here on a claim that is still its own."""
        run, holding = self.runs.get(job), self.held.get(job)
        return run if run and holding and run.claim == holding.claim else None

    def run(self, job: int, claim: Claim) -> Run:
        """Start a job."""
        run = self.runs[job] = Run(self, claim)
        self.world.begin(job, run)
        seconds = self.world.plan.seconds * self.world.chance.uniform(
            1 - self.world.plan.spread, 1 + self.world.plan.spread
        )
        self.world.later(seconds, lambda: run.end("completed"))
        return run

    def note(self, until: Until | None) -> None:
        """Have jobs killed when this time has come, whatever the agent does."""
        self.until = until
        if until:
            self.world.given_up[until.lease] = until.uptime - _FENCE_SHARE * self.world.plan.lease
        if until and (self._fence is None or self._fence.done()):
            self._fence = asyncio.create_task(self._watch(), context=contextvars.Context())

    async def _watch(self) -> None:
        while self.until and not self.gone:
            if self.world.now >= self.until.uptime:
                self.kill_all()
            await asyncio.sleep(max(1.0, self.until.uptime - self.world.now))


class Disk:
    """The state directory of a machine, as one of its agents has it: ``agent.state.State``."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._agent = machine, machine.agent

    def keep_job(self, kept: KeptJob) -> None:
        """Keep a job."""
        self._agent.check()
        self._machine.jobs[kept.record.number] = kept

    def job(self, number: int) -> KeptJob | None:
        """Return a job."""
        return self._machine.jobs.get(number)

    def keep_holding(self, job: int, holding: Holding) -> None:
        """Keep a claim."""
        self._agent.check()
        self._machine.held[job] = holding

    def holdings(self) -> dict[int, Holding]:
        """Return the claims."""
        return dict(sorted(self._machine.held.items()))

    def drop_job(self, job: int) -> None:
        """Forget a job."""
        self._agent.check()
        self._machine.held.pop(job, None)
        self._machine.jobs.pop(job, None)
        self._machine.told.discard(job)

    def keep_told(self, job: int) -> None:
        """Keep that the end of a job is written."""
        self._agent.check()
        self._machine.told.add(job)

    def told(self, job: int) -> bool:
        """Whether the end of a job is written."""
        return job in self._machine.told


class NotedLease:
    """The file by which an agent tells until when jobs may run: ``agent.shared.fence.FenceFile``."""

    def __init__(self, disk: Disk) -> None:
        self._machine, self._agent = disk._machine, disk._agent

    def write(self, until: Until) -> None:
        """Write it."""
        self._agent.check()
        self._machine.note(until)

    def read(self) -> Until | None:
        """Read it."""
        return self._machine.until

    def remove(self) -> None:
        """Remove it."""
        self._agent.check()
        self._machine.note(None)


class World:
    """All machines of a session and its cloud, and what has happened."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.chance = plan, random.Random(plan.seed)  # noqa: S311  no secret
        self.memory = Memory(self.chance)
        self.jobs = [Job(number=number, script="job.sh", release=None) for number in range(1, plan.jobs + 1)]
        self.runs: dict[int, list[Run]] = {job.number: [] for job in self.jobs}
        self.claims: dict[int, list[Claim]] = {job.number: [] for job in self.jobs}
        self.given_up: dict[str, float] = {}  # when the jobs of each lease are, as its holder knows
        self.removed: dict[str, float] = {}
        self.faults: list[str] = []
        self.machines = [Machine(self, index) for index in range(plan.instances)]
        self.memory.on_write.append(self._written)
        self.memory.on_claim.append(self._claimed)

    @property
    def now(self) -> float:
        """The virtual time."""
        return asyncio.get_running_loop().time()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something later, whoever has died by then."""
        asyncio.get_running_loop().call_later(seconds, act, context=contextvars.Context())

    def _written(self, key: str, body: bytes) -> None:
        if "/claims/" in key and body and (claim := parse_claim(body.decode())):
            self.claims[int(key.split("/")[-2])].append(claim)
        if "/leases/" in key:
            lease = key.rpartition("/")[2]
            if body in {b"", b"broken\n"}:
                self.removed.setdefault(lease, self.now)

    def _claimed(self, job: int, text: str) -> None:
        if (claim := parse_claim(text)) and claim.count:
            self.claims[job].append(claim)

    def over(self, lease: str) -> bool:
        """Whether a lease was not renewed for so long that its jobs are given up."""
        return self.removed.get(lease, self.now) >= self.given_up.get(lease, 0.0)

    def begin(self, job: int, run: Run) -> None:
        """Note that a job begins, and what is wrong with that."""
        where = f"job {job} on {run.machine.index} at {self.now:.2f} on {format_claim(run.claim)}"
        for before in self.runs[job]:
            there = f"where it had run on {before.machine.index}, on {format_claim(before.claim)}"
            if not before.ended:
                self.faults.append(f"{where}: begins {there}, and still runs")
            elif not (before.machine.noticed and before.ended == "killed") and not self.over(before.claim.lease):
                self.faults.append(f"{where}: begins again {there}, {before.ended}, and that lease was not over")
        self.runs[job].append(run)

    def leaves(self, machine: Machine) -> None:
        """Note if too few stay when a machine leaves that could have stayed."""
        machine.has_left = True
        unended = [job for job, runs in self.runs.items() if all(run.ended != "completed" for run in runs)]
        since = self.now - self.plan.lease  # whoever was lost later than that cannot be known to be
        others = [
            each for each in self.machines if each is not machine and not each.has_left and each.seen_until > since
        ]
        if unended and not machine.noticed and len(others) < 2:
            self.faults.append(
                f"{machine.index} leaves at {self.now:.2f}, {len(others)} stay, and {len(unended)} jobs are open"
            )

    def store(self, machine: Machine) -> StatusStore:
        """Return the status store as an agent has it."""
        if self.plan.store is StatusKind.SIMPLEDB:
            return SimpleDbStatus(self._aws(machine.agent), SESSION)
        store = s3status.S3Status(self._aws(machine.agent), SESSION, "memory")
        store._bucket = MemoryBucket(self.memory, machine.agent)  # type: ignore[assignment]
        return store

    def claims_of(self, machine: Machine) -> Claims:
        """Return the claims as an agent has them."""
        if self.plan.store is StatusKind.SIMPLEDB:
            return SimpleDbClaims(self._aws(machine.agent), SESSION, 1)
        return S3Claims(MemoryBucket(self.memory, machine.agent), SESSION, 1)  # type: ignore[arg-type]

    def _aws(self, caller: Caller) -> Any:
        return MemoryAws(self.memory, caller)

    async def go(self) -> None:
        """Let it happen."""
        nobody = Claim(pool=1, count=0)
        first = Machine(self, -1)
        pending = [JobRecord(number=job.number, extra=claim_attribute(nobody)) for job in self.jobs]
        await self.store(first).write(pending)
        for at, act in self._events():
            self.later(at, act)
        async with asyncio.timeout(_LONGEST_SECONDS), asyncio.TaskGroup() as group:
            for machine in self.machines:
                group.create_task(machine.boot())

    def _events(self) -> Iterator[tuple[float, Callable[[], None]]]:
        plan, chance = self.plan, self.chance
        length = 20 + plan.jobs * plan.seconds / (plan.instances * plan.cores)
        most = plan.lost + plan.noticed
        assert most == 0 or most + plan.cut_off <= plan.instances - 2, "somebody has to stay"
        struck = chance.sample(self.machines, most + plan.cut_off)
        for number, machine in enumerate(struck):
            at = chance.uniform(5, length)
            if number < plan.lost:
                yield at, machine.lose
            elif number < most:
                yield at, machine.notice
            else:
                yield at, lambda machine=machine: self._cut_off(machine)
        for machine in chance.choices(self.machines, k=plan.killed):
            restart = chance.choice([RESTART_SECONDS, RESTART_SECONDS, chance.uniform(0, 1.5 * plan.lease)])
            yield chance.uniform(5, length), lambda machine=machine, restart=restart: self._kill(machine, restart)
        for machine in chance.sample(self.machines, plan.hard):
            yield chance.uniform(25, length), lambda machine=machine: self._kill_hard(machine)

    def _cut_off(self, machine: Machine) -> None:
        machine.agent.cut_off_until = self.now + self.chance.uniform(0, 2 * self.plan.lease)

    def _kill(self, machine: Machine, restart: float) -> None:
        if machine.booted and not machine.agent.dead and not machine.gone:
            machine.kill_agent(restart=restart)

    def _kill_hard(self, machine: Machine) -> None:
        if machine.agent.dead or machine.gone or machine.until is None:
            return
        left = self.given_up[machine.until.lease] - self.now
        restart = max(0.0, left - self.chance.uniform(0.1, 2.5))
        machine.kill_agent(restart=restart, cut_off=self.chance.uniform(3, 10))

    async def judge(self) -> Outcome:
        """Return what came of it."""
        records = {record.number: record for record in await self.store(Machine(self, -1)).read()}
        for job in self.jobs:
            record = records.get(job.number, JobRecord(number=job.number))
            losses = sum(self.over(claim.lease) for claim in self.claims[job.number])
            if record.state is JobState.FAILED and losses >= pool_module._MOST_LOSSES:
                continue
            if record.state is not JobState.FINISHED:
                runs = [(run.machine.index, run.ended) for run in self.runs[job.number]]
                claims = [format_claim(claim) for claim in self.claims[job.number]]
                self.faults.append(f"job {job.number} is {record.state} ({record.reason}): {runs}, {claims}")
        return Outcome(
            faults=self.faults,
            seconds=self.now,
            runs=sum(map(len, self.runs.values())),
            calls=self.memory.calls,
            states=Counter(record.state.value for record in records.values()),
        )


# --- the agent ---


async def _live(machine: Machine) -> None:
    """An agent's life, with the phases that concern jobs that are shared."""
    world = machine.world
    agent = _agent(machine)
    await phases.join(agent)
    await asyncio.sleep(world.chance.uniform(0, 6))  # mounts, input data, clients
    place: Any = SimpleNamespace(releases=SimpleNamespace(need=lambda _: None), agent=agent)
    async with asyncio.TaskGroup() as group:
        trouble = await phases.work(agent, group, place, began={})
    if trouble:
        world.faults.append(f"agent {machine.index}: {trouble}")
    await departure.report_unended(agent, trouble)
    await departure.write_status(agent, trouble)
    await departure.end_lease(agent, trouble)
    world.leaves(machine)
    machine.lose()


def _agent(machine: Machine) -> Any:
    world, disk = machine.world, Disk(machine)
    bucket: Any = MemoryBucket(world.memory, machine.agent)
    store = world.store(machine)
    text = f"{SESSION};memory;sessionarchive.tar.bz2;{world.plan.cores};n_jobs={world.plan.jobs};schedule=shared"
    by = StatusWriter(launch=1, launch_index=machine.index)

    async def forget(_: str) -> None: ...

    return SimpleNamespace(
        leases=lambda: Leases(bucket, SESSION, 1),
        claims=lambda: world.claims_of(machine),
        user_data=parse_user_data(f"{text};lease={world.plan.lease:.0f};status={world.plan.store}"),
        known_launch=OwnLaunch(launch_index=machine.index, cores_per_instance=world.plan.cores),
        launch=True,
        paths=SimpleNamespace(state=disk, awsac_working=Path("/mnt/awsac")),
        state=disk,
        store=store,
        bucket=bucket,
        jobs=world.jobs,
        stop=machine.stop,
        logs=SimpleNamespace(forget=forget),
        kept={},
        stops={},
        killed=frozenset(),
        reporter=StatusReporter(store, by=lambda: by, on_end_written=disk.keep_told),
        shares=True,
        sharing=None,
        lease=None,
        instance=SimpleNamespace(instance_id=machine.instance_id),
        deadline=SimpleNamespace(left=lambda: _LONGEST_SECONDS),
        new_record=lambda number, script: JobRecord(
            number=number, script=script, instance_id=machine.instance_id, launch_index=machine.index
        ),
        machine=machine,
    )


async def _run_job(
    job: Job,
    *,
    core: int,
    kept: KeptJob,
    begin: Beginning,
    stop: Stop,
    place: Any,
    lost: Stop,
    on_ran: Callable[[], None],
) -> JobState | None:
    """Take a job to its end as ``agent.jobs.run_job`` does: each state is kept before it is told."""
    agent, record = place.agent, kept.record
    if record.state.final:
        return record.state
    machine: Machine = agent.machine
    end = kept.end or End(state=JobState.FINISHED, reason="")

    def update(state: JobState, reason: str = "") -> None:
        nonlocal record
        lost.check()
        record = replace(record, state=state, reason=reason)
        agent.state.keep_job(KeptJob(record=record, end=end))
        agent.reporter.report(record)

    async def live() -> None:
        nonlocal end
        if record.state in (JobState.PENDING, JobState.RUNNING):
            try:
                if not (run := machine.find(job.number)):
                    await stop.unless(asyncio.sleep(machine.world.chance.uniform(0, 1)), name="prepare")
                    lost.check()
                    run = machine.run(job.number, agent.state.holdings()[job.number].claim)
                update(JobState.RUNNING)
                if not run.ended:
                    await stop.unless(_done(run), name="run")
            except StoppedError as stopped:
                end = End(state=stopped.state, reason=str(stopped))
                if run := machine.find(job.number):
                    run.end("killed")
            if record.state is JobState.RUNNING:
                update(JobState.WAITFORSAVE)
        on_ran()
        if record.state is not JobState.PENDING:
            if record.state is JobState.WAITFORSAVE:
                update(JobState.SAVING)
            await asyncio.sleep(machine.world.chance.uniform(0.2, 2))
        update(end.state, end.reason)

    try:
        await lost.unless(live(), name=f"job {job.number}")
    except StoppedError:
        if (run := machine.find(job.number)) and not run.ended:
            run.end("killed")
        return None
    return record.state


async def _done(run: Run) -> None:
    await run.done.wait()


class _Trees:
    """``agent.tree.ProcessTree``: all that runs on the machine of whoever asks."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @classmethod
    def of_all(cls, _: str) -> "list[_Trees]":
        """Return all of this machine."""
        return [cls(current_owner())]

    async def kill(self) -> None:
        """Kill them."""
        self._machine.kill_all()

    async def remove(self) -> None:
        """Do nothing more."""


# --- running it ---


class _Faults(logging.Handler):
    """Whatever the agents log as a fault of theirs."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        """Take an error that nobody foresaw."""
        if record.exc_info:
            self._faults.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


@contextlib.contextmanager
def _simulated(world: World, loop: JumpingLoop) -> Iterator[None]:
    """Let the agent's code use the virtual clock, chance with a seed, and machines that are simulated."""
    chance = world.chance
    changes: list[tuple[Any, str, Any]] = [
        *((module, "uptime", loop.time) for module in (lease_module, pool_module)),
        *((module, "_random", chance) for module in (pool_module, waiting, retry)),
        (lease_module, "FenceFile", NotedLease),
        (lease_module, "fence", SimpleNamespace(runs=lambda _: True)),
        (lease_module.secrets, "token_hex", lambda n: chance.randbytes(n).hex()),
        (s3status, "parse_status", lru_cache(maxsize=4096)(s3status.parse_status)),
        (phases, "run_job", _run_job),
        (phases, "ProcessTree", _Trees),
        (phases, "set_all_aside", lambda *_: None),
        (departure, "_STATUS_SECONDS", 3600.0),
    ]
    log = logging.getLogger("awsac_async")
    handler, level, propagate = _Faults(world.faults), log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.ERROR)
    log.propagate = False
    try:
        with contextlib.ExitStack() as stack:
            for module, name, value in changes:
                stack.enter_context(mock.patch.object(module, name, value))
            yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


def simulate(plan: Plan) -> Outcome:
    """Return what came of a session."""
    loop = JumpingLoop()
    loop.set_task_factory(task_of_caller)
    world = World(plan)
    with _simulated(world, loop), asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(world.go())
        return runner.run(world.judge())


def main() -> int:
    """Simulate sessions as the command line says; returns 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds (1)")
    parser.add_argument("--store", choices=[*StatusKind], default=StatusKind.S3, help="where the status is kept (s3)")
    numbers = [each for each in fields(Plan) if each.name not in {"seed", "store"}]
    for each in numbers:
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), default=each.default)
    options = vars(parser.parse_args())
    first, seeds, found = options.pop("seed"), options.pop("seeds"), 0
    for seed in range(first, first + seeds):
        began = time.process_time()
        outcome = simulate(Plan(seed=seed, **options))
        calls = ", ".join(f"{count / options['jobs']:.2f} {what}" for what, count in sorted(outcome.calls.items()))
        print(
            f"seed {seed}: {outcome.seconds:.0f} s simulated in {time.process_time() - began:.1f} s, "
            f"{outcome.runs} runs, {len(outcome.faults)} faults; calls a job: {calls}"
        )
        for fault in outcome.faults:
            print(f"  {fault}")
        found += len(outcome.faults)
    return min(found, 1)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order in sets of names decides as well
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.attack.simulation", *sys.argv[1:]])  # noqa: S606
    sys.exit(main())
