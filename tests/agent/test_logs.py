"""When chunks of logs are sent, what that costs, and what becomes of one that cannot be sent."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from awsac_async.agent import logs
from awsac_async.agent.logfiles import LogFile
from awsac_async.agent.logs import CHUNK_BYTES, LOOK_SECONDS, LogShipper, due
from awsac_async.cloud.objects import ObjectInfo
from awsac_async.session.errors import ConflictError, UnavailableError
from awsac_async.session.times import now
from tests.waiting import until

PREFIX = "awsac/session/logs/job_1/"
PUTS_FOR_A_TENTH_OF_A_CENT = 200  # 5 US dollars a million
MB = 1_000_000


def chunks_of_an_hour(rate: Callable[[int], float], *, followed: bool) -> list[int]:
    """Play the rule for an hour; ``rate`` is in bytes a second at a second. Returns the chunks' sizes."""
    sent: list[int] = []
    waiting, rested = 0.0, 0.0
    for look in range(int(3600 / LOOK_SECONDS)):
        waiting += LOOK_SECONDS * rate(int(look * LOOK_SECONDS))
        rested += LOOK_SECONDS
        while due(waiting=int(waiting), rested=rested, followed=followed):
            sent.append(min(int(waiting), CHUNK_BYTES))
            waiting, rested = waiting - sent[-1], 0.0
    return [*sent, *[int(waiting)] * (waiting >= 1)]


@pytest.mark.parametrize(
    "rate",
    [
        lambda _: 20.0,
        lambda _: 1.0 * MB,
        lambda second: 100.0 * MB if second % 600 < 5 else 100.0,
        lambda second: 1.0 if second % 61 == 0 else 0.0,
        lambda _: 100.0 * MB,
    ],
    ids=["a line a second", "1 MB/s", "bursts of 100 MB/s", "a word a minute", "100 MB/s"],
)
def test_an_hour_that_nobody_follows_costs_less_than_a_tenth_of_a_cent(rate: Callable[[int], float]) -> None:
    assert 0 < len(chunks_of_an_hour(rate, followed=False)) < PUTS_FOR_A_TENTH_OF_A_CENT


def test_who_follows_sees_every_look_and_a_burst_at_once() -> None:
    steady = chunks_of_an_hour(lambda _: 20.0, followed=True)
    burst = chunks_of_an_hour(lambda second: 100.0 * MB if second < 2 else 0.0, followed=True)

    assert steady == [40] * 1800
    assert burst[:-1] == [CHUNK_BYTES] * 9
    assert sum(burst) == 200 * MB


class Store:
    """Objects in memory; ``faults`` are taken one by one: before or after the object is there."""

    def __init__(self, *faults: str) -> None:
        self.objects: dict[str, bytes] = {}
        self._faults = iter(faults)

    async def create(self, key: str, body: bytes | memoryview) -> None:
        fault = next(self._faults, "")
        if fault == "refused":
            raise UnavailableError("PutObject", key, "as the test wants it")
        if key in self.objects:
            raise ConflictError("PutObject", key, "it is there")
        self.objects[key] = bytes(body)
        if fault == "no answer":
            raise UnavailableError("PutObject", key, "as the test wants it")

    async def list(self, prefix: str) -> Sequence[ObjectInfo]:
        found = {key: body for key, body in self.objects.items() if key.startswith(prefix)}
        return [ObjectInfo(key=key, size=len(body), etag="", modified=now()) for key, body in found.items()]

    def content(self) -> bytes:
        content = b""
        for key in sorted(self.objects):
            assert key == f"{PREFIX}{len(content):020d}"
            content += self.objects[key]
        return content


@pytest.mark.parametrize("fault", ["refused", "no answer"])
async def test_a_log_is_whole_after_an_outage_and_a_successor_ships_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(logs, "pauses", lambda **_: itertools.repeat(0.0))
    store, log = Store(fault, fault), tmp_path / "1-1.log"
    log.write_bytes(b"one\n")
    for more in (b"\xff\x00two", b"", b"three"):
        shipper = LogShipper(store, tmp_path / "notes")
        await shipper.add(PREFIX, LogFile(path=log))
        with log.open("ab") as file:
            file.write(more)
        assert await shipper.finish_all(within=60)

    assert store.content() == b"one\n\xff\x00twothree"


async def test_what_is_not_sent_in_time_is_sent_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(logs, "_REST_SECONDS", 0.0)
    store, log = Store("refused", "refused"), tmp_path / "1-1.log"
    log.write_bytes(b"late")
    shipper = LogShipper(store, tmp_path / "notes")
    await shipper.add(PREFIX, LogFile(path=log))

    assert not await shipper.finish(PREFIX, within=0.05)
    shipping = asyncio.create_task(shipper.run(), name="ship")
    shipper.follow()
    await until(lambda: store.content() == b"late")
    shipping.cancel()
    await asyncio.wait({shipping})


async def test_a_log_larger_than_the_room_arrives_in_full_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "CHUNK_BYTES", 1000)
    store, content = Store(), bytes(range(256)) * 20
    shipper = LogShipper(store, tmp_path / "notes")
    (tmp_path / "1-1.log").write_bytes(content)
    await shipper.add(PREFIX, LogFile(path=tmp_path / "1-1.log"))

    assert await shipper.finish(PREFIX, within=60)
    assert store.content() == content
    assert [len(body) for body in store.objects.values()] == [1000] * 5 + [120]
