"""The network of an instance, seen from inside: a loopback with the two services that an instance asks for.

In a network namespace of its own an instance has nothing but what is made here: 127.0.0.1, and the metadata service's
address, as on EC2. Both get a listening socket, which whoever made the instance answers from outside: neither side
needs a way to the other. Must run inside the instance's namespace only; uses no program of the machine.
"""

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Sequence

METADATA_ADDRESS = "169.254.169.254"
METADATA_PORT = 80
_LOOPBACK, _METADATA_LABEL = b"lo", b"lo:imds"
# <linux/sockios.h>, <net/if.h>
_GET_FLAGS, _SET_FLAGS, _SET_ADDRESS, _SET_NETMASK = 0x8913, 0x8914, 0x8916, 0x891C
_ADD_ROUTE = 0x890B
_UP, _RUNNING = 0x1, 0x40
_ROUTE_UP, _ROUTE_REJECT = 0x1, 0x200  # <linux/route.h>
_BACKLOG = 128


def bring_up() -> None:
    """Bring the loopback up, and give it the address of the metadata service."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _GET_FLAGS, struct.pack("16sH14x", _LOOPBACK, 0))
        flags = struct.unpack("16xH14x", answer)[0] | _UP | _RUNNING
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", _LOOPBACK, flags))
        for request, address in ((_SET_ADDRESS, METADATA_ADDRESS), (_SET_NETMASK, "255.255.255.255")):
            packed = struct.pack("16sH2x4s8x", _METADATA_LABEL, socket.AF_INET, socket.inet_aton(address))
            fcntl.ioctl(any_socket, request, packed)


def listening(api_port: int) -> list[socket.socket]:
    """Return the sockets of the metadata service and of the AWS APIs, which has the port that it has outside."""
    places = ((METADATA_ADDRESS, METADATA_PORT), ("127.0.0.1", api_port))
    return [socket.create_server(place, backlog=_BACKLOG) for place in places]


def block(networks: Sequence[str]) -> None:
    """Let there be no way to some networks, such as "169.254.0.0/16", whatever else leads there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for network in map(ipaddress.IPv4Network, networks):
            addresses = [_packed(network.network_address), _packed("0.0.0.0"), _packed(network.netmask)]  # noqa: S104  none
            # struct rtentry of <linux/route.h>
            route = struct.pack(
                "@L16s16s16sHhLPhPLLH", 0, *addresses, _ROUTE_UP | _ROUTE_REJECT, 0, 0, 0, 0, 0, 0, 0, 0
            )
            fcntl.ioctl(any_socket, _ADD_ROUTE, route)


def _packed(address: object) -> bytes:
    return struct.pack("=H2x4s8x", socket.AF_INET, socket.inet_aton(str(address)))
