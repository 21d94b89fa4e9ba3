"""How instances reach what is outside of this machine: the choice, and what all ways have in common.

An instance has a network namespace of its own. What leads out of it is made here: as root by ``veth``, as an ordinary
user by ``usermode``. None of it leads to this machine's loopback, to its own addresses, to its metadata service, or to
other instances.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from awsac_async.local import usermode, veth
from awsac_async.local.place import LocalCloudError
from awsac_async.local.settings import Isolation, Network

NETWORK_RECORD = "network"  # the file that says which table of nftables is this cloud's
_RESOLVER = Path("/etc/resolv.conf")
_UPSTREAM = Path("/run/systemd/resolve/resolv.conf")  # what systemd-resolved, on loopback, itself asks
_SHARED = (
    "This machine allows no namespaces: instances share its network, reach all that it reaches, and find their "
    "metadata service by the variables of the AWS libraries."
)


class Outward(Protocol):
    """What leads out of instances. All methods block."""

    resolver: str | None  # what instances have as resolv.conf; None: the machine's own
    blocked: list[str]  # where an instance must have no way, as its init arranges before it gives up the right to

    def connect(self, instance_id: str, init: int, folder: Path) -> None:
        """Let an instance out, whose init has this PID. Raises OSError."""

    def disconnect(self, instance_id: str) -> None:
        """Remove what ``connect`` made, when the instance has ended."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What instances get, and a sentence if that is not what was wanted; "" if it is."""

    network: Network
    note: str = ""
    outward: Outward | None = None


def choose(wanted: Network | None, isolation: Isolation, *, cloud_id: str, record: Path) -> Choice:
    """Choose the network of a cloud's instances, and make what all of them share.

    Args:
        wanted: what was asked for; None is nat where it can be had.
        isolation: what an instance is.
        cloud_id: the cloud's ID.
        record: the file that says what is there to be removed.

    Raises LocalCloudError if nat was asked for and cannot be had.
    """
    if isolation is Isolation.PLAIN:
        return Choice(network=Network.HOST, note="" if wanted is Network.HOST else _SHARED)
    if wanted in {Network.NONE, Network.HOST}:
        return Choice(network=Network(wanted))
    try:
        outward = _nat(isolation, cloud_id, record)
    except OSError as error:
        if wanted is Network.NAT:
            raise LocalCloudError(f"instances cannot reach the network: {error}") from error
        return Choice(network=Network.NONE, note=f"Instances reach nothing outside of this machine: {error}.")
    return Choice(network=Network.NAT, outward=outward)


def _nat(isolation: Isolation, cloud_id: str, record: Path) -> Outward:
    """Return the way out. Raises OSError, which says what is missing."""
    if isolation is Isolation.NAMESPACES:
        veth.check()
        record.write_text(veth.table(cloud_id))
        return veth.Veth(cloud_id, resolver=_resolver(None))
    program = usermode.find()
    return usermode.UserMode(program, cloud_id, blocked=own_addresses(), resolver=_resolver(program.resolver))


def sweep(cloud_id: str, record: Path) -> None:
    """Remove what a cloud as root has made of networks.

    Raises LocalCloudError, with nothing removed, if the record names what no cloud of this ID has made.
    """
    check_record(cloud_id, record)
    if record.exists():
        try:
            veth.remove(cloud_id)
        except OSError as error:
            raise LocalCloudError(f"the network of instances cannot be removed: {error}") from error


def check_record(cloud_id: str, record: Path) -> None:
    """Raise LocalCloudError if the record names what no cloud of this ID has made."""
    if record.exists() and record.read_bytes() != veth.table(cloud_id).encode():
        raise LocalCloudError(f"{record} cannot be believed: it names no table of this cloud; nothing was removed")


def own_addresses() -> list[str]:
    """Return this machine's own IPv4 addresses."""
    found = re.findall(r"\|-- (\S+)\n +/32 host LOCAL", Path("/proc/net/fib_trie").read_text())
    return sorted(set(found))


def _resolver(stand_in: str | None) -> str | None:
    """Return what instances have as resolv.conf; None if the machine's own says what they can reach."""
    text = _RESOLVER.read_text(errors="replace") if _RESOLVER.exists() else ""
    if any(map(_reachable, _name_servers(text))):
        return None
    if stand_in:
        return f"nameserver {stand_in}\n"
    upstream = _UPSTREAM.read_text(errors="replace") if _UPSTREAM.exists() else ""
    return upstream if any(map(_reachable, _name_servers(upstream))) else None


def _name_servers(text: str) -> list[str]:
    return re.findall(r"^\s*nameserver\s+(\S+)", text, re.MULTILINE)


def _reachable(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return found.version == 4 and not (found.is_loopback or found.is_link_local or address in own_addresses())
