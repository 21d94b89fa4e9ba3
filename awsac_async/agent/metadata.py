"""The instance metadata service: who this instance is, and what it was told at launch.

Version 2 (a token first), falling back to version 1 where the service does not know tokens. Nothing else in the agent
speaks to it, except the AWS library, which takes the role's credentials from it.
"""

import asyncio
import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit

from awsac_async.agent.retry import keep_trying
from awsac_async.session.errors import EndpointError, NotFoundError
from awsac_async.session.fields import natural_number, shown
from awsac_async.session.policies import partition_of
from awsac_async.session.redaction import secrets

ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
_DISABLED_VARIABLE = "AWS_EC2_METADATA_DISABLED"
_ENDPOINT = "http://169.254.169.254"
_TOKEN_SECONDS = 21600  # the longest the service grants
_NO_TOKENS = (403, 404, 405)  # how services that speak version 1 only answer a request for a token
_ROOT = ("ami", "root")  # both are the root device
_REQUEST_SECONDS = 5.0
_MOST_BYTES = 1 << 20  # of an answer; user data have 16 KB
_PATIENCE_SECONDS = 60.0  # the network of a booting instance may come up after us


@dataclass(frozen=True, kw_only=True)
class Instance:
    """What an instance knows of itself; ``devices`` are the names of the data volumes and disks of its launch.

    ``arn`` is its name in policies, "" where the service does not know the account.
    """

    instance_id: str
    launch_index: int
    zone: str
    region: str
    devices: tuple[str, ...] = ()
    arn: str = ""


class Metadata:
    """A client of the service; its address is ``AWS_EC2_METADATA_SERVICE_ENDPOINT``, else the link-local one of EC2.

    It asks nobody where ``AWS_EC2_METADATA_DISABLED`` is true, as the AWS libraries do: then every question fails.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        endpoint = environment.get(ENDPOINT_VARIABLE) or _ENDPOINT
        self._endpoint = urlsplit(endpoint)
        self._disabled = environment.get(_DISABLED_VARIABLE, "").lower() == "true"
        self._headers: dict[str, str] | None = None

    async def user_data(self) -> str | None:
        """Return the user data, or None if the instance was started without any."""
        text = await self._get("user-data")
        return text if text and text.strip() else None

    async def identify(self) -> Instance:
        """Return the instance's own facts."""
        zone, instance_id, region = await self._zone(), await self.instance_id(), await self.region()
        return Instance(
            instance_id=instance_id,
            launch_index=await self._number("meta-data/ami-launch-index"),
            zone=zone,
            region=region,
            devices=await self._devices(),
            arn=await self._arn(region, instance_id),
        )

    async def instance_id(self) -> str:
        """Return the instance's ID."""
        return await self._need("meta-data/instance-id")

    async def region(self) -> str:
        """Return the region the instance is in."""
        # A zone is its region and one letter; services that speak version 1 only do not know placement/region.
        return await self._get("meta-data/placement/region") or (await self._zone())[:-1]

    async def _arn(self, region: str, instance_id: str) -> str:
        """Return the instance's ARN, "" where the identity document does not tell the account."""
        text = await self._get("dynamic/instance-identity/document")
        try:
            account = str(json.loads(text or "{}").get("accountId") or "")
        except (ValueError, AttributeError, RecursionError):
            return ""
        return f"arn:{partition_of(region)}:ec2:{region}:{account}:instance/{instance_id}" if account else ""

    async def _devices(self) -> tuple[str, ...]:
        names = (await self._get("meta-data/block-device-mapping/") or "").split()
        found = [await self._get(f"meta-data/block-device-mapping/{name}") for name in names if name not in _ROOT]
        return tuple(name.strip() for name in found if name)

    async def life_cycle(self) -> str:
        """Return how the instance is paid for: "on-demand", "spot", …; "" where the service does not know."""
        return (await self._get("meta-data/instance-life-cycle") or "").strip()

    async def spot_notice(self) -> str | None:
        """Return when this spot instance is taken away (UTC, as the service writes it), or None while it stays.

        Raises:
            EndpointError: the service does not answer, or says what nobody understands.
        """
        path = "meta-data/spot/instance-action"
        text = await self._get(path)
        if text is None:
            return None
        try:
            return str(json.loads(text)["time"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise EndpointError("GetMetadata", path, f"the metadata service answered {shown(text)}") from error

    async def _zone(self) -> str:
        return await self._need("meta-data/placement/availability-zone")

    async def _number(self, path: str) -> int:
        text = await self._need(path)
        try:
            return natural_number(text)
        except ValueError as error:
            raise EndpointError("GetMetadata", path, f"the metadata service answered {shown(text)}") from error

    async def _need(self, path: str) -> str:
        text = await self._get(path)
        if not text:
            raise NotFoundError("GetMetadata", path, "the metadata service does not have it")
        return text.strip()

    async def _get(self, path: str) -> str | None:
        status, body = await self._ask("GET", path, await self._token_headers())
        if status == http.client.UNAUTHORIZED:  # the token has ended: an agent may live longer than any
            self._headers = None
            status, body = await self._ask("GET", path, await self._token_headers())
        if status == http.client.NOT_FOUND:
            return None
        if status != http.client.OK:
            raise EndpointError("GetMetadata", path, f"the metadata service answered {status}", temporary=False)
        return body

    async def _token_headers(self) -> dict[str, str]:
        if self._headers is None:
            ttl = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
            status, token = await self._ask("PUT", "api/token", ttl)
            self._headers = {} if status in _NO_TOKENS else {"X-aws-ec2-metadata-token": token}
            secrets.know(*self._headers.values())
        return self._headers

    async def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        if self._disabled:
            raise EndpointError("GetMetadata", path, f"{_DISABLED_VARIABLE} is true", temporary=False)
        return await keep_trying(
            f"metadata {path}",
            lambda: asyncio.to_thread(self._request, method, path, headers),
            until=asyncio.get_running_loop().time() + _PATIENCE_SECONDS,
            longest=5.0,
        )

    def _request(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        """Make one request; what may pass by itself is raised as EndpointError."""
        address = f"{self._endpoint.path.rstrip('/')}/latest/{path}"
        host, port = self._endpoint.hostname or "", self._endpoint.port
        try:
            with closing(http.client.HTTPConnection(host, port, timeout=_REQUEST_SECONDS)) as connection:
                connection.request(method, address, headers=headers)
                answer = connection.getresponse()
                body = answer.read(_MOST_BYTES).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise EndpointError("GetMetadata", path, f"{self._endpoint.geturl()}: {error}") from error
        if answer.status >= http.client.INTERNAL_SERVER_ERROR or answer.status == http.client.TOO_MANY_REQUESTS:
            raise EndpointError("GetMetadata", path, f"the metadata service answered {answer.status}")
        return answer.status, body
