"""The names under which volumes are attached, and how many may be.

Owns the names of this instance's attachments: which may be tried, which are ours. It never asks EC2; what EC2 said of a
name is told to it.
"""

import asyncio
import re
from collections import deque
from collections.abc import Iterable
from string import ascii_lowercase

from awsac_async.agent.mounts import DeviceError

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html: sd[f-p] is recommended; then come those that
# may be an instance store's, and at last those that only images with a kernel of this century know.
_NAMES = [f"/dev/sd{letter}" for letter in "fghijklmnop" + "qrstuvwxyz" + "bcde"]
_NAMES += [f"/dev/xvd{first}{second}" for first in "bc" for second in ascii_lowercase]
_LETTERS = re.compile(r"(?:/dev/)?(?:sd|xvd|hd)?([a-z]+)\d*")


class DeviceNames:
    """The device names of an instance, each given to one attachment at a time.

    Names in flight are remembered, so that two attachments never race for one. A name that EC2 refused, or has just
    freed, goes to the end: EC2 may hold it for a while.
    """

    def __init__(self) -> None:
        self._free = deque(_NAMES)
        self._taken: set[str] = set()
        self._changed = asyncio.Event()
        self.detached = 0  # how many volumes have gone so far

    def __len__(self) -> int:
        """Return how many names could be tried now."""
        return len(self._free)

    def exclude(self, names: Iterable[str]) -> None:
        """Never offer these, in whatever form: the instance uses them already (``sdf`` is also ``/dev/xvdf``)."""
        used = {_letters(name) for name in names}
        self._free = deque(name for name in self._free if _letters(name) not in used)

    def take(self) -> str:
        """Return a name that nobody uses.

        Raises:
            DeviceError: all are in use.
        """
        if not self._free:
            raise DeviceError("all device names that EC2 allows are in use")
        name = self._free.popleft()
        self._taken.add(name)
        return name

    def hold(self, name: str) -> None:
        """Take note that a volume of ours has this name."""
        self.exclude([name])
        self._taken.add(name)

    def refuse(self, name: str) -> None:
        """Give a name back under which nothing was attached; it is tried last."""
        self._put_back(name)

    def give_back(self, name: str) -> None:
        """Give the name of a volume back that is detached: there is room for another one now."""
        self.detached += 1
        self._put_back(name)

    async def detached_since(self, count: int) -> bool:
        """Wait until more than ``count`` volumes have gone; returns False if none of ours is left that could go."""
        while self.detached == count and self._taken:
            await self._changed.wait()
        return self.detached != count

    def _put_back(self, name: str) -> None:
        self._taken.discard(name)
        self._free.append(name)
        self._changed.set()  # wakes all who wait, each of whom looks again
        self._changed = asyncio.Event()


def _letters(name: str) -> str:
    found = _LETTERS.fullmatch(name)
    return found[1] if found else name
