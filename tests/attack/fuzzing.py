"""The fuzzer: every reader is given inputs that were never meant, bounded in time and memory, each known by its number.

An input is made of the seed, the reader's name and its number alone, so that a finding can be had again. Runs in a
process of its own, since what it bounds, memory and time, belongs to a process.
"""

import contextlib
import faulthandler
import json
import logging
import os
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from moto.core.exceptions import ServiceException

from tests.attack.mutation import Mutator
from tests.attack.parsers import PARSERS, Parser, readable

LONGEST = 5.0  # s of one input, on a machine that does much else
_ENOUGH = 5  # findings of one reader, of one kind
MEMORY = 1 << 30  # bytes beyond what the process has when it begins


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An input for which a reader broke its promise."""

    parser: str
    seed: int
    number: int
    what: str
    content: bytes
    where: str

    def __str__(self) -> str:
        shown = self.content if len(self.content) <= 300 else self.content[:300] + b"..."
        how = f"python -m tests.attack parsers --seed {self.seed} --parser {self.parser!r} --number {self.number}"
        return f"{self.parser}: {self.what}\n  {self.where}\n  input of {len(self.content)} bytes: {shown!r}\n  {how}"


class TooSlowError(BaseException):
    """A reader has not come back in time."""


def made(parser: Parser, *, seed: int, number: int) -> bytes:
    """Return the input of this number; the first ones are the seeds as they are."""
    if number < len(parser.seeds):
        return parser.seeds[number]
    return parser.made(Mutator(random.Random(f"{seed}/{parser.name}/{number}")), parser.seeds)  # noqa: S311


def tried(parser: Parser, content: bytes, *, right: bool = False) -> tuple[str, str] | str:
    """Give a reader an input; return what is wrong with what it did and where, or how it came out.

    Of an input that is ``right`` a refusal is wrong as well.
    """
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        with _alarm():
            parser.read(content, folder)
    except (Exception, TooSlowError) as error:
        refused = isinstance(error, parser.errors) if parser.errors else False
        if refused and not right:
            try:
                for each in getattr(error, "problems", (error,)):
                    if not isinstance(each, ServiceException):  # its words are moto's
                        readable(str(each))
            except Exception as broken:
                return f"{broken}", _place(error)
            return f"refused: {error}"
        return f"{type(error).__name__}: {str(error)[:300]!r}", _place(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return "read"


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "awsac_async" in frame.filename or "/attack/" in frame.filename]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(ours[-4:]))


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def late(_: int, frame: FrameType | None) -> NoReturn:
        raise TooSlowError(f"not back after {LONGEST} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def bound() -> None:
    """Bound the memory of this process, and silence what readers log."""
    logging.disable(logging.CRITICAL)
    faulthandler.enable()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))


@dataclass(kw_only=True)
class Tally:
    """How far a run has come."""

    inputs: int = 0
    refused: int = 0
    findings: list[Finding]


def run(
    *, seed: int, seconds: float, rounds: int, parsers: Sequence[Parser] = PARSERS, outcomes: Path | None = None
) -> Tally:
    """Try all readers in turn, until the time is over and each has had so many inputs, its seeds first."""
    tally = Tally(findings=[])
    known: dict[tuple[str, str], int] = {}
    until = time.monotonic() + seconds
    number = 0
    with contextlib.ExitStack() as stack:
        written = stack.enter_context(outcomes.open("w")) if outcomes else None
        while number < rounds or time.monotonic() < until:
            for parser in parsers:
                content = made(parser, seed=seed, number=number)
                found = tried(parser, content, right=parser.right and number < len(parser.seeds))
                tally.inputs += 1
                tally.refused += isinstance(found, str) and found.startswith("refused")
                if written:
                    written.write(json.dumps([parser.name, number, found]) + "\n")
                if isinstance(found, str):
                    continue
                kind = parser.name, found[1]
                known[kind] = known.get(kind, 0) + 1
                if known[kind] <= _ENOUGH:
                    what, where = found
                    tally.findings.append(
                        Finding(parser=parser.name, seed=seed, number=number, what=what, content=content, where=where)
                    )
            number += 1
    return tally


def main(*, seed: int, seconds: float, rounds: int = 8, parser: str = "", number: int | None = None) -> int:
    """Run, print what was found, and return an exit code; with a number, look at one input of one reader again."""
    parsers = [each for each in PARSERS if parser in ("", each.name)]
    bound()
    if number is not None:
        content = made(parsers[0], seed=seed, number=number)
        print(repr(content), tried(parsers[0], content), sep="\n")
        return 0
    outcomes = os.environ.get("ATTACK_OUTCOMES")  # a file: how each input came out, to compare one Python with another
    tally = run(
        seed=seed, seconds=seconds, rounds=rounds, parsers=parsers, outcomes=Path(outcomes) if outcomes else None
    )
    for finding in tally.findings:
        print(finding)
    counts = f"{tally.inputs} inputs to {len(parsers)} readers, {tally.refused} refused in a sentence"
    print(f"parsers, seed {seed}: {counts}, {len(tally.findings)} findings")
    return int(bool(tally.findings))
