"""The way out of instances as root: a pair of virtual interfaces each, and one table of nftables a cloud.

The table and the interfaces carry the cloud's ID, so that what a killed cloud left is found, and nothing else is
removed; no rule or interface of the machine is touched. Where the machine forwarded nothing before, it forwards nothing
but what instances send, and forwards nothing again when the last cloud is gone.
"""

import contextlib
import ipaddress
import json
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_PREFIX = "awsac_local_"  # of tables
_INTERFACES = "awl*"  # of all clouds
_GATEWAY = "198.18.0.1"  # RFC 2544: addresses that nobody has
_POOL = ipaddress.ip_network("198.18.0.0/15")
_WAS_OFF = "forwarding_was_off"  # the chain that says so
_INSIDE = "eth0"
_TIMEOUT = 10.0  # s: until the interfaces of instances that have ended are gone


def check() -> None:
    """Raise OSError, which says what is missing, where this way cannot be had."""
    if missing := [name for name in ("nft", "ip", "nsenter") if shutil.which(name) is None]:
        raise OSError(f"{missing[0]} is not installed")
    try:
        chains = json.loads(_run("nft", "--json", "list", "chains"))["nftables"]
    except (ValueError, LookupError) as error:
        raise OSError("nft does not work here") from error
    found = [each["chain"] for each in chains if "chain" in each]
    if any(each.get("hook") == "forward" and each.get("policy") == "drop" for each in found):
        raise OSError("this machine's firewall forwards nothing")
    if not os.access(_FORWARDING, os.W_OK):
        raise OSError("this machine cannot be told to forward packets")


def table(cloud_id: str) -> str:
    """Return the name of a cloud's table."""
    return _PREFIX + cloud_id


class Veth:
    """What leads out of the instances of one cloud."""

    def __init__(self, cloud_id: str, *, resolver: str | None) -> None:
        """Make the cloud's table. Raises OSError."""
        self.resolver = resolver
        self.blocked: list[str] = []  # the table sees to it
        self._cloud_id = cloud_id
        was_off = _FORWARDING.read_text().strip() == "0" or bool(_tables_of_others(cloud_id))
        _run("nft", "--file", "-", text=_rules(cloud_id, was_off=was_off))
        _FORWARDING.write_text("1")

    def connect(self, instance_id: str, init: int, folder: Path) -> None:  # noqa: ARG002  others keep something there
        """Let an instance out. Raises OSError."""
        name, address = _interface(instance_id), str(_POOL[secrets.randbelow(_POOL.num_addresses - 258) + 256])
        outside = (
            f"link add {name} type veth peer name {_INSIDE} netns {init}",
            f"link set {name} alias {self._cloud_id}",
            f"addr add {_GATEWAY}/32 dev {name}",
            f"link set {name} up",
            f"route add {address}/32 dev {name} src {_GATEWAY}",
        )
        inside = (
            f"addr add {address}/32 dev {_INSIDE}",
            f"link set {_INSIDE} up",
            f"route add {_GATEWAY} dev {_INSIDE} scope link",
            f"route add default via {_GATEWAY} dev {_INSIDE}",
        )
        _run("ip", "-batch", "-", text="\n".join(outside))
        _run("nsenter", f"--net=/proc/{init}/ns/net", "ip", "-batch", "-", text="\n".join(inside))

    def disconnect(self, instance_id: str) -> None:
        """Remove the interface, if it has not gone with its instance already."""
        with contextlib.suppress(OSError):
            _run("ip", "link", "delete", _interface(instance_id))


def _interface(instance_id: str) -> str:
    """Return a name of 15 characters, which is all that there is."""
    return f"awl{instance_id[-12:]}"


def _rules(cloud_id: str, *, was_off: bool) -> str:
    name, ours = f"inet {table(cloud_id)}", f'"{_INTERFACES}"'
    hook = "type filter hook {} priority -10; policy accept;"
    reject = "reject with icmpx type admin-prohibited"
    chains = {
        "input": [hook.format("input"), f"iifname {ours} {reject}"],
        "forward": [
            hook.format("forward"),
            f"iifname {ours} oifname {ours} {reject}",
            f"iifname {ours} meta nfproto != ipv4 drop",
            f"iifname {ours} ip daddr {{ 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 }} {reject}",
            f"oifname {ours} ct state established,related accept",
            f"oifname {ours} drop",
        ],
        "postrouting": [
            "type nat hook postrouting priority 100; policy accept;",
            f"ip saddr {_POOL} oifname != {ours} masquerade",
        ],
    }
    if was_off:
        chains[_WAS_OFF] = [hook.format("forward"), f"meta nfproto ipv4 iifname != {ours} oifname != {ours} drop"]
    text = "".join(
        f"chain {chain} {{\n{rules}\n}}\n" for chain, rules in ((each, "\n".join(chains[each])) for each in chains)
    )
    return f"table {name} {{\n{text}}}\n"


def _tables_of_others(cloud_id: str) -> list[str]:
    """Return the tables of other clouds on a machine that forwarded nothing before them."""
    chains = json.loads(_run("nft", "--json", "list", "chains"))["nftables"]
    found = [each["chain"] for each in chains if "chain" in each]
    return [
        each["table"]
        for each in found
        if each["name"] == _WAS_OFF and each["table"].startswith(_PREFIX) and each["table"] != table(cloud_id)
    ]


def remove(cloud_id: str) -> None:
    """Remove the interfaces and the table of a cloud; the last one has the machine forward nothing, if it did not.

    Raises OSError.
    """
    deadline = time.monotonic() + _TIMEOUT
    while names := _interfaces(cloud_id):
        if time.monotonic() > deadline:
            raise OSError(f"{' '.join(names)}: still there")
        for name in names:
            with contextlib.suppress(OSError):  # it is going already, with its instance
                _run("ip", "link", "delete", name)
    tables = _run("nft", "list", "tables").split()
    if table(cloud_id) not in tables:
        return
    was_off = f"chain {_WAS_OFF} " in _run("nft", "list", "table", "inet", table(cloud_id))
    if was_off and not _tables_of_others(cloud_id):
        _FORWARDING.write_text("0")
    _run("nft", "delete", "table", "inet", table(cloud_id))


def _interfaces(cloud_id: str) -> list[str]:
    """Return the interfaces that carry a cloud's ID; not from /sys, which may be that of another network."""
    links = json.loads(_run("ip", "-json", "link", "show") or "[]")
    return [link["ifname"] for link in links if link.get("ifalias") == cloud_id]


def _run(*command: str, text: str = "") -> str:
    """Run a program; return what it prints. Raises OSError with what it says."""
    result = subprocess.run(list(command), input=text, capture_output=True, text=True, check=False)
    if result.returncode:
        raise OSError(f"{command[0]}: {' '.join(result.stderr.split())[:200]}")
    return result.stdout
