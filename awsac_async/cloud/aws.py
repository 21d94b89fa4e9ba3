"""The way to AWS: one session and one client for each service, made when first asked for and closed at the end.

Owns region, endpoint, credentials, timeouts and retries, all taken the way every AWS tool takes them (environment,
profiles, instance role); the redactor knows credentials before they are used. ``translated`` is the one place where a
foreign exception becomes one of ours.
Must never import the SDKs when it is itself imported: `awsac --help` would wait for them.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from awsac_async import __version__
from awsac_async.cloud.credentialprocess import bound_processes
from awsac_async.cloud.credentials import Credentials, check_keys
from awsac_async.cloud.failures import EXPIRED_CODES, NO_CREDENTIALS, failure
from awsac_async.cloud.network import certificates, check_certificates, forget_proxies, proxy_for
from awsac_async.session.errors import CloudError, CredentialsError, InputError
from awsac_async.session.model import Access
from awsac_async.session.redaction import secrets

_log = logging.getLogger(__name__)

USER_AGENT = f"awsac/{__version__}"
CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 60.0  # seconds
DEFAULT_ATTEMPTS = 6
_ENDPOINT_FIELDS = {name: f"endpoint_url_{name}" for name in ("ec2", "s3", "sdb")}


@contextmanager
def translated(operation: str, resource: str = "", *, logged: bool = True) -> Iterator[None]:
    """Turn what AWS, its SDKs and the network raise inside into the errors of ``session.errors``.

    What went well is logged for debugging, with the seconds it took, tries that failed included.

    Args:
        operation: what is asked, in the service's own words (``RunInstances``).
        resource: what it is asked of: a key, an ID, a name.
        logged: False for what asks nobody.
    """
    began = time.monotonic()
    try:
        yield
        if logged:
            _log.debug("%s: %.3f s", f"{operation} {resource}".rstrip(), time.monotonic() - began)
    except Exception as error:
        ours = failure(error, operation=operation, resource=resource)
        if ours is None:
            raise
        raise ours from error


class Aws:
    """One run's connection to AWS. Made by `connect`; clients may be used by any task of its event loop.

    ``attempts`` says how often a call is made in all before a temporary error is reported (``AWS_MAX_ATTEMPTS``).
    """

    def __init__(
        self,
        *,
        session: Any,
        region: str,
        endpoint_url: str | None,
        access: Access,
        access_first: bool,
        stack: AsyncExitStack,
    ) -> None:
        self.region, self.access = region, access
        self._session, self._endpoint_url, self._stack = session, endpoint_url, stack
        self._access_first = access_first
        self.attempts = _attempts(session)
        self._credentials = Credentials(session)
        self._clients_session: Any = None
        self._clients: dict[tuple[str, bool], Any] = {}
        self._making = asyncio.Lock()
        self._bundle_checked = False

    async def client(self, service: str, *, region: str | None = None, repeats: bool = True) -> Any:
        """Return the run's client of a service (``ec2``, ``s3``, ``sdb`` …); the first call makes it.

        ``region`` is for a service that has all regions' facts in one. Without ``repeats`` it is one of its own, that
        makes each call once: for calls that would do twice what is to be done once.

        Raises:
            CloudError: EC2's endpoint is not one of AWS, and the service, other than S3, would be AWS's.
        """
        async with self._making:
            if (service, repeats) not in self._clients:
                with translated("connect to", service):
                    made = await self._make(service, region or self.region, self.attempts if repeats else 1)
                self._clients[service, repeats] = made
            return self._clients[service, repeats]

    def at_end(self, clear_up: Callable[[], None]) -> None:
        """Have this called when the connection ends."""
        self._stack.callback(clear_up)

    async def credentials(self) -> Any:
        """Return valid credentials now (``access_key``, ``secret_key``, ``token``), refreshed if need be.

        Raises:
            CredentialsError: there are none.
            InputError: they are not such as can be sent.
        """
        with translated("find", "credentials", logged=False):
            frozen = await self._credentials.get_frozen_credentials()
        if frozen is None:
            raise CredentialsError("find", "credentials", NO_CREDENTIALS)
        check_keys(frozen)
        secrets.know(frozen.access_key, frozen.secret_key, frozen.token)
        return frozen

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Let the next try of what is refused inside have new credentials; for what is not asked by ``client``."""
        try:
            yield
        except CredentialsError:
            self._credentials.expire()
            raise

    async def _again_if_expired(self, *, response: Any = None, attempts: int, **_: Any) -> float | None:
        """Say, as botocore's ``needs-retry`` asks, whether and after how many seconds a call is repeated."""
        error = response[1].get("Error", {}) if response else {}
        if attempts > 1 or error.get("Code") not in EXPIRED_CODES:
            return None
        self._credentials.expire()
        return 0.0

    @property
    def ca_bundle(self) -> str | None:
        """The file of certificates that the user trusts instead of the usual ones; it has been looked at.

        Raises:
            InputError: it holds none.
        """
        bundle = certificates(self._session)
        if bundle and not self._bundle_checked:
            check_certificates(bundle)
            self._bundle_checked = True
        return bundle

    @property
    def special_endpoints(self) -> bool:
        """Whether the user wants other addresses of AWS than the usual ones: dual-stack, FIPS, or acceleration."""
        wanted = [self._session.get_config_variable(f"use_{kind}_endpoint") for kind in ("dualstack", "fips")]
        s3 = self._session.get_config_variable("s3") or {}
        wanted += [s3.get(f"use_{kind}_endpoint") for kind in ("dualstack", "accelerate")]
        return any(wanted)

    async def _make(self, service: str, region: str, attempts: int) -> Any:
        if service != "s3" and not self.beside_ec2(service):
            cause = "EC2 is another cloud's here, about which AWS knows nothing, and no endpoint is named beside it"
            raise CloudError("connect to", service, cause)
        # A client keeps the credentials that there are when it is made, also if there are none: it must not be made
        # before the role of a fresh instance is known.
        await self.credentials()
        if self._clients_session is None:
            self._clients_session = self._make_session()
        endpoint_url = self.endpoint_of(service)
        # Where there is no TLS, there is nothing to verify: each client would read all certificates for it.
        plain = bool(endpoint_url and endpoint_url.startswith("http:"))
        making = self._clients_session.client(
            service,
            region_name=region,
            endpoint_url=endpoint_url,
            verify=False if plain else self.ca_bundle,
            config=self._config(endpoint_url, attempts, trusted=None if plain else self.ca_bundle or _usual_bundle()),
        )
        try:
            client = await self._stack.enter_async_context(making)
        except ValueError as error:  # botocore's word for an endpoint that is no address
            raise InputError(f"the AWS endpoint cannot be used: {error}") from error
        proxy_for(client.meta.endpoint_url)  # one that cannot be used is said now, and one that is used is known
        client.meta.events.register("before-send", self._learn_credentials)
        client.meta.events.register_first("needs-retry", self._again_if_expired)
        return client

    def _make_session(self) -> Any:
        import aioboto3  # a third of a second, which only a call to AWS should cost
        from aiobotocore.session import AioSession

        session = AioSession()
        session._credentials = self._credentials  # it would look for some of its own
        # The SDK's own parser takes half a millisecond for a time, and there are three in what EC2 says of an instance.
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_timestamp)
        return aioboto3.Session(botocore_session=session)

    async def _learn_credentials(self, **_: object) -> None:
        """Before each request: its credentials, which the SDK may just have renewed, are to be in no log."""
        await self.credentials()

    def endpoint_of(self, service: str) -> str | None:
        """Return the address that the user has set for a service; None: that of AWS."""
        from botocore.configprovider import ConfiguredEndpointProvider  # as above

        session = self._session
        configured = ConfiguredEndpointProvider(
            full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name=service
        ).provide()
        named = self.access.endpoint(service)
        return self._endpoint_url or (named or configured if self._access_first else configured or named) or None

    @property
    def access_in_use(self) -> Access:
        """How this connection reaches the services, wherever it knows that from: what others are to be told."""
        named = {field: self.endpoint_of(service) or "" for service, field in _ENDPOINT_FIELDS.items()}
        if len(common := set(named.values())) == 1:
            named = dict.fromkeys(named, "") | {"endpoint_url": common.pop()}
        else:
            named["endpoint_url"] = ""
        return Access(**{**self.access.access(), **named})

    def names_bucket_in_path(self, endpoint_url: str | None) -> bool:
        """Whether requests to S3 at this address name their bucket in the path, and not in the host's name."""
        if self.access.s3_addressing_style == "auto":  # other servers than AWS's are rarely found as bucket.localhost
            return endpoint_url is not None and not is_aws(endpoint_url)
        return self.access.s3_addressing_style == "path"

    def beside_ec2(self, service: str) -> bool:
        """Whether a service can be asked about the cloud whose EC2 is used: AWS's knows nothing of another cloud."""
        ec2 = self.endpoint_of("ec2")
        return ec2 is None or is_aws(ec2) or self.endpoint_of(service) is not None

    def _config(self, endpoint_url: str | None, attempts: int, *, trusted: str | None) -> Any:
        from botocore.config import Config  # as above

        # "standard", not "adaptive": the adaptive mode slows down the whole client when one operation is throttled,
        # so that a throttled status write could hold up TerminateInstances.
        return Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            user_agent_extra=USER_AGENT,
            max_pool_connections=50,
            s3={"addressing_style": self._addressing_style(endpoint_url)},
            # Without this aiobotocore verifies no certificate of a service behind a proxy.
            proxies_config={"proxy_ca_bundle": trusted} if trusted else None,
            # CRC checksums by default are refused by some S3-compatible servers; AWS does not require them here.
            request_checksum_calculation=self.access.request_checksum_calculation,
            response_checksum_validation="when_required",
        )

    def _addressing_style(self, endpoint_url: str | None) -> str:
        style = self.access.s3_addressing_style
        return "path" if self.names_bucket_in_path(endpoint_url) else style


@asynccontextmanager
async def connect(
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    access: Access | None = None,
    instance_role_only: bool = False,
    or_else: str | None = None,
) -> AsyncIterator[Aws]:
    """Connect to AWS for one run; nothing is sent until something is asked.

    Args:
        region: the region; None: the one that the environment, or the profile that it names, has set.
        endpoint_url: the address of every service; None: ``AWS_ENDPOINT_URL``, its like for one service
            (``AWS_ENDPOINT_URL_S3``), the profile's, or AWS itself.
        access: where the services are, and how S3 is spoken to, as the session says: on an instance that goes before
            what is set there, for it is what the start was told; elsewhere what is set goes before it.
        or_else: the region where none is set: for what may be in any, as a bucket, to whose own S3 leads.
        instance_role_only: take credentials from the instance metadata service and from nowhere else.

    Raises:
        InputError: no region is set, or there is no such profile.
    """
    from botocore.session import Session  # a tenth of a second

    forget_proxies()
    session = Session()
    with translated("read", "the AWS configuration", logged=False):
        session.get_scoped_config()  # a profile that does not exist is said at once, not by the first call
        if bundle := certificates(session):  # the SDK's own search for credentials knows fewer of the variables
            session.set_config_variable("ca_bundle", bundle)
        found = region or session.get_config_variable("region") or os.environ.get("AWS_REGION") or or_else
    if not found:
        raise InputError(
            "no AWS region is set: name one as region in session.ini, in AWS_DEFAULT_REGION, or in your AWS profile; "
            "the cloud on this machine, which needs none, is meant only with --local"
        )
    with translated("find", "credentials", logged=False):
        if instance_role_only:
            _forget_other_credentials(session)
        bound_processes(session)
    async with AsyncExitStack() as stack:
        yield Aws(
            session=session,
            region=found,
            endpoint_url=endpoint_url,
            access=access or Access(),
            access_first=instance_role_only,
            stack=stack,
        )


def _parse_timestamp(value: Any) -> datetime:
    """Read a time of an answer; those that are not written by ISO 8601 with their zone are left to the SDK."""
    with contextlib.suppress(TypeError, ValueError):
        time = datetime.fromisoformat(value)
        if time.tzinfo is not None:
            return time
    from botocore.utils import parse_timestamp  # as above

    parsed: datetime = parse_timestamp(value)
    return parsed


def _forget_other_credentials(session: Any) -> None:
    """Leave one provider of credentials: keys in the environment or in a file of the image must not be used."""
    resolver = session.get_component("credential_provider")
    resolver.providers = [provider for provider in resolver.providers if provider.METHOD == "iam-role"]


def _attempts(session: Any) -> int:
    try:
        return int(session.get_config_variable("max_attempts") or DEFAULT_ATTEMPTS)
    except ValueError:
        raise InputError("AWS_MAX_ATTEMPTS, or max_attempts in the AWS profile, is not a number") from None


def _usual_bundle() -> str:
    """Return the file of certificates that the SDK trusts."""
    from botocore.httpsession import where  # as above

    return str(where())


def is_aws(endpoint_url: str) -> bool:
    """Whether an endpoint belongs to AWS itself, and not to another server that speaks its protocol."""
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
