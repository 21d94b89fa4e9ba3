"""Who gets into the embedded cloud: a program that signs with its keys, and nobody else, by whatever door."""

import base64
import http.server
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL
from typing import Any
from urllib.parse import urlencode

import pytest

from awsac_async.local import cloud
from awsac_async.local.settings import BUCKET, CONTROL_PREFIX, Isolation, Settings
from tests.client.test_report_chromium import CHROMIUM, OPTIONS
from tests.cloud.faults import proxy_to
from tests.conftest import Embedded, embedded_cloud

from .account import BOOT, IMAGE
from .conftest import QUICK
from .signing import Answer, Ask, query, send, signed

MADE_UP = "AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
LAUNCH = {"ImageId": IMAGE, "MinCount": "1", "MaxCount": "1", "InstanceType": "c1.medium"}


@pytest.fixture(scope="module")
def closed() -> Iterator[Embedded]:
    """Give a cloud that nothing of what is tried here may change."""
    settings = Settings(boot=BOOT, isolation=Isolation.PLAIN, **QUICK)
    with (
        tempfile.TemporaryDirectory(prefix="awsac-test-") as parent,
        embedded_cloud(Path(parent) / "cloud", settings) as running,
    ):
        running.client("s3").put_object(Bucket=BUCKET, Key="kept", Body=b"content")
        running.client("sdb").create_domain(DomainName="kept")
        before = holds(running)
        yield running
        assert holds(running) == before


def holds(running: Embedded) -> dict[str, Any]:
    """Return what is in a cloud that somebody could have changed."""
    status = cloud.status(running.directory)
    iam, s3 = running.client("iam"), running.client("s3")
    return {
        "running": status.running,
        "instances": status.instances,
        "volumes": status.volumes,
        "objects": [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]],
        "buckets": [each["Name"] for each in s3.list_buckets()["Buckets"]],
        "domains": running.client("sdb").list_domains()["DomainNames"],
        "users": [each["UserName"] for each in iam.list_users()["Users"]],
        "keys": [each["AccessKeyId"] for each in iam.list_access_keys(UserName="user")["AccessKeyMetadata"]],
    }


def test_what_nobody_has_signed_is_refused_in_the_words_of_each_service(closed: Embedded) -> None:
    json = {"Content-Type": "application/x-amz-json-1.1"}
    products = {"X-Amz-Target": "AWSPriceListService.GetProducts", **json}
    quota = {"X-Amz-Target": "ServiceQuotasV20190624.GetServiceQuota", **json}
    asked = {
        "ec2": query("ec2", "RunInstances", **LAUNCH),
        "iam": query("iam", "CreateAccessKey", UserName="user"),
        "sts": query("sts", "AssumeRole", RoleArn="arn:aws:iam::123456789012:role/awsac-agent", RoleSessionName="x"),
        "sdb": query("sdb", "DeleteDomain", DomainName="kept"),
        "s3": Ask(method="DELETE", target=f"/{BUCKET}/kept"),
        "pricing": Ask(service="pricing", method="POST", headers=products, body=b"{}"),
        "servicequotas": Ask(service="servicequotas", method="POST", headers=quota, body=b"{}"),
    }
    bare = {service: send(ask, closed) for service, ask in asked.items()}
    key = closed.environment["AWS_ACCESS_KEY_ID"]
    made_up = {
        each: send(ask.adding(Authorization=MADE_UP.format(who, each)), closed)
        for each, ask in asked.items()
        for who in ("x", key)
    }
    wrong = {each: send(signed(ask, closed, secret_key="wrong"), closed) for each, ask in asked.items()}
    nobody = {each: send(signed(ask, closed, access_key="AKIANOBODY"), closed) for each, ask in asked.items()}

    def codes(answers: dict[str, Answer]) -> dict[str, str]:
        assert all(400 <= answer.status < 500 for answer in answers.values()), answers
        return {service: answer.code for service, answer in answers.items()}

    missing, unknown, invalid = "MissingAuthenticationToken", "UnrecognizedClientException", "InvalidSignatureException"
    assert codes(bare) == {"ec2": missing, "iam": missing, "sts": missing, "sdb": missing, "s3": "AccessDenied"} | {
        "pricing": "AccessDenied",  # nothing but its signature says that a request is for it
        "servicequotas": "AccessDenied",
    }
    assert "" not in codes(made_up).values()
    assert codes(nobody) == {"ec2": "AuthFailure", "sdb": "AuthFailure", "s3": "InvalidAccessKeyId"} | {
        **dict.fromkeys(("iam", "sts"), "InvalidClientTokenId"),
        **dict.fromkeys(("pricing", "servicequotas"), unknown),
    }
    assert codes(wrong) == {"ec2": "AuthFailure"} | {
        **dict.fromkeys(("iam", "sts", "sdb", "s3"), "SignatureDoesNotMatch"),
        **dict.fromkeys(("pricing", "servicequotas"), invalid),
    }


@pytest.mark.parametrize("secret", ["test", "testing", "", "dummy"])
def test_no_key_that_anybody_could_guess_is_one(closed: Embedded, secret: str) -> None:
    for key in ("test", "testing", "AKIAEXAMPLE", "AKIAIOSFODNN7EXAMPLE", closed.environment["AWS_ACCESS_KEY_ID"]):
        asked = signed(query("ec2", "RunInstances", **LAUNCH), closed, access_key=key, secret_key=secret or "x")
        assert send(asked, closed).status in {401, 403}


# --- every route ---


def routes() -> Iterator[tuple[str, str]]:
    """Yield method and path of all that this server and moto's own have, the control of the cloud included."""
    from moto.backends import get_backend
    from moto.instance_metadata.models import instance_metadata_backends
    from moto.moto_server.werkzeug_app import HTTP_METHODS, create_backend_app

    services: list[Any] = ["ec2", "s3", "iam", "sts", "sdb", "moto_api", "instance_metadata"]
    assert instance_metadata_backends is get_backend("instance_metadata")
    rules = {str(rule) for service in services for rule in create_backend_app(service).url_map.iter_rules()}
    filled = {_filled(rule) for rule in rules} | {
        "/favicon.ico",
        "/static/style.css",
        "/moto-api",
        "/latest/meta-data/",
    }
    filled |= {
        CONTROL_PREFIX + name for name in ("counts", "snapshots", "instance-events", "doors", "faults", "access")
    }
    assert len(filled) > 35
    for path in sorted(filled):
        for method in (*HTTP_METHODS, "TRACE", "PROPFIND"):
            yield method, path


def _filled(rule: str) -> str:
    parts = rule.split("<")
    return parts[0] + "".join("kept" + part.partition(">")[2] for part in parts[1:]).replace("$", "")


def test_every_route_of_the_server_refuses_who_has_not_signed_or_signed_wrongly(closed: Embedded) -> None:
    key = closed.environment["AWS_ACCESS_KEY_ID"]
    forged = [
        {},
        {"Authorization": MADE_UP.format(key, "ec2")},
        {"Authorization": f"AWS {key}:c2lnbmF0dXJl", "Date": "Thu, 17 Nov 2005 18:49:58 GMT"},
        {"Authorization": "Basic dXNlcjpwYXNz", "X-Local-Secret": "secret"},
        {"X-Amz-Target": "AWSPriceListService.GetProducts", "X-Local-Secret": "ünï"},
        {"Cookie": "session=1", "X-Forwarded-For": "127.0.0.1", "X-Moto-Account-Id": "1"},
    ]
    let_in = [
        (method, path, headers, answer.status)
        for method, path in routes()
        for headers in forged
        if not 400 <= (answer := send(Ask(method=method, target=path, headers=headers), closed)).status < 500
    ]
    assert let_in == []


def test_side_doors_of_moto_are_not_there_even_for_the_owner(closed: Embedded) -> None:
    for method, path in routes():
        if path.startswith(("/moto-api", "/static/", "/favicon.ico", "/latest/")):
            for ask in (Ask(method=method, target=path), signed(Ask(method=method, target=path), closed)):
                assert send(ask, closed).status == 404, (method, path)


def test_a_service_that_the_cloud_does_not_have_is_not_reached(closed: Embedded) -> None:
    for service in ("lambda", "moto_api", "instance_metadata", "sqs", "s3control", "ecs", "../s3", "cognito-idp"):
        ask = Ask(service=service, method="POST", target="/moto/x", body=b"{}")
        answer = send(signed(ask, closed), closed)
        assert 400 <= answer.status < 500, service


# --- pages ---


def test_requests_of_pages_and_for_other_names_are_refused_before_anything_else(closed: Embedded) -> None:
    port = closed.endpoint.rpartition(":")[2]
    right = signed(Ask(target=f"/{BUCKET}/kept"), closed)
    assert send(right, closed).status == 200
    pages: list[dict[str, str]] = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": closed.endpoint},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    ]
    for headers in pages:
        assert send(right.adding(**headers), closed).status == 403, headers
        for method in ("OPTIONS", "POST"):
            for target in ("/", "/moto-api/reset", f"{CONTROL_PREFIX}counts"):
                ask = Ask(method=method, target=target, headers={**headers, "X-Local-Secret": "x"})
                assert send(ask, closed).status == 403
    hosts = [f"evil.example:{port}", "evil.example", "127.0.0.1", f"127.0.0.1:{int(port) + 1}", "", f"[::1]:{port}"]
    for host in [*hosts, f"localhost.evil.example:{port}", f"127.0.0.1:{port}@evil.example", f"0.0.0.0:{port}"]:
        for ask in (Ask(target="/"), Ask(target=f"{CONTROL_PREFIX}counts"), right):
            assert send(replace(ask, headers={**ask.headers, "Host": host}), closed).status == 403, host
    assert send(Ask(target="http://evil.example/"), closed).status == 403
    assert send(Ask(target="/"), closed, without=["Host"]).status in {400, 403}


PAGE = """<!DOCTYPE html><html><body><iframe name="sink"></iframe>
<form id="form" method="post" target="sink" action="{cloud}/">{fields}</form>
<script>
document.getElementById("form").submit();
const text = {{method: "POST", mode: "no-cors", headers: {{"Content-Type": "text/plain"}}}};
const asked = [
    fetch("{cloud}/", {{...text, body: {body}}}),
    fetch("{cloud}/moto-api/recorder/upload-recording", {{...text, body: "{{}}"}}),
    fetch("{cloud}/moto-api/recorder/replay-recording", {{...text, body: ""}}),
    fetch("{cloud}/moto-api/reset", {{...text, body: ""}}),
    fetch("{cloud}/awsac-sessions/page", {{...text, body: "x"}}),
];
Promise.allSettled(asked).then(() => fetch("/done", {{method: "POST"}}));
</script></body></html>"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine: apt-get install chromium")
def test_a_page_in_a_browser_gets_nothing_done(closed: Embedded, tmp_path: Path) -> None:
    fields = {"Action": "RunInstances", "Version": "2016-11-15", **LAUNCH}
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    with proxy_to(closed.endpoint) as proxy:  # which counts what the browser has sent, and what was answered
        page = PAGE.format(cloud=proxy.endpoint, fields=inputs, body=f'"{urlencode(fields)}"')
        with page_server(page) as (address, done):
            browse(address, done, tmp_path / "profile")
    sent = {asked.path for asked in proxy.asked if asked.method == "POST"}
    assert {"/", "/moto-api/recorder/replay-recording", "/moto-api/reset", "/awsac-sessions/page"} <= sent
    assert set(proxy.answered) == {403}


@contextmanager
def page_server(page: str) -> Iterator[tuple[str, threading.Event]]:
    """Serve a page; give its address, and what is set when the page says that it has done all."""
    done = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(page.encode())

        def do_POST(self) -> None:
            self._answer(b"")
            done.set()

        def _answer(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="page")
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", done
        server.shutdown()
        thread.join()


def browse(address: str, done: threading.Event, profile: Path) -> None:
    """Let a browser show a page until that has done what it does; nothing of the browser is left."""
    options = [each for each in OPTIONS if "virtual-time" not in each]
    stays = "--remote-debugging-port=0"  # else it goes as soon as the page is there
    command = [str(CHROMIUM), *options, f"--user-data-dir={profile}", stays, address]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        assert done.wait(90), "the page did not do what it was to do"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(browser.pid, SIGKILL)
        browser.wait()


# --- another user of the machine ---


def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as another user of this machine, who has nothing of the caller's environment."""
    if os.geteuid() != 0 or not shutil.which("setpriv") or not shutil.which("curl"):
        pytest.skip("only root can ask as another user, by setpriv and curl: apt-get install util-linux curl")
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i", "PATH=/usr/bin:/bin"]
    return subprocess.run([*become, *command], capture_output=True, text=True, cwd="/", check=False)


def test_another_user_of_the_machine_finds_no_key_and_starts_nothing(closed: Embedded, tmp_path: Path) -> None:
    mark = Path(tempfile.gettempdir()) / f"{tmp_path.name}-{os.getpid()}"
    user_data = base64.b64encode(f"touch {mark}".encode()).decode()
    form = urlencode({"Action": "RunInstances", "Version": "2016-11-15", **LAUNCH, "UserData": user_data})
    key = closed.environment["AWS_ACCESS_KEY_ID"]
    ask = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", closed.endpoint, "-d", form]
    ways = [[], *(["-H", f"Authorization: {MADE_UP.format(who, 'ec2')}"] for who in ("x", key))]

    answers = [as_nobody(*ask, *way).stdout for way in ways]
    read = as_nobody("cat", str(closed.directory / "cloud.json"), str(closed.directory / "log"))
    (daemon,) = (
        found
        for found in Path("/proc").glob("[0-9]*/cmdline")
        if b"local.daemon" in found.read_bytes() and str(closed.directory).encode() in found.read_bytes()
    )

    assert all(answer in {"401", "403"} for answer in answers)
    assert (read.returncode != 0, read.stdout) == (True, "")
    assert not mark.exists()
    secrets = [closed.environment["AWS_SECRET_ACCESS_KEY"], key]
    assert not any(secret.encode() in daemon.read_bytes() for secret in secrets)


def test_the_secrets_of_a_cloud_are_its_own_and_closed_to_others(closed: Embedded, embedded: Embedded) -> None:
    mode = (closed.directory / "cloud.json").stat().st_mode & 0o777
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    assert mode == 0o600
    assert all(closed.environment[name] != embedded.environment[name] for name in names)
    assert send(signed(Ask(), embedded), closed).status == 403
