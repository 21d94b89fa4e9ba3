"""The bucket as obstore sees it: the same endpoint, region, credentials and certificates as every other call.

Owns nothing but that translation. obstore reads neither profiles nor instance roles itself, and must not: it would
look for them in other places than the SDK.
"""

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from awsac_async.cloud.aws import CONNECT_TIMEOUT, USER_AGENT, Aws
from awsac_async.cloud.network import proxy_for
from awsac_async.session.errors import InputError
from awsac_async.session.times import now

if TYPE_CHECKING:
    from obstore.store import BackoffConfig, S3Credential, S3Store

# The SDK hands out temporary credentials that are valid for ten minutes at least, and renews them by itself.
_CREDENTIALS_VALID = timedelta(minutes=10)
# Of AWS's largest partition: in the others, China's for one, S3 is called otherwise.
_USUAL_REGION = re.compile(r"(af|ap|ca|eu|il|me|mx|sa|us)-(central|north|south|east|west|(north|south)(east|west))-\d")
_SUPPORTED = "when_supported"
_LONGEST_RETRIES = timedelta(minutes=2)
_NO_PROXY = "http://127.0.0.1:9"  # of which all hosts are excepted
_LONGEST_REQUEST = timedelta(hours=6)  # a part on a slow line; what stands still ends earlier


async def make_store(aws: Aws, bucket: str, *, retries: int, patience: timedelta) -> "S3Store":
    """Return the bucket for obstore's synchronous calls in threads, while this event loop runs.

    Args:
        aws: the run's connection.
        bucket: its name.
        retries: how often obstore itself repeats a request that failed for now.
        patience: how long a request may go without an answer, and an answer without a byte.
    """
    from obstore.exceptions import BaseError
    from obstore.store import S3Store  # only a transfer should cost this

    endpoint, virtual = _address(aws, await _endpoint(aws), bucket)
    await aws.credentials()  # so that missing ones are reported as such, and here
    backoff: BackoffConfig = {
        "init_backoff": timedelta(milliseconds=250),
        "max_backoff": timedelta(seconds=4),
        "base": 2,
    }
    try:
        return S3Store(
            bucket,
            config={
                "region": aws.region,
                "endpoint": endpoint,
                "aws_endpoint_url_s3": endpoint,  # else the variable AWS_ENDPOINT_URL_S3 would win
                "virtual_hosted_style_request": virtual,
                **({"checksum_algorithm": "SHA256"} if aws.access.request_checksum_calculation == _SUPPORTED else {}),
            },
            client_options=_client_options(aws, endpoint, patience),
            retry_config={
                "max_retries": retries,
                "retry_timeout": min(patience, _LONGEST_RETRIES),
                "backoff": backoff,
            },
            credential_provider=_Credentials(aws),
        )
    except BaseError as error:
        if "CA certificates" not in str(error):
            raise
        raise InputError(
            "this machine shows no certificates that could be trusted: look at SSL_CERT_FILE and SSL_CERT_DIR"
        ) from error


async def _endpoint(aws: Aws) -> str:
    """Return the address of S3 that the SDK would use; where that is plain, without asking the SDK's slow client."""
    from botocore.utils import is_valid_endpoint_url  # the SDK's session has imported it

    configured = aws.endpoint_of("s3")
    if configured is None and _USUAL_REGION.fullmatch(aws.region) and not aws.special_endpoints:
        return f"https://s3.{aws.region}.amazonaws.com"
    if configured is not None and is_valid_endpoint_url(configured):
        return configured
    return str((await aws.client("s3")).meta.endpoint_url)


def _address(aws: Aws, endpoint: str, bucket: str) -> tuple[str, bool]:
    """Return the endpoint and whether it names the bucket, as the SDK does: unless a dot breaks its TLS."""
    if aws.names_bucket_in_path(endpoint) or "." in bucket:
        return endpoint, False
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{bucket}.{parts.netloc}", True


def _client_options(aws: Aws, endpoint: str, patience: timedelta) -> Any:
    options: dict[str, Any] = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT),
        "read_timeout": patience,
        "timeout": _LONGEST_REQUEST,
        "user_agent": USER_AGENT,
    }
    certificates = Path(aws.ca_bundle).read_bytes() if endpoint.startswith("https:") and aws.ca_bundle else b""
    if certificates:
        options["root_certificate"] = certificates
    if proxy := proxy_for(endpoint):
        options["proxy_url"] = proxy
        if proxy.startswith("https:") and certificates:
            options["proxy_ca_certificate"] = certificates.decode(errors="replace")
    else:  # obstore would read the environment, by other rules than the SDK
        options |= {"proxy_url": _NO_PROXY, "proxy_excludes": f"*,{urlsplit(endpoint).hostname}"}
    return options


class _Credentials:
    """Asks the SDK's session, on its event loop, from the thread in which obstore needs credentials."""

    def __init__(self, aws: Aws) -> None:
        self._aws, self._loop = aws, asyncio.get_running_loop()

    def __call__(self) -> "S3Credential":
        found = asyncio.run_coroutine_threadsafe(self._aws.credentials(), self._loop).result(timeout=60)
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": now() + _CREDENTIALS_VALID if found.token else None,
        }
