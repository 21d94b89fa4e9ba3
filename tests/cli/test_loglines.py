"""Several logs in one output: readable, and nothing lost."""

import json

from awsac_async.cli.loglines import LONGEST, Lines
from awsac_async.client import LogBytes, LogSource

ONE, AGENT = LogSource(job=1), LogSource(agent=0)


def show(*pieces: tuple[LogSource, bytes], as_json: bool = False) -> bytes:
    lines = Lines(as_json=as_json)
    return b"".join(lines.add(LogBytes(source=source, offset=0, data=data)) for source, data in pieces) + lines.rest()


def test_lines_of_several_logs_are_never_mixed_and_the_last_needs_no_end() -> None:
    shown = show((ONE, b"fir"), (AGENT, b"began\nwent "), (ONE, b"st\n\nlast"), (AGENT, b"on\n"))

    assert shown == b"agent 0 | began\njob 1 | first\njob 1 | \nagent 0 | went on\njob 1 | last\n"


def test_a_line_without_end_is_shown_in_pieces_that_can_be_put_together_again() -> None:
    line = bytes(range(11, 256)) * 1000
    shown = show(*((ONE, line[start : start + 10_000]) for start in range(0, len(line), 10_000)), (ONE, b"\nnext\n"))

    first, *rest, last = shown.split(b"\n")[:-1]
    assert first.startswith(b"job 1 | ")
    assert {piece[:8] for piece in rest} == {b"job 1 > "}
    assert b"".join(piece[8:] for piece in (first, *rest)) == line
    assert max(map(len, rest)) == LONGEST + 8
    assert last == b"job 1 | next"


def test_json_keeps_every_byte() -> None:
    shown = [json.loads(line) for line in show((ONE, b"\xff\x00\xc3\xa9\n"), as_json=True).splitlines()]

    assert [each["job"] for each in shown] == [1]
    assert shown[0]["line"].encode(errors="surrogateescape") == b"\xff\x00\xc3\xa9"
