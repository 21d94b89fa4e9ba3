"""A session on another cloud: its ini says where the services are, and all who belong to it go there."""

from pathlib import Path

import pytest

from awsac_async import client
from awsac_async.client import Overwrite
from awsac_async.session.names import results_key
from tests.cli.conftest import write_ini, write_jobs
from tests.cloud.faults import proxy_to
from tests.conftest import Embedded


@pytest.fixture(scope="module")
def embedded(embedded_on_host: Embedded) -> Embedded:
    return embedded_on_host


async def test_client_and_agents_use_the_addresses_of_the_ini_where_no_variable_names_others(
    embedded: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")

    async def yes(_: object) -> bool:
        return True

    async def overwrite(_: Path) -> Overwrite:
        return Overwrite.ALL

    with proxy_to(embedded.endpoint) as s3:
        places = f"endpoint_url = {embedded.endpoint}\nendpoint_url_s3 = {s3.endpoint}\n"
        record = await client.start(
            ini=write_ini(tmp_path, more=places, n_jobs="1"),
            archive=write_jobs(tmp_path, "-;job.sh;1\n", job="mkdir results && echo 42 > results/answer\n"),
            directory=tmp_path,
            proceed=yes,
        )
        assert record is not None
        session = tmp_path / f"session-{record.session_id}.cfg"
        ended = await client.wait(session)
        results = await client.get_results(session, tmp_path / "results", on_existing=overwrite, extract=True)
        await client.cleanup(session, confirm=yes)

    assert [job.succeeded for job in ended.status.jobs] == [True]
    assert b"42\n" in [path.read_bytes() for path in results.directory.rglob("answer")]
    saved = f"/{record.bucket}/{results_key(record.session_id, 1)}"
    assert [asked.method for asked in s3.asked if asked.path == saved] == ["PUT", "GET"]  # its agent, then this client
    assert {asked.action for asked in s3.asked} == {""}  # nobody takes S3 for EC2
