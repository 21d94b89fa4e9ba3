"""Each row of the table of faults: which jobs ended how, each byte is in S3 that should be, and nothing is left."""

import io
import json
import shutil
import tarfile
import time
from collections.abc import Iterator
from typing import IO, Any

import pytest

from awsac_async.local import cloud, hypervisor, processes
from awsac_async.local.settings import Isolation
from tests.agent.account import BUCKET, Session
from tests.faults.clouds import Running, all_begun
from tests.faults.rows import Digest, Job, Row
from tests.faults.table import ROWS

PATIENCE = 240.0  # s, for all rows together: they happen at the same time


@pytest.fixture(scope="module")
def begun() -> Iterator[dict[str, Running]]:
    """Give all rows, which happen since the first test began to wait."""
    if hypervisor.detect_isolation() is not Isolation.NAMESPACES:
        pytest.skip("volumes are no devices on this machine")
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler, for the library that moves a clock")
    with all_begun(ROWS) as running:
        yield running


@pytest.fixture
def ended(begun: dict[str, Running], request: pytest.FixtureRequest) -> Running:
    """Give a row after all its instances have gone."""
    running, end = begun[request.param.name], time.monotonic() + PATIENCE
    session = running.session
    while session.account.states(session.instance_ids) != {"terminated"}:
        if time.monotonic() > end:
            break
        time.sleep(0.5)
    for index in range(len(session.instance_ids)):
        print(session.console(index))  # pytest shows it beside a failure
    return running


@pytest.mark.parametrize("ended", ROWS, ids=[row.name.replace(" ", "-") for row in ROWS], indirect=True)
def test_a_bad_day_ends_well(ended: Running) -> None:
    row, session = ended.row, ended.session
    assert session.account.states(session.instance_ids) == {"terminated"}
    assert [number for number, times in enumerate(ended.happened(), 1) if not times] == []
    _check_states(row, session)
    for number, job in enumerate(row.jobs, 1):
        _check_objects(session, number, job)
    _check_logs(row, session)
    _check_nothing_is_left(ended)
    row.also(session)


def test_when_all_are_over_the_clouds_hold_nothing_that_costs_but_snapshots_and_objects(
    begun: dict[str, Running],
) -> None:
    for directory in {running.cloud.directory for running in begun.values()}:
        status = cloud.status(directory)
        assert (status.instances, status.volumes, status.processes, status.mounts) == (0, 0, [], [])


def _check_states(row: Row, session: Session) -> None:
    items = _items(session)
    found = {number: _state(items.get(f"job{number}")) for number in range(1, len(row.jobs) + 1)}
    assert {number: state[:2] for number, state in found.items()} == {
        number: (job.status, job.code if job.status else None) for number, job in enumerate(row.jobs, 1)
    }
    for number, job in enumerate(row.jobs, 1):
        reason = found[number][2]
        assert job.reason in reason if job.reason else reason == "", f"job {number}: {reason}"


def _items(session: Session) -> dict[str, Any]:
    try:
        return session.items()
    except session.account.sdb.exceptions.NoSuchDomain:  # nobody could make it
        return {}


def _state(item: Any) -> tuple[str | None, str | None, str]:
    if item is None:
        return None, None, ""
    return item.status, item.returncode, item.attributes.get("reason", "")


def _check_objects(session: Session, number: int, job: Job) -> None:
    results, output = f"results_job_{number}.tar.bz2", f"stdouterr_job_{number}.tar.bz2"
    if job.result:
        assert Digest.of(_body(session, results).iter_chunks(1 << 20)) == job.result
    if job.output:
        # Not as a stream: of the gigabyte that a kilobyte is here, tarfile would make one buffer.
        with tarfile.open(fileobj=io.BytesIO(_body(session, output).read()), mode="r:bz2") as tar:
            found = {member.name: Digest.of(_pieces(tar.extractfile(member))) for member in tar}
        assert found == {f"stdouterr_job_{number}.log": job.output}
    if job.result and job.output:
        _check_manifest(session, number, {results, output})


def _check_manifest(session: Session, number: int, names: set[str]) -> None:
    body = session.account.s3.get_object(Bucket=BUCKET, Key=f"awsac/{session.id}/manifests/job_{number}.json")["Body"]
    files = {file["name"]: file for file in json.loads(body.read())["files"]}
    assert files.keys() == names
    for name, file in files.items():
        digest = Digest.of(_body(session, name).iter_chunks(1 << 20))
        assert (file["size"], file["sha256"]) == (digest.size, digest.sha256)


def _check_logs(row: Row, session: Session) -> None:
    for index in range(row.instances):
        last = row.agent_logs.get(index, "departure upload_log: start")
        if last:
            assert last in session.log(index)


def _check_nothing_is_left(ended: Running) -> None:
    session = ended.session
    assert session.volumes() == []
    assert session.account.s3.list_multipart_uploads(Bucket=BUCKET, Prefix=session.id).get("Uploads", []) == []
    for instance_id in session.instance_ids:
        assert processes.belonging_to(ended.cloud.directory / "instances" / instance_id) == []


def _body(session: Session, name: str) -> Any:
    return session.account.s3.get_object(Bucket=BUCKET, Key=f"{session.id}/{name}")["Body"]


def _pieces(file: IO[bytes] | None) -> Iterator[bytes]:
    assert file is not None
    while piece := file.read(1 << 20):
        yield piece
