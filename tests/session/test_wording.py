"""What strangers chose is shown as one harmless line, and no sentence is endless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsac_async.session.wording import clipped, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("an ordinary name é.txt", "an ordinary name é.txt"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("new\nline\r\t", r"new\x0aline\x0d\x09"),
        ("rtl\u202egnp.exe", r"rtl\u202egnp.exe"),
        ("shot\xa0at", r"shot\xa0at"),
        ("8-bit \x9b31m", r"8-bit \x9b31m"),
        (b"caf\xe9".decode(errors="surrogateescape"), r"caf\xe9"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_whatever_is_shown_is_printable_and_encodable(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert printable(shown) == shown


@given(st.text(max_size=100), st.integers(min_value=10, max_value=60))
def test_a_long_text_keeps_both_its_ends(text: str, most: int) -> None:
    short = clipped(text, most)
    assert len(short) <= most
    assert short == text or (text.startswith(short.split(" … ")[0][:3]) and text[-1] == short[-1])
