"""The departure: an instance goes, though it is refused and though steps before fail."""

import asyncio
import os
from pathlib import Path

import pytest

from awsac_async.agent import departure, results
from awsac_async.agent.command import JobFiles
from awsac_async.agent.context import Agent
from awsac_async.agent.deadline import Deadline
from awsac_async.agent.devices import Devices
from awsac_async.agent.lifecycle import depart
from awsac_async.agent.metadata import Instance
from awsac_async.agent.results import SaveError
from awsac_async.agent.state import Holding, KeptJob
from awsac_async.agent.stopping import Stop
from awsac_async.agent.timings import uptime
from awsac_async.cloud.aws import Aws, connect
from awsac_async.session.claims import Claim, claim_attribute
from awsac_async.session.model import JobRecord, JobState, UserData
from awsac_async.session.names import InstancePaths
from tests.agent.account import BUCKET, Account, Session
from tests.cloud.faults import error, proxy_to, query_error
from tests.conftest import Embedded
from tests.waiting import until


def agent_of(session: Session, aws: Aws, directory: Path, *, cores: int = 2, index: int = 1, **extra: str) -> Agent:
    """An agent of one of the session's instances, as it is before its first phase."""
    return Agent(
        paths=InstancePaths.from_environment(
            {name: str(directory / name) for name in ("ATLASDir", "ATLASworkingDir", "AWSACworkingDir", "AWSACDataDir")}
        ),
        user_data=UserData(
            session_id=session.id,
            bucket=BUCKET,
            archive_name="a.tar.bz2",
            cores_per_instance=cores,
            extra={"n_jobs": "3"} | extra,
        ),
        instance=Instance(
            instance_id=next(iter(session.instance_ids), "i-0123456789abcdef0"),
            launch_index=index,
            zone="us-east-1a",
            region="us-east-1",
        ),
        aws=aws,
        stop=Stop(),
        jobs_file=directory / "AWSACworkingDir" / "jobs.cfg",
        deadline=Deadline(hours=1, booted=uptime()),
        devices=Devices(os.environ),
    )


async def test_terminating_is_asked_for_until_it_is_granted(
    embedded: Embedded, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    session.instance_ids = await asyncio.to_thread(session.account.launch, session.id, "", instances=1)
    with proxy_to(embedded.endpoint) as proxy:
        proxy.fail(lambda _: True, query_error(403, "UnauthorizedOperation"), times=1)
        proxy.fail(lambda _: True, query_error(503, "RequestLimitExceeded"), times=1)
        async with connect(endpoint_url=proxy.endpoint) as aws:
            await departure.terminate(agent_of(session, aws, tmp_path), "")
    await until(lambda: session.account.states(session.instance_ids) == {"terminated"})


async def test_an_instance_that_ec2_will_not_terminate_is_powered_off(
    embedded: Embedded, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(departure, "_REFUSED_SECONDS", 0.0)
    program, asked = tmp_path / "deadline", tmp_path / "asked"
    program.write_text(f'#!/bin/sh\necho "$@" >{asked}\n')
    program.chmod(0o755)
    monkeypatch.setenv("AWSACDeadline", str(program))
    session.instance_ids = await asyncio.to_thread(session.account.launch, session.id, "", instances=1)
    with proxy_to(embedded.endpoint) as proxy:
        proxy.fail(lambda _: True, query_error(403, "UnauthorizedOperation"), times=1)
        async with connect(endpoint_url=proxy.endpoint) as aws:
            await departure.terminate(agent_of(session, aws, tmp_path), "")
    assert asked.read_text() == "now\n"
    await until(lambda: session.account.states(session.instance_ids) == {"terminated"})


async def test_a_save_under_way_hurries_when_the_agent_is_told_to_stop(
    embedded: Embedded, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(results, "_INTERRUPTED_SECONDS", 0.0)
    with proxy_to(embedded.endpoint) as proxy:
        proxy.fail(lambda _: True, error(403, "AccessDenied"))
        async with connect(endpoint_url=proxy.endpoint) as aws:
            agent = agent_of(session, aws, tmp_path)
            files = JobFiles.of(1, 1, agent.paths)
            await asyncio.to_thread(files.prepare, None)
            # Until the deadline, an hour away, it would try and try.
            with pytest.raises(SaveError, match="when time was up"):
                await agent.saver.save_job(
                    1,
                    [files],
                    on_trouble=lambda _: agent.stop.request(JobState.INTERRUPTED, "taken away"),
                )


async def test_a_departure_goes_on_to_its_end_though_steps_fail(
    embedded: Embedded, session: Session, account: Account, tmp_path: Path
) -> None:
    session.instance_ids = await asyncio.to_thread(account.launch, session.id, "", instances=1)
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, index=0)
        agent.state.keep_job(KeptJob(record=JobRecord(number=1, state=JobState.FINISHED, return_code=0)))
        # There is no log to upload: that step fails.
        await depart(agent, "the disk is full")
    await until(lambda: account.states(session.instance_ids) == {"terminated"})
    items = session.items()
    assert {name: (item.status, item.attributes.get("reason", "")) for name, item in items.items()} == {
        "job1": ("finished", ""),  # as the agent before has left it
        "job2": ("failed", "the disk is full"),
    }


async def test_an_agent_that_goes_at_once_keeps_what_its_predecessor_has_brought_to_an_end(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    """What it says of other jobs replaces the document of its predecessor, of whom one end is not even written."""
    claim = Claim(pool=1, count=1, lease="0-aa")
    ended = [
        JobRecord(number=number, state=JobState.FINISHED, launch_index=0, extra=claim_attribute(claim))
        for number in (1, 2)
    ]
    async with connect(endpoint_url=embedded.endpoint) as aws:
        first = agent_of(session, aws, tmp_path, index=0, status="s3", schedule="shared")
        for record in ended:
            assert await first.claims().take(record.number, claim)
            first.state.keep_holding(record.number, Holding(claim=claim, attempt=1, log_begin=0, replaces=False))
            first.state.keep_job(KeptJob(record=record))
        await first.store.write(ended[:1], by=first.status_writer())
        first.state.keep_told(1)
        successor = agent_of(session, aws, tmp_path, index=0, status="s3", schedule="shared")
        await departure.report_unended(successor, "no archive")
        await departure.write_status(successor, "")
        records = await agent_of(session, aws, tmp_path, index=0, status="s3").store.read()
    assert [record.state for record in records] == [JobState.FINISHED, JobState.FINISHED, JobState.PENDING]
    assert "no archive" in records[2].reason
