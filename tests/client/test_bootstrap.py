"""What instances of a stock image are started with: a cloud-config that cloud-init takes, and a package to install."""

import json
import runpy
import shutil
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import Distribution
from pathlib import Path

import pytest
import yaml
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import awsac_async
from awsac_async.client.bootfiles import BOOT_FOLDER, cloud_config
from awsac_async.client.launches import launch_of, user_data_of
from awsac_async.client.wheel import agent_package, package_of
from awsac_async.session.errors import FormatError
from awsac_async.session.userdata import max_hours, parse_user_data, with_launch
from tests.client.statuses import record

SESSION = "081215_1646--eventgen--1816;atlassessions;sessionarchive.tar.bz2;2;n_jobs=4;max_hours=1.5"
WHEEL = "s3://atlassessions/awsac/081215_1646--eventgen--1816/agent/awsac_async-0.1.0-py3-none-any.whl"


def config(session: str = SESSION, **options: object) -> str:
    given = {"mode": "session", "package": WHEEL, "hours": 1.5, "session": session}
    return cloud_config(**given | options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{}, {"mode": "image", "session": ""}, {"package": 'odd: "name" \\ $x'}])
def test_cloud_init_finds_nothing_wrong_in_the_user_data(tmp_path: Path, options: dict[str, str]) -> None:
    if (program := shutil.which("cloud-init")) is None:
        pytest.skip("cloud-init is not installed")
    file = tmp_path / "user-data"
    file.write_text(config(**options))
    checked = subprocess.run([program, "schema", "--config-file", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_largest_session_string_that_there_may_be_leaves_the_user_data_within_16_kb() -> None:
    longest = f"{'x' * 255};{'b' * 255};{'a' * 248}.tar.bz2;1000000000;job_user={'u' * 32};{'k' * 1000}=v"
    assert len(config(longest).encode()) <= 16 * 1024
    with pytest.raises(FormatError, match="expected at most 16384"):
        config(longest + "x" * 8192)


def test_the_files_in_the_user_data_are_those_of_boot_and_the_command_names_the_package() -> None:
    read = yaml.safe_load(config(package=(odd := 'odd: "name" \\ $x')))
    for each in read["write_files"]:
        assert each["content"] == (BOOT_FOLDER / Path(each["path"]).name).read_text()
    assert read["runcmd"][0][-3:] == ["awsac-install", "session", odd]


def test_the_deadline_is_armed_before_anything_is_written_or_installed() -> None:
    (command,) = yaml.safe_load(config())["bootcmd"]
    assert command[0] == "systemd-run"  # at every boot, as bootcmd is
    assert {"--on-boot=5400s", "--unit=awsac-deadline-default", "--no-block"} <= {*command}


def test_the_session_string_is_read_from_the_cloud_config_as_from_user_data_that_are_it_alone() -> None:
    assert parse_user_data(config()) == parse_user_data(SESSION)


@pytest.mark.parametrize(
    "text",
    [config(session="", mode="image"), "#cloud-config\nruncmd: [ls]\n", config() + f"# awsac-session: {SESSION}\n"],
)
def test_a_cloud_config_without_one_session_string_is_none_of_a_session(text: str) -> None:
    with pytest.raises(FormatError, match="expected one such line"):
        parse_user_data(text)


def test_a_session_string_that_could_end_the_comment_it_stands_in_is_refused() -> None:
    with pytest.raises(FormatError, match="printable"):
        config("a;b\x85runcmd: [x];c.tar.bz2;2")


def test_a_further_launch_gets_a_cloud_config_again_and_an_image_of_awsac_the_string_alone() -> None:
    stock = record(user_data=SESSION, agent_package=WHEEL)
    assert launch_of(stock).user_data == config()
    further = user_data_of(stock, with_launch(SESSION, 2, cores=2))
    assert (parse_user_data(further).extra["launch"], max_hours(parse_user_data(further))) == ("2", 1.5)
    assert launch_of(replace(stock, agent_package="")).user_data == SESSION


# --- the package ---


def test_an_awsac_from_a_checkout_becomes_a_wheel_that_holds_it_and_is_the_same_each_time(tmp_path: Path) -> None:
    places = [tmp_path / "first", tmp_path / "second"]
    for place in places:
        place.mkdir()
    first, second = (agent_package(None, lambda place=place: place).wheel for place in places)
    assert first
    assert second
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.testzip() is None
        content = {name: archive.read(name) for name in archive.namelist()}
    package = Path(awsac_async.__file__).parent
    assert {name for name in content if name.endswith(".py")} == {
        f"awsac_async/{file.relative_to(package)}" for file in package.rglob("*.py")
    }
    assert content["awsac_async/boot/awsac-install"] == (BOOT_FOLDER / "awsac-install").read_bytes()
    (entries,) = (text for name, text in content.items() if name.endswith("entry_points.txt"))
    assert b"awsac-agent = awsac_async.agent.main:main" in entries


@pytest.mark.parametrize(
    ("version", "origin", "wheel"),
    [
        ("1.2.3", None, False),
        ("1.2.3rc1", None, False),
        ("1.2.3.dev4", None, True),
        ("1.2.3+local", None, True),
        ("1.2.3", '{"url": "file:///tmp/x.whl", "archive_info": {}}', True),
    ],
)
def test_an_awsac_from_an_index_names_itself_by_its_version_and_any_other_is_packed(
    tmp_path: Path, version: str, origin: str | None, wheel: bool
) -> None:
    information = tmp_path / "awsac_async.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: awsac_async\nVersion: {version}\n")
    if origin:
        (information / "direct_url.json").write_text(origin)
    package = package_of(Distribution.at(information), lambda: tmp_path)
    assert (package.requirement, package.version) == ("" if wheel else f"awsac_async=={version}", version)
    assert (package.wheel is not None) == wheel


@pytest.mark.parametrize(
    ("name", "members", "found"),
    [
        ("awsac_async-0.1.0-py3-none-any.whl", None, "no such file"),
        ("awsac_async-0.1.0-py3-none-any.whl", [], "no awsac_async/__init__.py in it"),
        ("awsac_async-0.1.0-py3-none-any.whl", ["awsac_async/__init__.py"], "no awsac_async/boot/awsac-autorun in it"),
        (
            "other-0.1.0-py3-none-any.whl",
            ["awsac_async/__init__.py", "awsac_async/boot/awsac-autorun"],
            "the name 'other-0.1.0-py3-none-any.whl'",
        ),
    ],
)
def test_what_is_no_wheel_of_awsac_is_refused(tmp_path: Path, name: str, members: list[str] | None, found: str) -> None:
    if members is not None:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.writestr(member, "")
    with pytest.raises(FormatError) as caught:
        agent_package(tmp_path / name, lambda: tmp_path)
    assert caught.value.found == found


def test_a_request_for_the_wheel_is_signed_as_the_aws_library_signs_it() -> None:
    signed = runpy.run_path(str(BOOT_FOLDER / "awsac-fetch"))["signed"]
    address = "https://s3.eu-west-1.amazonaws.com/bucket/awsac/some--id/agent/a%2Bb.whl"
    keys = {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret/key+", "Token": "token=="}
    request = AWSRequest("GET", address, headers={})
    S3SigV4Auth(Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"]), "s3", "eu-west-1").add_auth(
        request
    )
    time = datetime.strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert signed(address, "eu-west-1", keys, time)["Authorization"] == request.headers["Authorization"]


def test_what_is_signed_for_one_address_is_sent_to_no_other(tmp_path: Path) -> None:
    """S3 sends whoever asks the wrong region for a bucket elsewhere; with the request would go the role's token."""
    asked: list[str] = []
    role = {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret", "Token": "token"}
    answers = {
        "/latest/api/token": "a token",
        "/latest/meta-data/placement/region": "eu-west-1",
        "/latest/meta-data/iam/security-credentials/": "awsac-agent",
        "/latest/meta-data/iam/security-credentials/awsac-agent": json.dumps(role),
        "/latest/user-data": "#cloud-config\n",
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path in answers else 307)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(answers.get(self.path, "").encode())

        do_PUT = do_GET  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": address, "AWS_ENDPOINT_URL_S3": address}
        fetch = [sys.executable, BOOT_FOLDER / "awsac-fetch", "s3://bucket/agent.whl", tmp_path / "agent.whl"]
        fetched = subprocess.run(fetch, env=environment, capture_output=True, text=True, check=False)
        server.shutdown()
    assert fetched.returncode != 0
    assert "307" in fetched.stderr
    assert asked[-1] == "/bucket/agent.whl"
    assert not (tmp_path / "agent.whl").exists()
