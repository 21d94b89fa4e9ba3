"""What every test stands on: dummy credentials, no metadata service of the host, and one embedded cloud a run."""

import dataclasses
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from awsac_async.local import cloud
from awsac_async.local.settings import Network, Settings

FORWARDED = "127.0.0.2"  # where proxies of tests listen, which forward to a cloud

# Before anything imports botocore: no test may find a credential, a profile or a metadata service of this machine.
# And none goes by a proxy of this machine, or trusts what it trusts.
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
for name in [*os.environ]:
    if name.startswith("AWS_") or name.lower().endswith("_proxy") or name in _CERTIFICATES:
        del os.environ[name]
os.environ |= {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9",  # nobody: the discard port
    "AWS_ACCESS_KEY_ID": "AKIADUMMY",  # of no cloud: each has keys of its own
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWSAC_CONFIG": "",  # nor a configuration of awsac
    "AWSAC_LOCAL_NETWORK": "none",  # and no instance reaches anything outside
}

# Also a run that is told to end takes its clouds down. And one in the background, for which a shell ignores Ctrl-C,
# must not let the programs that it tests inherit that.
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.default_int_handler)


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A running embedded cloud."""

    directory: Path
    endpoint: str
    environment: dict[str, str]

    def client(self, service: str, **options: Any) -> Any:
        """Return a client that signs with the keys of the cloud's user."""
        import boto3

        keys = {name: self.environment[name.upper()] for name in ("aws_access_key_id", "aws_secret_access_key")}
        with pytest.MonkeyPatch.context() as patch:  # it is no business of a profile that a test has set
            patch.delenv("AWS_PROFILE", raising=False)
            return boto3.client(service, endpoint_url=self.endpoint, region_name="us-east-1", **keys, **options)

    def temporary(self) -> dict[str, str]:
        """Assume the role of instances; return its credentials as a metadata service or a process words them."""
        arn = "arn:aws:iam::123456789012:role/awsac-agent"
        given = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return {**given, "Token": given["SessionToken"], "Expiration": "2099-01-01T00:00:00Z"}


@contextmanager
def embedded_cloud(directory: Path, settings: Settings) -> Iterator[Embedded]:
    """Bring a cloud up, and take it down with a check that nothing is left."""
    try:
        environment = cloud.up(directory, dataclasses.replace(settings, forwarded=(FORWARDED,)))
        yield Embedded(directory=directory, endpoint=environment["AWS_ENDPOINT_URL"], environment=environment)
        assert "Traceback" not in "".join(log.read_text() for log in directory.glob("log*"))
    finally:
        cloud.down(directory)
        assert cloud.status(directory) == cloud.Status(running=False, processes=[], mounts=[], loop_devices=[])
        assert not directory.exists()


@pytest.fixture(scope="session")
def embedded() -> Iterator[Embedded]:
    """Give the embedded cloud that all tests share, in the form that is best on this machine."""
    with (
        tempfile.TemporaryDirectory(prefix="awsac-test-") as parent,
        embedded_cloud(Path(parent) / "cloud", Settings()) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def embedded_on_host() -> Iterator[Embedded]:
    """Give one whose instances have this machine's network: they reach the proxies of tests, as their client does."""
    with (
        tempfile.TemporaryDirectory(prefix="awsac-test-") as parent,
        embedded_cloud(Path(parent) / "cloud", Settings(network=Network.HOST)) as running,
    ):
        yield running


@pytest.fixture(autouse=True)
def keys_of_the_cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test that uses the shared cloud find its keys in the environment."""
    if "embedded" in request.fixturenames:
        embedded: Embedded = request.getfixturevalue("embedded")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, embedded.environment[name])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the table of faults begin first: one file, which waits for minutes while the others have the processor."""
    items.sort(key=lambda item: item.path.parent.name != "faults")
