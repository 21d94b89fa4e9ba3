"""``awsac report`` writes a page, says what is not in it, and never half of one."""

import dataclasses
import json
from pathlib import Path

import pytest

from awsac_async.session.record import read_record, write_record
from tests.cli.conftest import Account, Awsac
from tests.cli.test_interrupts import session_file


@pytest.fixture
def file(tmp_path: Path, account: Account) -> Path:
    """Give the file of a session that is over, of which job 1 has a record and EC2 knows nothing any more."""
    file = session_file(tmp_path)
    record = dataclasses.replace(read_record(file), started="2026-11-01T12:00:00Z", price_per_hour=3.6)
    write_record(tmp_path, record)
    times = {"runstarttime": "2026-11-01T12:01:00Z", "runendtime": "2026-11-01T12:03:20Z", "launchindex": "0"}
    item = times | {"status": "finished", "returncode": "0", "instance_id": "i-1", "shellscript": "/mnt/awsac/job.sh"}
    attributes = [{"Name": name, "Value": value} for name, value in item.items()]
    account.sdb.create_domain(DomainName=record.session_id)
    account.sdb.put_attributes(DomainName=record.session_id, ItemName="job1", Attributes=attributes)
    return file


def test_the_page_is_written_with_links_from_where_it_lies(awsac: Awsac, file: Path, tmp_path: Path) -> None:
    results = tmp_path / "got" / f"session-{read_record(file).session_id}"
    results.mkdir(parents=True)
    (results / "stdouterr_job_1.tar.bz2").touch()
    (tmp_path / "pages").mkdir()
    done = awsac("report", "-c", file, "--results", "got", "-o", "pages/report.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "written to pages/report.html\ncost of the instances: about 0.14 USD\n"
    page = (tmp_path / "pages" / "report.html").read_text()
    assert f'<a href="../got/{results.name}/stdouterr_job_1.tar.bz2">log</a>' in page
    assert "<td>job.sh</td>" in page


def test_text_and_json_tell_the_same(awsac: Awsac, file: Path) -> None:
    text = awsac.ok("report", "-c", file)
    values = json.loads(awsac.ok("report", "-c", file, "--json"))
    assert "it has no links to logs and results: awsac getresults fetches them, then make it again" in text
    assert (values["file"], values["over"], values["results"]) == ("report.html", True, None)
    assert values["cost_usd"] == pytest.approx(0.14)
    assert values["instances"] == [
        {
            "launch_index": 0,
            "instance_id": "i-1",
            "begin": "2026-11-01T12:01:00Z",
            "end": "2026-11-01T12:03:20Z",
            "estimated": True,
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "nowhere/report.html"], "cannot write nowhere/report.html: -o names a file in a folder that is there"),
        (["-o", "."], "cannot write .: -o names a file in a folder that is there"),
        (["--results", "nowhere"], "there is no folder nowhere: name the one that awsac getresults -o was told"),
    ],
)
def test_without_a_place_for_the_page_or_the_results_nothing_is_written(
    awsac: Awsac, file: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    done = awsac("report", "-c", file, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"awsac: {sentence}\n")
    assert not list(tmp_path.rglob("*.html"))
