"""Keeps the jobs' user from the metadata service, and so from the credentials of the instance's role.

Owns the firewall table ``inet awsac`` of the instance, and touches no other. Where there is nothing to build it with,
the log says so: a session is not refused for it.
"""

import asyncio
import logging
import shutil
from collections.abc import Mapping
from urllib.parse import urlsplit

from awsac_async.agent.jobuser import JobUser, JobUserError, find_user
from awsac_async.agent.metadata import ENDPOINT_VARIABLE
from awsac_async.agent.process import ToolError, run_tool

_log = logging.getLogger(__name__)
_ADDRESSES = {"ip": "169.254.169.254", "ip6": "fd00:ec2::254"}


async def shield_metadata(job_user: str, environment: Mapping[str, str]) -> None:
    """Have the machine refuse the packets of the jobs' user to the metadata service; the log says if it cannot.

    Args:
        job_user: the user's name. Nothing is done for root, nor for one as whom no job can run.
        environment: the agent's, which may name another address of the service.
    """
    try:
        user = await asyncio.to_thread(find_user, job_user)
    except JobUserError:
        return  # each job says so
    if user is None:
        return
    if why := await _build(user, environment):
        _log.warning("the jobs' user %s can reach the metadata service and the role's credentials: %s", user.name, why)
    else:
        _log.info("the jobs' user %s (uid %d) cannot reach the metadata service", user.name, user.uid)


async def _build(user: JobUser, environment: Mapping[str, str]) -> str:
    """Make the table; returns why there is none, or ""."""
    endpoint = environment.get(ENDPOINT_VARIABLE)
    if endpoint and urlsplit(endpoint).hostname not in _ADDRESSES.values():
        return f"it is at {endpoint}, for which there is no rule"
    if shutil.which("nft") is None:
        return "this image has no nft (nftables)"
    try:
        await run_tool("nft", _rules(user.uid))
    except ToolError as error:
        return str(error)
    return ""


def _rules(uid: int) -> str:
    """Return the table as one transaction of nft's language; it replaces what an earlier agent has made."""
    return "; ".join(
        (
            "add table inet awsac",
            "add chain inet awsac output { type filter hook output priority 0; policy accept; }",
            "flush chain inet awsac output",
            *(
                f"add rule inet awsac output meta skuid {uid} {family} daddr {address} reject"
                for family, address in _ADDRESSES.items()
            ),
        )
    )
