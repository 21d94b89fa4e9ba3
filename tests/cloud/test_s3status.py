"""What is S3's own of a status kept there: its requests, its documents, and who wrote them."""

from dataclasses import replace

import pytest

from awsac_async.cloud.aws import Aws
from awsac_async.cloud.bucket import Bucket, Upload
from awsac_async.cloud.s3status import S3Status
from awsac_async.session.model import JobRecord, JobState
from awsac_async.session.names import PARTS, status_prefix
from awsac_async.session.statusdocs import StatusWriter, format_status, status_key
from awsac_async.session.timings import timing_attributes
from tests.cloud.faults import Fault, Proxy

SESSION = "261128_1200--large--0001"
JOBS, CORES = 10_000, 16


def record(number: int, state: JobState = JobState.RUNNING) -> JobRecord:
    return JobRecord(
        number=number,
        state=state,
        script="/mnt/awsac/simulate.sh",
        instance_id=f"i-{(number - 1) // CORES:017x}",
        launch_index=(number - 1) // CORES,
        extra=timing_attributes(dict.fromkeys(PARTS, 1234.567), attempt=1),
    )


def agent(launch_index: int) -> StatusWriter:
    return StatusWriter(launch_index=launch_index)


def documents(bucket: Bucket, proxy: Proxy) -> tuple[int, int, int]:
    """Return how often the prefix was listed, how many documents were read, and how often one was written.

    A document whose reading had to be repeated, on a busy machine, counts once.
    """
    asked = [each for each in proxy.asked if bucket.name in each.path]
    lists = sum("list-type" in each.path for each in asked)
    gets = len({each.path for each in asked if each.method == "GET" and "list-type" not in each.path})
    return lists, gets, sum(each.method == "PUT" for each in asked)


async def test_ten_thousand_jobs_are_begun_by_one_request_and_watched_by_one_list_and_what_changed(
    bucket: Bucket, proxied: Aws, proxy: Proxy
) -> None:
    pending = [
        JobRecord(number=n, script="/mnt/awsac/simulate.sh", launch_index=(n - 1) // CORES) for n in range(1, JOBS + 1)
    ]
    await S3Status(proxied, SESSION, bucket.name).write(pending)
    assert documents(bucket, proxy) == (0, 0, 1)
    jobs = {index: [record(index * CORES + core) for core in range(1, CORES + 1)] for index in range(JOBS // CORES)}
    await bucket.upload(
        [
            Upload(source=format_status(records, agent(index)), key=status_key(SESSION, agent(index)))
            for index, records in jobs.items()
        ]
    )
    watcher = S3Status(proxied, SESSION, bucket.name)
    proxy.reset()

    first = await watcher.read()
    assert documents(bucket, proxy) == (1, 1 + len(jobs), 0)
    assert first == [each for records in jobs.values() for each in records]

    proxy.reset()
    assert await watcher.read() == first
    assert documents(bucket, proxy) == (1, 0, 0)

    for index in (0, 300, 624):
        jobs[index] = [replace(each, state=JobState.WAITFORSAVE) for each in jobs[index]]
        await bucket.put(status_key(SESSION, agent(index)), format_status(jobs[index], agent(index)))
    proxy.reset()
    assert await watcher.read() == [each for records in jobs.values() for each in records]
    assert documents(bucket, proxy) == (1, 3, 0)


async def test_a_document_that_is_replaced_between_list_and_read_is_read_as_it_is_now(
    bucket: Bucket, proxied: Aws, proxy: Proxy
) -> None:
    await S3Status(proxied, SESSION, bucket.name).write([record(1)], by=agent(0))
    replaced = Fault(status=412, body=b"<Error><Code>PreconditionFailed</Code></Error>")
    proxy.fail(lambda asked: "if-match" in asked.headers, replaced, times=1)
    assert await S3Status(proxied, SESSION, bucket.name).read() == [record(1)]


async def test_an_agent_that_is_started_again_drops_no_job_of_its_document(bucket: Bucket, aws: Aws) -> None:
    ended, running = record(1, JobState.FINISHED), record(2)
    await S3Status(aws, SESSION, bucket.name).write([ended, running], by=agent(0))
    saving = replace(running, state=JobState.SAVING)
    successor = S3Status(aws, SESSION, bucket.name)
    await successor.write([saving], by=agent(0), known=[ended, saving])
    assert await S3Status(aws, SESSION, bucket.name).read() == [ended, saving]


async def test_a_late_document_of_an_earlier_launch_does_not_hide_the_retry(bucket: Bucket, aws: Aws) -> None:
    store, retry = S3Status(aws, SESSION, bucket.name), StatusWriter(launch=2)
    again = JobRecord(number=1, launch_index=1)
    await store.write([record(1)], by=agent(0))
    await store.write([again], by=retry)
    await S3Status(aws, SESSION, bucket.name).write([record(1, JobState.FINISHED)], by=agent(0))
    assert await store.read() == [again]
    own = replace(again, state=JobState.RUNNING)
    await store.write([own], by=StatusWriter(launch=2, launch_index=1))
    assert await store.read() == [own]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b'{"items": 7}', b'{"launch": "two", "items": {}}', b""])
async def test_a_damaged_document_is_named_by_the_jobs_of_its_instance_and_hides_no_other(
    bucket: Bucket, aws: Aws, content: bytes
) -> None:
    store = S3Status(aws, SESSION, bucket.name)
    await store.write([JobRecord(number=n, launch_index=n - 1) for n in (1, 2)])
    await store.write([record(17)], by=agent(1))
    await bucket.put(status_key(SESSION, agent(0)), content)
    first, *others = await store.read()

    assert first.state is JobState.PENDING
    place = f"s3://{bucket.name}/{status_key(SESSION, agent(0))}"
    assert first.reason.startswith(place)
    assert "expected" in first.reason
    assert store.damage == [first.reason]
    assert others == [JobRecord(number=2, launch_index=1), record(17)]


async def test_other_objects_beside_the_documents_are_passed_over(bucket: Bucket, aws: Aws) -> None:
    store = S3Status(aws, SESSION, bucket.name)
    await store.write([record(1)], by=agent(0))
    for name in ("notes.txt", "00.json", "launch-x.json", "0.json.bak", "deep/0.json"):
        await bucket.put(status_prefix(SESSION) + name, b"anything")
    assert await store.read() == [record(1)]
    assert store.damage == []
