"""Tells the service manager, again and again, that the agent lives: one that stands still is killed and started anew.

A job of root can stop the agent (SIGSTOP), and a fault could block it; jobs would run on, and nobody would save what
they do. Speaks the protocol of sd_notify(3), where the manager asks for it.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

_PART = 3  # so many times within what the manager bears
_USEC = "WATCHDOG_USEC"


@asynccontextmanager
async def watched(environment: Mapping[str, str]) -> AsyncIterator[None]:
    """Tell it as long as the context is entered, if the manager watches this process."""
    seconds = _seconds(environment)
    if seconds is None:
        yield
        return
    telling = asyncio.create_task(_tell_again(environment, seconds / _PART), name="tell that the agent lives")
    try:
        yield
    finally:
        telling.cancel()


def end_watch(environment: Mapping[str, str]) -> None:
    """Have nobody watch this process from now on, which is to become a program that does not tell."""
    if _seconds(environment) is not None:
        _tell(environment, f"{_USEC}=0")


async def _tell_again(environment: Mapping[str, str], pause: float) -> None:
    while True:
        _tell(environment, "WATCHDOG=1")
        await asyncio.sleep(pause)


def _seconds(environment: Mapping[str, str]) -> float | None:
    """Return how long the manager bears silence of this process; None if it does not watch it."""
    pid, usec = environment.get("WATCHDOG_PID", ""), environment.get(_USEC, "")
    if (
        not environment.get("NOTIFY_SOCKET")
        or not usec.isdigit()
        or int(usec) == 0
        or pid not in ("", str(os.getpid()))
    ):
        return None
    return int(usec) / 1e6


def _tell(environment: Mapping[str, str], state: str) -> None:
    address = environment["NOTIFY_SOCKET"]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.sendto(state.encode(), f"\0{address[1:]}" if address.startswith("@") else address)
