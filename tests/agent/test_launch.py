"""An instance of a further launch runs its own jobs, from where earlier launches have left them, and no other."""

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from awsac_async.agent import departure, phases
from awsac_async.agent import logs as agent_logs
from awsac_async.agent.launch import find_log_end
from awsac_async.agent.lifecycle import CALLED, depart, go_through
from awsac_async.cloud.aws import connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.session.errors import NotFoundError
from awsac_async.session.items import to_attributes
from awsac_async.session.launches import LaunchDocument, LaunchedJob, format_launch
from awsac_async.session.model import JobState
from awsac_async.session.names import job_log_prefix
from tests.agent.account import BUCKET, Session
from tests.agent.test_departure import agent_of
from tests.agent.test_jobs import prepare, run
from tests.cloud.faults import error, proxy_to
from tests.conftest import Embedded

SECOND = LaunchDocument(
    launch=2,
    first_launch_index=5,
    n_instances=2,
    cores_per_instance=1,
    client_token="token",
    reservation_id="",
    started="2026-11-22T15:50:39Z",
    jobs=(LaunchedJob(number=1, attempt=4), LaunchedJob(number=3, attempt=2)),
)
FAILING = 'echo "attempt $AWSAC_ATTEMPT"\nexit 4\n'


@pytest.fixture
def launched(session: Session) -> Session:
    """A session whose second launch has job 3 on its second instance; the first has left a log and results."""
    put, prefix = session.account.put, f"awsac/{session.id}"
    put(f"{prefix}/launches/2.json", format_launch(SECOND))
    put(f"{prefix}/logs/job_3/{0:020d}", b"one\n")
    put(f"{prefix}/logs/job_3/{4:020d}", b"two\n")
    put(f"{prefix}/manifests/job_3.json", b"of attempt 1")
    put(f"{session.id}/results_job_3.tar.bz2", b"of attempt 1")
    return session


async def test_its_jobs_go_on_with_the_next_attempt_and_their_logs_where_they_ended(
    embedded: Embedded, launched: Session, tmp_path: Path
) -> None:
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(launched, aws, tmp_path, retries="1", launch="2")
        await asyncio.to_thread(prepare, agent, FAILING)
        assert await go_through(agent, CALLED) == ""
        record = await run(agent)
        # Its successor needs nothing from the bucket to know the same.
        launched.account.s3.delete_object(Bucket=BUCKET, Key=f"awsac/{launched.id}/launches/2.json")
        successor = agent_of(launched, aws, tmp_path, retries="1", launch="2")
        assert await go_through(successor, CALLED) == ""
        again = await run(successor)

    assert (record.launch_index, record.state, record.return_code) == (6, JobState.FINISHED, 4)
    assert record.extra["x_attempt"] == "3"
    assert launched.chunks(3) == "one\ntwo\nattempt 2\nattempt 3\n"
    assert launched.members("stdouterr_job_3.tar.bz2") == {
        "stdouterr_job_3.attempt_2.log": "attempt 2\n",
        "stdouterr_job_3.log": "attempt 3\n",
    }
    assert launched.objects() == {"stdouterr_job_3.tar.bz2"}
    manifest = launched.account.s3.get_object(Bucket=BUCKET, Key=f"awsac/{launched.id}/manifests/job_3.json")
    assert json.load(io.BytesIO(manifest["Body"].read()))["attempt"] == 3
    assert to_attributes(again) == to_attributes(record)


async def test_a_log_goes_on_where_the_chunks_of_agents_end_whatever_strangers_have_put_there(
    embedded: Embedded, launched: Session
) -> None:
    prefix = job_log_prefix(launched.id, 2)
    for name in (f"{0:020}", f"{3:020}", f"{10**9:020}", "9" * 20, "notanumber", "7", f"x/{6:020}"):
        launched.account.s3.put_object(Bucket=BUCKET, Key=prefix + name, Body=b"abc")
    async with connect(endpoint_url=embedded.endpoint) as aws:
        assert await find_log_end(Bucket(aws, BUCKET), launched.id, 2) == 6


async def test_a_log_that_was_not_sent_says_where_its_packed_rest_begins(
    embedded: Embedded, launched: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_logs, "CHUNK_BYTES", 6)
    with proxy_to(embedded.endpoint) as proxy:
        refused = f"/logs/job_3/{14:020d}"
        proxy.fail(lambda asked: asked.path.endswith(refused), error(403, "AccessDenied"))
        async with connect(endpoint_url=proxy.endpoint) as aws:
            agent = agent_of(launched, aws, tmp_path, launch="2")
            await asyncio.to_thread(prepare, agent, FAILING)
            await go_through(agent, CALLED)
            record = await run(agent)

    assert launched.chunks(3) == "one\ntwo\nattemp"
    assert (record.extra["x_log"], record.extra["x_log_begin"]) == ("packed", "8")


async def test_without_its_document_an_instance_touches_nothing_of_the_first_launch_and_goes(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, index=0, launch="2")
        with pytest.raises(NotFoundError):
            await phases.learn_launch(agent)
        session.instance_ids = await asyncio.to_thread(session.account.launch, session.id, "", instances=1)
        leaving = agent_of(session, aws, tmp_path, index=0, launch="2")
        await depart(leaving, "no document")

    assert leaving.reporter.records() == []
    assert session.objects() == set()


async def test_an_instance_of_a_retry_that_cannot_begin_says_nothing_of_jobs_that_are_not_retried(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    document = format_launch(replace(SECOND, pool=2))
    await asyncio.to_thread(session.account.put, f"awsac/{session.id}/launches/2.json", document)
    async with connect(endpoint_url=embedded.endpoint) as aws:
        agent = agent_of(session, aws, tmp_path, index=0, launch="2", status="s3", schedule="shared")
        await phases.learn_launch(agent)
        await departure.report_unended(agent, "no archive")
        await departure.write_status(agent, "")
        written = await agent.store.read()

    assert [(job.number, job.state) for job in written] == [(1, JobState.PENDING), (3, JobState.PENDING)]


async def test_a_successor_does_not_say_again_how_a_job_ended_that_has_begun_anew_elsewhere(
    embedded: Embedded, session: Session, tmp_path: Path
) -> None:
    async with connect(endpoint_url=embedded.endpoint) as aws:
        first = agent_of(session, aws, tmp_path)
        await asyncio.to_thread(prepare, first, FAILING)
        ended = await run(first)
        anew = replace(first.new_record(3), launch_index=5)
        await first.store.write([anew])

        known = await run(agent_of(session, aws, tmp_path))
        (kept,) = [each for each in await first.store.read() if each.number == 3]

    assert to_attributes(known) == to_attributes(ended)
    assert (kept.state, kept.launch_index) == (JobState.PENDING, 5)
