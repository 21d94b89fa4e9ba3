"""Sessions of an account to which SimpleDB is closed: they need EC2 and S3, and ask nobody else."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from awsac_async import client
from awsac_async.client import Plan, events
from awsac_async.cloud.aws import connect
from awsac_async.cloud.status import store_of
from awsac_async.local import cloud
from awsac_async.local.faults.operations import AWS_SERVICES
from awsac_async.session.errors import CapacityError, FormatError
from awsac_async.session.model import JobRecord, JobState, StatusKind
from awsac_async.session.names import PARTS
from awsac_async.session.record import read_record, write_record
from awsac_async.session.statusdocs import StatusWriter, format_status, status_key
from awsac_async.session.times import format_time, now
from awsac_async.session.timings import read_attempt, read_seconds
from tests.cli.conftest import BUCKET, Account, write_ini, write_jobs
from tests.cli.test_interrupts import session_file
from tests.client.test_api import agree, session_files
from tests.client.test_no_cloud import overwrite
from tests.client.test_plan import faults
from tests.cloud.faults import proxy_to
from tests.conftest import Embedded

CLOSED = """[[fault]]
service = "sdb"
kind = "error"
code = "{code}"
status = 403
message = "not for you"
"""
TWICE = """echo "attempt $AWSAC_ATTEMPT"
[ $AWSAC_JOB = 1 ] || [ $AWSAC_ATTEMPT = 2 ] || exit 3
echo done >results.tar.bz2
"""
# What plan asks beside EC2 and S3 if it may: a role, a quota, two prices. None of it is needed.
OPTIONAL = {"iam": 1, "servicequotas": 1, "pricing": 2}
AGENT, ANYBODY = "instance = 0\n", ""
EBS = ("*Volume*", "*Snapshot*")
FULL = """[[fault]]
service = "ec2"
operation = "RunInstances"
kind = "error"
code = "VcpuLimitExceeded"
message = "no more"
"""


def session_in_s3(folder: Path) -> Path:
    """Write the session file of a session that nobody started, with its status in S3."""
    record = read_record(session_file(folder))
    user_data = f"{record.session_id};{BUCKET};a.tar.bz2;2;status=s3"
    more = {"client_token": "token", "instance_profile": "awsac-agent", "user_data": user_data}
    return write_record(folder, replace(record, status_store=StatusKind.S3, **more))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Counts calls by what the embedded cloud says of faults that do nothing: delays of no time."""

    embedded: Embedded
    counted: tuple[tuple[str, str, str], ...]  # by whom, service, operation

    def calls(self, by: str, *, operations: str = "*") -> Mapping[str, int]:
        """Return how often these operations were called, by service; those that were not are left out."""
        happened = [each["happened"] for each in cloud.faults(self.embedded.directory)["faults"]]
        found = zip(self.counted, happened[: len(self.counted)], strict=True)
        return {service: n for (who, service, asked), n in found if n and (who, asked) == (by, operations)}


@contextmanager
def counting(embedded: Embedded, more: str) -> Iterator[Asked]:
    """Count the calls of agents, and of all, and let ``more`` go wrong."""
    counted = [(by, service, "*") for by in (AGENT, ANYBODY) for service in AWS_SERVICES]
    counted += [(AGENT, "ec2", "TerminateInstances")]
    counted += [(ANYBODY, "ec2", pattern) for pattern in EBS]
    text = "\n".join(
        f'[[fault]]\nservice = "{service}"\noperation = "{operation}"\nkind = "delay"\nseconds = 0\n{by}'
        for by, service, operation in counted
    )
    with faults(embedded, f"{text}\n{more}"):
        yield Asked(embedded=embedded, counted=tuple(counted))


async def test_a_session_with_its_status_in_s3_asks_ec2_and_s3_alone_no_ebs_and_leaves_nothing(
    tmp_path: Path, account: Account, embedded: Embedded
) -> None:
    ini, jobs = write_ini(tmp_path, more="status_store = s3\n"), write_jobs(tmp_path, job=TWICE)
    before, remarks = account.everything(), list[str]()
    with counting(embedded, CLOSED.format(code="OptInRequired")) as asked:
        await client.start(ini=ini, archive=jobs, directory=tmp_path, proceed=agree)
        (file,) = session_files(tmp_path)
        first = [status async for status in client.watch(file)][-1]
        retried = await client.retry(file, proceed=agree)
        ended = (await client.wait(file)).status
        results = await client.get_results(file, tmp_path, on_existing=overwrite)
        logs = [piece.data async for piece in client.logs(file, jobs=[2], follow=True)]
        documents = account.keys(f"awsac/{first.record.session_id}/status/")
        by_simpledb = asked.calls(ANYBODY).get("sdb", 0)
        listed = await client.list_sessions(on_remark=remarks.append)  # which looks for sessions of 2008 as well
        cleaned = await client.cleanup(file, confirm=agree)
        by_agents, by_all = asked.calls(AGENT), asked.calls(ANYBODY)
        terminated = asked.calls(AGENT, operations="TerminateInstances")
        ebs = [asked.calls(ANYBODY, operations=pattern) for pattern in EBS]

    assert [(job.number, job.return_code) for job in first.jobs] == [(1, 0), (2, 3)]
    assert retried is not None
    assert [(job.number, job.return_code, read_attempt(job)) for job in ended.jobs] == [(1, 0, 1), (2, 0, 2)]
    assert all(read_seconds(job).keys() == {*PARTS} for job in ended.jobs)
    assert {each.path.name for each in results.files} >= {"results_job_1.tar.bz2", "results_job_2.tar.bz2"}
    assert b"".join(logs) == b"attempt 1\nattempt 2\n"
    assert [key.rpartition("/")[2] for key in documents] == ["0.json", "1.json", "launch-1.json", "launch-2.json"]
    assert {each.session_id: each.jobs for each in listed}[first.record.session_id] == {"finished": 2}
    assert [remark for remark in remarks if "omain" in remark] == []
    assert cleaned.session_file_removed
    assert account.everything()[1:] == before[1:]
    assert by_agents.keys() == {"ec2", "s3"}
    assert by_agents["ec2"] == terminated["ec2"] == 2
    assert by_simpledb == 0
    assert {service: n for service, n in by_all.items() if service not in {"ec2", "s3", "sdb"}} == OPTIONAL
    assert ebs == [{}, {}]


async def test_a_retry_that_ec2_refuses_leaves_the_status_as_it_was(
    tmp_path: Path, account: Account, embedded: Embedded
) -> None:
    file = session_in_s3(tmp_path)
    record = read_record(file)
    account.s3.put_object(Bucket=BUCKET, Key=f"{record.session_id}/a.tar.bz2", Body=b"archive")
    failed = JobRecord(number=1, state=JobState.FAILED, launch_index=0, reason="no release")
    async with connect() as aws:
        store = store_of(aws, record)
        await store.write([JobRecord(number=1, launch_index=0), JobRecord(number=2, launch_index=0)])
        await store.write([failed], by=StatusWriter(launch_index=0))
        before = await store.read(), account.keys(f"awsac/{record.session_id}/")
        told: list[client.RetryEvent] = []
        with faults(embedded, FULL), pytest.raises(CapacityError):
            await client.retry(file, proceed=agree, jobs=[1], on_event=told.append)
        after = await store.read(), account.keys(f"awsac/{record.session_id}/")

    assert told == [client.RetryUndone()]
    assert [key for key in after[1] if not key.endswith("control.json")] == before[1]
    assert after[0] == before[0]
    assert (await client.cleanup(file, confirm=agree)).session_file_removed


@pytest.mark.parametrize("code", ["OptInRequired", "AuthorizationFailure"])
async def test_without_a_word_in_the_ini_an_account_without_simpledb_gets_s3_and_is_told_why(
    code: str, tmp_path: Path, account: Account, embedded: Embedded
) -> None:
    told: dict[type, events.StartEvent] = {}
    plans: list[Plan] = []
    written: list[str] = []

    async def look_and_refuse(plan: Plan) -> bool:
        plans.append(plan)
        written.extend(key for key in await asyncio.to_thread(account.keys, "awsac/") if key not in there)
        return False

    ini, jobs = write_ini(tmp_path), write_jobs(tmp_path)
    before, there = account.everything(), account.keys("awsac/")
    with faults(embedded, CLOSED.format(code=code)):
        await client.start(
            ini=ini,
            archive=jobs,
            directory=tmp_path,
            proceed=look_and_refuse,
            on_event=lambda event: told.update({type(event): event}),
        )
        with pytest.raises(FormatError) as raised:
            await client.plan(ini=write_ini(tmp_path, more="status_store = simpledb\n"), archive=jobs)

    why = f"this account may not use SimpleDB (DomainMetadata awsac failed: not for you ({code}))"
    assert [(plan.status_store, plan.status_reason) for plan in plans] == [(StatusKind.S3, f"since {why}")]
    jobs_written = told[events.JobsWritten]
    assert isinstance(jobs_written, events.JobsWritten)
    assert [f"s3://{BUCKET}/{key}" for key in written if "/status/" in key] == [f"{jobs_written.place}launch-1.json"]
    assert str(raised.value).endswith(f"status_store: found simpledb, expected status_store = s3, since {why}")
    assert account.everything() == before


async def test_who_watches_reads_again_only_the_documents_that_have_changed(
    tmp_path: Path, account: Account, embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = session_in_s3(tmp_path)
    record = replace(read_record(file), n_instances=2, started=format_time(now()))
    write_record(tmp_path, record)

    def put(writer: StatusWriter, *jobs: JobRecord) -> None:
        key, content = status_key(record.session_id, writer), format_status(jobs, writer)
        account.s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    put(StatusWriter(), *(JobRecord(number=n, launch_index=n - 1) for n in (1, 2)))
    put(StatusWriter(launch_index=0), JobRecord(number=1, state=JobState.RUNNING, launch_index=0))
    with proxy_to(embedded.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        async with aclosing(client.watch(file)) as statuses:
            looks = [await anext(statuses)]
            for state in (JobState.RUNNING, JobState.WAITFORSAVE):
                put(StatusWriter(launch_index=1), JobRecord(number=2, state=state, launch_index=1))
                looks.append(await anext(statuses))
        asked_by_watcher = list(proxy.asked)
        await client.cleanup(file, confirm=agree, force=True)

    stood = [[job.state.value for job in look.jobs] for look in looks]
    assert stood == [["running", "pending"], ["running", "running"], ["running", "waitforsave"]]
    read = Counter(asked.path.rpartition("/status/")[2] for asked in asked_by_watcher if "/status/" in asked.path)
    assert read == {"launch-1.json": 1, "0.json": 1, "1.json": 2}


async def test_a_start_that_is_continued_keeps_the_status_where_it_was_begun(
    tmp_path: Path, account: Account, embedded: Embedded
) -> None:
    ini, jobs = write_ini(tmp_path), write_jobs(tmp_path)
    before = account.everything()
    plans: list[Plan] = []

    async def refuse(plan: Plan) -> bool:
        plans.append(plan)
        return False

    not_the_dry_run = f"{FULL}after = 1\n"
    with faults(embedded, CLOSED.format(code="OptInRequired") + not_the_dry_run), pytest.raises(CapacityError):
        await client.start(ini=ini, archive=jobs, directory=tmp_path, proceed=agree)
    (file,) = session_files(tmp_path)
    kept = read_record(file)
    await client.start(ini=ini, archive=jobs, directory=tmp_path, proceed=refuse)

    assert (kept.status_store, kept.ec2_reservation_id) == (StatusKind.S3, "")
    assert [(plan.status_store, plan.status_reason) for plan in plans] == [(StatusKind.S3, "as the session was begun")]
    assert account.everything() == before


async def test_of_another_clouds_ec2_nobody_at_aws_is_asked_and_the_status_is_kept_in_its_s3(
    tmp_path: Path, embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    for service in ("EC2", "S3"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", embedded.endpoint)
    with counting(embedded, "") as asked:
        plan = await client.plan(ini=write_ini(tmp_path), archive=write_jobs(tmp_path))
        garbage: list[str] = []
        await client.find_garbage(on_remark=garbage.append)

        assert asked.calls(ANYBODY).keys() == {"ec2", "s3"}
    reason = "since EC2 is another cloud's here, and no endpoint of SimpleDB is named beside it"
    assert (plan.status_store, plan.status_reason) == (StatusKind.S3, reason)
    assert [remark.partition(" failed: ")[0] for remark in plan.remarks] == [
        "whether there is an instance profile awsac-agent could not be read: connect to iam",
        "the vCPU quota could not be read: connect to service-quotas",
        "the price of c1.medium could not be read: connect to pricing",
        "the price of standard could not be read: connect to pricing",
    ]
    assert garbage == []


async def test_ls_and_gc_of_an_account_without_simpledb_are_silent_about_it(
    account: Account, embedded: Embedded
) -> None:
    session_id, remarks = "261128_1200--asking--0001", list[str]()  # its start waits for an answer: no copy of its file
    keys = [f"{session_id}/a.tar.bz2", status_key(session_id, StatusWriter())]
    account.s3.put_object(Bucket=BUCKET, Key=keys[0], Body=b"archive")
    account.s3.put_object(Bucket=BUCKET, Key=keys[1], Body=format_status([JobRecord(number=1)], StatusWriter()))
    with faults(embedded, CLOSED.format(code="OptInRequired")):
        listed = await client.list_sessions(on_remark=remarks.append)
        garbage = await client.find_garbage(on_remark=remarks.append)
    for key in keys:
        account.s3.delete_object(Bucket=BUCKET, Key=key)

    assert {each.session_id: each.jobs for each in listed}[session_id] == {"pending": 1}
    assert [each for each in garbage if each.session_id == session_id] == []
    assert [remark for remark in remarks if "omain" in remark or session_id in remark] == []


async def test_a_status_document_that_is_damaged_is_named_and_hides_no_other_job(
    tmp_path: Path, account: Account
) -> None:
    file = session_in_s3(tmp_path)
    prefix = f"awsac/{read_record(file).session_id}/status/"
    item = {"jobnr": "2", "status": "finished", "returncode": "0", "launchindex": "1"}
    account.s3.put_object(Bucket=BUCKET, Key=f"{prefix}launch-1.json", Body=b"\xff")
    account.s3.put_object(Bucket=BUCKET, Key=f"{prefix}1.json", Body=json.dumps({"items": {"job2": item}}).encode())

    status = await client.check(file)
    cleaned = await client.cleanup(file, confirm=agree)

    first, second = status.jobs
    assert (
        first.reason == f"s3://{BUCKET}/{prefix}launch-1.json, line 1: found byte 0xff, expected text in UTF-8 or ASCII"
    )
    assert second.succeeded
    assert cleaned.session_file_removed
