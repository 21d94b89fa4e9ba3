"""A cloud in memory and a clock that jumps: what agents that share jobs ask for, at the level of their calls.

Owns when a call takes effect: half of its time after it was made, and the answer needs the other half. Who dies or is
cut off in between does not know whether it had one. Keys, versions and conditions are those of S3 and SimpleDB.
"""

import asyncio
import contextvars
import random
import re
import selectors
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from xml.sax.saxutils import escape

from botocore.exceptions import ClientError

from awsac_async.cloud.objects import ObjectInfo
from awsac_async.session.errors import CloudError, ConflictError, NotFoundError

_SECONDS = (0.03, 0.12)  # a call takes, at least and at most
_REFUSED_SECONDS = (1.0, 15.0)  # until who is cut off hears so


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while anything can run, and then jumps to the next timer."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumping(self.advance))

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        self._now += seconds

    def run_in_executor(self, _: Any, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run it now: a thread would not see the time jump."""
        future = self.create_future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


class _Jumping(selectors.SelectSelector):
    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits for somebody else")
        self._advance(timeout)
        return []


class Caller:
    """Who makes calls: an agent, until it is dead. Its tasks are those that it has made, and those of these."""

    def __init__(self, owner: Any = None) -> None:
        self.owner, self.dead = owner, False
        self.cut_off_until = 0.0
        self.tasks: set[asyncio.Task[Any]] = set()

    def check(self) -> None:
        """End here if the agent is dead: nothing that it does has an effect any more."""
        if self.dead:
            raise asyncio.CancelledError

    def kill(self) -> None:
        """End at once, whatever it is about."""
        self.dead = True
        for task in tuple(self.tasks):
            task.cancel()


_caller: contextvars.ContextVar[Caller | None] = contextvars.ContextVar("caller", default=None)


def current_owner() -> Any:
    """Return what the caller of whoever asks belongs to."""
    caller = _caller.get()
    assert caller
    return caller.owner


def belonging(caller: Caller) -> contextvars.Context:
    """Return a context in which tasks are this caller's."""
    context = contextvars.copy_context()
    context.run(_caller.set, caller)
    return context


def task_of_caller(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Make a task that ends with its caller: a task factory."""
    context = options.get("context") or contextvars.copy_context()
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    if (caller := context.get(_caller)) is not None:
        caller.tasks.add(task)
        task.add_done_callback(caller.tasks.discard)
    return task


class Memory:
    """What the services hold; counts the calls by kind and by what they are about."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.calls: Counter[str] = Counter()
        self.keys: list[str] = []
        self.objects: dict[str, tuple[bytes, ObjectInfo]] = {}
        self.items: dict[str, dict[str, str]] = {}
        self.pages: dict[str, bytes] = {}  # the items as a Select answers with them
        self.on_write: list[Callable[[str, bytes], None]] = []
        self.on_claim: list[Callable[[int, str], None]] = []
        self._versions = 0

    async def call(self, caller: Caller, what: str, effect: Callable[[], Any]) -> Any:
        """Have a call take effect, and return its answer."""
        loop = asyncio.get_running_loop()
        if loop.time() < caller.cut_off_until:
            await asyncio.sleep(self.chance.uniform(*_REFUSED_SECONDS))
            caller.check()
            raise CloudError(what, "the cloud", "cut off", temporary=True)
        await asyncio.sleep(self.chance.uniform(*_SECONDS) / 2)
        caller.check()
        self.calls[what] += 1
        try:
            return effect()
        finally:
            await asyncio.sleep(self.chance.uniform(*_SECONDS) / 2)
            caller.check()

    def put(self, key: str, body: bytes) -> str:
        """Replace an object, and return its version."""
        self._versions += 1
        etag = f'"{self._versions}"'
        if key not in self.objects:
            insort(self.keys, key)
        self.objects[key] = body, ObjectInfo(key=key, size=len(body), etag=etag, modified=datetime.now(UTC))
        for tell in self.on_write:
            tell(key, body)
        return etag

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        if self.objects.pop(key, None):
            del self.keys[bisect_left(self.keys, key)]
            for tell in self.on_write:
                tell(key, b"")


class MemoryBucket:
    """``cloud.bucket.Bucket``, as far as claims, leases and status need it."""

    name = "memory"

    def __init__(self, memory: Memory, caller: Caller) -> None:
        self._memory, self._caller = memory, caller

    async def list(self, prefix: str, *, after: str = "") -> list[ObjectInfo]:
        """List, in order."""

        def found() -> list[ObjectInfo]:
            keys = self._memory.keys
            begin = bisect_right(keys, after) if after > prefix else bisect_left(keys, prefix)
            return [self._memory.objects[key][1] for key in keys[begin : bisect_left(keys, prefix + "\U0010ffff")]]

        listed: list[ObjectInfo] = await self._call("LIST", prefix, found)
        return listed

    list_below = list  # noqa: A003  the method

    async def read(self, key: str) -> tuple[bytes, str]:
        """Read one."""

        def content() -> tuple[bytes, str]:
            if key not in self._memory.objects:
                raise NotFoundError("GetObject", key, "gone")
            body, info = self._memory.objects[key]
            return body, info.etag

        read: tuple[bytes, str] = await self._call("GET", key, content)
        return read

    async def read_all(self, objects: Sequence[ObjectInfo]) -> dict[str, bytes]:
        """Read those that are still as they were listed; whoever wants the others reads them again."""

        def contents() -> dict[str, bytes]:
            there = [(each, self._memory.objects.get(each.key)) for each in objects]
            return {each.key: kept[0] for each, kept in there if kept and kept[1].etag == each.etag}

        if not objects:
            return {}
        self._memory.calls[f"GET {_part(objects[0].key)}"] += len(objects) - 1
        read: dict[str, bytes] = await self._call("GET", objects[0].key, contents)
        return read

    async def write(self, key: str, body: bytes, *, etag: str | None) -> str:
        """Write on a condition."""

        def written() -> str:
            there = self._memory.objects.get(key)
            if etag is None and there:
                raise ConflictError("PutObject", key, "there")
            if etag is not None and there is None:
                raise NotFoundError("PutObject", key, "gone")
            if etag is not None and there and there[1].etag != etag:
                raise ConflictError("PutObject", key, "another version")
            return self._memory.put(key, body)

        version: str = await self._call("PUT", key, written)
        return version

    async def put(self, key: str, body: bytes) -> None:
        """Write, whatever is there."""
        await self._call("PUT", key, lambda: self._memory.put(key, body))

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete."""
        await self._call("DELETE", keys[0], lambda: [self._memory.remove(key) for key in keys])

    async def _call(self, kind: str, key: str, effect: Callable[[], Any]) -> Any:
        return await self._memory.call(self._caller, f"{kind} {_part(key)}", effect)


def _part(key: str) -> str:
    return next((part for part in ("claims", "leases", "status") if f"/{part}/" in key), "other")


class MemoryAws:
    """``cloud.aws.Aws``, as far as a status in SimpleDB needs it."""

    region = "us-east-1"

    def __init__(self, memory: Memory, caller: Caller) -> None:
        self._client = _SimpleDb(memory, caller)

    async def client(self, service: str) -> "_SimpleDb":
        """Return SimpleDB: there is nothing else."""
        assert service == "sdb"
        return self._client


class _SimpleDb:
    """The SDK's client of SimpleDB, for one domain; reads are consistent, as they are asked to be."""

    def __init__(self, memory: Memory, caller: Caller) -> None:
        self._memory, self._caller = memory, caller
        self.meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_, **__: None), endpoint_url="memory:")

    async def put_attributes(self, **asked: Any) -> None:
        """Write attributes of an item, if one of them is as expected."""
        item, expected = asked["ItemName"], asked["Expected"]

        def written() -> None:
            there = self._memory.items.get(item, {}).get(expected["Name"])
            if there != expected["Value"]:
                error = {"Code": "ConditionalCheckFailed", "Message": f"{there} is not {expected['Value']}"}
                raise ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": 409}}, "PutAttributes")
            self._put(item, asked["Attributes"])

        await self._memory.call(self._caller, "PutAttributes", written)

    async def batch_put_attributes(self, **asked: Any) -> None:
        """Write items."""

        def written() -> None:
            for item in asked["Items"]:
                self._put(item["Name"], item["Attributes"])

        await self._memory.call(self._caller, "BatchPutAttributes", written)

    def _put(self, item: str, attributes: Sequence[Mapping[str, Any]]) -> None:
        before = self._memory.items.get(item, {})
        after = self._memory.items[item] = {**before, **{each["Name"]: each["Value"] for each in attributes}}
        self._memory.pages[item] = _xml(item, *(f"{key}={value}" for key, value in after.items()))
        claim = after.get("x_claim", "")
        if claim != before.get("x_claim"):
            for tell in self._memory.on_claim:
                tell(int(item.removeprefix("job")), claim)

    def get_paginator(self, operation: str) -> "_SimpleDb":
        """Return what has the pages of a Select."""
        assert operation == "select"
        return self

    async def paginate(self, **asked: Any) -> AsyncIterator[dict[str, bytes]]:
        """Yield the only page."""
        expression = asked["SelectExpression"]
        assert asked["ConsistentRead"]
        condition = re.search(r"where (.*) limit", expression)
        wanted = _condition(condition[1] if condition else "")

        def found() -> bytes:
            claims_only = expression.startswith("select x_claim ")
            return b"".join(
                _xml(name, f"x_claim={item['x_claim']}") if claims_only else self._memory.pages[name]
                for name, item in self._memory.items.items()
                if wanted(name, item)
            )

        yield {"AwsacItems": await self._memory.call(self._caller, "Select", found)}


def _condition(text: str) -> Callable[[str, Mapping[str, str]], bool]:
    if value := re.fullmatch(r"x_claim = '(.*)'", text):
        return lambda _, item: item.get("x_claim") == value[1]
    if name := re.fullmatch(r"itemName\(\) = '(.*)'", text):
        return lambda item_name, _: item_name == name[1]
    assert text in {"", "x_claim is not null"}, text
    return lambda _, item: not text or "x_claim" in item


@lru_cache(maxsize=1 << 14)
def _xml(name: str, *attributes: str) -> bytes:
    pairs = (each.partition("=") for each in attributes)
    shown = (f"<Attribute><Name>{key}</Name><Value>{escape(value)}</Value></Attribute>" for key, _, value in pairs)
    return f"<Item><Name>{name}</Name>{''.join(shown)}</Item>".encode()
