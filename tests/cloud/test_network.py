"""The way to the services: the SDK and bulk transfers go by the same proxies and trust the same certificates."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.httpsession import where

from awsac_async.cloud.aws import Aws, connect
from awsac_async.cloud.bucket import Bucket
from awsac_async.cloud.objects import Upload
from awsac_async.session.errors import AwsacError, DeniedError, EndpointError, InputError, ProxyError, ThrottledError
from tests.proxies import HttpProxy, bare_s3, http_proxy, make_authority

# The name of no host: only by way of the proxy is there anything.
NOWHERE = "s3.test.invalid"


async def by_sdk(aws: Aws) -> None:
    await Bucket(aws, "bucket").check()


async def in_bulk(aws: Aws) -> None:
    await Bucket(aws, "bucket").upload([Upload(source=b"x", key="key")])


Ask = Callable[[Aws], Awaitable[None]]
both = pytest.mark.parametrize("ask", [by_sdk, in_bulk])


@dataclass(frozen=True, kw_only=True)
class Network:
    """Two proxies, one before a server with TLS and one before a plain one, and the certificates for the first."""

    authority: Path
    secure: HttpProxy
    plain: HttpProxy
    server: str


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    authority, certificate = make_authority(tmp_path_factory.mktemp("certificates"), NOWHERE, "localhost")
    with (
        bare_s3(certificate) as secure,
        bare_s3() as plain,
        http_proxy(secure) as before_secure,
        http_proxy(plain) as before_plain,
    ):
        yield Network(authority=authority, secure=before_secure, plain=before_plain, server=secure)


@pytest.fixture
def network(servers: Network, monkeypatch: pytest.MonkeyPatch) -> Network:
    for name in [*os.environ]:
        if name.lower().endswith("_proxy") or name in {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://{NOWHERE}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass-word@{servers.secure.address}")
    monkeypatch.setenv("HTTP_PROXY", f"http://user:pass-word@{servers.plain.address}")
    for proxy in (servers.secure, servers.plain):
        proxy.asked.clear()
        proxy.refusal = ""
    return servers


async def failure(ask: Ask) -> AwsacError:
    async with connect() as aws:
        with pytest.raises(AwsacError) as raised:
            await ask(aws)
    assert "pass-word" not in str(raised.value)
    return raised.value


@both
@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "profile"])
async def test_a_service_behind_a_proxy_is_asked_if_its_certificate_is_trusted(
    variable: str, ask: Ask, network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"  # in which the one that counts is the last of many
    usual = await asyncio.to_thread(Path(where()).read_bytes)
    bundle.write_bytes(usual + network.authority.read_bytes())
    if variable == "profile":
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {bundle}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    else:
        monkeypatch.setenv(variable, str(bundle))

    async with connect() as aws:
        await ask(aws)

    assert network.secure.asked == [f"CONNECT {NOWHERE}:443 HTTP/1.1"]


@both
async def test_a_service_behind_a_proxy_whose_certificate_nobody_knows_is_not_asked(ask: Ask, network: Network) -> None:
    error = await failure(ask)

    assert isinstance(error, EndpointError)
    said = f"the certificate of https://{NOWHERE} is not trusted, by way of the proxy {network.secure.address}"
    assert said in str(error)
    assert not error.temporary


@both
async def test_a_plain_service_is_asked_by_the_proxy_for_such(
    ask: Ask, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{NOWHERE}")

    async with connect() as aws:
        await ask(aws)

    assert [line.split()[1].startswith(f"http://{NOWHERE}/bucket") for line in network.plain.asked] == [True]


@both
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
async def test_what_no_proxy_names_is_asked_directly_and_no_proxy_is_blamed(
    name: str, ask: Ask, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "localhost,.invalid")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(network.authority))
    nowhere = await failure(ask)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://localhost:{network.server.rpartition(':')[2]}")
    async with connect() as aws:
        await ask(aws)

    assert network.secure.asked == []
    assert "proxy" not in str(nowhere)


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What a proxy answers, to whom, and what is made of it."""

    refusal: str
    scheme: str
    kind: type
    says: str


@both
@pytest.mark.parametrize(
    "refused",
    [
        Refused(refusal="407 Authenticate", scheme="https", kind=ProxyError, says="proxy {} answered 407"),
        Refused(refusal="403 Forbidden", scheme="https", kind=ProxyError, says="the proxy {} "),
        Refused(refusal="407 Authenticate", scheme="http", kind=ProxyError, says="by way of the proxy {}"),
        Refused(refusal="403 Forbidden", scheme="http", kind=DeniedError, says="by way of the proxy {}"),
        Refused(refusal="503 Service Unavailable", scheme="http", kind=ThrottledError, says="by way of the proxy {}"),
    ],
)
async def test_the_proxy_that_refused_is_named_without_its_password(
    refused: Refused, ask: Ask, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = network.secure if refused.scheme == "https" else network.plain
    proxy.refusal = refused.refusal
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{refused.scheme}://{NOWHERE}")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(network.authority))

    error = await failure(ask)

    assert isinstance(error, refused.kind)
    assert refused.says.format(proxy.address) in str(error)


@both
async def test_a_proxy_that_does_not_answer_or_is_none_is_said(
    ask: Ask, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pass-word@127.0.0.1:9")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(network.authority))
    dead = await failure(ask)
    assert isinstance(dead, ProxyError)
    assert "the proxy 127.0.0.1:9 cannot be reached" in str(dead)
    for none in ("http://[::bad", "socks5://user:pass-word@127.0.0.1:9", "http://user:pass-word@a b"):
        monkeypatch.setenv("HTTPS_PROXY", none)
        wrong = await failure(ask)
        assert isinstance(wrong, InputError)
        assert "the variable HTTPS_PROXY does not name a proxy" in str(wrong)


@both
async def test_a_file_that_holds_no_certificates_is_bad_input(
    ask: Ask, network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "junk").write_text("no certificate\n")
    for bundle, found in {"none": "no such file", "": "is a directory", "junk": "no certificate"}.items():
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / bundle))
        wrong = await failure(ask)
        assert isinstance(wrong, InputError)
        assert f"found {found}" in str(wrong)
    assert network.secure.asked == []
