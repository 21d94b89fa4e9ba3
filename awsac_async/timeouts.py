"""What ``asyncio.timeout`` of Python 3.11.0 to 3.11.2, which Debian 12 has, does not do: mends it, and nothing else.

In a task that was cancelled at some time before, also by a TaskGroup of its own that has long ended, those raise
CancelledError when the time is over, and not TimeoutError: whoever waited is gone for ever, without a word. Later ones
count from what they found: https://github.com/python/cpython/issues/102780.
"""

import asyncio
from types import TracebackType


class Timeout(asyncio.Timeout):  # type: ignore[misc]  # final to type checkers only
    """A timeout that tells its own cancellation from those before it."""

    async def __aenter__(self) -> "Timeout":
        task = asyncio.current_task()
        self._before = task.cancelling() if task else 0
        await super().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        late = self.expired()
        await super().__aexit__(kind, error, trace)
        task = asyncio.current_task()
        if late and kind is asyncio.CancelledError and task and task.cancelling() <= self._before:
            raise TimeoutError from error


def _timeout(delay: float | None) -> Timeout:
    return Timeout(None if delay is None else asyncio.get_running_loop().time() + delay)


def mend() -> None:
    """Put it in the place of the one that asyncio has, for libraries as well."""
    asyncio.Timeout, asyncio.timeout, asyncio.timeout_at = Timeout, _timeout, Timeout  # type: ignore[misc]
