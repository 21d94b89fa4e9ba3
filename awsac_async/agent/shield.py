"""Keeps jobs that have users of their own from the metadata service, and so from the credentials of the role.

Owns one rule of the instance's routing policy for each family of addresses: what such a user sends to the service is
refused. Every kernel of a stock image has these rules, and they need no package; they are spoken of by netlink alone.
Whoever manages the network leaves rules alone that say to be of the kernel, as systemd-networkd does.
"""

import errno
import logging
import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from awsac_async.agent.jobuser import FIRST_UID
from awsac_async.agent.metadata import ENDPOINT_VARIABLE
from awsac_async.session.model import MAX_JOBS

_log = logging.getLogger(__name__)
_ADDRESSES = {socket.AF_INET: "169.254.169.254", socket.AF_INET6: "fd00:ec2::254"}
_REFUSING, _LOCAL = 1, 2  # places in the order of the rules; that of the machine's own addresses is 0 from the boot

# <linux/netlink.h>, <linux/rtnetlink.h>, <linux/fib_rules.h>
_GETROUTE, _NEWRULE, _DELRULE = 26, 32, 33
_ERROR, _REQUEST, _ACK, _EXCL, _CREATE = 2, 1, 4, 0x200, 0x400
_TO_TABLE, _PROHIBIT, _LOCAL_TABLE, _OF_KERNEL = 1, 8, 255, 2
_RULE_DESTINATION, _RULE_PRIORITY, _RULE_TABLE, _RULE_UIDS, _RULE_PROTOCOL = 1, 6, 15, 20, 21
_ROUTE_DESTINATION, _ROUTE_UID = 1, 25
_HEADER, _FAMILY, _NUMBER = struct.Struct("=IHHII"), struct.Struct("=8BI"), struct.Struct("=I")


class ShieldError(Exception):
    """Jobs could reach the credentials of the instance's role; the text says why."""


def shield_metadata(environment: Mapping[str, str]) -> None:
    """Have the machine refuse whatever users of jobs send to the metadata service, unless it does; blocks for moments.

    Args:
        environment: the agent's, which may name another address of the service.

    Raises:
        ShieldError: it cannot be kept from them.
    """
    endpoint = environment.get(ENDPOINT_VARIABLE)
    if endpoint and urlsplit(endpoint).hostname not in _ADDRESSES.values():
        raise ShieldError(f"the metadata service is at {endpoint}, and no rule can be made for that")
    for family, address in _ADDRESSES.items():
        if family == socket.AF_INET or _has_ipv6():
            try:
                with _Rules(family, address) as rules:
                    rules.refuse()
            except OSError as error:
                raise ShieldError(f"no rule can be made for {address}: {os.strerror(error.errno or 0)}") from error


def _has_ipv6() -> bool:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


@dataclass
class _Rules:
    """The rules of one family of addresses. Whatever fails raises OSError."""

    family: int
    address: str

    def __enter__(self) -> "_Rules":
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(10)
        self._destination = socket.inet_pton(self.family, self.address)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def refuse(self) -> None:
        """See to it that a job's packets to the address are refused, and look whether they are."""
        uids = struct.pack("=II", FIRST_UID, FIRST_UID + MAX_JOBS)
        refusing = {_RULE_DESTINATION: self._destination, _RULE_UIDS: uids, _RULE_PRIORITY: _NUMBER.pack(_REFUSING)}
        self._add(refusing, action=_PROHIBIT, bits=8 * len(self._destination))
        if self._is_refused():
            return
        # The address is one of the machine's own, which come first: not on EC2, but where an instance is emulated.
        local = {_RULE_TABLE: _NUMBER.pack(_LOCAL_TABLE)}
        self._add({**local, _RULE_PRIORITY: _NUMBER.pack(_LOCAL)}, action=_TO_TABLE)
        with suppress(FileNotFoundError):  # somebody else did it at this moment
            self._change(_DELRULE, 0, {**local, _RULE_PRIORITY: _NUMBER.pack(0)}, action=_TO_TABLE)
        if not self._is_refused():
            raise OSError(errno.ENOTSUP, "the rule has no effect")

    def _add(self, attributes: Mapping[int, bytes], *, action: int, bits: int = 0) -> None:
        own = {**attributes, _RULE_PROTOCOL: bytes([_OF_KERNEL])}
        with suppress(FileExistsError):
            self._change(_NEWRULE, _CREATE | _EXCL, own, action=action, bits=bits)

    def _change(self, kind: int, flags: int, attributes: Mapping[int, bytes], *, action: int, bits: int = 0) -> None:
        table = _LOCAL_TABLE if action == _TO_TABLE else 0
        self._ask(kind, flags | _ACK, _FAMILY.pack(self.family, bits, 0, 0, table, 0, 0, action, 0), attributes)

    def _is_refused(self) -> bool:
        """Whether the kernel has no way to the address for a job's user, by its own word."""
        head = _FAMILY.pack(self.family, 8 * len(self._destination), 0, 0, 0, 0, 0, 0, 0)
        asked = {_ROUTE_DESTINATION: self._destination, _ROUTE_UID: _NUMBER.pack(FIRST_UID + 1)}
        try:
            self._ask(_GETROUTE, 0, head, asked)
        except OSError as error:
            return error.errno == errno.EACCES
        return False

    def _ask(self, kind: int, flags: int, head: bytes, attributes: Mapping[int, bytes]) -> None:
        """Send one request; returns when it was granted."""
        body = head + b"".join(
            struct.pack("=HH", 4 + len(value), name) + value + b"\0" * (-len(value) % 4)
            for name, value in attributes.items()
        )
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 0, 0) + body)
        answer = self._socket.recv(65536)
        _, kind, *_ = _HEADER.unpack_from(answer)
        if kind == _ERROR and (code := struct.unpack_from("=i", answer, _HEADER.size)[0]):
            raise OSError(-code, os.strerror(-code))
