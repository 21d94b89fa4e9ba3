"""Jobs of an agent in this process: what they do to their files, and what becomes of them when it is told to stop."""

import asyncio
import os
from pathlib import Path

import pytest

from awsac_async.agent import phases
from awsac_async.agent.context import Agent
from awsac_async.cloud.aws import connect
from awsac_async.session.model import JobRecord, JobState
from tests.agent.account import Session
from tests.agent.test_departure import agent_of
from tests.conftest import Embedded
from tests.waiting import until

UNLINK = "echo before\nrm stdouterr_job_3.log\necho after\necho results > results.tar.bz2\n"


def prepare(agent: Agent, script: str) -> None:
    """Three jobs of one script, of which the third is this agent's."""
    agent.paths.awsac_working.mkdir()
    (agent.paths.awsac_working / "job.sh").write_text(script)
    agent.jobs_file.write_text("-;job.sh;3\n")


async def run(agent: Agent) -> JobRecord:
    await phases.select(agent)
    await phases.work(agent)
    await agent.reporter.close(within=60)
    return next(record for record in agent.reporter.records() if record.number == 3)


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
