"""Several logs in one output: whole lines, each with the name of its log before it.

Owns how bytes become lines. Whatever the bytes are, none is lost, and of a line that does not end only so much is kept
in memory; the name then has another mark behind it, which says that the line goes on there.
"""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from awsac_async.client import LogBytes, LogSource

LONGEST = 64 << 10  # bytes of a line, after which it is broken


class Lines:
    """Puts lines together from the bytes of several logs.

    ``as_json`` makes each a JSON document; else ``shown`` says how the bytes of a line are shown.
    """

    def __init__(self, *, as_json: bool, shown: Callable[[bytes], bytes] = bytes) -> None:
        self._as_json, self._line = as_json, shown
        self._begun: dict[LogSource, bytes] = {}
        self._broken: set[LogSource] = set()

    def add(self, piece: "LogBytes") -> bytes:
        """Return the lines that are whole now, ready to be printed."""
        *whole, rest = (self._begun.get(piece.source, b"") + piece.data).split(b"\n")
        shown = [each for line in whole for each in self._whole(piece.source, line)]
        while len(rest) > LONGEST:
            shown.append(self._shown(piece.source, rest[:LONGEST], goes_on=True))
            rest = rest[LONGEST:]
        self._begun[piece.source] = rest
        return b"".join(shown)

    def rest(self) -> bytes:
        """Return the lines that have no end, at the end."""
        return b"".join(self._shown(source, line) for source, line in self._begun.items() if line)

    def _whole(self, source: "LogSource", line: bytes) -> Iterator[bytes]:
        while len(line) > LONGEST:
            yield self._shown(source, line[:LONGEST], goes_on=True)
            line = line[LONGEST:]
        yield self._shown(source, line)

    def _shown(self, source: "LogSource", line: bytes, *, goes_on: bool = False) -> bytes:
        continues = source in self._broken
        (self._broken.add if goes_on else self._broken.discard)(source)
        if self._as_json:
            return _document(source, line, continues=continues)
        return b"%s %s %s\n" % (str(source).encode(), b">" if continues else b"|", self._line(line))


def _document(source: "LogSource", line: bytes, *, continues: bool) -> bytes:
    """Return a line as JSON; bytes that are no UTF-8 are the surrogates of Python's ``surrogateescape``."""
    whose = {"agent": source.agent} if source.job is None else {"job": source.job}
    text = line.decode(errors="surrogateescape")
    return json.dumps(whose | {"line": text} | ({"continues": True} if continues else {})).encode() + b"\n"
