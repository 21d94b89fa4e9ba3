"""Jobs of an agent in this process: what they do to their files, and what becomes of them when it is told to stop."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from awsac_async.agent import jobs, phases
from awsac_async.agent.command import JobFiles
from awsac_async.agent.context import Agent
from awsac_async.agent.state import KeptJob
from awsac_async.cloud.aws import connect
from awsac_async.session.items import to_attributes
from awsac_async.session.model import JobRecord, JobState
from tests.agent.account import Session
from tests.agent.test_departure import agent_of
from tests.conftest import Embedded
from tests.waiting import until

KILLED = "trap 'echo asked to end' TERM\necho partial\n: >../ready\nwhile :; do sleep 0.05; done\n"
SLOW = "echo slow\nexec sleep 600\n"
RETRIED = """
echo "attempt $AWSAC_ATTEMPT"
[ ! -e left ] || exit 9
: >left
[ "$AWSAC_ATTEMPT" = 3 ] || exit 4
echo results >results.tar.bz2
"""
UNNOTICED = "until [ -e ../over ]; do sleep 0.05; done\n"
WAITING = """
echo $AWSAC_JOB.$AWSAC_ATTEMPT | tee -a ../ran
until [ -e ../go.$AWSAC_ATTEMPT ]; do sleep 0.05; done
exit 5
"""
SOON = "echo $AWSAC_JOB.$AWSAC_ATTEMPT >>../ran\necho soon\n"
UNLINK = "echo before\nrm stdouterr_job_3.log\necho after\necho results > results.tar.bz2\n"


def prepare(agent: Agent, script: str) -> None:
    """Three jobs of one script, of which the third is this agent's."""
    agent.paths.awsac_working.mkdir()
    (agent.paths.awsac_working / "job.sh").write_text(script)
    agent.jobs_file.write_text("-;job.sh;3\n")


def prepare_all(agent: Agent, jobs: str, scripts: Mapping[str, str]) -> None:
    agent.paths.awsac_working.mkdir()
    for name, text in scripts.items():
        (agent.paths.awsac_working / name).write_text(text)
    agent.jobs_file.write_text(jobs)


async def run_all(agent: Agent) -> dict[int, JobRecord]:
    await phases.select(agent)
    await phases.work(agent)
    await agent.reporter.close(within=60)
    return {record.number: record for record in agent.reporter.records()}


@asynccontextmanager
async def dying(agent: Agent) -> AsyncIterator[None]:
    """An agent at work until the end of the body."""
    running = asyncio.create_task(run_all(agent), name="run")
    yield
    running.cancel()
    await asyncio.wait({running})


async def run(agent: Agent) -> JobRecord:
    return (await run_all(agent))[3]


async def test_a_job_that_removed_its_output_has_it_saved_all_the_same(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path)
        await asyncio.to_thread(prepare, agent, UNLINK)
        record = await run(agent)
    assert (record.state, record.return_code, record.reason) == (JobState.FINISHED, 0, "")
    assert await asyncio.to_thread(session.output, 3) == "before\nafter\n"
    assert "results_job_3.tar.bz2" in await asyncio.to_thread(session.objects)


# What each does to its folder, in which it then fails, twice; and what is said of it.
TO_THEIR_FOLDERS = {
    "removed": ("trap 'rm -rf \"$PWD\"' EXIT", "the job's folder is gone: No such file or directory"),
    "moved": ('mv "$PWD" "$PWD-$AWSAC_ATTEMPT.moved"', "the job's folder is gone: No such file or directory"),
    "a file": ('d=$PWD; cd ..; rm -rf "$d"; : >"$d"', "the job's folder is gone: Not a directory"),
    "a link to nowhere": ('d=$PWD; cd ..; rm -rf "$d"; ln -s nowhere "$d"', "the job's folder is gone: "),
    "a link": ('d=$PWD; mv "$d" "$d-$AWSAC_ATTEMPT.other"; ln -s "$d-$AWSAC_ATTEMPT.other" "$d"; mkdir results', ""),
    "unreadable": ("chmod 000 .", ""),
    "all outputs removed": ("rm -rf ../.awsac", ""),
    "a pipe for an output": ("rm stdouterr*; mkfifo stdouterr_job_$AWSAC_JOB.log", ""),
    "a folder for an output": ("rm stdouterr*; mkdir stdouterr_job_$AWSAC_JOB.log", ""),
    "earlier folder": ("(mkdir ../$AWSAC_JOB.attempt_1; ln -s / ../$AWSAC_JOB.attempt_2; :) 2>/dev/null", ""),
}


async def test_whatever_a_job_does_to_its_folder_it_ends_by_its_own_code_is_tried_again_and_has_its_output_saved(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    scripts = {
        f"{number}.sh": f"echo attempt $AWSAC_ATTEMPT\n{what}\nexit 3\n"
        for number, (what, _) in enumerate(TO_THEIR_FOLDERS.values(), 1)
    }
    count = len(scripts)
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, cores=count, index=0, n_jobs=f"{count}", retries="1")
        await asyncio.to_thread(prepare_all, agent, "".join(f"-;{name};1\n" for name in scripts), scripts)
        records = await run_all(agent)
    for (what, (_, reason)), record in zip(TO_THEIR_FOLDERS.items(), records.values(), strict=True):
        found = (
            what,
            record.state,
            record.return_code,
            record.extra["x_attempt"],
            record.reason[: len(reason) or None],
        )
        assert found == (what, JobState.FINISHED, 3, "2", reason)
        outputs = await asyncio.to_thread(session.members, f"stdouterr_job_{record.number}.tar.bz2")
        assert sorted(outputs.values()) == ["attempt 1\n", "attempt 2\n"], what


async def test_a_fault_of_the_agent_keeps_nobody_from_what_the_job_had_left(
    embedded: Embedded, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_full_disk", lambda *_: 1 / 0)
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, retries="1")
        await asyncio.to_thread(prepare, agent, "echo partial\nmkdir results\nexit 3\n")
        record = await run(agent)
    assert (record.state, record.reason) == (JobState.FAILED, "fault of the agent: ZeroDivisionError: division by zero")
    assert await asyncio.to_thread(session.output, 3) == "partial\n"
    assert await asyncio.to_thread(session.members, "results_job_3.tar.bz2") == {"results": ""}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts something")
async def test_a_job_whose_folder_became_a_mount_point_is_tried_again(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    mounts = 'mount -t tmpfs -o size=1m none "$PWD"; mount -t tmpfs -o size=1m none "$PWD"\n'
    script = f"echo attempt $AWSAC_ATTEMPT\n[ $AWSAC_ATTEMPT = 2 ] || {{ {mounts} exit 3; }}\nls -A\n"
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, retries="1")
        await asyncio.to_thread(prepare, agent, script)
        record = await run(agent)
    assert (record.state, record.return_code, record.reason) == (JobState.FINISHED, 0, "")
    outputs = await asyncio.to_thread(session.members, "stdouterr_job_3.tar.bz2")
    assert list(outputs.values()) == ["attempt 2\nstdouterr_job_3.log\n", "attempt 1\n"]
    assert str(tmp_path) not in await asyncio.to_thread(Path("/proc/mounts").read_text)


async def test_a_job_whose_results_are_a_folder_is_finished_and_says_so(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path)
        await asyncio.to_thread(prepare, agent, "mkdir results.tar.bz2\n")
        record = await run(agent)
    assert (record.state, record.return_code) == (JobState.FINISHED, 0)
    assert record.reason == "results.tar.bz2 is not a file"


async def test_a_job_that_is_stopped_before_its_script_began_is_interrupted(
    embedded: Embedded, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the place of the program that pins the job to its core: it never comes to the job itself.
    slow = tmp_path / "bin" / "taskset"
    slow.parent.mkdir()
    slow.write_text(f"#!/bin/sh\n: >{tmp_path}/pinning\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path)
        await asyncio.to_thread(prepare, agent, "true\n")
        running = asyncio.create_task(run(agent), name="run")
        await until((tmp_path / "pinning").exists)
        agent.stop.request(JobState.INTERRUPTED, "taken away")
        record = await running
    assert (record.state, record.reason, record.return_code) == (JobState.INTERRUPTED, "taken away", None)


async def test_jobs_are_killed_timed_out_and_retried_without_the_others_noticing(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    jobs = "-;killed.sh;1\n-;slow.sh;1;1s\n-;retried.sh;1\n-;unnoticed.sh;1\n"
    scripts = {"killed.sh": KILLED, "slow.sh": SLOW, "retried.sh": RETRIED, "unnoticed.sh": UNNOTICED}
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, cores=4, index=0, retries="2")
        await asyncio.to_thread(prepare_all, agent, jobs, scripts)
        running = asyncio.create_task(run_all(agent), name="run")
        working = agent.paths.atlas_working
        await until((working / "ready").exists)
        agent.stops[1].request(JobState.KILLED, "killed by awsac kill", grace=3.0)
        await until(lambda: {1, 2, 3} <= {each.number for each in agent.reporter.records() if each.state.final})
        (working / "over").touch()
        records = await running
    assert {number: (each.state, each.return_code, each.reason) for number, each in records.items()} == {
        1: (JobState.KILLED, 128 + 9, "killed by awsac kill"),
        2: (JobState.TIMEDOUT, 128 + 15, "ran longer than its job_timeout, 1 second"),
        3: (JobState.FINISHED, 0, ""),
        4: (JobState.FINISHED, 0, ""),
    }
    assert [records[number].extra["x_attempt"] for number in (1, 2, 3, 4)] == ["1", "1", "3", "1"]
    output = await asyncio.to_thread(session.output, 1)
    assert output.startswith("partial\n")
    assert "asked to end\n" in output
    assert (await asyncio.to_thread(session.output, 2)).startswith("slow\n")
    outputs = await asyncio.to_thread(session.members, "stdouterr_job_3.tar.bz2")
    assert sorted(outputs.values()) == ["attempt 1\n", "attempt 2\n", "attempt 3\n"]
    assert outputs["stdouterr_job_3.log"] == "attempt 3\n"
    assert (working / "3.attempt_1" / "left").exists()


async def test_a_successor_adopts_what_runs_and_leaves_alone_what_has_ended(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    jobs = "-;waiting.sh;1\n-;soon.sh;1\n-;slow.sh;1;2s\n"
    async with connect(endpoint_url=embedded.endpoint) as aws:
        first = agent_of(session, aws, tmp_path, cores=3, index=0, retries="1")
        await asyncio.to_thread(prepare_all, first, jobs, {"waiting.sh": WAITING, "soon.sh": SOON, "slow.sh": SLOW})
        working = tmp_path / "ATLASworkingDir"
        async with dying(first):
            await until(lambda: [each.state for each in first.reporter.records()] == ["running", "finished", "running"])
        # While no agent is there, job 1 fails, and is to be tried again.
        (working / "go.1").touch()
        await until(lambda: first.state.directory.joinpath("jobs/1/1/exit").read_text().strip() == "5")
        async with dying(agent_of(session, aws, tmp_path, cores=3, index=0, retries="1")):
            await until(lambda: "1.2" in (working / "ran").read_text())
        (working / "go.2").touch()
        records = await run_all(agent_of(session, aws, tmp_path, cores=3, index=0, retries="1"))
    assert {number: (each.state, each.return_code) for number, each in records.items()} == {
        1: (JobState.FINISHED, 5),
        2: (JobState.FINISHED, 0),
        3: (JobState.TIMEDOUT, 128 + 15),
    }
    before = next(each for each in first.reporter.records() if each.number == 2)
    assert to_attributes(records[2]) == to_attributes(before)
    assert sorted((working / "ran").read_text().split()) == ["1.1", "1.2", "2.1"]
    assert await asyncio.to_thread(session.chunks, 1) == "1.1\n1.2\n"


async def test_an_attempt_that_is_stopped_before_its_start_never_was(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, retries="1")
        await asyncio.to_thread(prepare, agent, SOON)
        # A predecessor died between two attempts.
        running = replace(agent.new_record(3, "job.sh"), state=JobState.RUNNING, extra={"x_attempt": "2"})
        agent.state.keep_job(KeptJob(record=running))
        first = JobFiles.of(3, 1, agent.paths)
        first.prepare(None)
        first.kept_output.write_text("first\n")
        agent.stop.request(JobState.KILLED, "stopped by awsac stop")
        record = await run(agent)
    assert (record.state, record.reason) == (JobState.KILLED, "stopped by awsac stop")
    assert record.extra["x_attempt"] == "1"
    outputs = await asyncio.to_thread(session.members, "stdouterr_job_3.tar.bz2")
    assert outputs == {"stdouterr_job_3.log": "first\n"}
    assert not (agent.paths.atlas_working / "ran").exists()


async def test_a_job_that_fails_on_a_full_disk_says_so_and_is_not_tried_again(
    embedded: Embedded, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_FULL_BYTES", 1 << 62)  # no disk of today has as much room
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, retries="3")
        await asyncio.to_thread(prepare, agent, "echo partial\nexit 28\n")
        record = await run(agent)
    assert (record.state, record.return_code, record.extra["x_attempt"]) == (JobState.FAILED, 28, "1")
    assert record.reason == f"the disk of {agent.paths.atlas_working / '3'} is full"
    assert await asyncio.to_thread(session.output, 3) == "partial\n"
