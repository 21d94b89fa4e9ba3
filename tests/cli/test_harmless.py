"""Whatever a job prints, a terminal shows it and obeys nothing of it but colours."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.cli.harmless import Harmless, harmless_line, harmless_text

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


def shown(*pieces: bytes, encoding: str = "utf-8") -> str:
    text = Harmless(encoding)
    return (b"".join(map(text.add, pieces)) + text.rest()).decode(encoding)


@pytest.mark.parametrize(
    ("printed", "seen"),
    [
        (b"plain \xc3\xa9 \tline\n", "plain é \tline\n"),
        (b"\x1b[31mred\x1b[0m\n", "\x1b[31mred\x1b[0m\n"),
        (b"\x1b[1;38;5;196mred", "\x1b[1;38;5;196mred\x1b[0m"),
        (b"\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        (b"\x1b[2J\x1b[1;1H", r"\x1b[2J\x1b[1;1H"),
        (b"\x1bc\x1bP\x1b\\", r"\x1bc\x1bP\x1b" + "\\"),
        (b"\x9b31m \xc2\x9b2J", r"\x9b31m \x9b2J"),
        (b"pass\x08\x08\x08\x08fail", r"pass\x08\x08\x08\x08fail"),
        (b"10%\r20%\r\nnext\r", "10%\n20%\nnext"),
        ("a\u202eb\u2066".encode(), r"a\u202eb\u2066"),
        (b"\x1b", r"\x1b"),
        (b"\x1b[31", r"\x1b[31"),
        (b"\x1b[31\x1b[31m", "\\x1b[31\x1b[31m\x1b[0m"),
        (b"\x1b[" + b"1" * 100 + b"m", r"\x1b[" + "1" * 100 + "m"),
        (b"\x00\x7f\xff", r"\x00\x7f\xff"),
    ],
)
def test_a_terminal_sees_what_was_printed_and_obeys_colours_only(printed: bytes, seen: str) -> None:
    assert shown(printed) == seen
    assert shown(*(printed[place : place + 1] for place in range(len(printed)))) == seen
    assert harmless_text(printed.decode(errors="surrogateescape"), "utf-8") == seen


@given(
    st.lists(st.one_of(st.binary(max_size=8), st.sampled_from([b"\x1b", b"[", b"3", b"m", b"\r", b"\xc2", b"\x9b"])))
)
def test_no_way_of_cutting_it_lets_anything_through(pieces: list[bytes]) -> None:
    seen = shown(*pieces)
    assert seen == shown(b"".join(pieces))
    assert all(each.isprintable() or each in "\n\t" for each in _COLOUR.sub("", seen))
    assert "\x1b" not in seen or seen.endswith("m") or "\x1b[0m" in seen or "\x1b[m" in seen


def test_a_line_stays_one_line_and_ends_its_own_colours() -> None:
    assert harmless_line(b"\x1b[31mjob 2 | fake\rjob 3 | real\r") == b"\x1b[31mjob 2 | fake\\x0djob 3 | real\x1b[0m"


def test_what_the_encoding_of_a_terminal_lacks_is_spelled() -> None:
    assert shown("é€\n".encode(), encoding="latin-1") == "é\\u20ac\n"
