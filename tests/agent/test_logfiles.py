"""One log as one stream of bytes, whatever the writer does to its files and whenever the reader dies."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from awsac_async.agent.logfiles import Chunk, LogFile, LogStream

SIZES = st.one_of(st.integers(1, 40), st.integers(900, 3000))


@dataclass(kw_only=True)
class Written:
    """What a file holds that has not been read, and what of it is in the chunk that is sent."""

    unread: bytes = b""
    sent: bytes = b""


@dataclass(kw_only=True)
class World:
    """A job's directory, its agent's hidden one, and a store of chunks by offset."""

    root: Path
    store: dict[int, bytes] = field(default_factory=dict)

    @property
    def shown(self) -> Path:
        return self.root / "1" / "stdouterr_job_1.log"

    @property
    def kept(self) -> Path:
        return self.root / "hidden" / "1-1.log"

    def open(self) -> LogStream:
        stream = LogStream(self.root / "hidden" / "note.json")
        stream.add(LogFile(path=self.kept, shown=self.shown))
        return stream


class AnyWriterAndAnyDeath(RuleBasedStateMachine):
    """Appends, truncations, replacements, looks, chunks that arrive or not, and deaths, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(root=Path(tempfile.mkdtemp()))
        for folder in (self.world.shown.parent, self.world.kept.parent):
            folder.mkdir()
        self.world.kept.touch()
        self.world.shown.hardlink_to(self.world.kept)
        self.numbers = itertools.count()
        self.files = [Written()]
        self.new: Written | None = None  # under the shown name, and not looked at yet
        self.stream = self.world.open()
        self.chunk: Chunk | None = None
        self.expected = b""

    def teardown(self) -> None:
        shutil.rmtree(self.world.root)

    @rule(size=SIZES)
    def append(self, size: int) -> None:
        self._write("ab", self._bytes(size))

    @rule(size=st.one_of(st.just(0), SIZES))
    def truncate_and_write(self, size: int) -> None:
        current = self.new or self.files[-1]
        current.unread, current.sent = b"", b""
        self._write("r+b", self._bytes(size))

    @precondition(lambda self: len(self.files) < 4)
    @rule(size=SIZES)
    def put_another_file_under_the_name(self, size: int) -> None:
        self.world.shown.unlink()
        self.new = Written()
        self._write("xb", self._bytes(size))

    @rule()
    def look(self) -> None:
        waiting = self.stream.look()
        self.files += [self.new] if self.new else []
        self.new = None
        assert (waiting > 0) >= any(file.unread for file in self.files)

    @precondition(lambda self: not self.stream.unsettled)
    @rule(limit=SIZES)
    def read(self, limit: int) -> None:
        self.chunk = self.stream.read(limit)
        for file in self.files:
            file.sent, file.unread = file.unread[:limit], file.unread[limit:]
            limit -= len(file.sent)
        self.taken = b"".join(file.sent for file in self.files)
        assert (bytes(self.chunk.body) if self.chunk else b"") == self.taken

    @precondition(lambda self: self.chunk is not None)
    @rule(arrives=st.booleans(), answered=st.booleans())
    def send(self, arrives: bool, answered: bool) -> None:
        chunk, self.chunk = self.chunk, None
        assert chunk is not None
        if arrives:
            self.world.store[chunk.offset] = bytes(chunk.body)
            self.expected += self.taken
        for file in self.files:
            file.unread, file.sent = (b"" if arrives else file.sent) + file.unread, b""
        if arrives and answered:
            self.stream.settle(len(chunk.body))
        else:
            self.die()

    @rule()
    def die(self) -> None:
        if self.chunk is not None:
            self.send(arrives=False, answered=False)
            return
        self.stream = self.world.open()
        if self.stream.unsettled:
            found = self.world.store.get(self.stream.offset)
            self.stream.settle(None if found is None else len(found))

    @invariant()
    def the_chunks_are_what_was_there_once_each(self) -> None:
        stream = b""
        for offset in sorted(self.world.store):
            assert offset == len(stream)
            stream += self.world.store[offset]
        assert stream == self.expected

    def _write(self, mode: str, content: bytes) -> None:
        with self.world.shown.open(mode) as file:
            if mode == "r+b":
                file.truncate()
            file.write(content)
        # As if a moment had passed: the kernel's clock for files is coarse.
        number = next(self.numbers)
        os.utime(self.world.shown, ns=(number, number))
        (self.new or self.files[-1]).unread += content

    def _bytes(self, size: int) -> bytes:
        """Return bytes that differ from those of any other call from the first on: see the limit in docs/logs.md."""
        number = next(self.numbers).to_bytes(4, "little")
        return (number * (size // 4 + 1))[:size]


# Bounded, and the same in every run: to shrink what was found took minutes, and its steps tell enough.
AnyWriterAndAnyDeath.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
TestAnyWriterAndAnyDeath = AnyWriterAndAnyDeath.TestCase


def test_a_link_that_a_job_puts_under_the_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"mine")
    (tmp_path / "secret").write_bytes(b"theirs")
    (tmp_path / "shown").symlink_to(tmp_path / "secret")
    stream = LogStream(tmp_path / "note")
    stream.add(LogFile(path=tmp_path / "kept", shown=tmp_path / "shown"))

    assert stream.look() == 4
    assert stream.read(100) == Chunk(offset=0, body=b"mine")


def test_the_output_of_a_second_attempt_follows_that_of_the_first(tmp_path: Path) -> None:
    stream = LogStream(tmp_path / "note")
    for attempt, content in enumerate([b"first", b"second"], 1):
        (tmp_path / f"1-{attempt}.log").write_bytes(content)
        stream.add(LogFile(path=tmp_path / f"1-{attempt}.log"))

    assert stream.read(8) == Chunk(offset=0, body=b"firstsec")
    stream.settle(8)
    assert stream.read(8) == Chunk(offset=8, body=b"ond")


def test_of_a_chunk_that_arrived_late_only_the_rest_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one")
    stream = LogStream(tmp_path / "note")
    stream.add(LogFile(path=tmp_path / "log"))
    stream.read(100)
    stream.settle(None)
    (tmp_path / "log").write_bytes(b"one two")
    stream.read(100)
    stream.settle(3)

    assert stream.read(100) == Chunk(offset=3, body=b" two")


@pytest.fixture
def as_an_ordinary_user() -> Iterator[Path]:
    """Be one, as an agent in the plain form is; gives a folder of this user."""
    with tempfile.TemporaryDirectory(prefix="awsac-test-") as name:
        if os.geteuid():
            yield Path(name)
            return
        os.chown(name, 65534, -1)
        os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(0)


def test_an_output_that_its_job_made_unreadable_is_read_all_the_same(as_an_ordinary_user: Path) -> None:
    folder = as_an_ordinary_user
    log, stream = folder / "1-1.log", LogStream(folder / "note.json")
    log.write_bytes(b"one\n")
    stream.add(LogFile(path=log))
    log.chmod(0)

    chunk = stream.read(stream.look())

    assert chunk is not None
    assert bytes(chunk.body) == b"one\n"
    assert log.read_bytes() == b"one\n"
