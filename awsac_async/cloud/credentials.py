"""The run's credentials, as botocore finds and renews them, for both libraries.

Owns the one copy of them. Those of a role, a program or a person with a token are asked for in a thread, since botocore
blocks meanwhile. The SDK's asyncio session could do that itself, but costs a tenth of a second to import, which bulk
transfers do without.
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable
from typing import Any, cast

from awsac_async.session.errors import InputError

_PAUSE = 10.0  # seconds between two tries to renew what is still good


class Credentials:
    """Credentials of one run, for one event loop; the clients of aiobotocore take them for their own.

    Args:
        session: botocore's, which knows where to look.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._found: Any = None
        self._failure: Exception | None = None
        self._failed_until = 0.0  # by the loop's clock: who asks until then is told the same
        self._asking: asyncio.Future[Any] | None = None
        self._not_before = 0.0  # by the loop's clock: when to try again to renew those that are still good

    async def get_frozen_credentials(self) -> Any:
        """Return valid ones (``access_key``, ``secret_key``, ``token``), renewed if need be; None: there are none.

        Those that are to be renewed soon are returned while that is tried, which nobody has to wait for.
        """
        if self._found is None or _expired(self._found):
            if self._failure and asyncio.get_running_loop().time() < self._failed_until:
                raise self._failure
            return await asyncio.shield(self._ask())
        if _to_be_renewed(self._found) and asyncio.get_running_loop().time() >= self._not_before:
            self._ask()
        return _frozen(self._found)

    def get_account_id(self) -> Any:
        """Return the account that those at hand name, if they do: aiobotocore asks for it."""
        return getattr(self._found, "account_id", None)

    def get_deferred_property(self, name: str) -> Callable[[], Any]:
        """Return what tells a property of those at hand later: botocore asks for it."""
        return lambda: getattr(self._found, name, None)

    def expire(self) -> None:
        """Ask for new credentials before the next request, if these can be renewed.

        Those of a role may be replaced before the time at which the SDK would, which is that named with them.
        """
        if _renewable(self._found):
            self._found._expiry_time = self._found._time_fetcher()  # the SDK has no other way to be told

    def _ask(self) -> "asyncio.Future[Any]":
        """Ask in a thread, unless somebody does: nobody is asked twice at a time for the number on a token."""
        if self._asking is None or self._asking.done():
            self._not_before = asyncio.get_running_loop().time() + _PAUSE
            self._asking = _in_thread(self._freeze)
            self._asking.add_done_callback(self._take_note)
        return self._asking

    def _take_note(self, asked: "asyncio.Future[Any]") -> None:
        """Take an error that perhaps nobody waits for: whoever needs new credentials soon is told the same."""
        self._failure = None if asked.cancelled() else cast("Exception | None", asked.exception())
        self._failed_until = asked.get_loop().time() + _PAUSE

    def _freeze(self) -> Any:
        self._found = self._found or self._session.get_credentials()
        return self._found.get_frozen_credentials() if self._found else None


def _renewable(found: Any) -> bool:
    return hasattr(found, "refresh_needed")


def _to_be_renewed(found: Any) -> bool:
    return _renewable(found) and bool(found.refresh_needed())


def _expired(found: Any) -> bool:
    """Whether they are so near to their end, or beyond it, that botocore itself would wait for new ones."""
    return _renewable(found) and bool(found.refresh_needed(found._mandatory_refresh_timeout))


def _frozen(found: Any) -> Any:
    """Return what is there, without asking anybody: botocore would, when they are to be renewed."""
    return found._frozen_credentials if _renewable(found) else found.get_frozen_credentials()


def _in_thread(call: Callable[[], Any]) -> "asyncio.Future[Any]":
    """Return what a call in a thread of its own will return.

    Not in one of the loop's, which are waited for at the end: a person may press Ctrl-C instead of answering.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def deliver(result: Any, error: Exception | None) -> None:
        if answer.done():  # nobody waits any more
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    def run() -> None:
        result, caught = None, None
        try:
            result = call()
        except Exception as error:
            caught = error
        with contextlib.suppress(RuntimeError):  # interrupted meanwhile, and the loop is closed
            loop.call_soon_threadsafe(deliver, result, caught)

    threading.Thread(target=run, name="find credentials", daemon=True).start()
    return answer


_KEYS = {"access_key": "access key ID", "secret_key": "secret access key", "token": "session token"}
_RIGHT = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def check_keys(frozen: Any) -> None:
    """Raise InputError for keys that no request can carry, as with the line end of the file that they came from.

    The libraries would refuse them in words of their own, or send them to be refused.
    """
    for attribute, name in _KEYS.items():
        value = getattr(frozen, attribute, None)
        if value is None or (attribute == "token" and not value):
            continue
        if not isinstance(value, str) or not _RIGHT.fullmatch(value):
            raise InputError(f"the {name} of the AWS credentials {_wrong(value)}: set the credentials anew, without it")


def _wrong(value: object) -> str:
    """Return what is wrong with a key, without the key."""
    if not isinstance(value, str):
        return "is no text"
    if not value:
        return "is empty"
    if "\n" in value or "\r" in value:
        return "holds a line end"
    if not value.isascii():
        return "holds a character that is not ASCII"
    if value.strip() != value:
        return "begins or ends with white space"
    return "holds a control character"
